//! What is left in a damaged directory that tells of what was lost.
//!
//! Owns: which losses no start can tell from a crash: those of groups that nothing left on the disk names as durable.
//! Never: asks recovery; groups are found in the intact directory, and count as left if their bytes are.
//! Invariants: a group that a header, a later group, a seal or the other lineage names is named, whatever else is lost.
//! Source: reliability.md 2.4; docs/format.md (group header, journal file, segment file).

use std::collections::BTreeMap;

use model::limits::GROUPS_INFLIGHT_MAX;
use storage::LogId;
use storage::exec::{Disk, MemoryDisk};
use storage::format::Uid;
use storage::format::frame::{Beside, FRAME_BYTES, Frame, FrameKind, lineage_tag};
use storage::format::journal::{Entry, JournalHeader, SegDurableEntry, entries};
use storage::format::layout::{parse_journal, parse_manifest, parse_segment};
use storage::format::manifest::{FLAG_CHECKPOINT_END, Record, records};
use storage::format::segment::{FIRST_GROUP_POSITION, GroupHeader, SegmentHeader};

use super::world::SHARD;

const BLOCK: usize = 4_096;
const INFLIGHT: u64 = GROUPS_INFLIGHT_MAX as u64;

/// What of a loss nothing tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// Whether manifest groups are lost that nothing names: then anything may have been in them.
    pub(crate) is_manifest_untold: bool,
    /// First offset of each log in groups that are lost and that nothing names.
    untold: BTreeMap<LogId, u64>,
}

/// A group of the intact directory, and what the damage left of it.
#[derive(Clone, Debug)]
struct Group {
    path: String,
    end: usize,
    frame: Frame,
    is_header_left: bool,
    is_left: bool,
    appends: Vec<(LogId, u64)>,
    witnesses: Vec<SegDurableEntry>,
    records: Vec<Record>,
}

impl Evidence {
    /// Compares a directory with what was done to it.
    pub(crate) fn new(intact: &MemoryDisk, damaged: &MemoryDisk) -> Self {
        let mut evidence = Self::default();
        let manifest = manifest_groups(intact, damaged);
        let journals = journal_groups(intact, damaged, &named_journals(&manifest));
        evidence.look_at_manifest(&manifest, &journals);
        // What a manifest says that lost its end is what it said then.
        let read: Vec<&Group> = manifest.iter().take_while(|group| group.is_left).collect();
        let claim = read.last().map(|group| group.frame.beside);
        for groups in by_lineage(&journals) {
            evidence.look_at_journal(damaged, &groups, claim.unwrap_or_default());
        }
        let witnesses = journals.iter().filter(|group| group.is_left);
        let witnesses: Vec<_> = witnesses.flat_map(|group| &group.witnesses).collect();
        for (path, _) in intact.files() {
            evidence.look_at_segment((intact, damaged), &path, (&read, &witnesses));
        }
        evidence
    }

    /// Whether nothing tells that this offset was given out durably.
    pub(crate) fn is_untold(&self, log: LogId, offset: u64) -> bool {
        let from = self.untold.get(&log);
        self.is_manifest_untold || from.is_some_and(|from| *from <= offset)
    }

    fn untell(&mut self, log: LogId, offset: u64) {
        let from = self.untold.entry(log).or_insert(offset);
        *from = offset.min(*from);
    }

    fn look_at_manifest(&mut self, manifest: &[Group], journals: &[Group]) {
        let headers = manifest.iter().filter(|group| group.is_header_left);
        let own = headers.map(|group| group.frame.durable_through).max();
        let journals = journals.iter().filter(|group| group.is_header_left);
        let theirs = journals.map(|group| group.frame.beside).max();
        let generation = manifest.first().and_then(|group| generation(&group.path));
        let theirs = theirs.filter(|beside| Some(beside.of) == generation);
        let told = own.max(theirs.map(|beside| beside.through)).unwrap_or(0);
        let mut lost = manifest.iter().filter(|group| !group.is_left);
        self.is_manifest_untold |= lost.any(|group| group.frame.seq > told);
    }

