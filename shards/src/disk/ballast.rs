//! The ballast: a file that only takes up room, so that an operator can have some at once on a full device.
//!
//! Owns: its size, creating it, taking it away.
//! Never: releases it by itself: that is the operator's decision.
//! Invariants: it is only made where there is ample room behind it; nothing is ever stored in it.
//! Source: reliability.md 2.7, ADR-0011.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate, statfs};
use storage::{SpaceLevel, SpaceLimits};

use super::files::{space, sync_parent};

/// Name in the data directory.
pub const BALLAST: &str = "ballast";

/// It takes one part in so many of the device at most.
const SHARE: u64 = 50;

/// File system type of memory, which must not be filled with nothing.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ballast {
    /// It was there, or is now; its bytes.
    Kept(u64),
    /// None is wanted.
    Unwanted,
    /// There is not enough room for it; it is tried again at the next start.
    NoRoom {
        /// Its bytes.
        wanted: u64,
        /// Bytes free.
        free: u64,
    },
    /// The file system cannot reserve room.
    Unsupported,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    Leave(u64),
    Make(u64),
    Remove,
    Wait(u64),
}

/// Makes, keeps or removes the ballast of the data directory `root`: `bytes_max` bytes, less on a small
/// device, none if zero.
///
/// # Errors
/// The file system refuses for another reason than lack of room.
pub fn keep(root: &Path, bytes_max: u64) -> io::Result<Ballast> {
    let path = root.join(BALLAST);
    let present = match std::fs::symlink_metadata(&path) {
        Ok(metadata) => Some(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let (free, total) = space(root)?;
    let plan = plan(present, bytes_max, (free, total));
    if let (Plan::Make(_) | Plan::Remove, Some(_)) = (plan, present) {
        std::fs::remove_file(&path)?;
        sync_parent(&path)?;
    }
    match plan {
        Plan::Leave(bytes) => Ok(Ballast::Kept(bytes)),
        Plan::Remove => Ok(Ballast::Unwanted),
        Plan::Wait(wanted) => Ok(Ballast::NoRoom { wanted, free }),
        Plan::Make(_) if statfs(root)?.f_type == TMPFS_MAGIC => Ok(Ballast::Unsupported),
        Plan::Make(bytes) => match reserve(&path, bytes) {
            Ok(()) => Ok(Ballast::Kept(bytes)),
            Err(error) => {
                std::fs::remove_file(&path)?;
                match error.raw_os_error() {
                    Some(libc::EOPNOTSUPP | libc::ENOSYS) => Ok(Ballast::Unsupported),
                    Some(libc::ENOSPC | libc::EDQUOT) => Ok(Ballast::NoRoom {
                        wanted: bytes,
                        free,
                    }),
                    _ => Err(error),
                }
            }
        },
    }
}

fn plan(present: Option<u64>, bytes_max: u64, (free, total): (u64, u64)) -> Plan {
    let wanted = bytes_max.min(total / SHARE) / 4_096 * 4_096;
    if wanted == 0 {
        return Plan::Remove;
    }
    if present == Some(wanted) {
        return Plan::Leave(wanted);
    }
    let left = (free + present.unwrap_or(0)).saturating_sub(wanted);
    match SpaceLimits::default().level(left, total) {
        SpaceLevel::Ample => Plan::Make(wanted),
        SpaceLevel::Low | SpaceLevel::Scarce | SpaceLevel::Full => match present {
            Some(bytes) => Plan::Leave(bytes),
            None => Plan::Wait(wanted),
        },
    }
}

/// Reserves blocks without writing them.
fn reserve(path: &Path, bytes: u64) -> io::Result<()> {
    let file = File::options().create_new(true).write(true).open(path)?;
    fallocate(&file, FallocateFlags::empty(), 0, bytes)?;
    file.sync_all()?;
    sync_parent(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::{Plan, plan, reserve};

    const GIB: u64 = 1 << 30;

    #[test]
    fn a_large_device_gets_all_of_it_and_a_small_one_a_fiftieth() {
        let large = (500 * GIB, 1_000 * GIB);
        assert_eq!(plan(None, 2 * GIB, large), Plan::Make(2 * GIB));
        let small = (9 * GIB, 10 * GIB);
        let fiftieth = 10 * GIB / 50 / 4_096 * 4_096;
        assert_eq!(plan(None, 2 * GIB, small), Plan::Make(fiftieth));
    }

    #[test]
    fn none_is_made_where_it_would_leave_little_room() {
        let tight = (16 * GIB, 1_000 * GIB);
        assert_eq!(plan(None, 2 * GIB, tight), Plan::Wait(2 * GIB));
    }

    #[test]
    fn one_that_is_there_stays_however_full_the_device_is() {
        let full = (GIB, 1_000 * GIB);
        assert_eq!(plan(Some(2 * GIB), 2 * GIB, full), Plan::Leave(2 * GIB));
        assert_eq!(plan(Some(GIB), 2 * GIB, full), Plan::Leave(GIB));
    }

    #[test]
    fn it_goes_when_none_is_wanted_and_changes_when_another_size_is() {
        let roomy = (500 * GIB, 1_000 * GIB);
        assert_eq!(plan(Some(2 * GIB), 0, roomy), Plan::Remove);
        assert_eq!(plan(Some(2 * GIB), GIB, roomy), Plan::Make(GIB));
    }

    #[test]
    fn it_takes_up_blocks_of_the_device() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(super::BALLAST);
        reserve(&path, 1 << 20).unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(metadata.len(), 1 << 20);
        assert!(
            metadata.blocks() * 512 >= 1 << 20,
            "the room is taken, not only named"
        );
    }
}
