//! What data cores and the control core say to each other.
//!
//! Owns: the message types and the two ports the shells implement.
//! Never: blocks.
//! Invariants: deltas reach a core in index order, each once.
//! Source: architecture.md section 1, reliability.md 1.11.

use std::sync::Arc;

use api::error::MetadataError;
use model::ids::{MetaIndex, ShardId};

use crate::metadata::{Change, Image, MetadataCommand, MetadataResult};

/// A change to metadata that a shard asks for.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// Who asks.
    pub shard: ShardId,
    /// Correlates with [`CoreMessage::Proposed`]; unique per shard.
    pub id: u64,
    /// What.
    pub command: MetadataCommand,
}

/// From the control core to a data core.
#[derive(Clone, Debug)]
pub enum CoreMessage {
    /// Metadata changed.
    Delta {
        /// Raft index of the last entry in the image.
        index: MetaIndex,
        /// The whole new image.
        image: Arc<Image>,
        /// What changed since the previous delta, in order.
        changes: Arc<Vec<Change>>,
    },
    /// A proposal was committed and applied by every data core, or failed.
    Proposed {
        /// The proposal's id.
        id: u64,
        /// Outcome.
        result: Result<MetadataResult, MetadataError>,
    },
    /// Stop in order: write everything, clean marker, then report.
    Shutdown,
}

/// How a data core reaches the control core. Never blocks.
pub trait ControlPort: Send {
    /// Hands a proposal over.
    ///
    /// # Errors
    /// The mailbox is full; the proposal comes back.
    fn propose(&self, proposal: Proposal) -> Result<(), Box<Proposal>>;
    /// Reports that this shard applied everything up to `index`.
    fn applied(&self, shard: ShardId, index: MetaIndex);
}

/// How the control core (or main) reaches a data core. May wait for room; never called by a data core.
pub trait CorePort: Send + Sync {
    /// Hands a message over and wakes the core.
    fn deliver(&self, message: CoreMessage);
}
