//! From what recovery found to a running store.
//!
//! Owns: `Store::open`.
//! Never: appends to a segment or journal file of an earlier start (I2).
//! Invariants: batches that lived only in journals are written again before those journals go.
//! Source: reliability.md 2.5 steps 6 to 8.

use std::collections::{BTreeMap, VecDeque};

use model::offset::Offset;
use model::prng::Prng;
use model::table::Table;
use model::time::Now;

use super::arena::{Arena, Gather};
use super::cache::BlockCache;
use super::derived::Desk;
use super::index_load::IndexLoads;
use super::journal::Journal;
use super::manifest::{Manifest, ManifestFile};
use super::open_files::OpenFiles;
use super::outbox::{Outbox, Purpose, SegmentAt, SegmentKey};
use super::read::Reads;
use super::retention::RetentionCursor;
use super::space::SpaceWatch;
use super::stall::StallWatch;
use super::stop::StopPhase;
use super::timers::Timers;
use super::{Store, StoreConfig};
use crate::exec::recovered::{Recovered, RecoveredLog, RecoveredManifest, RecoveredSegment};
use crate::format::chain;
use crate::format::cursor::Writer;
use crate::io::FileOp;
use crate::log::LogConfig;
use crate::log::segment::{Segment, SegmentPhase};
use crate::log::state::{Hole, Log};
use crate::log::tail::TailBatch;

impl Store {
    /// A running store from what recovery found. Logs keep everything until the broker gives them their
    /// configuration with [`Store::create_log`] or [`Store::configure`].
    ///
    /// # Panics
    /// If the configuration is for another core than the recovered one, or a size is no multiple of 4096.
    #[must_use]
    pub fn open(config: StoreConfig, recovered: Recovered, now: Now) -> Self {
        assert!(
            config.shard == recovered.shard,
            "a store goes on with its own core's files"
        );
        assert!(
            config.journal_bytes.is_multiple_of(4_096),
            "journal files are whole blocks"
        );
        assert!(
            config.journal_first_bytes.is_multiple_of(4_096),
            "journal files are whole blocks"
        );
        // Every start appends to the manifest, so its hash makes uids new even if the seed is not.
        let mut prng = Prng::new(config.seed ^ recovered.manifest.last_hash);
        let mut journal = Journal::new(prng.bytes16());
        let old = recovered.journals.iter();
        journal.old_files = old
            .map(|file| (file.lineage, file.file, file.number))
            .collect();
        let mut outbox = Outbox::default();
        let file = manifest_file(&mut outbox, &recovered.manifest);
        let manifest = Manifest::new(config.shard, config.manifest_bytes, file);
        let mut store = Self::empty(now, config, prng, (journal, manifest, outbox));
        store.next_log = recovered.next_log.0;
        for log in recovered.logs {
            store.adopt(now, log);
        }
        store.retire_old_files();
        store.give_back_next();
        store
    }

    fn empty(
        now: Now,
        config: StoreConfig,
        prng: Prng,
        (journal, manifest, outbox): (Journal, Manifest, Outbox),
    ) -> Self {
        Self {
            prng,
            logs: Table::default(),
            by_partition: BTreeMap::new(),
            next_log: 0,
            next_segment: 0,
            outbox,
            events: VecDeque::new(),
            arena: Arena::default(),
            gather: Gather::default(),
            journal,
            manifest,
            cache: BlockCache::new(config.cache_bytes_max),
            open_files: OpenFiles::new(config.open_files_max),
            opening: BTreeMap::new(),
            creates_under_way: 0,
            create_queue: VecDeque::new(),
            surplus: VecDeque::new(),
            reads: Reads::default(),
            index_loads: IndexLoads::default(),
            dirty: VecDeque::new(),
            flush_list: VecDeque::new(),
            gated: Vec::new(),
            gated_at: 0,
            carried: BTreeMap::new(),
            age_timers: Timers::default(),
            memory_timers: Timers::default(),
            unflushed_bytes: 0,
            unflushed_logs: 0,
            retention: RetentionCursor::new(now),
            space: SpaceWatch::new(now, config.space),
            stall: StallWatch::new(config.stall),
            stop: StopPhase::Running,
            resumes: VecDeque::new(),
            header: Writer::default(),
            desk: Desk::default(),
            scratch: Vec::new(),
            searched: 0,
            config,
        }
    }

