//! Reading one segment group by group.
//!
//! Owns: the verdict on where a segment ends and what inside it is lost.
//! Never: looks beyond the end that the manifest gives a sealed segment (I12); changes a file.
//! Invariants: a group counts only with the right segment uid, block, number and checksums, and with batches
//! that give its offsets and chain; nothing at or below the witness is cut.
//! Source: reliability.md 2.4, 2.5 step 5.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use model::ids::TopicPartition;
use model::limits::{BLOCK_BYTES, GROUPS_INFLIGHT_MAX};
use model::offset::{LeaderEpoch, Offset};

use super::Disk;
use super::finding::{Finding, Findings, Severity};
use super::manifest_state::Seal;
use super::manifest_walk::BLOCK;
use super::segment_batches::{BatchDepth, ReadBatch, read_batches};
use super::stream::{FileStream, is_zero};
use crate::format::journal::GroupPlace;
use crate::format::segment::{
    FIRST_GROUP_POSITION, GROUP_HEADER_BYTES, GroupHeader, SegmentHeader, reach,
};
use crate::format::{FLAG_END_KEPT, FormatError, Uid};
use crate::io::IoError;
use crate::log::index::{IndexedGroup, SparseIndex};

/// How far to look for groups behind one that is damaged, unless a witness tells of more.
const LOOK_AHEAD_BYTES: u64 = 2 << 20;

/// Groups of one log written at once.
const INFLIGHT: u64 = GROUPS_INFLIGHT_MAX as u64;

/// What is known of a segment before it is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'e> {
    pub(crate) path: &'e str,
    pub(crate) uid: Uid,
    pub(crate) tp: TopicPartition,
    pub(crate) base: Offset,
    /// Chain hash before its first batch, if it is known.
    pub(crate) chain: Option<u64>,
    /// Number of the newest group that certainly was durable, and the offset after it.
    pub(crate) witness: Option<(u64, Offset)>,
    /// Whether its writer kept the reach of groups ([`reach`]).
    pub(crate) keeps_reach: bool,
    /// A durable group from which on it is read, if that is enough.
    pub(crate) resume: Option<Resume>,
    /// Where the manifest says it ends.
    pub(crate) seal: Option<Seal>,
    /// Offsets whose chain hash is wanted.
    pub(crate) points: Option<&'e BTreeSet<Offset>>,
    pub(crate) depth: BatchDepth,
}

/// A group that certainly was durable and need not be preceded by what it follows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resume {
    pub(crate) place: GroupPlace,
    pub(crate) number: u64,
    /// Its last offset.
    pub(crate) last: Offset,
    /// The newest leader epoch whose start is known without the segment.
    pub(crate) epoch: LeaderEpoch,
}

