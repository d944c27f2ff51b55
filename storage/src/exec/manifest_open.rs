//! The manifest of one core at start: choosing the generation, adding records, starting a new file.
//!
//! Owns: every write to a manifest outside a running store.
//! Never: adds a group behind torn bytes (I2): it starts a new generation instead.
//! Invariants: a new generation gets its name only when it is whole, and an old one is removed only when
//! the new one has its name.
//! Source: format/manifest.rs, reliability.md 2.3 I2, I5, I8.

use model::ids::ShardId;
use model::prng::Prng;

use super::Disk;
use super::failure::{InFile, RecoverError};
use super::journal_strays::ManifestEnd;
use super::manifest_state::ManifestState;
use super::manifest_walk::{BLOCK, Ending, ManifestWalk, Unwalkable, walk};
use super::recovered::RecoveredManifest;
use crate::format::frame::{Beside, EncodedGroup, Frame};
use crate::format::layout::{
    PARTITIONS, core_dir, journal_dir, manifest_path, parse_journal, parse_manifest, parse_segment,
};
use crate::format::manifest::{FLAG_CHECKPOINT_END, ManifestHeader, Record, encode_group};

/// Bytes of a new manifest file at least.
const MANIFEST_BYTES_MIN: u64 = 1 << 20;

/// Records of one group at most.
const GROUP_RECORDS_MAX: usize = 4_096;

/// Upper bound of one encoded record.
const RECORD_BYTES_MAX: u64 = 96;

/// A manifest that takes records.
#[derive(Debug)]
pub(crate) struct OpenManifest {
    shard: ShardId,
    pub(crate) file: RecoveredManifest,
    pub(crate) state: ManifestState,
    /// Highest sequence known durable: all but a group that was found as the last one.
    durable_through: u64,
    is_torn: bool,
    /// What its newest group says of the journal.
    pub(super) journal: Beside,
    now_ms: i64,
}

/// What the directory of a core offers.
pub(crate) enum Chosen {
    /// Nothing was ever here.
    Fresh,
    /// This file; the others are not needed.
    File(Box<ManifestWalk>, Vec<String>),
}

impl Chosen {
    /// What the manifest says, and where it ends.
    pub(crate) fn state(&self) -> (ManifestState, ManifestEnd) {
        let Self::File(walk, _) = self else {
            return (ManifestState::default(), ManifestEnd::default());
        };
        let end = ManifestEnd {
            is_torn: walk.ending != Ending::Clean,
            at: Beside {
                of: walk.file.generation,
                through: walk.file.next_seq.saturating_sub(1),
            },
            journal: walk.journal,
        };
        (walk.state.clone(), end)
    }
}

/// Chooses the manifest file that counts. Changes nothing.
pub(crate) fn choose<D: Disk>(disk: &D, shard: ShardId) -> Result<Chosen, RecoverError> {
    let dir = core_dir(shard);
    let entries = disk.list(&dir).in_file(&dir)?;
    let mut generations: Vec<u64> = entries
        .iter()
        .filter_map(|entry| parse_manifest(&entry.name))
        .collect();
    generations.sort_unstable_by(|a, b| b.cmp(a));
    let Some((newest, older)) = generations.split_first() else {
        return fresh(disk, shard);
    };
    let path = |generation: u64| manifest_path(shard, generation);
    let outcome = walk(disk, &path(*newest), (shard, *newest));
    if let Ok(walk) = &outcome
        && walk.is_checkpoint_whole
        && !matches!(walk.ending, Ending::Damaged(_))
    {
        let stale = older.iter().map(|generation| path(*generation)).collect();
        return Ok(Chosen::File(Box::new(walk.clone()), stale));
    }
    let error = describe(&path(*newest), outcome)?;
    let Some(previous) = older.first() else {
        return Err(error);
    };
    // The newest is not whole. It was never used unless the one before names it.
    match walk(disk, &path(*previous), (shard, *previous)) {
        Ok(walk) if is_usable(&walk) => {
            let others = generations
                .iter()
                .filter(|generation| *generation != previous);
            Ok(Chosen::File(
                Box::new(walk),
                others.map(|generation| path(*generation)).collect(),
            ))
        }
        // Nothing was ever written to the newest: the one before is what is damaged.
        Ok(walk) if walk.state.switched_to.is_none() => Err(describe(&path(*previous), Ok(walk))?),
        Ok(_) | Err(Unwalkable::Header(_)) => Err(error),
        Err(Unwalkable::Fatal(fatal)) => Err(fatal),
    }
}

