//! Tests of the file helper and of how its outcomes reach the store.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use model::time::Instant;
use storage::{FileKey, FileOp, Io, IoError, IoId, IoOutcome};

use super::files::FileThread;
use super::{DirectDisk, io_error};
use crate::mailbox::{Letter, Mailbox, mailbox};
use crate::ring::{Completed, Ring};
use crate::waker::Waker;

struct Desk {
    directory: tempfile::TempDir,
    disk: DirectDisk,
    mailbox: Mailbox,
    ring: Ring,
}

impl Desk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (helper, _thread) = FileThread::start(directory.path().to_owned()).unwrap();
        let (slot, mailbox) = mailbox(Arc::new(Waker::new().unwrap()));
        let disk = DirectDisk::new(helper, slot);
        Self {
            directory,
            disk,
            mailbox,
            ring: Ring::new().unwrap(),
        }
    }

    fn start(&mut self, io: Io) {
        self.disk.start(io, Instant::ZERO, &mut self.ring).unwrap();
    }

    fn file(&mut self, op: FileOp) -> IoOutcome {
        self.start(Io::File { id: IoId(9), op });
        loop {
            if let Some((id, outcome)) = self.disk.poll_ready() {
                assert_eq!(id, IoId(9));
                return outcome;
            }
            if let Some(Letter::File(done)) = self.mailbox.try_receive() {
                return self.disk.file_done(*done).1;
            }
            std::thread::yield_now();
        }
    }

    fn ring(&mut self, io: Io) -> IoOutcome {
        self.start(io);
        loop {
            if let Some((_, outcome)) = self.disk.poll_ready() {
                return outcome;
            }
            match self.ring.complete() {
                None => self.ring.wait(None).unwrap(),
                Some(Completed::Written {
                    id,
                    buffer,
                    len,
                    started,
                    result,
                }) => {
                    let write = super::Written {
                        id,
                        buffer,
                        len,
                        started,
                    };
                    return self
                        .disk
                        .written(write, result, Instant::from_nanos(70_000))
                        .1;
                }
                Some(Completed::Read { read, result }) => {
                    if let Some((_, outcome)) =
                        self.disk.read(read, result, &mut self.ring).unwrap()
                    {
                        return outcome;
                    }
                }
                Some(other) => panic!("{other:?}"),
            }
        }
    }
}

fn create(path: &str, len: u64) -> FileOp {
    FileOp::Create {
        file: FileKey(1),
        path: path.to_owned(),
        len,
        head: Bytes::new(),
    }
}

fn read(position: u64, len: u32) -> Io {
    Io::Read {
        id: IoId(1),
        file: FileKey(1),
        position,
        len,
    }
}

#[test]
fn a_created_file_is_full_of_zeros_and_open() {
    let mut desk = Desk::new();
    let created = desk.file(create("p/topic/0/a.seg", 3 << 20));
    assert!(matches!(created, IoOutcome::Done { len: 0x0030_0000 }));
    let IoOutcome::Bytes(bytes) = desk.ring(read(2 << 20, 2 << 20)) else {
        panic!("no bytes")
    };
    assert_eq!(bytes.len(), 1 << 20, "short only at the end of the file");
    assert!(bytes.iter().all(|byte| *byte == 0));
    let again = desk.file(FileOp::Create {
        file: FileKey(2),
        path: "p/topic/0/a.seg".to_owned(),
        len: 4096,
        head: Bytes::new(),
    });
    assert!(matches!(
        again,
        IoOutcome::Failed(IoError::Device(libc::EEXIST))
    ));
}

#[test]
fn pieces_are_written_back_to_back_and_padded() {
    let mut desk = Desk::new();
    desk.file(create("file", 16384));
    let pieces = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
    let write = Io::Write {
        id: IoId(1),
        file: FileKey(1),
        position: 8192,
        pieces: pieces.into(),
        len: 4096,
    };
    assert!(matches!(desk.ring(write), IoOutcome::Written));
    let mut found = [1; 4096];
    let file = std::fs::File::open(desk.directory.path().join("file")).unwrap();
    file.read_exact_at(&mut found, 8192).unwrap();
    assert_eq!(&found[..7], b"onetwo\0");
    assert!(found[6..].iter().all(|byte| *byte == 0));
}