    fn adopt(&mut self, now: Now, recovered: RecoveredLog) {
        let id = recovered.id;
        let mut log = Box::new(Log::new(id, recovered.tp, keep_everything()));
        log.adopt_offsets(&recovered);
        log.epochs = recovered.epochs;
        log.producers = recovered.producers;
        log.snapshots.extend(recovered.snapshot_upto);
        log.unflushed_since = now.instant;
        for segment in &recovered.segments {
            let key = SegmentKey(self.next_segment);
            self.next_segment += 1;
            let segment = adopt_segment(now, key, segment);
            if segment.len > segment.end {
                let segment = segment.key;
                self.surplus.push_back(SegmentAt { log: id, segment });
            }
            log.segments.push_back(segment);
        }
        for segment in &recovered.missing {
            let key = SegmentKey(self.next_segment);
            self.next_segment += 1;
            log.missing.push(adopt_segment(now, key, segment));
        }
        log.adopt_tail(recovered.tail);
        let carried = log.unflushed_bytes;
        self.next_log = self.next_log.max(id.0 + 1);
        self.by_partition.insert(log.partition, id);
        if carried > 0 {
            self.unflushed_bytes += carried;
            self.unflushed_logs += 1;
            self.carried.insert(id, log.log_end);
        }
        let indexes: Vec<(SegmentKey, usize)> = log
            .segments
            .iter()
            .filter_map(|segment| Some((segment.key, segment.index.as_ref()?.entries().len())))
            .collect();
        self.logs.insert(id, log);
        for (segment, entries) in indexes {
            self.account_index(SegmentAt { log: id, segment }, entries);
        }
        self.mark_dirty(id);
        self.arm_age_timer(id);
        self.flush_if_large(id);
    }

    /// What is too large for the journal goes to a segment.
    fn flush_if_large(&mut self, id: super::LogId) {
        let Some(log) = self.logs.get(&id) else {
            return;
        };
        if log.unflushed_bytes > model::limits::TAIL_FLUSH_BYTES {
            self.want_flush(id);
        }
    }
}

impl Log {
    fn adopt_offsets(&mut self, recovered: &RecoveredLog) {
        let tail_start = recovered.tail_start();
        assert!(
            tail_start <= recovered.log_end,
            "a tail ends at the log end"
        );
        self.log_start = recovered.log_start;
        self.log_start_wanted = recovered.log_start;
        self.high_watermark = recovered.log_end;
        self.flushed_upto = recovered.log_end;
        self.log_end = recovered.log_end;
        self.epoch = recovered.epoch;
        self.chain = recovered.chain;
        self.settled_upto = tail_start;
        self.routed_upto = tail_start;
        self.routed_chain = recovered.tail_chain_before;
        self.flushing_upto = tail_start;
        self.flushing_chain = recovered.tail_chain_before;
        self.segment_upto = tail_start;
        let holes = recovered.holes.iter();
        self.holes = holes
            .map(|hole| Hole {
                from: hole.start,
                upto: hole.end,
            })
            .collect();
    }

    fn adopt_tail(&mut self, tail: Vec<(bytes::Bytes, model::batch::BatchInfo)>) {
        let mut chain = self.flushing_chain;
        for (bytes, info) in tail {
            chain = chain::extend_stamped(chain, &info);
            self.unflushed_bytes += bytes.len();
            self.unrouted_bytes += bytes.len();
            self.tail.push(TailBatch {
                base: info.base_offset,
                last: info.last_offset(),
                epoch: info.leader_epoch.unwrap_or(self.epoch),
                max_timestamp: info.max_timestamp,
                chain_after: chain,
                bytes,
            });
        }
        assert!(
            chain == self.chain || self.tail.is_empty(),
            "the tail leads to the log's hash"
        );
    }
}

/// The manifest file that recovery began, which the shell opens first of all.
fn manifest_file(outbox: &mut Outbox, recovered: &RecoveredManifest) -> ManifestFile {
    let key = outbox.file_key();
    let path = recovered.path.clone();
    outbox.file(Purpose::ManifestOpen, FileOp::Open { file: key, path });
    ManifestFile {
        key,
        uid: recovered.uid,
        generation: recovered.generation,
        len: recovered.file_len,
        position: recovered.position,
        next_seq: recovered.next_seq,
        durable_seq: recovered.next_seq.saturating_sub(1),
        // What recovery wrote last is witnessed by nothing yet.
        record_seq: recovered.next_seq.saturating_sub(1),
        witnessed_seq: recovered.next_seq.saturating_sub(2),
        prev_hash: recovered.last_hash,
    }
}

/// Until the broker says how long records are kept, they are kept.
fn keep_everything() -> LogConfig {
    LogConfig {
        retention_ms: None,
        retention_bytes: None,
        is_delete_policy: false,
        ..LogConfig::default()
    }
}

fn adopt_segment(now: Now, key: SegmentKey, recovered: &RecoveredSegment) -> Segment {
    let is_ordered: bool = recovered.base <= recovered.upto && recovered.upto <= Offset::MAX;
    assert!(is_ordered, "a segment's offsets rise");
    Segment {
        key,
        uid: recovered.uid,
        base: recovered.base,
        phase: SegmentPhase::Sealed,
        file: None,
        is_opening: false,
        closed_until: None,
        is_extending: false,
        is_end_known: true,
        len: recovered.zeroed_upto,
        position: recovered.valid_end,
        next_group: recovered.groups,
        durable_groups: recovered.groups,
        upto: recovered.upto,
        end: recovered.valid_end,
        newest_group: recovered.valid_end,
        longest_group: 0,
        max_timestamp: recovered.max_timestamp,
        index: recovered.index.clone(),
        is_index_loading: false,
        created: now.instant,
        created_ms: recovered.created_ms,
        chain: recovered.chain_after,
        rate_from: (recovered.valid_end, now.instant),
    }
}
