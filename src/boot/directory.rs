//! The data directory's identity: formatted once, checked at every start.
//!
//! Owns: the two superblock slots.
//! Never: touches data of cores; a directory that has data but no identity is refused.
//! Invariants: both slots say the same after a start; the number of cores of a directory never changes,
//! because it decides which core owns a partition.
//! Source: reliability.md 1.2, 2.2, 2.5 step 1.

use std::path::PathBuf;

use model::ids::BrokerId;
use model::limits::BLOCK_BYTES;
use shards::disk::FsDisk;
use storage::IoError;
use storage::exec::{Disk, Recovered};
use storage::format::layout::{PARTITIONS, SUPERBLOCK_A, SUPERBLOCK_B, parse_core_dir};
use storage::format::superblock::Superblock;

use super::{ServeConfig, identity};

#[cfg(test)]
mod tests;

/// Directory of the control core's files.
const METADATA_LOG: &str = "raft";

/// Why a directory is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirectoryError {
    /// The file system failed.
    #[error("data directory {}: {source}", .path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the device said.
        #[source]
        source: IoError,
    },
    /// The system gives no randomness.
    #[error("data directory {} cannot be formatted: {source}", .path.display())]
    System {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Data without an identity, or an identity that cannot be read.
    #[error("data directory {}: {what}; restore superblock.a or superblock.b from a copy", .path.display())]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Partitions are there, but nothing says whose they are.
    #[error("data directory {} holds {partitions} partitions, but its metadata log raft/ is gone", .path.display())]
    MetadataMissing {
        /// The directory.
        path: PathBuf,
        /// Partitions found.
        partitions: usize,
    },
    /// The directory belongs to another broker.
    #[error("data directory {} belongs to broker {found}, this is broker {configured}", .path.display())]
    OtherBroker {
        /// The directory.
        path: PathBuf,
        /// In the superblock.
        found: BrokerId,
        /// Configured.
        configured: BrokerId,
    },
    /// The number of cores cannot be changed.
    #[error("data directory {} was made with {found} cores, {configured} are configured; start it with --cores {found}", .path.display())]
    OtherCores {
        /// The directory.
        path: PathBuf,
        /// In the superblock.
        found: u16,
        /// Configured.
        configured: u16,
    },
}

impl DirectoryError {
    /// What the operator can do.
    pub(crate) fn fix(&self) -> &'static str {
        match self {
            Self::Io { .. } | Self::System { .. } => {
                "check that this user may write to the directory and that its disk works"
            }
            Self::Damaged { .. } => {
                "restore superblock.a and superblock.b from a copy; a newer format needs the newer rapidmq"
            }
            Self::MetadataMissing { .. } => {
                "put raft/ back from where it went or from a copy; a new one would forget every topic"
            }
            Self::OtherBroker { .. } => {
                "give each broker its own --data-dir, or set broker-id as it was"
            }
            Self::OtherCores { .. } => "leave --cores out: the directory knows its number",
        }
    }
}

/// A directory that may be used.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    superblock: Superblock,
}

/// What a slot holds.
#[derive(Debug)]
enum Slot {
    /// Never written.
    Empty,
    Valid(Superblock),
    /// Written, but not readable: it may be the newer one.
    Unreadable(String),
}