#[test]
fn the_usual_write_time_is_learnt() {
    let mut desk = Desk::new();
    desk.file(create("file", 4096));
    assert_eq!(desk.disk.poll_bound(), None);
    for _ in 0..2 {
        let write = Io::Write {
            id: IoId(1),
            file: FileKey(1),
            position: 0,
            pieces: vec![].into(),
            len: 4096,
        };
        desk.ring(write);
    }
    desk.disk.writes_out = 1;
    assert_eq!(
        desk.disk.poll_bound().map(|bound| bound.as_nanos()),
        Some(70_000)
    );
}

#[test]
fn an_unknown_file_fails_without_a_system_call() {
    let mut desk = Desk::new();
    assert!(matches!(
        desk.ring(read(0, 4096)),
        IoOutcome::Failed(IoError::NotFound)
    ));
    let extend = desk.file(FileOp::Extend {
        file: FileKey(1),
        len: 4096,
    });
    assert!(matches!(extend, IoOutcome::Failed(IoError::NotFound)));
    let open = desk.file(FileOp::Open {
        file: FileKey(1),
        path: "missing".to_owned(),
    });
    assert!(matches!(open, IoOutcome::Failed(IoError::NotFound)));
}

#[test]
fn a_file_is_extended_closed_opened_and_removed() {
    let mut desk = Desk::new();
    desk.file(create("dir/file", 4096));
    let extended = desk.file(FileOp::Extend {
        file: FileKey(1),
        len: 12288,
    });
    assert!(matches!(extended, IoOutcome::Done { len: 12288 }));
    desk.file(FileOp::Close { file: FileKey(1) });
    assert!(matches!(
        desk.ring(read(0, 4096)),
        IoOutcome::Failed(IoError::NotFound)
    ));
    let opened = desk.file(FileOp::Open {
        file: FileKey(1),
        path: "dir/file".to_owned(),
    });
    assert!(matches!(opened, IoOutcome::Done { len: 12288 }));
    for _ in 0..2 {
        let removed = desk.file(FileOp::Remove {
            path: "dir/file".to_owned(),
        });
        assert!(matches!(removed, IoOutcome::Done { .. }));
    }
    assert!(
        !desk.directory.path().join("dir").exists(),
        "an empty directory goes too"
    );
    assert!(
        matches!(desk.ring(read(8192, 4096)), IoOutcome::Bytes(_)),
        "an open file stays readable"
    );
}

#[test]
fn derived_files_are_replaced_and_loaded_whole() {
    let mut desk = Desk::new();
    for contents in ["first", "second one"] {
        let replaced = desk.file(FileOp::Replace {
            path: "x/derived".to_owned(),
            contents: contents.into(),
        });
        assert!(matches!(replaced, IoOutcome::Done { .. }));
    }
    let load = |len_max| FileOp::Load {
        path: "x/derived".to_owned(),
        len_max,
    };
    let IoOutcome::Bytes(bytes) = desk.file(load(100)) else {
        panic!("no bytes")
    };
    assert_eq!(&bytes[..], b"second one");
    assert!(matches!(
        desk.file(load(9)),
        IoOutcome::Failed(IoError::Device(libc::EFBIG))
    ));
}

#[test]
fn paths_stay_inside_the_directory() {
    let mut desk = Desk::new();
    for path in ["", "/etc/passwd", "../x", "a/../../x", "."] {
        let outcome = desk.file(FileOp::Load {
            path: path.to_owned(),
            len_max: 1,
        });
        assert!(
            matches!(outcome, IoOutcome::Failed(IoError::Device(libc::EINVAL))),
            "{path}"
        );
    }
}

#[test]
fn space_is_reported() {
    let mut desk = Desk::new();
    let IoOutcome::Space { free, total } = desk.file(FileOp::Space) else {
        panic!("no space")
    };
    assert!(0 < free);
    assert!(free <= total);
}