/// A segment that was read.
#[derive(Clone, Debug)]
pub(crate) struct WalkedSegment {
    /// Where it ends.
    pub(crate) seal: Seal,
    /// Of all its groups; `None` if it was not read from the start.
    pub(crate) index: Option<SparseIndex>,
    /// Offsets that were durable and cannot be read.
    pub(crate) lost: Vec<Range<Offset>>,
    /// Whether something behind its end was never witnessed and does not count.
    pub(crate) is_cut: bool,
    /// Whether the file was cut short, so that nobody knows how far it went.
    pub(crate) is_cut_short: bool,
    /// End of the prepared zeros that follow its end.
    pub(crate) zeroed_upto: u64,
    pub(crate) first_epoch: Option<LeaderEpoch>,
    /// Chain hash before each wanted offset that is a batch boundary in it.
    pub(crate) chains: BTreeMap<Offset, u64>,
    pub(crate) batches: u64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// Reads a segment; `visit` sees every batch that counts, in order.
pub(crate) fn walk_segment<D: Disk>(
    disk: &D,
    expected: &Expected<'_>,
    findings: &mut Findings,
    visit: &mut dyn FnMut(&ReadBatch),
) -> Result<WalkedSegment, IoError> {
    let stream = FileStream::open(disk, expected.path)?;
    let mut walker = Walker {
        upto_position: expected
            .seal
            .map_or(stream.len(), |seal| seal.valid_end.min(stream.len())),
        stream,
        expected,
        findings,
        position: FIRST_GROUP_POSITION,
        number: 0,
        chain: expected.chain,
        batches: Vec::new(),
        is_end_kept: true,
        longest: 0,
        out: WalkedSegment {
            seal: Seal {
                valid_end: FIRST_GROUP_POSITION,
                upto: expected.base,
                chain_after: expected.chain.unwrap_or(0),
                max_timestamp: -1,
                groups: 0,
            },
            index: Some(SparseIndex::new(expected.base, FIRST_GROUP_POSITION)),
            lost: Vec::new(),
            is_cut: false,
            is_cut_short: false,
            zeroed_upto: FIRST_GROUP_POSITION,
            first_epoch: None,
            chains: BTreeMap::new(),
            batches: 0,
            records: 0,
            bytes: 0,
        },
    };
    walker.header()?;
    walker.note_chain(expected.base, expected.chain);
    if let Some(resume) = &expected.resume {
        walker.resume(resume)?;
    }
    while walker.step(visit)? {}
    walker.note_cut_short()?;
    walker.note_zeros()?;
    walker.finish();
    Ok(walker.out)
}

struct Walker<'w, 'e, D> {
    stream: FileStream<'w, D>,
    expected: &'e Expected<'e>,
    findings: &'w mut Findings,
    /// End of what may hold groups.
    upto_position: u64,
    position: u64,
    /// Number of the next group.
    number: u64,
    chain: Option<u64>,
    /// Batches of the group that was read last.
    batches: Vec<ReadBatch>,
    /// Whether zeros follow its last group.
    is_end_kept: bool,
    /// Bytes of the longest group before the next.
    longest: u64,
    out: WalkedSegment,
}

impl<D: Disk> Walker<'_, '_, D> {
    fn header(&mut self) -> Result<(), IoError> {
        let blocks = self.stream.bytes(0, 2 * BLOCK_BYTES)?;
        let wanted = (self.expected.uid, self.expected.tp, self.expected.base);
        let problem = match SegmentHeader::decode_either(blocks) {
            Ok(header) if (header.uid, header.tp, header.base) == wanted => {
                self.is_end_kept = header.flags & FLAG_END_KEPT != 0;
                None
            }
            Ok(_) => Some("the header is of another segment".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(what) = problem {
            self.find(Severity::Damage, 0, what);
        }
        Ok(())
    }

    /// Goes on with a durable group instead of the first, if it is in its place and whole, and all epochs before it are
    /// known.
    fn resume(&mut self, resume: &Resume) -> Result<(), IoError> {
        let Resume {
            place,
            number,
            last,
            epoch,
        } = *resume;
        let Ok((header, _)) = self.group_at(place.position)? else {
            return Ok(());
        };
        if (header.number, header.last) != (number, last) || header.first_epoch > epoch {
            return Ok(());
        }
        (self.position, self.number) = (place.position, number);
        self.chain = None;
        self.longest = u64::from(place.longest);
        self.out.index = None;
        self.out.seal.max_timestamp = place.max_timestamp;
        Ok(())
    }

    /// Takes the next group; false at the end.
    fn step(&mut self, visit: &mut dyn FnMut(&ReadBatch)) -> Result<bool, IoError> {
        match self.group_at(self.position)? {
            Ok((header, len)) if header.number == self.number => {
                self.take(&header, len, visit);
                Ok(true)
            }
            _ => self.pass_damage(visit),
        }
    }

    /// The group at a position, with its batches in `self.batches`.
    fn group_at(
        &mut self,
        position: u64,
    ) -> Result<Result<(GroupHeader, u64), FormatError>, IoError> {
        let (what, why) = ("segment group", "it ends beyond the segment");
        let head = self.stream.bytes(position, GROUP_HEADER_BYTES)?;
        let len = match GroupHeader::peek(head) {
            Ok((_, len)) => len,
            Err(error) => return Ok(Err(error)),
        };
        if position.saturating_add(len as u64) > self.upto_position {
            return Ok(Err(FormatError::Inconsistent { what, why }));
        }
        let bytes = self.stream.bytes(position, len)?;
        let decoded = GroupHeader::decode(bytes, &self.expected.uid, position);
        Ok(decoded.and_then(|group| {
            read_batches(&group, self.expected.depth, &mut self.batches)?;
            Ok((group.header, len as u64))
        }))
    }

    fn take(&mut self, header: &GroupHeader, len: u64, visit: &mut dyn FnMut(&ReadBatch)) {
        if self.chain.is_some_and(|chain| chain != header.chain_before) {
            let what = "the chain hash does not continue the history before it";
            self.find(Severity::Damage, self.position, what.to_owned());
        }
        self.note_chain(header.first, Some(header.chain_before));
        let batches = std::mem::take(&mut self.batches);
        for batch in &batches {
            self.out.batches += 1;
            self.out.records += u64::from(batch.info.records);
            self.out.first_epoch = self.out.first_epoch.or(batch.info.leader_epoch);
            self.note_chain(batch.info.end_offset(), Some(batch.chain_after));
            visit(batch);
        }
        self.batches = batches;
        self.out.bytes += u64::from(header.payload_len);
        let group = IndexedGroup {
            base: header.first,
            upto: header.last.next(),
            position: self.position,
            end: self.position + len,
            max_timestamp: header.max_timestamp,
        };
        if let Some(index) = &mut self.out.index {
            index.push(group);
        }
        self.longest = self.longest.max(len);
        self.position = group.end;
        self.number = header.number + 1;
        self.chain = Some(header.chain_after);
        self.out.seal = Seal {
            valid_end: group.end,
            upto: group.upto,
            chain_after: header.chain_after,
            max_timestamp: self.out.seal.max_timestamp.max(header.max_timestamp),
            groups: self.number,
        };
    }

    /// The next group is not there: goes on behind what is lost, or ends (then false).
    fn pass_damage(&mut self, visit: &mut dyn FnMut(&ReadBatch)) -> Result<bool, IoError> {
        let witnessed = self.witnessed_numbers();
        let limit = match witnessed > self.number {
            true => self.upto_position,
            false => {
                let ahead = self.position.saturating_add(self.look_ahead()?);
                self.upto_position.min(ahead)
            }
        };
        let Some(next) = self.find_group(self.position, limit)? else {
            self.note_torn(witnessed)?;
            return Ok(false);
        };
        let limit = limit.max(self.position.saturating_add(LOOK_AHEAD_BYTES));
        let newest = self.newest_number(next, limit.min(self.upto_position))?;
        // A group was written only when all but the last few before it were known durable.
        let durable = witnessed.max((newest + 1).saturating_sub(INFLIGHT));
        let Ok((header, len)) = self.group_at(next)? else {
            return Ok(false);
        };
        // Only a witness tells where lost offsets end; without one nothing behind them is given up.
        let is_lost_end_known = self.number >= durable || witnessed >= durable;
        if header.number > durable && is_lost_end_known {
            self.out.is_cut = true;
            let what = "groups follow a write that was cut off; they were never acknowledged";
            self.find(Severity::Repairable, self.position, what.to_owned());
            return Ok(false);
        }
        self.lose(header.first, header.number);
        self.position = next;
        self.chain = None;
        self.take(&header, len, visit);
        Ok(true)
    }

    /// How far from here to look for a group if the one here is missing. Zeros directly behind the newest witnessed group
    /// are a write that never came: the writer keeps the reach, so a group beyond it would mean that two were durable after
    /// the last witness. Anything else may be more than one.
    fn look_ahead(&mut self) -> Result<u64, IoError> {
        let reach = reach(self.longest).saturating_add(BLOCK);
        let block = self.stream.bytes(self.position, BLOCK_BYTES)?;
        let is_unwritten = is_zero(block) && self.stream.unreadable.count == 0;
        let is_behind_witness =
            self.expected.keeps_reach && self.witnessed_numbers() == self.number;
        Ok(match is_unwritten && is_behind_witness {
            true => reach,
            false => reach.max(LOOK_AHEAD_BYTES),
        })
    }

    /// Bytes behind the last group that no witness names are a write that the stop cut off.
    fn note_torn(&mut self, witnessed: u64) -> Result<(), IoError> {
        let is_open = self.expected.seal.is_none() && self.number >= witnessed;
        let block = self.stream.bytes(self.position, BLOCK_BYTES)?;
        if is_open && !is_zero(block) {
            self.out.is_cut = true;
            let what = "the last write was cut off by the stop; it was never acknowledged";
            self.find(Severity::Repairable, self.position, what.to_owned());
        }
        Ok(())
    }

    /// Zeros follow the last group of an open segment that is whole.
    fn note_cut_short(&mut self) -> Result<(), IoError> {
        let len = self.stream.len();
        let head = self.stream.bytes(self.position, GROUP_HEADER_BYTES)?;
        let is_inside = GroupHeader::peek(head).is_ok_and(|(header, group)| {
            header.segment == self.expected.uid && self.position + group as u64 > len
        });
        let is_short = self.position + BLOCK > len || is_inside;
        if is_short && self.is_end_kept && self.expected.seal.is_none() {
            self.out.is_cut_short = true;
            let number = self.number;
            let what = format!("the file is cut short: groups from {number} on may be missing");
            self.find(Severity::Damage, len, what);
        }
        Ok(())
    }

    /// Prepared zeros behind the last group. What follows a torn write is left for whoever wants to look at it, and what
    /// lies in front of a known end is no surplus.
    fn note_zeros(&mut self) -> Result<(), IoError> {
        let sealed_end = self.expected.seal.map_or(0, |seal| seal.valid_end);
        let is_end = self.number >= self.witnessed_numbers() && self.position >= sealed_end;
        let block = self.stream.bytes(self.position, BLOCK_BYTES)?;
        let is_prepared = !block.is_empty() && is_zero(block) && !self.out.is_cut;
        // A block that the device refuses reads as zeros.
        let is_read = self.stream.unreadable.count == 0;
        self.out.zeroed_upto = match is_end && is_prepared && is_read {
            true => self.stream.len(),
            false => self.position,
        };
        Ok(())
    }

    /// Groups with numbers below this certainly were durable.
    fn witnessed_numbers(&self) -> u64 {
        let sealed = self.expected.seal.map_or(0, |seal| seal.groups);
        let witnessed = self
            .expected
            .witness
            .map_or(0, |(number, _)| number.saturating_add(1));
        sealed.max(witnessed)
    }

    /// Position of the first valid group from `position` on that can follow.
    fn find_group(&mut self, position: u64, limit: u64) -> Result<Option<u64>, IoError> {
        let mut at = position;
        while at < limit {
            if let Ok((header, _)) = self.group_at(at)?
                && header.number >= self.number
                && header.first >= self.out.seal.upto
            {
                return Ok(Some(at));
            }
            at += BLOCK;
        }
        Ok(None)
    }

    /// Highest number of the valid groups from `position` on.
    fn newest_number(&mut self, position: u64, limit: u64) -> Result<u64, IoError> {
        let (mut at, mut newest) = (position, self.number);
        while at < limit {
            at += match self.group_at(at)? {
                Ok((header, len)) => {
                    newest = newest.max(header.number);
                    len
                }
                Err(_) => BLOCK,
            };
        }
        Ok(newest)
    }

    fn lose(&mut self, upto: Offset, number: u64) {
        let from = self.out.seal.upto;
        let what = format!(
            "groups {} to {} were durable and cannot be read",
            self.number,
            number - 1
        );
        let finding = Finding::new(Severity::Damage, self.expected.path, what);
        let finding = finding
            .at(self.position)
            .of(self.expected.tp)
            .offsets(from, upto);
        self.findings.push(finding);
        if from < upto {
            self.out.lost.push(from..upto);
        }
    }

    /// Compares the end with what the seal or the witness promise.
    fn finish(&mut self) {
        let promised = match (self.expected.seal, self.expected.witness) {
            (Some(seal), _) => Some((seal.groups, seal.upto)),
            (None, Some((number, upto))) => Some((number.saturating_add(1), upto)),
            (None, None) => None,
        };
        if let Some((groups, upto)) = promised
            && (self.number < groups || self.out.seal.upto < upto)
        {
            self.lose(upto, groups.max(self.number + 1));
        }
        if let Some(first) = self.stream.unreadable.first {
            let count = self.stream.unreadable.count;
            let what = format!("{count} blocks cannot be read from the device");
            self.find(Severity::Damage, first, what);
        }
        let is_other = self.expected.seal.is_some_and(|seal| {
            seal.upto == self.out.seal.upto && seal.chain_after != self.out.seal.chain_after
        });
        if is_other && self.out.seal.groups > 0 {
            let what = "the chain hash at its end is not the sealed one";
            self.find(Severity::Damage, self.position, what.to_owned());
        }
    }

    fn note_chain(&mut self, offset: Offset, chain: Option<u64>) {
        let is_wanted = self
            .expected
            .points
            .is_some_and(|points| points.contains(&offset));
        if let Some(chain) = chain.filter(|_| is_wanted) {
            self.out.chains.insert(offset, chain);
        }
    }

    fn find(&mut self, severity: Severity, position: u64, what: String) {
        let finding = Finding::new(severity, self.expected.path, what);
        self.findings
            .push(finding.at(position).of(self.expected.tp));
    }
}
