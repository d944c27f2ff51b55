//! Looking up records by timestamp: index, then batches, then the exact record.
//!
//! Owns: the walk from segment to block to batch to record.
//! Never: answers with a batch's base offset when the record can be read.
//! Invariants: the walk goes forward in offsets, so the first record that qualifies is found; one call looks through a
//! bounded number of bytes, whatever headers claim.
//! Source: kafka.md 3.3, 4.7.

use bytes::Bytes;
use model::batch::{BatchInfo, Records};
use model::offset::Offset;
use model::time::Now;

use super::read::{Demand, Fetching};
use super::{LogId, Store};
use crate::log::TimeLookup;

/// A step of the walk: go on, or an answer.
enum Step {
    Next(Offset),
    Answer(TimeLookup),
}

/// How far a lookup came that has to wait, so that it makes progress however small the cache is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resume {
    log: LogId,
    /// `None` while the largest timestamp is still being looked for.
    timestamp: Option<i64>,
    upto: Offset,
    from: Offset,
    /// Largest timestamp below `from`.
    largest: i64,
}

/// Lookups remembered at once.
const RESUMES_MAX: usize = 64;

/// Bytes of records that one call looks through in vain, besides the batch with which it gets there: the core has
/// other work. A header that claims a timestamp which none of its records has costs a batch each.
const SEARCH_BYTES_MAX: usize = 4 << 20;

/// What to do with a batch whose header claims a timestamp that none of its records has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// Go on: another batch may qualify.
    Records,
    /// Answer with the batch's largest: it is the one that was looked for.
    Header,
}

/// What is looked for.
#[derive(Clone, Copy)]
struct Wanted {
    timestamp: i64,
    trust: Trust,
    from: Offset,
    upto: Offset,
}

impl Store {
    pub(super) fn look_up_timestamp(
        &mut self,
        now: Now,
        id: LogId,
        timestamp: i64,
        upto: Offset,
    ) -> TimeLookup {
        let Some(log) = self.logs.get(&id) else {
            return TimeLookup::NotFound;
        };
        let upto = upto.min(log.log_end);
        let from = log.log_start;
        self.walk(
            now,
            id,
            Wanted {
                timestamp,
                trust: Trust::Records,
                from,
                upto,
            },
        )
    }

    fn walk(&mut self, now: Now, id: LogId, mut wanted: Wanted) -> TimeLookup {
        let key = (id, Some(wanted.timestamp), wanted.upto);
        if let Some(resume) = self.resumed(key) {
            wanted.from = wanted.from.max(resume.from);
        }
        self.searched = 0;
        while wanted.from < wanted.upto {
            match self.next_step(now, id, wanted) {
                Step::Next(from) => {
                    assert!(from > wanted.from, "the walk goes forward");
                    wanted.from = from;
                    if self.searched > SEARCH_BYTES_MAX {
                        self.remember(key, wanted.from, -1);
                        return TimeLookup::Yielded;
                    }
                }
                Step::Answer(TimeLookup::Pending) => {
                    self.remember(key, wanted.from, -1);
                    return TimeLookup::Pending;
                }
                Step::Answer(answer) => return answer,
            }
        }
        TimeLookup::NotFound
    }

    /// Where an earlier try of the same lookup came to; what lies below does not change.
    fn resumed(&self, key: (LogId, Option<i64>, Offset)) -> Option<Resume> {
        self.resumes
            .iter()
            .find(|resume| resume.key() == key)
            .copied()
    }

    fn remember(&mut self, key: (LogId, Option<i64>, Offset), from: Offset, largest: i64) {
        let (log, timestamp, upto) = key;
        let resume = Resume {
            log,
            timestamp,
            upto,
            from,
            largest,
        };
        if let Some(known) = self.resumes.iter_mut().find(|resume| resume.key() == key) {
            *known = resume;
            return;
        }
        if self.resumes.len() >= RESUMES_MAX {
            self.resumes.pop_front();
        }
        self.resumes.push_back(resume);
    }

