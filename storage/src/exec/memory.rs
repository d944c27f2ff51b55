//! A data directory in memory, for tests, simulation and tools that look at copies.
//!
//! Owns: [`MemoryDisk`], files as byte vectors, and ways to damage them.
//! Never: touches a real device.
//! Invariants: behaves as a device that loses nothing: every change is durable at once; a path names
//! either a file or a directory, never both.
//! Source: architecture.md A3, reliability.md 3.2.

use std::collections::{BTreeMap, BTreeSet};

use model::limits::BLOCK_BYTES;
use model::prng::Prng;

use super::{DirEntry, Disk};
use crate::io::IoError;

/// The unit that a device writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// errno of a call that makes no sense for the present files (`EINVAL`).
const EINVAL: i32 = 22;
/// errno of a sector that cannot be read (`EIO`).
const EIO: i32 = 5;
/// errno of creating what exists (`EEXIST`).
const EEXIST: i32 = 17;

/// A data directory as a map from path to contents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryDisk {
    files: BTreeMap<String, Vec<u8>>,
    /// Path and number of blocks whose reading fails.
    unreadable: BTreeSet<(String, u64)>,
    /// Times of the last change, where a test set one.
    changed_ms: BTreeMap<String, i64>,
}

impl MemoryDisk {
    /// An empty directory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every file with its length, sorted by path.
    #[must_use]
    pub fn files(&self) -> Vec<(String, u64)> {
        self.files
            .iter()
            .map(|(path, bytes)| (path.clone(), bytes.len() as u64))
            .collect()
    }

    /// Contents of a file, if it exists.
    #[must_use]
    pub fn contents(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// Creates or replaces a file whole.
    pub fn put(&mut self, path: &str, contents: Vec<u8>) {
        self.forget_unreadable(path);
        self.files.insert(path.to_owned(), contents);
    }

    /// Creates a file of `len` bytes that begins with `head`; the rest is zero.
    ///
    /// # Errors
    /// It exists, or `head` is longer than the file.
    pub fn lay_out(&mut self, path: &str, len: u64, head: &[u8]) -> Result<(), IoError> {
        self.create(path, len)?;
        self.write(path, 0, head)
    }

    /// Leaves what a loss of power may leave of [`Self::lay_out`]: a file of any length up to `len`, often none or all of
    /// it, with any sectors of `head`.
    ///
    /// # Errors
    /// As [`Self::lay_out`].
    pub fn lay_out_in_part(
        &mut self,
        path: &str,
        (len, head): (u64, &[u8]),
        prng: &mut Prng,
    ) -> Result<(), IoError> {
        let block = BLOCK_BYTES as u64;
        let len = match prng.below(4) {
            0 => 0,
            1 => prng.below(len / block + 1) * block,
            _ => len,
        };
        self.create(path, len)?;
        let fate = prng.below(3);
        for (index, sector) in head.chunks(SECTOR_BYTES).enumerate() {
            let at = (index * SECTOR_BYTES) as u64;
            let survives = fate == 0 || (fate == 1 && prng.chance(1, 2));
            if survives && at + sector.len() as u64 <= len {
                self.write(path, at, sector)?;
            }
        }
        Ok(())
    }

    /// Flips one bit of the byte at `position`; true if there is such a byte.
    pub fn flip(&mut self, path: &str, position: u64) -> bool {
        let at = usize::try_from(position).ok();
        let byte = at.and_then(|at| self.files.get_mut(path)?.get_mut(at));
        let Some(byte) = byte else { return false };
        *byte ^= 0x10;
        true
    }

    /// Zeroes `len` bytes at `position`; true if the file has them all.
    pub fn zero(&mut self, path: &str, position: u64, len: u64) -> bool {
        let Some(part) = self.part_mut(path, position, len) else {
            return false;
        };
        part.fill(0);
        true
    }

    /// Cuts the file to `len` bytes; true if it was longer.
    pub fn truncate(&mut self, path: &str, len: u64) -> bool {
        let Some(bytes) = self.files.get_mut(path) else {
            return false;
        };
        let is_longer = bytes.len() as u64 > len;
        if is_longer {
            bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        }
        is_longer
    }

    /// Makes the block at `position` fail to be read until it is written again.
    pub fn make_unreadable(&mut self, path: &str, position: u64) {
        self.unreadable
            .insert((path.to_owned(), position / BLOCK_BYTES as u64));
    }

    /// Sets the time of the last change of a file.
    pub fn set_changed(&mut self, path: &str, ms: i64) {
        self.changed_ms.insert(path.to_owned(), ms);
    }

    fn unreadable_of<'s>(&'s self, path: &'s str) -> impl Iterator<Item = u64> + 's {
        let blocks = self.unreadable.range((path.to_owned(), 0)..);
        blocks
            .take_while(move |(bad, _)| bad == path)
            .map(|(_, block)| *block)
    }

    /// Bad sectors belong to the file that had them.
    fn forget_unreadable(&mut self, path: &str) {
        self.unreadable.retain(|(bad, _)| bad != path);
    }

    fn is_readable(&self, path: &str, from: u64, upto: u64) -> bool {
        let block = BLOCK_BYTES as u64;
        let blocks = (path.to_owned(), from / block)..(path.to_owned(), upto.div_ceil(block));
        from >= upto || self.unreadable.range(blocks).next().is_none()
    }

    fn part_mut(&mut self, path: &str, position: u64, len: u64) -> Option<&mut [u8]> {
        let from = usize::try_from(position).ok()?;
        let upto = usize::try_from(position.checked_add(len)?).ok()?;
        self.files.get_mut(path)?.get_mut(from..upto)
    }
}

impl Disk for MemoryDisk {
    fn flush(&mut self) -> Result<(), IoError> {
        Ok(())
    }

