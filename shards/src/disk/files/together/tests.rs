//! Tests of many files at once, without the thread.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use storage::{FileKey, FileOp, IoError, IoId, IoOutcome};

use super::{Filler, Helper, TOGETHER_MIN, is_flushed_whole};
use crate::disk::files::{FileRequest, Target};
use crate::mailbox::{Letter, mailbox};
use crate::waker::Waker;

/// Has `count` files made in `root` and gives the outcomes.
fn make(root: &Path, whole: Option<std::fs::File>, count: usize) -> Vec<IoOutcome> {
    let (reply, mailbox) = mailbox(Arc::new(Waker::new().unwrap()));
    let requests = (0..count as u64).map(|number| FileRequest {
        id: IoId(number),
        op: FileOp::Create {
            file: FileKey(number),
            path: format!("p/{number}.seg"),
            len: 4_096,
            head: Bytes::new(),
        },
        target: Target::Path,
        reply: reply.clone(),
    });
    let root = root.to_owned();
    let filler = Filler::default();
    Helper {
        root,
        whole,
        filler,
    }
    .carry_out_all(requests.collect());
    let letters = std::iter::from_fn(|| mailbox.try_receive());
    let outcomes = letters.map(|letter| match letter {
        Letter::File(done) => done.outcome,
        other => panic!("{other:?}"),
    });
    outcomes.collect()
}

fn files(root: &Path) -> usize {
    std::fs::read_dir(root.join("p")).unwrap().count()
}

/// A descriptor that cannot be flushed.
fn unflushable(root: &Path) -> std::fs::File {
    let mut options = std::fs::File::options();
    options
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(root)
        .unwrap()
}

#[test]
fn a_flush_that_fails_fails_every_file_of_its_batch_and_leaves_none() {
    let root = tempfile::tempdir().unwrap();
    let outcomes = make(root.path(), Some(unflushable(root.path())), TOGETHER_MIN);
    assert_eq!(outcomes.len(), TOGETHER_MIN);
    let is_failed = |outcome: &IoOutcome| matches!(outcome, IoOutcome::Failed(IoError::Device(_)));
    assert!(outcomes.iter().all(is_failed), "{outcomes:?}");
    assert_eq!(files(root.path()), 0);
}

#[test]
fn few_files_are_flushed_each_by_itself() {
    let root = tempfile::tempdir().unwrap();
    let count = TOGETHER_MIN - 1;
    let outcomes = make(root.path(), Some(unflushable(root.path())), count);
    let is_done = |outcome: &IoOutcome| matches!(outcome, IoOutcome::Done { len: 4_096 });
    assert!(outcomes.iter().all(is_done), "{outcomes:?}");
    assert_eq!(files(root.path()), count);
}

#[test]
fn file_systems_that_may_not_flush_everything_are_not_asked_to() {
    assert!(!is_flushed_whole(&std::fs::File::open("/proc").unwrap()));
    let root = tempfile::tempdir().unwrap();
    let outcomes = make(root.path(), None, 2 * TOGETHER_MIN);
    let is_done = |outcome: &IoOutcome| matches!(outcome, IoOutcome::Done { len: 4_096 });
    assert!(outcomes.iter().all(is_done), "{outcomes:?}");
}