impl Directory {
    /// Reads the identity, or gives one to a directory without data.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub(super) fn open_or_format(config: &ServeConfig) -> Result<Self, DirectoryError> {
        let mut disk = FsDisk::new(&config.data_dir);
        let path = &config.data_dir;
        let io = |source| DirectoryError::Io {
            path: path.clone(),
            source,
        };
        let slots = [
            read_slot(&disk, SUPERBLOCK_A).map_err(io)?,
            read_slot(&disk, SUPERBLOCK_B).map_err(io)?,
        ];
        let has_data = has_data(&disk).map_err(io)?;
        let superblock = match newest(slots) {
            Ok(Some(superblock)) => superblock,
            Ok(None) if has_data => {
                let what = "it holds data but no superblock".to_owned();
                return Err(DirectoryError::Damaged {
                    path: path.clone(),
                    what,
                });
            }
            Err(what) if has_data => {
                return Err(DirectoryError::Damaged {
                    path: path.clone(),
                    what,
                });
            }
            // New, or an earlier start was cut short before it had anything to lose.
            Ok(None) | Err(_) => {
                new_superblock(config).map_err(|source| DirectoryError::System {
                    path: path.clone(),
                    source,
                })?
            }
        };
        check(config, &superblock)?;
        for slot in [SUPERBLOCK_A, SUPERBLOCK_B] {
            ensure_slot(&mut disk, slot, &superblock).map_err(io)?;
        }
        Ok(Self {
            path: path.clone(),
            superblock,
        })
    }

    /// Refuses partitions without a metadata log: a new one would forget every topic.
    ///
    /// # Errors
    /// There are partitions, and the metadata log is gone.
    pub(super) fn expect_metadata(&self, recovered: &[Recovered]) -> Result<(), DirectoryError> {
        let partitions: usize = recovered.iter().map(|core| core.logs.len()).sum();
        if partitions == 0 || self.path.join(METADATA_LOG).is_dir() {
            return Ok(());
        }
        Err(DirectoryError::MetadataMissing {
            path: self.path.clone(),
            partitions,
        })
    }

    /// Data cores.
    pub(super) fn shards(&self) -> u16 {
        self.superblock.shards
    }

    /// The cluster id as clients see it.
    pub(super) fn cluster_id(&self) -> String {
        identity::cluster_id_text(&self.superblock.cluster)
    }
}

fn read_slot(disk: &FsDisk, path: &str) -> Result<Slot, IoError> {
    let bytes = match disk.read(path, 0, BLOCK_BYTES) {
        Ok(bytes) => bytes,
        Err(IoError::NotFound) => return Ok(Slot::Empty),
        Err(error) => return Err(error),
    };
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(Slot::Empty);
    }
    Ok(match Superblock::decode(&bytes) {
        Ok(superblock) => Slot::Valid(superblock),
        Err(error) => Slot::Unreadable(format!("{path}: {error}")),
    })
}

fn newest(slots: [Slot; 2]) -> Result<Option<Superblock>, String> {
    match slots {
        [Slot::Unreadable(what), _] | [_, Slot::Unreadable(what)] => Err(what),
        [Slot::Empty, Slot::Empty] => Ok(None),
        [Slot::Valid(one), Slot::Empty] | [Slot::Empty, Slot::Valid(one)] => Ok(Some(one)),
        [Slot::Valid(a), Slot::Valid(b)] => Ok(Some(if a.sequence >= b.sequence { a } else { b })),
    }
}

fn has_data(disk: &FsDisk) -> Result<bool, IoError> {
    let entries = disk.list("")?;
    Ok(entries.iter().any(|entry| {
        let is_ours = entry.name == PARTITIONS || entry.name == METADATA_LOG;
        entry.is_dir && (is_ours || parse_core_dir(&entry.name).is_some())
    }))
}

fn new_superblock(config: &ServeConfig) -> std::io::Result<Superblock> {
    let machine = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let shards = if config.cores > 0 {
        config.cores
    } else {
        u16::try_from(machine).unwrap_or(u16::MAX)
    };
    Ok(Superblock {
        sequence: 1,
        disk: identity::random16()?,
        cluster: identity::random16()?,
        broker: config.broker.broker,
        shards,
        created_ms: shards::read_wall().as_millis(),
    })
}

fn check(config: &ServeConfig, superblock: &Superblock) -> Result<(), DirectoryError> {
    let path = || config.data_dir.clone();
    let configured = config.broker.broker;
    if superblock.broker != configured {
        let found = superblock.broker;
        return Err(DirectoryError::OtherBroker {
            path: path(),
            found,
            configured,
        });
    }
    if config.cores != 0 && config.cores != superblock.shards {
        let (found, configured) = (superblock.shards, config.cores);
        return Err(DirectoryError::OtherCores {
            path: path(),
            found,
            configured,
        });
    }
    Ok(())
}

fn ensure_slot(disk: &mut FsDisk, path: &str, superblock: &Superblock) -> Result<(), IoError> {
    match read_slot(disk, path)? {
        Slot::Valid(found) if found == *superblock => return Ok(()),
        Slot::Valid(_) | Slot::Unreadable(_) | Slot::Empty => {}
    }
    if disk.len(path) == Err(IoError::NotFound) {
        disk.create(path, BLOCK_BYTES as u64)?;
    }
    disk.write(path, 0, &superblock.encode())
}
