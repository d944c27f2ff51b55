//! Faults that the power-cut tests must notice; nothing without the feature `fault-injection`.
//!
//! Owns: which promise about the device is broken on purpose.
//! Never: exists in a release build, or breaks anything unless the environment asks for it by name.
//! Invariants: without the feature every write is durable when it is answered, and every directory is synced.
//! Source: reliability.md 3.7 and D9.

#[cfg(all(feature = "fault-injection", not(debug_assertions)))]
compile_error!("`fault-injection` breaks durability on purpose and must not be in a release build");

/// Flags of every write through the ring.
#[cfg(not(feature = "fault-injection"))]
pub(crate) const fn write_flags() -> i32 {
    libc::RWF_DSYNC
}

/// Whether names in directories are left to the file system.
#[cfg(not(feature = "fault-injection"))]
pub(crate) const fn skips_directory_sync() -> bool {
    false
}

#[cfg(feature = "fault-injection")]
pub(crate) use injected::{skips_directory_sync, write_flags};

#[cfg(feature = "fault-injection")]
mod injected {
    use std::sync::LazyLock;

    /// What the process breaks on purpose.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Fault {
        AckBeforeFlush,
        SkipDirectorySync,
    }

    static FAULT: LazyLock<Option<Fault>> = LazyLock::new(|| {
        #[expect(clippy::disallowed_methods, reason = "a build for tests only")]
        let fault = match std::env::var("POWERCUT_FAULT").ok()?.as_str() {
            "ack-before-flush" => Fault::AckBeforeFlush,
            "skip-directory-sync" => Fault::SkipDirectorySync,
            _ => return None,
        };
        tracing::error!(
            ?fault,
            "this process breaks its promise of durability on purpose"
        );
        Some(fault)
    });

    /// Flags of every write through the ring.
    pub(crate) fn write_flags() -> i32 {
        match *FAULT {
            Some(Fault::AckBeforeFlush) => 0,
            Some(Fault::SkipDirectorySync) | None => libc::RWF_DSYNC,
        }
    }

    /// Whether names in directories are left to the file system.
    pub(crate) fn skips_directory_sync() -> bool {
        *FAULT == Some(Fault::SkipDirectorySync)
    }
}
