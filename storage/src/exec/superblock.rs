//! Whose directory this is: opening it, or formatting an empty one.
//!
//! Owns: the verdict on the two superblock slots; writing them.
//! Never: formats a directory that holds anything.
//! Invariants: a slot appears only whole (written aside, then renamed); a slot that is there and cannot be
//! read may be the newer one, so the directory is not used then.
//! Source: reliability.md 2.5 step 1.

use model::ids::BrokerId;
use model::limits::BLOCK_BYTES;

use super::Disk;
use crate::format::layout::{SUPERBLOCK_A, SUPERBLOCK_B};
use crate::format::superblock::Superblock;
use crate::format::{FORMAT_VERSION, FormatError, Uid};
use crate::io::IoError;

/// Where a slot is written before it gets its name.
const UNFINISHED: &str = "superblock.unfinished";

/// Entries of a directory that do not make it non-empty: file systems and locks put them there.
const IGNORED: [&str; 2] = ["lost+found", UNFINISHED];

/// What a directory is formatted for, or expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatRequest {
    /// Identity for a new directory, random.
    pub disk_id: Uid,
    /// Cluster for a new directory; an existing one keeps its own.
    pub cluster_id: Uid,
    /// The broker that asks.
    pub broker: BrokerId,
    /// Number of data cores; at least 1.
    pub shards: u16,
    /// Wall clock, ms, for a new directory.
    pub created_ms: i64,
}

/// Why a directory cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuperblockError {
    /// The device failed.
    #[error("{file}: {source}")]
    Io {
        /// Path.
        file: String,
        /// What the device said.
        source: IoError,
    },
    /// There are files but no superblock.
    #[error("the data directory has no superblock but holds {found:?}; use an empty directory")]
    NotEmpty {
        /// One of the entries.
        found: String,
    },
    /// A newer build formatted it.
    #[error("{file} has format version {found}, this build reads up to {supported}")]
    Newer {
        /// Path.
        file: String,
        /// In the slot.
        found: u32,
        /// By this build.
        supported: u32,
    },
    /// A slot cannot be read and may be the newer one.
    #[error("{file} cannot be read ({source}) and may be the newer copy; restore it from a copy")]
    Unreadable {
        /// Path.
        file: String,
        /// Why.
        source: FormatError,
    },
    /// The two slots name different directories.
    #[error("the two superblocks belong to different data directories")]
    Contradiction,
    /// Formatted for another number of cores.
    #[error(
        "the data directory is laid out for {formatted} data cores; start with {formatted}, not {requested}"
    )]
    OtherShards {
        /// In the superblock.
        formatted: u16,
        /// Asked for.
        requested: u16,
    },
    /// Formatted for another broker.
    #[error("the data directory belongs to broker {formatted}, this is broker {requested}")]
    OtherBroker {
        /// In the superblock.
        formatted: BrokerId,
        /// Asked for.
        requested: BrokerId,
    },
}

/// One slot as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// No file, or zeros.
    Empty,
    Valid(Superblock),
}

/// Opens a formatted directory, or formats an empty one.
///
/// # Errors
/// Any [`SuperblockError`]; nothing was changed then, except that formatting may have been begun.
///
/// # Panics
/// If `request.shards` is zero.
pub fn open_or_format<D: Disk>(
    disk: &mut D,
    request: FormatRequest,
) -> Result<Superblock, SuperblockError> {
    assert!(request.shards > 0, "a broker has at least one data core");
    disk.flush().map_err(|source| SuperblockError::Io {
        file: ".".to_owned(),
        source,
    })?;
    let Some(found) = read_superblock(disk)? else {
        return format(disk, request);
    };
    if found.shards != request.shards {
        let (formatted, requested) = (found.shards, request.shards);
        return Err(SuperblockError::OtherShards {
            formatted,
            requested,
        });
    }
    if found.broker != request.broker {
        let (formatted, requested) = (found.broker, request.broker);
        return Err(SuperblockError::OtherBroker {
            formatted,
            requested,
        });
    }
    // A crash while formatting may have left one slot only.
    for file in [SUPERBLOCK_A, SUPERBLOCK_B] {
        if read_slot(disk, file)? == Slot::Empty {
            write_slot(disk, file, &found)?;
        }
    }
    Ok(found)
}

/// Reads the current superblock; `None` if the directory has none. Changes nothing.
///
/// # Errors
/// The device failed, or a slot cannot be trusted.
pub fn read_superblock<D: Disk>(disk: &D) -> Result<Option<Superblock>, SuperblockError> {
    let slots = (
        read_slot(disk, SUPERBLOCK_A)?,
        read_slot(disk, SUPERBLOCK_B)?,
    );
    match slots {
        (Slot::Empty, Slot::Empty) => Ok(None),
        (Slot::Valid(one), Slot::Empty) | (Slot::Empty, Slot::Valid(one)) => Ok(Some(one)),
        (Slot::Valid(a), Slot::Valid(b)) if a.disk != b.disk => Err(SuperblockError::Contradiction),
        (Slot::Valid(a), Slot::Valid(b)) => Ok(Some(if b.sequence > a.sequence { b } else { a })),
    }
}

fn read_slot<D: Disk>(disk: &D, file: &str) -> Result<Slot, SuperblockError> {
    let bytes = match disk.read(file, 0, BLOCK_BYTES) {
        Ok(bytes) => bytes,
        Err(IoError::NotFound) => return Ok(Slot::Empty),
        Err(source) => return Err(io(file, source)),
    };
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(Slot::Empty);
    }
    match Superblock::decode(&bytes) {
        Ok(superblock) => Ok(Slot::Valid(superblock)),
        Err(FormatError::NewerVersion { found, .. }) => {
            let (file, supported) = (file.to_owned(), FORMAT_VERSION);
            Err(SuperblockError::Newer {
                file,
                found,
                supported,
            })
        }
        Err(source) => Err(SuperblockError::Unreadable {
            file: file.to_owned(),
            source,
        }),
    }
}

fn format<D: Disk>(disk: &mut D, request: FormatRequest) -> Result<Superblock, SuperblockError> {
    let entries = disk.list("").map_err(|source| io(".", source))?;
    let is_foreign = |name: &str| {
        !name.starts_with('.')
            && !IGNORED.contains(&name)
            && ![SUPERBLOCK_A, SUPERBLOCK_B].contains(&name)
    };
    if let Some(entry) = entries.into_iter().find(|entry| is_foreign(&entry.name)) {
        return Err(SuperblockError::NotEmpty { found: entry.name });
    }
    let superblock = Superblock {
        sequence: 1,
        disk: request.disk_id,
        cluster: request.cluster_id,
        broker: request.broker,
        shards: request.shards,
        created_ms: request.created_ms,
    };
    write_slot(disk, SUPERBLOCK_A, &superblock)?;
    write_slot(disk, SUPERBLOCK_B, &superblock)?;
    Ok(superblock)
}

fn write_slot<D: Disk>(
    disk: &mut D,
    file: &str,
    superblock: &Superblock,
) -> Result<(), SuperblockError> {
    let block = superblock.encode();
    let outcome = disk
        .remove(UNFINISHED)
        .and_then(|()| disk.create(UNFINISHED, block.len() as u64))
        .and_then(|()| disk.write(UNFINISHED, 0, &block))
        .and_then(|()| disk.rename(UNFINISHED, file));
    outcome.map_err(|source| io(file, source))
}

fn io(file: &str, source: IoError) -> SuperblockError {
    SuperblockError::Io {
        file: file.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
