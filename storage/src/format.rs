//! Bytes on disk: one module per kind of file, written down in `docs/format.md`.
//!
//! Owns: encoding and decoding of superblock, journal, manifest, segment and derived files; paths.
//! Never: performs I/O; trusts a length before it bounded it (I11).
//! Invariants: everything is little-endian and carries magic and version; a decoder of one kind never
//! accepts another kind; whatever is decoded was covered by a checksum.
//! Source: reliability.md 2.2, ADR-0004.

pub mod chain;
pub mod cursor;
pub mod ends;
pub mod frame;
pub mod index_file;
pub mod journal;
pub mod layout;
pub mod manifest;
pub mod segment;
pub mod snapshot;
pub mod superblock;
#[cfg(test)]
mod tests;

/// Version of every file written by this build.
pub const FORMAT_VERSION: u32 = 1;

/// Flag in the header block of a journal or segment file: no group uses the last block, so a file that ends where a
/// group does was cut.
pub const FLAG_END_KEPT: u32 = 1;

/// A unique identifier of a file or a lineage of files.
pub type Uid = [u8; 16];

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Fewer bytes than needed.
    #[error("{what} is cut short")]
    Truncated {
        /// What was being read.
        what: &'static str,
    },
    /// Another kind of bytes, or none (zeros).
    #[error("{what} has no magic number")]
    BadMagic {
        /// What was being read.
        what: &'static str,
    },
    /// Written by a newer build.
    #[error("{what} has format version {found}, this build reads up to {FORMAT_VERSION}")]
    NewerVersion {
        /// What was being read.
        what: &'static str,
        /// In the bytes.
        found: u32,
    },
    /// The checksum does not match.
    #[error("{what} fails its checksum")]
    BadChecksum {
        /// What was being read.
        what: &'static str,
    },
    /// A checked field has a value that no writer writes.
    #[error("{what} is inconsistent: {why}")]
    Inconsistent {
        /// What was being read.
        what: &'static str,
        /// Which rule is broken.
        why: &'static str,
    },
    /// Valid bytes of another file, position or sequence: misdirected or stale.
    #[error("{what} belongs to another place: {why}")]
    Misplaced {
        /// What was being read.
        what: &'static str,
        /// What differs.
        why: &'static str,
    },
}

/// `len` rounded up to whole blocks.
#[must_use]
pub const fn round_up(len: usize) -> usize {
    len.div_ceil(model::limits::BLOCK_BYTES) * model::limits::BLOCK_BYTES
}
