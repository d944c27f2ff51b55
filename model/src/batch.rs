//! Record batch v2: the unit of append, checksum, compression, storage and fetch (A4).
//!
//! Owns: header view and full validation, record iteration, builder, codecs with bounded decompression.
//! Never: re-encodes a batch that a client sent; only base offset, leader epoch and, for
//! log-append time, attributes, max timestamp and CRC are stamped in place.
//! Invariants: no panic, no unbounded allocation on any input (A12).
//! Source: KIP-98, kafka.md section 3.

pub mod builder;
pub mod codec;
mod crc;
pub mod deep;
pub mod marker;
pub mod records;
pub mod stamp;
mod varint;
#[cfg(test)]
mod vectors;
pub mod view;

pub use builder::{BatchBuilder, NewRecord};
pub use crc::{JOINED_BYTES_MIN, crc_with_batch, joined_crc};
pub use deep::{DeepCheck, KeyRule, deep_check, deep_check_within};
pub use marker::{Marker, Outcome};
pub use records::{Headers, Record, Records};
pub use stamp::{stamp_log_append_time, stamp_max_timestamp, stamp_offset_epoch};
pub use view::{
    BatchError, BatchInfo, BatchProducer, Batches, Compression, HEADER_BYTES, batch_len,
    check_produced,
};
