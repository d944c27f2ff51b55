//! Reading a file front to back in large pieces.
//!
//! Owns: one window over one file; what to do about sectors that cannot be read.
//! Never: holds more than one piece plus the structure that is being looked at.
//! Invariants: a block that the device refuses reads as zeros, which no checksum accepts, and is counted.
//! Source: reliability.md 2.5 (bounded memory), 2.6 (read errors are bisected).

use model::limits::BLOCK_BYTES;

use super::Disk;
use crate::io::IoError;

/// Bytes of one read at most, while a file is read on and on.
pub(crate) const PIECE_BYTES: usize = 1 << 20;

/// Bytes of the first read at a place: often no more is wanted there.
const FIRST_PIECE_BYTES: usize = 32 << 10;

/// Blocks the device refused to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) count: u64,
    /// Position of the first.
    pub(crate) first: Option<u64>,
}

/// A window over one file.
#[derive(Debug)]
pub(crate) struct FileStream<'a, D> {
    disk: &'a D,
    path: &'a str,
    len: u64,
    start: u64,
    window: Vec<u8>,
    /// Bytes that the window had at first when it was last filled.
    piece: usize,
    /// Blocks the device refused to read.
    pub(crate) unreadable: Unreadable,
}

impl<'a, D: Disk> FileStream<'a, D> {
    /// Opens a window.
    pub(crate) fn open(disk: &'a D, path: &'a str) -> Result<Self, IoError> {
        let len = disk.len(path)?;
        Ok(Self {
            disk,
            path,
            len,
            start: 0,
            window: Vec::new(),
            piece: 0,
            unreadable: Unreadable::default(),
        })
    }

    /// Length of the file.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// `len` bytes at `position`, fewer only at the end of the file.
    pub(crate) fn bytes(&mut self, position: u64, len: usize) -> Result<&[u8], IoError> {
        let left = usize::try_from(self.len.saturating_sub(position)).unwrap_or(usize::MAX);
        let len = len.min(left);
        if !self.holds(position, len) {
            self.fill(position, len)?;
        }
        let from = usize::try_from(position.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let upto = from.saturating_add(len).min(self.window.len());
        Ok(self.window.get(from..upto).unwrap_or(&[]))
    }

    fn holds(&self, position: u64, len: usize) -> bool {
        let end = self.start + self.window.len() as u64;
        position >= self.start && position.saturating_add(len as u64) <= end
    }

    /// Keeps what the window has from `position` on and reads further.
    fn fill(&mut self, position: u64, len: usize) -> Result<(), IoError> {
        let end = self.start + self.window.len() as u64;
        if !self.window.is_empty() && (self.start..=end).contains(&position) {
            self.piece = self.piece.saturating_mul(2).min(PIECE_BYTES);
            let skip = usize::try_from(position - self.start).unwrap_or(usize::MAX);
            self.window.drain(..skip.min(self.window.len()));
        } else {
            self.piece = FIRST_PIECE_BYTES;
            self.window.clear();
        }
        self.start = position;
        let wanted = len.max(self.piece).next_multiple_of(BLOCK_BYTES);
        while self.window.len() < wanted {
            let at = self.start + self.window.len() as u64;
            let piece = self.read_piece(at, wanted - self.window.len())?;
            if piece.is_empty() {
                break;
            }
            match self.window.is_empty() {
                true => self.window = piece,
                false => self.window.extend_from_slice(&piece),
            }
        }
        self.window.shrink_to(wanted.saturating_mul(2));
        Ok(())
    }

    fn read_piece(&mut self, at: u64, wanted: usize) -> Result<Vec<u8>, IoError> {
        if at >= self.len {
            return Ok(Vec::new());
        }
        let wanted = wanted.min(PIECE_BYTES);
        match self.disk.read(self.path, at, wanted) {
            Err(IoError::Device(_)) => Ok(self.read_blocks(at, wanted)),
            outcome => outcome,
        }
    }

    /// Block by block, with zeros for those that cannot be read.
    fn read_blocks(&mut self, at: u64, wanted: usize) -> Vec<u8> {
        let left = usize::try_from(self.len - at)
            .unwrap_or(usize::MAX)
            .min(wanted);
        let mut piece = Vec::with_capacity(left);
        while piece.len() < left {
            let want = BLOCK_BYTES.min(left - piece.len());
            match self.disk.read(self.path, at + piece.len() as u64, want) {
                Ok(block) if block.len() == want => piece.extend_from_slice(&block),
                Ok(_) | Err(_) => {
                    self.unreadable.count += 1;
                    let at = at + piece.len() as u64;
                    self.unreadable.first.get_or_insert(at);
                    piece.resize(piece.len() + want, 0);
                }
            }
        }
        piece
    }
}

/// A block of zeros, to compare with.
static ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

/// Whether all bytes are zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes
        .chunks(BLOCK_BYTES)
        .all(|chunk| ZEROS.starts_with(chunk))
}
