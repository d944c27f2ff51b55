//! One segment group: which batches it takes, the bytes that are written, the block that is cached.
//!
//! Owns: cutting a group from a tail and putting it together.
//! Never: decides when; `flush` does.
//! Invariants: a group is a run of whole batches from `flushing_upto` on; small batches lie in one piece with the header,
//! in memory that the cache gives and gets back.
//! Source: reliability.md 2.2, architecture.md A3.

use bytes::{Bytes, BytesMut};
use model::batch::crc_with_batch;
use model::offset::{LeaderEpoch, Offset};

use crate::format::cursor::Writer;
use crate::format::round_up;
use crate::format::segment::{GROUP_HEADER_BYTES, GroupHeader};
use crate::io::Pieces;
use crate::log::state::{GroupInFlight, Log};
use crate::log::tail::TailBatch;
use crate::store::cache::{CachedBatch, CachedBlock, Gathered};
use crate::store::{LogId, Store};

/// Bytes of batches in one group, unless a single batch is larger.
const GROUP_PAYLOAD_MAX: usize = 1 << 20;

/// Groups whose batches are smaller than this on average are copied into one piece.
const GATHER_BELOW_BYTES: usize = 8 * 1024;

/// The run of batches that one group takes.
pub(super) struct Cut {
    pub(super) upto: Offset,
    pub(super) bytes: usize,
    pub(super) batches: u32,
    pub(super) first_epoch: LeaderEpoch,
    pub(super) last_epoch: LeaderEpoch,
    pub(super) max_timestamp: i64,
    pub(super) chain_after: u64,
}

impl Cut {
    fn of(batch: &TailBatch) -> Self {
        Self {
            upto: batch.last.next(),
            bytes: batch.bytes.len(),
            batches: 1,
            first_epoch: batch.epoch,
            last_epoch: batch.epoch,
            max_timestamp: batch.max_timestamp,
            chain_after: batch.chain_after,
        }
    }

    fn add(&mut self, batch: &TailBatch) {
        self.upto = batch.last.next();
        self.bytes += batch.bytes.len();
        self.batches += 1;
        self.last_epoch = batch.epoch;
        self.max_timestamp = self.max_timestamp.max(batch.max_timestamp);
        self.chain_after = batch.chain_after;
    }

    /// Whether the batches are better copied into one piece.
    fn is_small(&self) -> bool {
        self.batches > 1 && self.bytes / (self.batches as usize) < GATHER_BELOW_BYTES
    }
}

impl Store {
    /// The pieces of a group of a log, header first, and where its batches lie if they were copied together.
    pub(super) fn put_together(
        &mut self,
        id: LogId,
        cut: &Cut,
        header: &GroupHeader,
    ) -> (Pieces, Option<Gathered>) {
        let Some(log) = self.logs.get(&id) else {
            return (Pieces::new(), None);
        };
        if cut.is_small() {
            let whole = self.cache.memory(GROUP_HEADER_BYTES + cut.bytes);
            let (whole, gathered) = log.gather(cut, header, (whole, &mut self.header));
            return (Pieces::from_iter([whole]), Some(gathered));
        }
        let crc = |crc, batch: &TailBatch| crc_with_batch(crc, &batch.bytes);
        let crc = log.batches_of(cut).fold(0, crc);
        header.encode_into((cut.bytes, crc), &mut self.header);
        let mut pieces = self.outbox.list(1 + cut.batches as usize);
        pieces.push(self.outbox.draft(&[self.header.as_slice()]));
        pieces.extend(log.batches_of(cut).map(|batch| batch.bytes.clone()));
        (pieces, None)
    }
}

impl Log {
    /// The run of batches from `flushing_upto` that fits into `left` bytes of the segment.
    pub(super) fn cut_group(&self, left: u64) -> Option<Cut> {
        let mut batches = self.tail.iter_from(self.flushing_upto);
        let first = batches.next()?;
        let fits = |bytes: usize| round_up(GROUP_HEADER_BYTES + bytes) as u64 <= left;
        if !fits(first.bytes.len()) {
            return None;
        }
        let mut cut = Cut::of(first);
        for batch in batches {
            let bytes = cut.bytes + batch.bytes.len();
            if bytes > GROUP_PAYLOAD_MAX || !fits(bytes) {
                break;
            }
            cut.add(batch);
        }
        Some(cut)
    }

    fn batches_of(&self, cut: &Cut) -> impl Iterator<Item = &TailBatch> {
        self.tail.iter_range(self.flushing_upto, cut.upto)
    }

    /// Copies header and batches together, into empty memory of the cache.
    fn gather(
        &self,
        cut: &Cut,
        header: &GroupHeader,
        (mut whole, writer): (BytesMut, &mut Writer),
    ) -> (Bytes, Gathered) {
        let memory = whole.capacity();
        whole.resize(GROUP_HEADER_BYTES, 0);
        self.batches_of(cut)
            .for_each(|batch| whole.extend_from_slice(&batch.bytes));
        let (place, batches) = whole.split_at_mut(GROUP_HEADER_BYTES);
        header.encode_into((batches.len(), crc32c::crc32c(batches)), writer);
        place.copy_from_slice(writer.as_slice());
        // Split, so that the memory can be had back when nobody holds a part of it.
        let whole = whole.split().freeze();
        let bytes = whole.slice(GROUP_HEADER_BYTES..);
        (whole, Gathered { bytes, memory })
    }

    /// Moves the batches of a durable group out of the tail into an empty block, for the cache.
    pub(super) fn take_block(
        &mut self,
        group: GroupInFlight,
        mut block: CachedBlock,
    ) -> CachedBlock {
        let gathered = group.payload.map(|payload| block.push_gathered(payload));
        let mut start = 0;
        while let Some(batch) = self.tail.take_below(group.upto) {
            let len = batch.bytes.len();
            let (piece, from) = match gathered {
                Some(piece) => (piece, start),
                None => (block.push_piece(batch.bytes), 0),
            };
            block.push_batch(CachedBatch {
                base: batch.base,
                last: batch.last,
                max_timestamp: batch.max_timestamp,
                piece,
                start: from,
                end: from + len,
            });
            start += len;
        }
        block
    }
}