    fn list(&self, dir: &str) -> Result<Vec<DirEntry>, IoError> {
        let prefix = match dir {
            "" | "." => String::new(),
            dir => format!("{}/", dir.trim_end_matches('/')),
        };
        let mut entries: BTreeMap<&str, DirEntry> = BTreeMap::new();
        for (path, bytes) in self.files.range(prefix.clone()..) {
            let Some(rest) = path.strip_prefix(prefix.as_str()) else {
                break;
            };
            let (name, is_dir) = match rest.split_once('/') {
                Some((name, _)) => (name, true),
                None => (rest, false),
            };
            let len = if is_dir { 0 } else { bytes.len() as u64 };
            entries.insert(
                name,
                DirEntry {
                    name: name.to_owned(),
                    len,
                    is_dir,
                    changed_ms: self.changed_ms.get(path).copied().filter(|_| !is_dir),
                },
            );
        }
        Ok(entries.into_values().collect())
    }

    fn read(&self, path: &str, position: u64, len: usize) -> Result<Vec<u8>, IoError> {
        let bytes = self.files.get(path).ok_or(IoError::NotFound)?;
        let from = usize::try_from(position)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let upto = from.saturating_add(len).min(bytes.len());
        if !self.is_readable(path, from as u64, upto as u64) {
            return Err(IoError::Device(EIO));
        }
        Ok(bytes.get(from..upto).unwrap_or_default().to_vec())
    }

    fn len(&self, path: &str) -> Result<u64, IoError> {
        self.files
            .get(path)
            .map(|bytes| bytes.len() as u64)
            .ok_or(IoError::NotFound)
    }

    fn create(&mut self, path: &str, len: u64) -> Result<(), IoError> {
        if self.files.contains_key(path) {
            return Err(IoError::Device(EEXIST));
        }
        let len = usize::try_from(len).map_err(|_| IoError::NoSpace)?;
        self.files.insert(path.to_owned(), vec![0; len]);
        Ok(())
    }

    fn write(&mut self, path: &str, position: u64, bytes: &[u8]) -> Result<(), IoError> {
        if !self.files.contains_key(path) {
            return Err(IoError::NotFound);
        }
        let len = bytes.len() as u64;
        let part = self.part_mut(path, position, len);
        part.ok_or(IoError::Device(EINVAL))?.copy_from_slice(bytes);
        let block = BLOCK_BYTES as u64;
        // Only a block that is written whole gets a new sector.
        let whole = position.div_ceil(block)..(position + len) / block;
        self.unreadable
            .retain(|(bad, number)| bad != path || !whole.contains(number));
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), IoError> {
        let bytes = self.files.remove(from).ok_or(IoError::NotFound)?;
        self.files.insert(to.to_owned(), bytes);
        self.forget_unreadable(to);
        let moved: Vec<u64> = self.unreadable_of(from).collect();
        self.forget_unreadable(from);
        let moved = moved.into_iter().map(|block| (to.to_owned(), block));
        self.unreadable.extend(moved);
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<(), IoError> {
        self.forget_unreadable(path);
        self.files.remove(path);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