    fn look_at_journal(&mut self, damaged: &MemoryDisk, groups: &[&Group], claim: Beside) {
        let headers = groups.iter().filter(|group| group.is_header_left);
        let durable = headers.map(|group| group.frame.durable_through).max();
        let left = groups.iter().filter(|group| group.is_left);
        let newest = left.map(|group| group.frame.seq).max().unwrap_or(0);
        let is_claimed = groups
            .first()
            .is_some_and(|group| lineage_tag(&group.frame.lineage) == claim.of);
        let claimed = if is_claimed { claim.through } else { 0 };
        let told = durable
            .max(Some(newest.saturating_sub(INFLIGHT)))
            .max(Some(claimed));
        let mut lost = groups.iter().filter(|group| !group.is_left);
        let first =
            lost.find(|group| Some(group.frame.seq) > told && !is_cut(damaged, group, groups));
        let Some(first) = first else { return };
        let behind = groups
            .iter()
            .filter(|group| group.frame.seq >= first.frame.seq);
        for (log, offset) in behind.flat_map(|group| &group.appends) {
            self.untell(*log, *offset);
        }
    }

    fn look_at_segment(
        &mut self,
        (intact, damaged): (&MemoryDisk, &MemoryDisk),
        path: &str,
        (manifest, witnesses): (&[&Group], &[&SegDurableEntry]),
    ) {
        let name = path.rsplit('/').next().unwrap_or(path);
        let bytes = intact.contents(path).unwrap_or_default();
        let Some((_, uid)) = parse_segment(name, "seg") else {
            return;
        };
        let Ok(header) = SegmentHeader::decode_either(bytes) else {
            return;
        };
        let Some(len) = damaged.contents(path).map(<[u8]>::len) else {
            return;
        };
        let groups = segment_groups(bytes, &uid);
        let is_left = |(position, header, len): &(usize, GroupHeader, usize)| {
            is_left((intact, damaged), path, (*position, *len)).then_some(header.number + 1)
        };
        let ends = groups.iter().filter(|group| is_left(group).is_some());
        let end = ends.map(|(position, _, len)| position + len).max();
        if end.unwrap_or(2 * BLOCK) + BLOCK > len {
            return;
        }
        let newest = groups.iter().filter_map(is_left).max().unwrap_or(0);
        let witnessed = witnesses.iter().filter(|witness| witness.segment == uid);
        let witnessed = witnessed.map(|witness| witness.group_seq + 1).max();
        let records = manifest.iter().flat_map(|group| &group.records);
        let sealed = records.filter_map(|record| match record {
            Record::SegmentSeal {
                uid: of, groups, ..
            } if *of == uid => Some(*groups),
            _ => None,
        });
        let told = witnessed.max(sealed.max()).unwrap_or(0);
        let told = told.max(newest.saturating_sub(INFLIGHT));
        let mut lost = groups.iter().filter(|group| is_left(group).is_none());
        if let Some((_, first, _)) = lost.find(|(_, header, _)| header.number >= told) {
            self.untell(header.log, first.first.get());
        }
    }
}

fn is_left(
    (intact, damaged): (&MemoryDisk, &MemoryDisk),
    path: &str,
    (position, len): (usize, usize),
) -> bool {
    let bytes = intact.contents(path).unwrap_or_default();
    let left = damaged.read(path, position as u64, len);
    left.is_ok_and(|left| Some(left.as_slice()) == bytes.get(position..position + len))
}

/// Whether a group lies in a file without zeros behind its last group.
fn is_cut(damaged: &MemoryDisk, group: &Group, groups: &[&Group]) -> bool {
    let Some(bytes) = damaged.contents(&group.path) else {
        return true;
    };
    let left = groups
        .iter()
        .filter(|left| left.is_left && left.path == group.path);
    let end = left.map(|left| left.end).max().unwrap_or(BLOCK);
    end + BLOCK > bytes.len()
}

fn generation(path: &str) -> Option<u64> {
    parse_manifest(path.strip_prefix(&format!("core-{SHARD}/"))?)
}