    fn next_step(&mut self, now: Now, id: LogId, wanted: Wanted) -> Step {
        let Some(log) = self.logs.get(&id) else {
            return Step::Answer(TimeLookup::NotFound);
        };
        let tail_start = log.tail.first_offset().unwrap_or(log.log_end);
        if wanted.from >= tail_start {
            return self.search_tail(id, wanted);
        }
        if let Some(hole) = log.hole_at(wanted.from) {
            // A hole is skipped: the first readable record that qualifies is still an honest answer.
            return Step::Next(hole.upto);
        }
        let Some(segment) = log.segment_of(wanted.from) else {
            let next = log
                .segments
                .iter()
                .find(|segment| segment.base > wanted.from);
            return Step::Next(next.map_or(tail_start, |segment| segment.base.min(tail_start)));
        };
        if segment.max_timestamp < wanted.timestamp {
            return Step::Next(segment.upto);
        }
        let at = super::outbox::SegmentAt {
            log: id,
            segment: segment.key,
        };
        let end = segment.upto;
        let Some(index) = &segment.index else {
            self.load_index(at);
            return Step::Answer(TimeLookup::Pending);
        };
        match index.block_with_timestamp(wanted.from, wanted.timestamp) {
            None => Step::Next(end),
            Some(block) if block.base > wanted.from => Step::Next(block.base),
            Some(_) => self.search_cached(now, id, wanted),
        }
    }

    fn search_cached(&mut self, now: Now, id: LogId, wanted: Wanted) -> Step {
        let Some(block) = self.cache.find(id, wanted.from) else {
            return match self.fetch_block(now, id, wanted.from, Demand::Wanted) {
                Fetching::Pending => Step::Answer(TimeLookup::Pending),
                Fetching::Damaged => Step::Answer(TimeLookup::Damaged(wanted.from)),
            };
        };
        let end = block.last().map_or(wanted.from, Offset::next);
        let is_candidate = |batch: &&super::cache::CachedBatch| {
            batch.max_timestamp >= wanted.timestamp && batch.base < wanted.upto
        };
        let batches: Vec<(Offset, Bytes)> = block
            .batches_from(wanted.from)
            .iter()
            .filter(is_candidate)
            .map(|batch| (batch.last, block.batch_bytes(batch)))
            .collect();
        self.search_batches(batches, wanted)
            .unwrap_or(Step::Next(end))
    }

    /// `None` if no record of these qualifies.
    fn search_batches(&mut self, batches: Vec<(Offset, Bytes)>, wanted: Wanted) -> Option<Step> {
        for (last, bytes) in batches {
            if let Some((offset, timestamp)) = self.search_batch(&bytes, wanted) {
                return Some(Step::Answer(TimeLookup::Found(offset, timestamp)));
            }
            if self.searched > SEARCH_BYTES_MAX {
                return Some(Step::Next(last.next()));
            }
        }
        None
    }

    fn search_tail(&mut self, id: LogId, wanted: Wanted) -> Step {
        let Some(log) = self.logs.get(&id) else {
            return Step::Answer(TimeLookup::NotFound);
        };
        let batches: Vec<(Offset, Bytes)> = log
            .tail
            .iter_from(wanted.from)
            .take_while(|batch| batch.base < wanted.upto)
            .filter(|batch| batch.max_timestamp >= wanted.timestamp)
            .map(|batch| (batch.last, batch.bytes.clone()))
            .collect();
        self.search_batches(batches, wanted)
            .unwrap_or(Step::Answer(TimeLookup::NotFound))
    }

    /// First record of a batch that qualifies.
    fn search_batch(&mut self, bytes: &[u8], wanted: Wanted) -> Option<(Offset, i64)> {
        let info = BatchInfo::parse_header(bytes).ok()?;
        self.scratch.clear();
        let found = self.search_records(bytes, &info, wanted);
        self.searched += bytes.len().max(self.scratch.len());
        found
    }

    fn search_records(
        &mut self,
        bytes: &[u8],
        info: &BatchInfo,
        wanted: Wanted,
    ) -> Option<(Offset, i64)> {
        let is_inside = |offset: Offset| offset >= wanted.from && offset < wanted.upto;
        let Ok(records) = Records::open(bytes, info, &mut self.scratch) else {
            // Records of an unknown shape: the batch is as near as can be told.
            let base = info.base_offset.max(wanted.from);
            return is_inside(base).then_some((base, info.max_timestamp));
        };
        let mut largest: Option<(Offset, i64)> = None;
        for record in records.map_while(Result::ok) {
            let (offset, timestamp) = (record.offset(info), record.timestamp(info));
            if !is_inside(offset) {
                continue;
            }
            if timestamp >= wanted.timestamp {
                return Some((offset, timestamp));
            }
            if largest.is_none_or(|(_, known)| timestamp > known) {
                largest = Some((offset, timestamp));
            }
        }
        match wanted.trust {
            Trust::Records => None,
            Trust::Header => largest,
        }
    }

