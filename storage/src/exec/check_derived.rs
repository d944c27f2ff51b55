//! Derived files of one log: indexes and snapshots.
//!
//! Owns: comparing an index with the segment it describes.
//! Never: calls a wrong derived file damage: it is rebuilt from the log (I9).
//! Invariants: none beyond the above.
//! Source: reliability.md I9.

use super::Disk;
use super::failure::{InFile, RecoverError};
use super::finding::{Finding, Findings, Severity};
use super::log_scan::LogScan;
use super::producer_rebuild::load_snapshot;
use super::recovered::RecoveredSegment;
use crate::format::index_file::{FILE_BYTES_MAX, IndexFile};
use crate::format::layout::{index_path, snapshot_path};
use crate::io::IoError;
use crate::log::index::SparseIndex;

/// Looks at every derived file of a log whose segments were read whole.
pub(crate) fn look<D: Disk>(
    disk: &D,
    scan: &LogScan,
    findings: &mut Findings,
) -> Result<(), RecoverError> {
    for segment in &scan.segments {
        let place = (segment.base, segment.uid);
        let Some(len) = scan.files.indexes.get(&place) else {
            continue;
        };
        let path = index_path(scan.state.tp, segment.base, &segment.uid);
        if let Some(what) = index_problem(disk, &path, *len, segment).in_file(&path)? {
            let what = format!("{what}; the index is rebuilt");
            let finding = Finding::new(Severity::Repairable, path, what);
            findings.push(
                finding
                    .of(scan.state.tp)
                    .offsets(segment.base, segment.upto),
            );
        }
    }
    for upto in &scan.files.snapshots {
        let place = (scan.id, scan.state.tp);
        let path = snapshot_path(scan.state.tp, *upto);
        if load_snapshot(disk, place, *upto).in_file(&path)?.is_none() {
            let what = "the snapshot cannot be read; producers are rebuilt from the log";
            findings.push(Finding::new(Severity::Repairable, path, what).of(scan.state.tp));
        }
    }
    Ok(())
}

/// What is wrong with an index, if anything.
fn index_problem<D: Disk>(
    disk: &D,
    path: &str,
    len: u64,
    segment: &RecoveredSegment,
) -> Result<Option<String>, IoError> {
    let Some(len) = usize::try_from(len)
        .ok()
        .filter(|len| *len as u64 <= FILE_BYTES_MAX)
    else {
        return Ok(Some("the file is too large".to_owned()));
    };
    let bytes = match disk.read(path, 0, len) {
        Ok(bytes) => bytes,
        Err(error @ IoError::Device(_)) => return Ok(Some(error.to_string())),
        Err(error) => return Err(error),
    };
    let file = match IndexFile::decode(&bytes) {
        Ok(file) => file,
        Err(error) => return Ok(Some(error.to_string())),
    };
    let is_of_it =
        (file.segment, file.end, file.upto) == (segment.uid, segment.valid_end, segment.upto.get());
    if !is_of_it {
        return Ok(Some("it describes another end of the segment".to_owned()));
    }
    let is_right = segment
        .index
        .as_ref()
        .is_none_or(|read| is_same(&file, read));
    Ok((!is_right).then(|| "it does not match the segment's groups".to_owned()))
}

/// Whether an index file says what reading the segment gives.
fn is_same(file: &IndexFile, read: &SparseIndex) -> bool {
    let expected = read.entries();
    file.entries.len() == expected.len()
        && file.entries.iter().zip(expected).all(|(have, want)| {
            (have.base, have.position, have.max_timestamp)
                == (want.base.get(), want.position, want.max_timestamp)
        })
}
