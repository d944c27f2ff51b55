//! Files and memory for direct I/O.
//!
//! Owns: [`Aligned`], prewritten files opened with `O_DIRECT`.
//! Never: leaves a file behind: the rulers' files are removed when they are closed.
//! Invariants: every block of a prewritten file was written once before it is measured.
//! Source: performance.md section 2 (prewriting), open(2).

use std::fs::{self, File, OpenOptions};
use std::io::IoSlice;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::ReadWriteFlags;

use crate::error::BenchError;

/// Alignment of memory, positions and lengths.
pub const BLOCK: usize = 4096;
/// Bytes of one write while a file is prewritten.
const STRIDE: usize = 1 << 20;

/// Zeroed memory that begins at a block boundary.
#[derive(Debug)]
pub struct Aligned {
    memory: Vec<u8>,
    skip: usize,
    len: usize,
}

impl Aligned {
    /// Room for `len` bytes, rounded up to whole blocks.
    #[must_use]
    pub fn new(len: usize) -> Self {
        let len = round_up(len);
        let memory = vec![0; len + BLOCK];
        let skip = memory.as_ptr().align_offset(BLOCK);
        Self { memory, skip, len }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.memory
            .get(self.skip..self.skip + self.len)
            .unwrap_or_default()
    }

    /// The bytes.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory
            .get_mut(self.skip..self.skip + self.len)
            .unwrap_or_default()
    }
}

/// `len` rounded up to whole blocks, at least one.
#[must_use]
pub const fn round_up(len: usize) -> usize {
    let blocks = len.div_ceil(BLOCK);
    if blocks == 0 { BLOCK } else { blocks * BLOCK }
}

/// A file whose blocks were all written before.
#[derive(Debug)]
pub struct Prewritten {
    file: File,
    path: PathBuf,
    len: u64,
    next: u64,
}

impl Prewritten {
    /// Makes a file of `len` bytes in `directory`, written with zeros.
    ///
    /// # Errors
    /// The file system refuses, for example `O_DIRECT`.
    pub fn create(directory: &Path, len: u64) -> Result<Self, BenchError> {
        let path = directory.join(format!("ruler-{}.data", std::process::id()));
        let failed = || BenchError::local(format!("prewriting {}", path.display()));
        let direct = i32::try_from(OFlags::DIRECT.bits()).unwrap_or(0);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(direct)
            .open(&path)
            .map_err(failed())?;
        let zeros = Aligned::new(STRIDE);
        let strides = len.div_ceil(STRIDE as u64);
        let created = Self {
            file,
            path: path.clone(),
            len: strides * STRIDE as u64,
            next: 0,
        };
        for stride in 0..strides {
            created.write(
                zeros.bytes(),
                stride * STRIDE as u64,
                ReadWriteFlags::empty(),
            )?;
        }
        created.file.sync_all().map_err(failed())?;
        Ok(created)
    }

    /// Its bytes.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// The file.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Where the next `len` bytes go; begins again at the front when the end is reached.
    pub fn advance(&mut self, len: usize) -> u64 {
        let len = len as u64;
        if self.next + len > self.len {
            self.next = 0;
        }
        let at = self.next;
        self.next += len;
        at
    }

    /// Writes whole blocks.
    ///
    /// # Errors
    /// The device refuses or writes short.
    pub fn write(&self, bytes: &[u8], at: u64, flags: ReadWriteFlags) -> Result<(), BenchError> {
        let failed = || BenchError::local(format!("writing {}", self.path.display()));
        let written = rustix::io::pwritev2(&self.file, &[IoSlice::new(bytes)], at, flags)
            .map_err(|errno| failed()(errno.into()))?;
        if written == bytes.len() {
            Ok(())
        } else {
            Err(failed()(std::io::ErrorKind::WriteZero.into()))
        }
    }
}

impl Drop for Prewritten {
    fn drop(&mut self) {
        // The directory may be gone already.
        drop(fs::remove_file(&self.path));
    }
}