fn is_usable(walk: &ManifestWalk) -> bool {
    walk.is_checkpoint_whole
        && walk.state.switched_to.is_none()
        && !matches!(walk.ending, Ending::Damaged(_))
}

/// The error for a newest generation that cannot be used.
fn describe(
    path: &str,
    outcome: Result<ManifestWalk, Unwalkable>,
) -> Result<RecoverError, RecoverError> {
    match outcome {
        Err(Unwalkable::Fatal(fatal)) => Err(fatal),
        Err(Unwalkable::Header(error)) => Ok(RecoverError::damaged(path, 0, error.to_string())),
        Ok(walk) => {
            let what = match walk.ending {
                Ending::Damaged(what) => what,
                Ending::Clean | Ending::Torn => "the checkpoint is not complete".to_owned(),
            };
            Ok(RecoverError::damaged(path, walk.file.position, what))
        }
    }
}

/// A core without manifest is new, unless there are files that only a started broker writes: every core
/// gets its manifest before any core serves.
fn fresh<D: Disk>(disk: &D, shard: ShardId) -> Result<Chosen, RecoverError> {
    let dir = journal_dir(shard);
    let entries = disk.list(&dir).in_file(&dir)?;
    if entries
        .iter()
        .any(|entry| parse_journal(&entry.name).is_some())
    {
        let what = "there are journal files but no manifest";
        return Err(RecoverError::damaged(&core_dir(shard), 0, what));
    }
    if let Some(path) = first_segment(disk)? {
        let what = format!("there are segments ({path}) but no manifest");
        return Err(RecoverError::damaged(&core_dir(shard), 0, what));
    }
    Ok(Chosen::Fresh)
}

/// Any segment file.
fn first_segment<D: Disk>(disk: &D) -> Result<Option<String>, RecoverError> {
    for topic in disk.list(PARTITIONS).in_file(PARTITIONS)? {
        let topic = format!("{PARTITIONS}/{}", topic.name);
        for partition in disk.list(&topic).in_file(&topic)? {
            let dir = format!("{topic}/{}", partition.name);
            let mut files = disk.list(&dir).in_file(&dir)?.into_iter();
            if let Some(file) = files.find(|file| parse_segment(&file.name, "seg").is_some()) {
                return Ok(Some(format!("{dir}/{}", file.name)));
            }
        }
    }
    Ok(None)
}

impl OpenManifest {
    /// Takes the file that counts, or creates the first one, and removes the others.
    pub(crate) fn open<D: Disk>(
        disk: &mut D,
        (shard, now_ms): (ShardId, i64),
        chosen: Chosen,
    ) -> Result<Self, RecoverError> {
        let unfinished = unfinished_path(shard);
        disk.remove(&unfinished).in_file(&unfinished)?;
        match chosen {
            Chosen::Fresh => Self::create_first(disk, shard, now_ms),
            Chosen::File(walk, stale) => {
                for path in stale {
                    disk.remove(&path).in_file(&path)?;
                }
                Ok(Self {
                    shard,
                    durable_through: walk.file.next_seq - 1,
                    file: walk.file,
                    state: walk.state,
                    is_torn: walk.ending != Ending::Clean,
                    journal: walk.journal,
                    now_ms,
                })
            }
        }
    }

    fn create_first<D: Disk>(
        disk: &mut D,
        shard: ShardId,
        now_ms: i64,
    ) -> Result<Self, RecoverError> {
        let mut manifest = Self {
            shard,
            file: RecoveredManifest {
                path: String::new(),
                generation: 0,
                uid: [0; 16],
                next_seq: 1,
                position: BLOCK,
                last_hash: 0,
                file_len: 0,
            },
            state: ManifestState::default(),
            durable_through: 0,
            is_torn: false,
            journal: Beside::default(),
            now_ms,
        };
        manifest.start_generation(disk)?;
        Ok(manifest)
    }

