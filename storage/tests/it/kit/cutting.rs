//! A disk that loses power at a chosen change.
//!
//! Owns: [`CuttingDisk`], what is seen and what survives.
//! Never: loses what it reported as durable.
//! Invariants: the change at which power is lost is lost, done, or torn at 512 bytes; nothing works after it.
//! Source: reliability.md 2.1.

use model::prng::Prng;
use storage::IoError;
use storage::exec::{DirEntry, Disk, MemoryDisk};

use super::world::SECTOR;

/// What becomes of the change that is under way when power is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Lost,
    Done,
    /// Each sector of a write by itself.
    Torn(u64),
}

const NO_POWER: IoError = IoError::Device(5);

/// A disk with a cache that a predecessor may have left full.
#[derive(Clone, Debug)]
pub(crate) struct CuttingDisk {
    /// What reading gives.
    pub(crate) seen: MemoryDisk,
    /// What is there after a loss of power.
    pub(crate) durable: MemoryDisk,
    /// Changes so far.
    pub(crate) changes: u64,
    /// The change that is not survived.
    at: Option<(u64, Cut)>,
    is_off: bool,
}

impl CuttingDisk {
    /// A disk whose cache is empty.
    pub(crate) fn new(disk: &MemoryDisk, at: Option<(u64, Cut)>) -> Self {
        Self::unflushed(disk, disk, at)
    }

    /// A disk with a cache.
    pub(crate) fn unflushed(
        seen: &MemoryDisk,
        durable: &MemoryDisk,
        at: Option<(u64, Cut)>,
    ) -> Self {
        Self {
            seen: seen.clone(),
            durable: durable.clone(),
            changes: 0,
            at,
            is_off: false,
        }
    }

    fn power(&self) -> Result<(), IoError> {
        if self.is_off { Err(NO_POWER) } else { Ok(()) }
    }

    fn change(
        &mut self,
        whole: impl Fn(&mut MemoryDisk) -> Result<(), IoError>,
        torn: impl Fn(&mut MemoryDisk, &mut Prng) -> Result<(), IoError>,
    ) -> Result<(), IoError> {
        self.power()?;
        self.changes += 1;
        match self.at.filter(|(at, _)| *at == self.changes) {
            None => {
                whole(&mut self.seen)?;
                return whole(&mut self.durable);
            }
            Some((_, Cut::Lost)) => {}
            Some((_, Cut::Done)) => whole(&mut self.durable)?,
            Some((_, Cut::Torn(seed))) => torn(&mut self.durable, &mut Prng::new(seed))?,
        }
        self.is_off = true;
        Err(NO_POWER)
    }

    /// A change of names, which happens or not.
    fn at_once(
        &mut self,
        whole: impl Fn(&mut MemoryDisk) -> Result<(), IoError>,
    ) -> Result<(), IoError> {
        let torn = |disk: &mut MemoryDisk, prng: &mut Prng| match prng.chance(1, 2) {
            true => whole(disk),
            false => Ok(()),
        };
        self.change(&whole, torn)
    }
}

impl Disk for CuttingDisk {
    fn flush(&mut self) -> Result<(), IoError> {
        self.power()?;
        self.durable = self.seen.clone();
        Ok(())
    }

    fn list(&self, dir: &str) -> Result<Vec<DirEntry>, IoError> {
        self.power()?;
        self.seen.list(dir)
    }

    fn read(&self, path: &str, position: u64, len: usize) -> Result<Vec<u8>, IoError> {
        self.power()?;
        self.seen.read(path, position, len)
    }

    fn len(&self, path: &str) -> Result<u64, IoError> {
        self.power()?;
        self.seen.len(path)
    }

    fn create(&mut self, path: &str, len: u64) -> Result<(), IoError> {
        let shorter =
            |disk: &mut MemoryDisk, prng: &mut Prng| disk.create(path, prng.below(len + 1));
        self.change(|disk| disk.create(path, len), shorter)
    }

    fn write(&mut self, path: &str, position: u64, bytes: &[u8]) -> Result<(), IoError> {
        let torn = |disk: &mut MemoryDisk, prng: &mut Prng| {
            for (sector, part) in bytes.chunks(SECTOR).enumerate() {
                if prng.chance(1, 2) {
                    disk.write(path, position + (SECTOR * sector) as u64, part)?;
                }
            }
            Ok(())
        };
        self.change(|disk| disk.write(path, position, bytes), torn)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), IoError> {
        self.at_once(|disk| disk.rename(from, to))
    }

    fn remove(&mut self, path: &str) -> Result<(), IoError> {
        self.at_once(|disk| disk.remove(path))
    }
}
