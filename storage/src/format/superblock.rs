//! The superblock: whose directory this is.
//!
//! Owns: identity and fixed parameters of a data directory, in two slots.
//! Never: changes after formatting, except by raising `sequence`.
//! Invariants: the slot with the higher sequence is current; a slot that is not zero and not readable may
//! be the newer one, so the directory is then unreadable.
//! Source: reliability.md 1.2 (`disk_id`), 2.2, 2.5 step 1.

use model::ids::BrokerId;
use model::limits::BLOCK_BYTES;

use super::cursor::{Writer, check_kind, seal, unseal};
use super::{FORMAT_VERSION, FormatError, Uid};

const MAGIC: &[u8; 8] = b"RMQSUPER";
const WHAT: &str = "superblock";

/// What a data directory says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Rises with every rewrite.
    pub sequence: u64,
    /// Identity of this directory; a replaced disk has another.
    pub disk: Uid,
    /// The cluster it belongs to.
    pub cluster: Uid,
    /// The broker it belongs to.
    pub broker: BrokerId,
    /// Number of cores whose stores lie here.
    pub shards: u16,
    /// Wall clock when it was formatted, ms.
    pub created_ms: i64,
}

impl Superblock {
    /// One slot: a whole block.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(BLOCK_BYTES);
        writer
            .bytes(MAGIC)
            .u32(FORMAT_VERSION)
            .u32(0)
            .u64(self.sequence);
        writer.bytes(&self.disk).bytes(&self.cluster);
        writer
            .u32(self.broker.get())
            .u16(self.shards)
            .u16(0)
            .i64(self.created_ms);
        seal(writer, BLOCK_BYTES)
    }

    /// Reads one slot.
    ///
    /// # Errors
    /// Any [`FormatError`] but `Misplaced`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        check_kind(bytes, MAGIC, WHAT)?;
        let mut fields = unseal(bytes, BLOCK_BYTES, WHAT)?;
        fields.bytes(16)?;
        let sequence = fields.u64()?;
        let (disk, cluster) = (fields.uid()?, fields.uid()?);
        let broker = BrokerId::new(fields.u32()?);
        let shards = fields.u16()?;
        fields.u16()?;
        let created_ms = fields.i64()?;
        if shards == 0 {
            return Err(FormatError::Inconsistent {
                what: WHAT,
                why: "no cores",
            });
        }
        Ok(Self {
            sequence,
            disk,
            cluster,
            broker,
            shards,
            created_ms,
        })
    }
}
