//! Transaction markers: control batches with one record that ends a producer's transaction.
//!
//! Owns: [`Marker`], building and reading it.
//! Never: decides the outcome of a transaction.
//! Invariants: a marker occupies one offset and is not compressed.
//! Source: KIP-98, kafka.md 3.7.

use bytes::BytesMut;

use super::builder::{BatchBuilder, NewRecord};
use super::records::Records;
use super::view::{BatchError, BatchInfo, BatchProducer};
use crate::ids::{ProducerEpoch, ProducerId};

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its records count.
    Committed,
    /// Its records are skipped by readers of committed data.
    Aborted,
}

/// What a marker says besides whose transaction it ends, which is in the batch header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// How the transaction ended.
    pub outcome: Outcome,
    /// Epoch of the coordinator that decided; fences older ones.
    pub coordinator_epoch: i32,
}

impl Marker {
    /// The control batch that ends the transaction of `id` at `epoch`.
    #[must_use]
    pub fn build(self, id: ProducerId, epoch: ProducerEpoch, timestamp_ms: i64) -> BytesMut {
        let kind: i16 = match self.outcome {
            Outcome::Aborted => 0,
            Outcome::Committed => 1,
        };
        let [kind_high, kind_low] = kind.to_be_bytes();
        let key = [0, 0, kind_high, kind_low];
        let [a, b, c, d] = self.coordinator_epoch.to_be_bytes();
        let value = [0, 0, a, b, c, d];
        let producer = BatchProducer {
            id,
            epoch,
            base_sequence: None,
        };
        let mut builder = BatchBuilder::new(timestamp_ms)
            .producer(producer)
            .transactional()
            .control();
        let pushed = builder.push(&NewRecord::keyed(timestamp_ms, &key, &value));
        debug_assert!(pushed.is_ok(), "twenty bytes fit every batch");
        builder.build()
    }

    /// Reads the marker in `batch`; `None` if it is a control batch of another kind, or none.
    ///
    /// # Errors
    /// [`BatchError::BadRecord`] if it claims to be a marker and is malformed.
    pub fn read(batch: &[u8], info: &BatchInfo) -> Result<Option<Self>, BatchError> {
        if !info.is_control || !info.is_transactional {
            return Ok(None);
        }
        let malformed = |why| BatchError::BadRecord { index: 0, why };
        let mut scratch = Vec::new();
        let Some(record) = Records::open(batch, info, &mut scratch)?
            .next()
            .transpose()?
        else {
            return Ok(None);
        };
        let outcome = match record.key {
            Some([_, _, 0, 0, ..]) => Outcome::Aborted,
            Some([_, _, 0, 1, ..]) => Outcome::Committed,
            Some([_, _, _, _, ..]) => return Ok(None),
            Some(_) | None => return Err(malformed("control record has no type")),
        };
        match record.value {
            Some(&[_, _, a, b, c, d, ..]) => Ok(Some(Self {
                outcome,
                coordinator_epoch: i32::from_be_bytes([a, b, c, d]),
            })),
            Some(_) | None => Err(malformed("marker has no coordinator epoch")),
        }
    }
}

#[cfg(test)]
mod tests;