    /// Adds records durably.
    pub(crate) fn append<D: Disk>(
        &mut self,
        disk: &mut D,
        records: &[Record],
    ) -> Result<(), RecoverError> {
        records.iter().for_each(|record| self.state.apply(record));
        let groups = records.len().div_ceil(GROUP_RECORDS_MAX) as u64;
        let needed = records.len() as u64 * RECORD_BYTES_MAX + (groups + 1) * BLOCK;
        let room = self
            .file
            .file_len
            .saturating_sub(self.file.position + BLOCK);
        if self.is_torn || needed > room {
            return self.start_generation(disk);
        }
        for chunk in records.chunks(GROUP_RECORDS_MAX) {
            let position = self.file.position;
            let bytes = flat(&self.next_group(chunk, 0));
            disk.write(&self.file.path, position, &bytes)
                .in_file(&self.file.path)?;
            self.durable_through = self.file.next_seq - 1;
        }
        Ok(())
    }

    /// Encodes one group at the present position and moves on.
    fn next_group(&mut self, records: &[Record], flags: u32) -> EncodedGroup {
        let frame = Frame {
            lineage: self.file.uid,
            seq: self.file.next_seq,
            block: self.file.position / BLOCK,
            durable_through: self.durable_through,
            prev_hash: self.file.last_hash,
            count: 0,
            body_len: 0,
            flags,
            beside: self.journal,
        };
        let group = encode_group(frame, records);
        self.file.position += u64::from(group.len);
        self.file.next_seq += 1;
        self.file.last_hash = group.hash;
        group
    }

    /// Writes everything that is true into a new file and removes the present one.
    fn start_generation<D: Disk>(&mut self, disk: &mut D) -> Result<(), RecoverError> {
        let checkpoint = self.state.checkpoint();
        let old_path = std::mem::take(&mut self.file.path);
        let generation = self.file.generation + 1;
        let needed = 4 * (checkpoint.len() as u64 * RECORD_BYTES_MAX + 4 * BLOCK);
        let file_len = needed.max(MANIFEST_BYTES_MIN).next_multiple_of(BLOCK);
        self.file = RecoveredManifest {
            path: manifest_path(self.shard, generation),
            generation,
            uid: self.fresh_uid(generation),
            next_seq: 1,
            position: BLOCK,
            last_hash: 0,
            file_len,
        };
        self.durable_through = 0;
        self.is_torn = false;
        let uid = self.file.uid;
        let mut bytes = ManifestHeader {
            uid,
            generation,
            shard: self.shard,
        }
        .encode();
        let count = checkpoint.len().div_ceil(GROUP_RECORDS_MAX);
        for (index, chunk) in checkpoint.chunks(GROUP_RECORDS_MAX).enumerate() {
            let flags = if index + 1 == count {
                FLAG_CHECKPOINT_END
            } else {
                0
            };
            bytes.extend(flat(&self.next_group(chunk, flags)));
        }
        self.durable_through = self.file.next_seq - 1;
        let unfinished = unfinished_path(self.shard);
        disk.remove(&unfinished).in_file(&unfinished)?;
        disk.create(&unfinished, file_len).in_file(&unfinished)?;
        disk.write(&unfinished, 0, &bytes).in_file(&unfinished)?;
        disk.rename(&unfinished, &self.file.path)
            .in_file(&self.file.path)?;
        if !old_path.is_empty() {
            disk.remove(&old_path).in_file(&old_path)?;
        }
        Ok(())
    }

    /// A uid that no file before had: from the one before, the generation and the wall clock.
    fn fresh_uid(&self, generation: u64) -> [u8; 16] {
        let before = self.file.uid.iter().fold(0_u64, |sum, byte| {
            sum.wrapping_mul(0x0100_0000_01b3)
                .wrapping_add(u64::from(*byte))
        });
        let place = generation ^ (u64::from(self.shard.get()) << 48);
        let seed = before ^ self.now_ms.cast_unsigned().rotate_left(20) ^ place;
        Prng::new(seed).bytes16()
    }
}

/// Where a generation lies until it is whole.
fn unfinished_path(shard: ShardId) -> String {
    format!("{}/manifest.unfinished", core_dir(shard))
}

/// The bytes of a group with its padding.
pub(crate) fn flat(group: &EncodedGroup) -> Vec<u8> {
    let mut bytes = group.pieces.concat();
    bytes.resize(group.len as usize, 0);
    bytes
}
