//! Reasons for which the process must end.
//!
//! Owns: the closed list of fatal reasons and their exit codes.
//! Never: ends the process; the shells do.
//! Invariants: every reason has its own exit code, 70 or above, so that a supervisor can tell them apart.
//! Source: architecture.md A10, reliability.md 2.7.

/// Why this process cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// A write or flush of the log failed; what the device holds is unknown (A10).
    DiskWriteFailed,
    /// The Raft log or hard state could not be written or read back.
    RaftStorageFailed,
    /// An internal invariant does not hold; continuing could corrupt data.
    InvariantBroken,
    /// The kernel ring refused an operation that must work.
    RingFailed,
    /// A data core did not turn for longer than a device may stall.
    CoreStuck,
}

impl Reason {
    /// Exit code of the process for this reason (70 to 74).
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::DiskWriteFailed => 70,
            Self::RaftStorageFailed => 71,
            Self::InvariantBroken => 72,
            Self::RingFailed => 73,
            Self::CoreStuck => 74,
        }
    }
}

/// A fatal condition with what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fatal {
    /// The closed reason.
    pub reason: Reason,
    /// One sentence for the operator: what, where.
    pub detail: String,
}

impl Fatal {
    /// A fatal condition; `detail` is one sentence for the operator.
    #[must_use]
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }
}

impl std::fmt::Display for Fatal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.reason, self.detail)
    }
}

impl std::error::Error for Fatal {}

#[cfg(test)]
mod tests;
