//! The snapshot of a partition's producers: derived, rebuilt from the log on any doubt.
//!
//! Owns: an rkyv archive in the same envelope as the index.
//! Never: evidence about the log (I9).
//! Invariants: describes the state after all batches below `upto`, all five batches of each producer.
//! Source: kafka.md 3.7.

use rkyv::api::high::to_bytes_in;
use rkyv::{Archive, Deserialize, Serialize};

use super::FormatError;
use super::index_file::{Envelope, unwrap};

const MAGIC: &[u8; 8] = b"RMQPRODS";
const WHAT: &str = "producer snapshot";

/// Bytes of one file at most.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// One stored batch.
#[derive(Archive, Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Batch {
    /// Sequence of its first record.
    pub first_sequence: u32,
    /// Sequence of its last record.
    pub last_sequence: u32,
    /// Offset of its first record.
    pub first_offset: u64,
    /// Offset of its last record.
    pub last_offset: u64,
    /// The time the broker stamped, ms.
    pub log_append_time: Option<i64>,
}

/// One producer.
#[derive(Archive, Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Producer {
    /// Producer id.
    pub id: u64,
    /// Newest epoch.
    pub epoch: u16,
    /// Wall clock of its last batch, ms.
    pub last_used_ms: i64,
    /// Last batches, oldest first, at most five.
    pub batches: Vec<Batch>,
}

/// The producers of one partition.
#[derive(Archive, Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Log id.
    pub log: u64,
    /// State after all batches below this offset.
    pub upto: u64,
    /// Chain hash there: a snapshot of another history is ignored.
    pub chain: u64,
    /// By id.
    pub producers: Vec<Producer>,
}

impl Snapshot {
    /// The file's bytes.
    ///
    /// # Errors
    /// `Inconsistent` if it cannot be archived.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        let mut envelope = Envelope::default();
        self.encode_into(&mut envelope)?;
        Ok(envelope.parts().concat())
    }

    /// As [`Self::encode`], into memory that is used again.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_into(&self, envelope: &mut Envelope) -> Result<(), FormatError> {
        let failed = FormatError::Inconsistent {
            what: WHAT,
            why: "cannot be archived",
        };
        let batches: usize = self.producers.iter().map(|one| one.batches.len()).sum();
        let len = size_of::<Self>()
            + size_of_val(self.producers.as_slice())
            + batches * size_of::<Batch>();
        let archive = |body| to_bytes_in::<_, rkyv::rancor::Error>(self, body);
        envelope.fill(MAGIC, len, archive).map_err(|_| failed)
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// Any [`FormatError`] but `Misplaced`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let body = unwrap(bytes, MAGIC, WHAT)?;
        let malformed = FormatError::Inconsistent {
            what: WHAT,
            why: "archive is malformed",
        };
        rkyv::from_bytes::<Self, rkyv::rancor::Error>(&body).map_err(|_| malformed)
    }
}