/// Groups of a file at their places.
fn groups_of(
    kind: FrameKind,
    (intact, damaged): (&MemoryDisk, &MemoryDisk),
    path: &str,
) -> Vec<Group> {
    let bytes = intact.contents(path).unwrap_or_default();
    let (mut found, mut at) = (Vec::new(), BLOCK);
    while at < bytes.len() {
        let decoded = Frame::decode(kind, &bytes[at..]).ok();
        let here = decoded.filter(|group| group.frame.block == (at / BLOCK) as u64);
        let Some(group) = here else {
            at += BLOCK;
            continue;
        };
        let mut out = Group {
            path: path.to_owned(),
            end: at + group.len,
            frame: group.frame,
            is_header_left: is_left((intact, damaged), path, (at, FRAME_BYTES)),
            is_left: is_left((intact, damaged), path, (at, group.len)),
            appends: Vec::new(),
            witnesses: Vec::new(),
            records: Vec::new(),
        };
        match kind {
            FrameKind::Manifest => out.records = records(&group).unwrap(),
            FrameKind::Journal => {
                for entry in entries(&group).unwrap() {
                    match entry {
                        Entry::Append(append, _) => {
                            out.appends.push((append.log, append.first.get()));
                        }
                        Entry::SegDurable(witness) => out.witnesses.push(witness),
                    }
                }
            }
        }
        at = out.end;
        found.push(out);
    }
    found
}

/// Groups of the generation that counts.
fn manifest_groups(intact: &MemoryDisk, damaged: &MemoryDisk) -> Vec<Group> {
    let paths = intact.files().into_iter().map(|(path, _)| path);
    let mut generations: Vec<(u64, String)> = paths
        .filter_map(|path| Some((generation(&path)?, path)))
        .collect();
    generations.sort();
    let mut chosen = Vec::new();
    for (_, path) in generations {
        let groups = groups_of(FrameKind::Manifest, (intact, damaged), &path);
        let is_whole = groups
            .iter()
            .any(|group| group.frame.flags & FLAG_CHECKPOINT_END != 0);
        let records = chosen.iter().flat_map(|group: &Group| &group.records);
        let is_switched = records
            .clone()
            .any(|record| matches!(record, Record::Switched { .. }));
        if chosen.is_empty() || (is_whole && is_switched) {
            chosen = groups;
        }
    }
    chosen
}

/// Journal files that the intact manifest names.
fn named_journals(manifest: &[Group]) -> Vec<Uid> {
    let mut named = Vec::new();
    for record in manifest.iter().flat_map(|group| &group.records) {
        match record {
            Record::JournalAdd { file, .. } => named.push(*file),
            Record::JournalRetire { file } => named.retain(|other| other != file),
            _ => {}
        }
    }
    named
}

fn journal_groups(intact: &MemoryDisk, damaged: &MemoryDisk, named: &[Uid]) -> Vec<Group> {
    let mut found = Vec::new();
    for (path, _) in intact.files() {
        let name = path.rsplit('/').next().unwrap_or(&path);
        if !parse_journal(name).is_some_and(|uid| named.contains(&uid)) {
            continue;
        }
        let header = JournalHeader::decode(intact.contents(&path).unwrap()).unwrap();
        let groups = groups_of(FrameKind::Journal, (intact, damaged), &path);
        // A recycled file has groups of its past behind.
        let is_present = |group: &Group| {
            group.frame.lineage == header.lineage && group.frame.seq >= header.first_seq
        };
        found.extend(groups.into_iter().filter(is_present));
    }
    found
}

/// Groups of each lineage in their order.
fn by_lineage(groups: &[Group]) -> Vec<Vec<&Group>> {
    let mut lineages: BTreeMap<Uid, Vec<&Group>> = BTreeMap::new();
    for group in groups {
        lineages.entry(group.frame.lineage).or_default().push(group);
    }
    let sorted = lineages.into_values().map(|mut groups| {
        groups.sort_by_key(|group| group.frame.seq);
        groups
    });
    sorted.collect()
}

/// Position, header and length of every group.
fn segment_groups(bytes: &[u8], uid: &Uid) -> Vec<(usize, GroupHeader, usize)> {
    let mut found = Vec::new();
    let mut at = usize::try_from(FIRST_GROUP_POSITION).unwrap();
    while at < bytes.len() {
        match GroupHeader::decode(&bytes[at..], uid, at as u64) {
            Ok(group) => {
                let (_, len) = GroupHeader::peek(&bytes[at..]).unwrap();
                found.push((at, group.header, len));
                at += len;
            }
            Err(_) => at += BLOCK,
        }
    }
    found
}
