//! Identifiers.
//!
//! Owns: every name by which the broker refers to a thing.
//! Never: generates random identifiers; whoever creates one passes the bytes in.
//! Invariants: identifiers are plain values, ordered, hashable, and not interchangeable.
//! Source: style.md glossary, KIP-516 (topic ids).

use std::fmt;

macro_rules! number_id {
    ($(#[$meta:meta])* $name:ident, $inner:ty) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name($inner);

        impl $name {
            /// Wraps the plain number.
            #[must_use]
            pub const fn new(value: $inner) -> Self {
                Self(value)
            }

            /// The plain number.
            #[must_use]
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number_id!(
    /// A broker process by its configured number; never negative on the wire.
    BrokerId,
    u32
);
number_id!(
    /// One data core of this process, counted from zero.
    ShardId,
    u16
);
number_id!(
    /// Index of a partition inside its topic, counted from zero.
    PartitionId,
    u32
);
number_id!(
    /// One client connection of one shard; unique while the process lives.
    ConnectionId,
    u64
);
number_id!(
    /// Identity of an idempotent producer.  spec: KIP-98
    ProducerId,
    u64
);
number_id!(
    /// Generation of a producer id; a higher one fences the lower.  spec: KIP-98
    ProducerEpoch,
    u16
);
number_id!(
    /// Sequence number of a record of one producer in one partition, 0 to `i32::MAX`, then wraps to 0.
    BatchSequence,
    u32
);
number_id!(
    /// Generation of a consumer group; rises with every rebalance.
    Generation,
    u32
);
number_id!(
    /// Index of an entry in the metadata Raft log.
    MetaIndex,
    u64
);

impl BatchSequence {
    /// The sequence `count` records later, wrapping after `i32::MAX` as clients do.  spec: KIP-98
    #[must_use]
    pub const fn wrapping_add(self, count: u32) -> Self {
        Self(((self.0 as u64 + count as u64) % (1 << 31)) as u32)
    }
}

/// Unique identity of a topic, never reused, 16 bytes.  spec: KIP-516
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct TopicId([u8; 16]);

impl TopicId {
    /// "No id" on the wire.
    pub const NONE: Self = Self([0; 16]);

    /// Wraps 16 raw bytes, as on the wire.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The raw bytes, as on the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// True for the all-zero id, which names no topic.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0 == [0; 16]
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicId({self})")
    }
}

/// One partition of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicId,
    /// The partition's index in it.
    pub partition: PartitionId,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests;
