//! Term, vote and commit, in two slots.
//!
//! Owns: the slot format and which slot holds the truth.
//! Never: takes an older slot because the newer one cannot be read: the lost one may hold a vote.
//! Invariants: slots alternate by the parity of the sequence; a record fits one 512-byte sector, so that a
//! power cut leaves the old or the new one; both slots exist from the first moment on.
//! Source: reliability.md 1.12, ADR-0006.

use bytes::Bytes;
use model::limits::BLOCK_BYTES;

use crate::entry::bounded;
use crate::limits::{CLUSTER_ID_BYTES_MAX, INDEX_MAX, TERM_MAX, VOTERS_MAX};
use crate::wire::{DecodeError, Reader, Writer};

const MAGIC: u32 = u32::from_le_bytes(*b"RMQH");
const VERSION: u8 = 1;

/// Bytes of the part that is written and checked: one sector.
const SECTOR_BYTES: usize = 512;

/// Who this node is; a directory of another node or cluster is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Raft id of this node, not zero.
    pub node: u64,
    /// Cluster id.
    pub cluster: String,
}

/// What one slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HardState {
    /// Rises with every write; its parity names the slot.
    pub sequence: u64,
    /// Whose it is.
    pub identity: Identity,
    /// Current term.
    pub term: u64,
    /// Voted for in this term; zero for nobody.
    pub vote: u64,
    /// Entries up to here are committed.
    pub commit: u64,
    /// Sequence of the last durable group of the log when this was written: the witness that tells a torn
    /// group from one that was durable and is damaged.
    pub log_sequence: u64,
    /// Voters, ascending.
    pub voters: Vec<u64>,
}

/// Why the hard state cannot be used. The node may have voted in a term it does not remember.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HardStateError {
    /// A slot is missing.
    #[error("hard-state slot {0} is missing")]
    Missing(usize),
    /// A slot cannot be read; it may be the newer one.
    #[error("hard-state slot {slot} is unreadable: {cause}")]
    Unreadable {
        /// Which.
        slot: usize,
        /// How.
        #[source]
        cause: DecodeError,
    },
    /// Both slots are readable but do not follow each other.
    #[error("hard-state slots have sequences {0} and {1}")]
    Inconsistent(u64, u64),
}

impl HardState {
    /// Which slot this belongs into.
    #[must_use]
    pub fn slot(&self) -> usize {
        usize::from(!self.sequence.is_multiple_of(2))
    }

    /// The block of this record.
    ///
    /// # Panics
    /// If a bound of the identity or the voters is exceeded: checked when the host was configured.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        out.u32(MAGIC);
        out.u8(VERSION);
        out.u64(self.sequence);
        out.u64(self.identity.node);
        out.text(&self.identity.cluster);
        out.u64(self.term);
        out.u64(self.vote);
        out.u64(self.commit);
        out.u64(self.log_sequence);
        out.count(self.voters.len());
        self.voters.iter().for_each(|voter| out.u64(*voter));
        let mut block = out.into_vec();
        assert!(
            block.len() <= SECTOR_BYTES - 4,
            "a hard state fits one sector"
        );
        block.resize(SECTOR_BYTES - 4, 0);
        let crc = crc32c::crc32c(&block);
        block.extend_from_slice(&crc.to_le_bytes());
        block.resize(BLOCK_BYTES, 0);
        Bytes::from(block)
    }

    /// Reads one slot.
    ///
    /// # Errors
    /// Checksum, bounds or version do not fit.
    pub fn decode(block: &[u8]) -> Result<Self, DecodeError> {
        let mut whole = Reader::new(block);
        let body = whole.raw(SECTOR_BYTES - 4)?;
        if whole.u32()? != crc32c::crc32c(body) {
            return Err(DecodeError::Checksum("hard state"));
        }
        let mut from = Reader::new(body);
        bounded(
            u64::from(from.u32()?),
            u64::from(MAGIC),
            u64::from(MAGIC),
            "magic",
        )?;
        let version = from.u8()?;
        if version != VERSION {
            return Err(DecodeError::UnknownMandatory { kind: 0, version });
        }
        let sequence = from.u64()?;
        let node = from.u64()?;
        let cluster = from.text(CLUSTER_ID_BYTES_MAX)?.to_owned();
        let term = bounded(from.u64()?, 0, TERM_MAX, "term")?;
        let vote = from.u64()?;
        let commit = bounded(from.u64()?, 0, INDEX_MAX, "commit index")?;
        let log_sequence = from.u64()?;
        let count = from.count(8, VOTERS_MAX)?;
        let voters = (0..count)
            .map(|_| from.u64())
            .collect::<Result<Vec<u64>, _>>()?;
        let identity = Identity { node, cluster };
        Ok(Self {
            sequence,
            identity,
            term,
            vote,
            commit,
            log_sequence,
            voters,
        })
    }
}

/// The newer of the two slots.
///
/// # Errors
/// A slot is missing or unreadable, or they do not follow each other.
pub fn choose(slots: &[Option<Vec<u8>>; 2]) -> Result<HardState, HardStateError> {
    let even = read(slots, 0)?;
    let odd = read(slots, 1)?;
    let are_neighbours = even.sequence.abs_diff(odd.sequence) == 1;
    if !are_neighbours || even.slot() != 0 || odd.slot() != 1 {
        return Err(HardStateError::Inconsistent(even.sequence, odd.sequence));
    }
    Ok(if even.sequence > odd.sequence {
        even
    } else {
        odd
    })
}

fn read(slots: &[Option<Vec<u8>>; 2], slot: usize) -> Result<HardState, HardStateError> {
    let block = slots
        .get(slot)
        .and_then(Option::as_ref)
        .ok_or(HardStateError::Missing(slot))?;
    HardState::decode(block).map_err(|cause| HardStateError::Unreadable { slot, cause })
}
