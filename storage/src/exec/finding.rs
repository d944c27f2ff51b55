//! What is wrong with a data directory, said so that an operator can act on it.
//!
//! Owns: [`Finding`], [`Severity`].
//! Never: decides what is done about it.
//! Invariants: at most [`FINDINGS_MAX`] are kept of one run; the worst severity survives the bound.
//! Source: reliability.md 2.4, 2.6.

use model::ids::TopicPartition;
use model::offset::Offset;

/// Findings kept of one run; a wrecked disk must not exhaust the memory as well.
pub const FINDINGS_MAX: usize = 10_000;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing is lost or wrong.
    Note,
    /// The next start puts it right without losing anything that was acknowledged.
    Repairable,
    /// Acknowledged data is lost or cannot be read.
    Damage,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Path of the file, relative to the data directory.
    pub file: String,
    /// Position in the file, bytes.
    pub position: Option<u64>,
    /// First record offset concerned.
    pub offset: Option<Offset>,
    /// Partition concerned.
    pub partition: Option<TopicPartition>,
    /// Records concerned, where that can be told.
    pub records: Option<u64>,
    /// What is wrong, in lower case without a full stop.
    pub what: String,
}

impl Finding {
    /// A finding about a file as a whole.
    #[must_use]
    pub fn new(severity: Severity, file: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            severity,
            file: file.into(),
            position: None,
            offset: None,
            partition: None,
            records: None,
            what: what.into(),
        }
    }

    /// With the position in the file.
    #[must_use]
    pub fn at(mut self, position: u64) -> Self {
        self.position = Some(position);
        self
    }

    /// With the partition.
    #[must_use]
    pub fn of(mut self, partition: TopicPartition) -> Self {
        self.partition = Some(partition);
        self
    }

    /// With the record offsets concerned.
    #[must_use]
    pub fn offsets(mut self, from: Offset, upto: Offset) -> Self {
        self.offset = Some(from);
        self.records = Some(from.distance(upto));
        self
    }
}

/// Findings of one run, bounded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    kept: Vec<Finding>,
    dropped: u64,
    worst: Option<Severity>,
}

impl Findings {
    /// Adds one, or counts it when there are too many.
    pub(crate) fn push(&mut self, finding: Finding) {
        self.worst = self.worst.max(Some(finding.severity));
        if self.kept.len() < FINDINGS_MAX {
            self.kept.push(finding);
        } else {
            self.dropped += 1;
        }
    }

    /// Adds those of another run behind these.
    pub(crate) fn append(&mut self, others: Self) {
        let (dropped, worst) = (others.dropped, others.worst);
        others
            .kept
            .into_iter()
            .for_each(|finding| self.push(finding));
        self.dropped += dropped;
        self.worst = self.worst.max(worst);
    }

    /// The worst severity seen.
    pub(crate) fn worst(&self) -> Option<Severity> {
        self.worst
    }

    /// The findings and how many were dropped.
    pub(crate) fn finish(self) -> (Vec<Finding>, u64) {
        (self.kept, self.dropped)
    }
}