#[test]
fn errors_keep_their_meaning() {
    assert_eq!(io_error(libc::ENOSPC), IoError::NoSpace);
    assert_eq!(io_error(libc::EDQUOT), IoError::NoSpace);
    assert_eq!(io_error(libc::ENOENT), IoError::NotFound);
    assert_eq!(io_error(libc::EIO), IoError::Device(libc::EIO));
}

/// Starts so many requests before the helper answers the first, and collects their answers in order.
fn all(desk: &mut Desk, ops: Vec<FileOp>) -> Vec<IoOutcome> {
    let count = ops.len();
    for (number, op) in ops.into_iter().enumerate() {
        let id = IoId(number as u64);
        desk.start(Io::File { id, op });
    }
    let mut outcomes = Vec::new();
    while outcomes.len() < count {
        match desk.mailbox.try_receive() {
            Some(Letter::File(done)) => {
                let (id, outcome) = desk.disk.file_done(*done);
                assert_eq!(id, IoId(outcomes.len() as u64), "in order of arrival");
                outcomes.push(outcome);
            }
            _ => std::thread::yield_now(),
        }
    }
    outcomes
}

fn create_numbered(number: u64, path: String) -> FileOp {
    let (file, len) = (FileKey(number), 8_192);
    FileOp::Create {
        file,
        path,
        len,
        head: numbered_head(number),
    }
}

fn numbered_head(number: u64) -> Bytes {
    let byte = u8::try_from(number % 251).unwrap() + 1;
    Bytes::from(vec![byte; 4_096])
}

/// What a file with this number holds.
fn numbered(number: u64, len: usize) -> Vec<u8> {
    let mut contents = numbered_head(number).to_vec();
    contents.resize(len, 0);
    contents
}

#[test]
fn many_new_files_are_all_there_and_open_and_one_that_fails_fails_alone() {
    let mut desk = Desk::new();
    let taken = desk.directory.path().join("p/7");
    std::fs::create_dir_all(&taken).unwrap();
    std::fs::write(taken.join("new.seg"), b"somebody's").unwrap();
    let ops = (0..300).map(|number| create_numbered(number, format!("p/{number}/new.seg")));
    let outcomes = all(&mut desk, ops.collect());
    for (number, outcome) in outcomes.into_iter().enumerate() {
        let path = desk.directory.path().join(format!("p/{number}/new.seg"));
        if number == 7 {
            assert!(matches!(outcome, IoOutcome::Failed(_)), "{outcome:?}");
            assert_eq!(std::fs::read(path).unwrap(), b"somebody's");
            continue;
        }
        assert!(matches!(outcome, IoOutcome::Done { len: 8_192 }));
        assert!(std::fs::read(path).unwrap() == numbered(number as u64, 8_192));
    }
}

#[test]
fn files_that_grow_are_not_overtaken_by_what_is_asked_after_them() {
    let mut desk = Desk::new();
    let mut ops = Vec::new();
    for number in 0..40 {
        let path = format!("p/{number}.seg");
        ops.push(create_numbered(number, path.clone()));
        if number % 20 == 19 {
            ops.push(FileOp::Remove { path });
        }
    }
    let outcomes = all(&mut desk, ops);
    let is_done = |outcome: &IoOutcome| matches!(outcome, IoOutcome::Done { .. });
    assert!(outcomes.iter().all(is_done), "{outcomes:?}");
    let left = std::fs::read_dir(desk.directory.path().join("p")).unwrap();
    assert_eq!(left.count(), 38);
    let files = (0..38).filter(|number| number % 20 != 19);
    let grow = files.map(|number| FileOp::Extend {
        file: FileKey(number),
        len: 16_384,
    });
    let outcomes = all(&mut desk, grow.collect());
    let is_long = |outcome: &IoOutcome| matches!(outcome, IoOutcome::Done { len: 16_384 });
    assert!(outcomes.iter().all(is_long), "{outcomes:?}");
    let grown = std::fs::read(desk.directory.path().join("p/0.seg")).unwrap();
    assert!(grown == numbered(0, 16_384));
}