    pub(super) fn look_up_max_timestamp(
        &mut self,
        now: Now,
        id: LogId,
        upto: Offset,
    ) -> TimeLookup {
        let Some(log) = self.logs.get(&id) else {
            return TimeLookup::NotFound;
        };
        let upto = upto.min(log.log_end);
        let from = log.log_start;
        match self.largest_timestamp(now, id, (from, upto)) {
            Ok(timestamp) if timestamp < 0 => TimeLookup::NotFound,
            Ok(timestamp) => self.walk(
                now,
                id,
                Wanted {
                    timestamp,
                    trust: Trust::Header,
                    from,
                    upto,
                },
            ),
            Err(answer) => answer,
        }
    }

    /// The largest timestamp that headers in `[from, upto)` claim, by whole segments and blocks where
    /// possible; -1 if none.
    fn largest_timestamp(
        &mut self,
        now: Now,
        id: LogId,
        (from, upto): (Offset, Offset),
    ) -> Result<i64, TimeLookup> {
        let key = (id, None, upto);
        let (mut next, mut largest) = (from, -1);
        if let Some(resume) = self.resumed(key).filter(|resume| resume.from >= from) {
            (next, largest) = (resume.from, resume.largest);
        }
        while next < upto {
            match self.largest_step(now, id, (next, upto)) {
                Ok((reached, timestamp)) => {
                    assert!(reached > next, "the walk goes forward");
                    next = reached;
                    largest = largest.max(timestamp);
                }
                Err(answer) => {
                    self.remember(key, next, largest);
                    return Err(answer);
                }
            }
        }
        self.remember(key, next, largest);
        Ok(largest)
    }

    fn largest_step(
        &mut self,
        now: Now,
        id: LogId,
        (from, upto): (Offset, Offset),
    ) -> Result<(Offset, i64), TimeLookup> {
        let Some(log) = self.logs.get(&id) else {
            return Err(TimeLookup::NotFound);
        };
        let tail_start = log.tail.first_offset().unwrap_or(log.log_end);
        if from >= tail_start {
            let batches = log
                .tail
                .iter_from(from)
                .take_while(|batch| batch.base < upto);
            return Ok((
                upto,
                batches.map(|batch| batch.max_timestamp).max().unwrap_or(-1),
            ));
        }
        if let Some(hole) = log.hole_at(from) {
            return Ok((hole.upto, -1));
        }
        let Some(segment) = log.segment_of(from) else {
            let next = log.segments.iter().find(|segment| segment.base > from);
            return Ok((
                next.map_or(tail_start, |next| next.base.min(tail_start)),
                -1,
            ));
        };
        if segment.base >= from && segment.upto <= upto {
            return Ok((segment.upto, segment.max_timestamp));
        }
        let at = super::outbox::SegmentAt {
            log: id,
            segment: segment.key,
        };
        let end = segment.upto;
        let Some(index) = &segment.index else {
            self.load_index(at);
            return Err(TimeLookup::Pending);
        };
        match index.block_of(from) {
            None => Ok((end, -1)),
            Some(block) if block.base >= from && block.upto <= upto => {
                Ok((block.upto, block.max_timestamp))
            }
            Some(_) => self.largest_cached(now, id, (from, upto)),
        }
    }

    fn largest_cached(
        &mut self,
        now: Now,
        id: LogId,
        (from, upto): (Offset, Offset),
    ) -> Result<(Offset, i64), TimeLookup> {
        let Some(block) = self.cache.find(id, from) else {
            return Err(match self.fetch_block(now, id, from, Demand::Wanted) {
                Fetching::Pending => TimeLookup::Pending,
                Fetching::Damaged => TimeLookup::Damaged(from),
            });
        };
        let end = block.last().map_or(from, Offset::next);
        let inside = block
            .batches_from(from)
            .iter()
            .take_while(|batch| batch.base < upto);
        Ok((
            end,
            inside.map(|batch| batch.max_timestamp).max().unwrap_or(-1),
        ))
    }
}

impl Resume {
    fn key(&self) -> (LogId, Option<i64>, Offset) {
        (self.log, self.timestamp, self.upto)
    }
}
