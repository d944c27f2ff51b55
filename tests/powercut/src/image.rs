//! Crash images: what the medium may hold after the power went at some event.
//!
//! Owns: the ways in which unflushed writes survive.
//! Never: touches what a flush covered.
//! Invariants: the image is a function of recording, number of events and seed.
//! Source: reliability.md 2.1 and 3.7, tool 2.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::random::Random;
use crate::recording::{Event, Recording, What};

/// What a disk writes atomically, bytes.
const SECTOR: usize = 512;

/// The base is copied in pieces of this size, bytes.
const CHUNK: u64 = 1 << 20;

/// What became of the writes that no flush covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// All survived.
    Kept,
    /// None survived.
    Dropped,
    /// Each one whole or not at all.
    Subset,
    /// They reached the medium in another order and the power went in between.
    Reordered,
    /// Each one whole, not at all, or torn.
    Torn,
    /// All but one.
    AllButOne,
    /// Only one.
    OnlyOne,
    /// All, the last one torn.
    LastTorn,
}

impl Fate {
    const ALL: [Self; 8] = [
        Self::Kept,
        Self::Dropped,
        Self::Subset,
        Self::Reordered,
        Self::Torn,
        Self::AllButOne,
        Self::OnlyOne,
        Self::LastTorn,
    ];
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Kept => "kept",
            Self::Dropped => "dropped",
            Self::Subset => "subset",
            Self::Reordered => "reordered",
            Self::Torn => "torn",
            Self::AllButOne => "all-but-one",
            Self::OnlyOne => "only-one",
            Self::LastTorn => "last-torn",
        };
        f.write_str(name)
    }
}

/// A write of which some sectors survive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Survivor {
    /// Number of the event.
    pub(crate) event: usize,
    /// For each sector of the write whether it survives.
    pub(crate) sectors: Vec<bool>,
}

/// Decides by the seed what survives of `pending`, in the order in which it is applied.
pub(crate) fn decide(pending: &[(usize, usize)], seed: u64) -> (Fate, Vec<Survivor>) {
    let mut random = Random::new(seed);
    let fate = Fate::ALL[random.index(Fate::ALL.len())];
    let whole = |(event, sectors): &(usize, usize)| Survivor {
        event: *event,
        sectors: vec![true; *sectors],
    };
    let lone = random.index(pending.len());
    let survivors = match fate {
        Fate::Kept => pending.iter().map(whole).collect(),
        Fate::Dropped => Vec::new(),
        Fate::Subset => {
            let percent = [10, 50, 90][random.index(3)];
            let kept = pending.iter().filter(|_| random.chance(percent));
            kept.map(whole).collect()
        }
        Fate::Reordered => {
            let mut order: Vec<_> = pending.iter().map(whole).collect();
            for place in (1..order.len()).rev() {
                order.swap(place, random.index(place + 1));
            }
            order.truncate(random.index(pending.len() + 1));
            order
        }
        Fate::Torn => pending
            .iter()
            .filter_map(|write| match random.below(3) {
                0 => None,
                1 => Some(whole(write)),
                _ => Some(torn(write, &mut random)),
            })
            .collect(),
        Fate::AllButOne => {
            let others = pending.iter().enumerate().filter(|(n, _)| *n != lone);
            others.map(|(_, write)| whole(write)).collect()
        }
        Fate::OnlyOne => pending.get(lone).map(whole).into_iter().collect(),
        Fate::LastTorn => {
            let mut all: Vec<_> = pending.iter().map(whole).collect();
            if let (Some(last), Some(write)) = (all.last_mut(), pending.last()) {
                *last = torn(write, &mut random);
            }
            all
        }
    };
    (fate, survivors)
}

/// A write of which a front, a back or any sectors survive.
fn torn((event, sectors): &(usize, usize), random: &mut Random) -> Survivor {
    let cut = random.index(sectors + 1);
    let way = random.below(3);
    let percent = 1 + random.below(99);
    let sectors = (0..*sectors)
        .map(|sector| match way {
            0 => sector < cut,
            1 => sector >= cut,
            _ => random.chance(percent),
        })
        .collect();
    Survivor {
        event: *event,
        sectors,
    }
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    /// Events below this one are durable.
    pub(crate) durable: usize,
    /// Writes that no flush covered.
    pub(crate) pending: usize,
    /// How many of them survived, at least in part.
    pub(crate) survivors: usize,
    /// In which way.
    pub(crate) fate: Fate,
}

/// Makes images of one recording, quickest in the order of their cuts.
#[derive(Debug)]
pub(crate) struct Maker {
    recording: Recording,
    base: File,
    size: u64,
    start: Option<File>,
    /// Events the base contains.
    applied: usize,
    /// Chunks of the base that are not all zeros.
    chunks: BTreeSet<u64>,
}

impl Maker {
    /// A maker that keeps the durable state in the file `base`, made anew.
    ///
    /// # Errors
    /// A file cannot be read or made.
    pub(crate) fn new(
        recording: &Path,
        base: &Path,
        size: u64,
        start: Option<&Path>,
    ) -> io::Result<Self> {
        let base = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(base)?;
        let mut maker = Self {
            recording: Recording::open(recording)?,
            base,
            size,
            start: start.map(File::open).transpose()?,
            applied: 0,
            chunks: BTreeSet::new(),
        };
        maker.rewind()?;
        Ok(maker)
    }

    /// Number of events of the recording.
    pub(crate) fn events(&self) -> usize {
        self.recording.events().len()
    }

    /// The notes of the driver, with their event numbers.
    ///
    /// # Errors
    /// The recording cannot be read.
    pub(crate) fn marks(&self) -> io::Result<Vec<(usize, String)>> {
        let events = self.recording.events().iter().enumerate();
        events
            .filter(|(_, event)| event.what == What::Mark)
            .map(|(number, event)| {
                let text = self.recording.payload(event)?;
                Ok((number, String::from_utf8_lossy(&text).into_owned()))
            })
            .collect()
    }

    /// Numbers of the flushes, each with the writes that a cut just before it leaves unflushed.
    pub(crate) fn flushes(&self) -> Vec<(usize, usize)> {
        let mut durable = 0;
        let mut writes = Vec::new();
        let mut flushes = Vec::new();
        for (number, event) in self.recording.events().iter().enumerate() {
            match event.what {
                What::Write { .. } => writes.push(number),
                What::Flush { covered } => {
                    flushes.push((number, writes.len()));
                    durable = durable.max(usize::try_from(covered).unwrap_or(usize::MAX));
                    writes.retain(|write| *write >= durable);
                }
                What::Mark | What::Change => {}
            }
        }
        flushes
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.base.set_len(0)?;
        self.base.set_len(self.size)?;
        self.applied = 0;
        self.chunks.clear();
        let Some(start) = &self.start else {
            return Ok(());
        };
        for chunk in 0..self.size.div_ceil(CHUNK) {
            let bytes = read_chunk(start, chunk, self.size)?;
            if bytes.iter().any(|byte| *byte != 0) {
                self.base.write_all_at(&bytes, chunk * CHUNK)?;
                self.chunks.insert(chunk);
            }
        }
        Ok(())
    }

    fn durable(&self, events: &[Event]) -> usize {
        let covered = events.iter().filter_map(|event| match event.what {
            What::Flush { covered } => usize::try_from(covered).ok(),
            What::Write { .. } | What::Mark | What::Change => None,
        });
        covered.max().unwrap_or(0)
    }

    fn advance(&mut self, durable: usize) -> io::Result<()> {
        if durable < self.applied {
            self.rewind()?;
        }
        for number in self.applied..durable {
            let Some(event) = self.recording.events().get(number) else {
                break;
            };
            if let What::Write { offset } = event.what {
                let bytes = self.recording.payload(event)?;
                self.base.write_all_at(&bytes, offset)?;
                let end = offset + bytes.len() as u64;
                self.chunks.extend(offset / CHUNK..end.div_ceil(CHUNK));
            }
        }
        self.applied = durable;
        Ok(())
    }

    /// Writes the image of a power cut after `count` events to `out`.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub(crate) fn make(&mut self, count: usize, seed: u64, out: &Path) -> io::Result<Made> {
        let count = count.min(self.events());
        let durable = self.durable(self.recording.events().get(..count).unwrap_or_default());
        self.advance(durable)?;
        let image = File::create(out)?;
        image.set_len(self.size)?;
        for chunk in &self.chunks {
            let bytes = read_chunk(&self.base, *chunk, self.size)?;
            image.write_all_at(&bytes, *chunk * CHUNK)?;
        }
        let pending = self.pending(durable, count);
        let (fate, survivors) = decide(&pending, seed);
        for survivor in &survivors {
            self.apply(survivor, &image)?;
        }
        Ok(Made {
            durable,
            pending: pending.len(),
            survivors: survivors.len(),
            fate,
        })
    }

    /// Number and sectors of the writes in `from..upto`.
    fn pending(&self, from: usize, upto: usize) -> Vec<(usize, usize)> {
        let events = self.recording.events().iter().enumerate();
        events
            .take(upto)
            .skip(from)
            .filter(|(_, event)| matches!(event.what, What::Write { .. }))
            .map(|(number, event)| {
                let len = usize::try_from(event.payload_len).unwrap_or(usize::MAX);
                (number, len.div_ceil(SECTOR))
            })
            .collect()
    }

    fn apply(&self, survivor: &Survivor, image: &File) -> io::Result<()> {
        let Some(event) = self.recording.events().get(survivor.event) else {
            return Ok(());
        };
        let What::Write { offset } = event.what else {
            return Ok(());
        };
        let bytes = self.recording.payload(event)?;
        if survivor.sectors.iter().all(|survives| *survives) {
            return image.write_all_at(&bytes, offset);
        }
        for (number, sector) in bytes.chunks(SECTOR).enumerate() {
            if survives(survivor, offset, number) {
                image.write_all_at(sector, offset + (number * SECTOR) as u64)?;
            }
        }
        Ok(())
    }
}

/// Second sector of the superblock of ext4, which has its checksum at the end.
const SUPERBLOCK_END: u64 = 3;

/// Whether one sector of a write at `offset` survives.
///
/// The superblock of ext4 has two sectors, is written in place and does not survive being torn: no file system would be
/// left to look at. Its second sector goes with the first.
fn survives(survivor: &Survivor, offset: u64, number: usize) -> bool {
    let is_end = offset / SECTOR as u64 + number as u64 == SUPERBLOCK_END;
    let decisive = number - usize::from(is_end && number > 0);
    survivor
        .sectors
        .get(decisive)
        .is_some_and(|survives| *survives)
}

fn read_chunk(file: &File, chunk: u64, size: u64) -> io::Result<Vec<u8>> {
    let len = CHUNK.min(size.saturating_sub(chunk * CHUNK));
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, chunk * CHUNK)?;
    Ok(bytes)
}
