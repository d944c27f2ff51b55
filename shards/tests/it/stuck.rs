//! A core that stands still.
//!
//! Owns: a machine that keeps its core until it is told to go on, and one whose read the kernel keeps.
//! Never: measures how long it took to find out.
//! Invariants: every wait has a limit.
//! Source: ADR-0011 decisions 4 and 5.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use broker::{ControlPort, CoreMessage, Input, Output, Proposal};
use crossbeam_channel::{Receiver, Sender};
use model::fatal::{Fatal, Reason};
use model::ids::{MetaIndex, ShardId};
use model::time::{Instant, Now};
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::pipe::{SpliceFlags, splice};
use shards::{CoreConfig, Listeners, Machine, Running, StartConfig};
use storage::{FileKey, FileOp, Io, IoId, IoOutcome, StallLimits};

use crate::echo::EchoSession;
use crate::rig::PATIENCE;

/// How long a core may stand still here.
const FENCE: Duration = Duration::from_millis(600);

/// Two turns so far apart had nothing but the time to come for: half of how long a core with a read out may wait.
const PAUSE: Duration = Duration::from_millis(250);

/// Stands still at every delta until it gets a permission to go on.
struct StandingMachine {
    permissions: Receiver<()>,
    outputs: VecDeque<Output>,
}

impl StandingMachine {
    fn new(permissions: Receiver<()>) -> Self {
        Self {
            permissions,
            outputs: VecDeque::new(),
        }
    }
}

impl Machine for StandingMachine {
    fn handle(&mut self, _now: Now, input: Input) -> Result<(), Fatal> {
        match input {
            Input::Control(CoreMessage::Delta { index, .. }) => {
                self.permissions.recv_timeout(PATIENCE).unwrap();
                self.outputs.push_back(Output::Applied(index));
            }
            Input::Control(CoreMessage::Shutdown) => self.outputs.push_back(Output::Stopped),
            _ => {}
        }
        Ok(())
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

struct Unused;

impl ControlPort for Unused {
    fn propose(&self, proposal: Proposal) -> Result<(), Box<Proposal>> {
        Err(Box::new(proposal))
    }

    fn applied(&self, _shard: ShardId, _index: MetaIndex) {}
}

/// One core per seed, with the machine that `birth` makes of it; what ends the process goes to the receiver.
fn start<S: Send + 'static, M: Machine + 'static>(
    seeds: Vec<S>,
    birth: fn(S) -> M,
    (data_dir, fence): (&Path, Duration),
) -> (Running, Receiver<Fatal>) {
    let (sender, fatals) = crossbeam_channel::unbounded();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listeners = Listeners::bind(any, seeds.len()).unwrap();
    let core = |seed| CoreConfig {
        birth: Box::new(move |_: shards::Birth<'_>| Ok(birth(seed))),
        control: Box::new(Unused) as Box<dyn ControlPort>,
        cpu: None,
    };
    let running = shards::start(StartConfig {
        cores: seeds.into_iter().map(core).collect(),
        listeners,
        data_dir: data_dir.to_owned(),
        factory: Arc::new(EchoSession::boxed),
        image: Arc::default(),
        busy_poll: Duration::ZERO,
        request_bytes_max: 1 << 20,
        stall: StallLimits {
            unfit: fence,
            fence,
        },
        on_fatal: Arc::new(move |fatal| sender.send(fatal.clone()).unwrap()),
    });
    (running.unwrap(), fatals)
}

/// Hands a delta to one core.
fn deliver(running: &Running, core: usize) {
    running.core_ports()[core].deliver(CoreMessage::Delta {
        index: MetaIndex::new(1),
        image: Arc::default(),
        changes: Arc::default(),
    });
}

fn stop(running: Running) {
    running.begin_stop();
    assert!(running.join(PATIENCE), "all cores stop in order");
}

#[test]
fn a_core_that_stands_still_ends_the_process_although_it_cannot_say_so_itself() {
    let directory = tempfile::tempdir().unwrap();
    let (permit, permissions) = crossbeam_channel::unbounded();
    let (running, fatals) = start(
        vec![crossbeam_channel::never(), permissions],
        StandingMachine::new,
        (directory.path(), FENCE),
    );
    deliver(&running, 1);
    let fatal = fatals.recv_timeout(PATIENCE).unwrap();
    assert_eq!(fatal.reason, Reason::CoreStuck);
    let stuck = format!("core {} has not come back", ShardId::new(1));
    assert!(fatal.detail.starts_with(&stuck), "{fatal}");
    permit.send(()).unwrap();
    stop(running);
}

const PIPE: FileKey = FileKey(7);
const PIPE_NAME: &str = "pipe";
const OPENING: IoId = IoId(0);
const READING: IoId = IoId(1);

/// What a machine with a read out sees.
#[derive(Debug, PartialEq, Eq)]
enum Sight {
    /// The pipe is open.
    Open,
    /// Its core turned at this time, with the read out.
    Turn(Instant),
    /// The read ended with so many bytes.
    End(usize),
}

/// Opens a pipe in the data directory and reads from it at the first delta.
struct ReadingMachine {
    sights: Sender<Sight>,
    outputs: VecDeque<Output>,
    is_reading: bool,
}

impl ReadingMachine {
    fn new(sights: Sender<Sight>) -> Self {
        let op = FileOp::Open {
            file: PIPE,
            path: PIPE_NAME.to_owned(),
        };
        Self {
            sights,
            outputs: VecDeque::from([Output::Io(Io::File { id: OPENING, op })]),
            is_reading: false,
        }
    }

    fn begin_read(&mut self) {
        self.outputs.push_back(Output::Io(Io::Read {
            id: READING,
            file: PIPE,
            position: 0,
            len: 4_096,
        }));
        self.is_reading = true;
    }

    fn io(&mut self, id: IoId, outcome: &IoOutcome) {
        match (id, outcome) {
            (OPENING, IoOutcome::Done { .. }) => self.sights.send(Sight::Open).unwrap(),
            (READING, IoOutcome::Bytes(bytes)) => {
                self.is_reading = false;
                self.sights.send(Sight::End(bytes.len())).unwrap();
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

impl Machine for ReadingMachine {
    fn handle(&mut self, now: Now, input: Input) -> Result<(), Fatal> {
        match input {
            Input::Io { id, outcome } => self.io(id, &outcome),
            Input::RoundEnd if self.is_reading => {
                self.sights.send(Sight::Turn(now.instant)).unwrap();
            }
            Input::Control(CoreMessage::Delta { .. }) => self.begin_read(),
            Input::Control(CoreMessage::Shutdown) => self.outputs.push_back(Output::Stopped),
            _ => {}
        }
        Ok(())
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// A pipe in `directory`, open for writing.
fn make_pipe(directory: &Path) -> File {
    let path = directory.join(PIPE_NAME);
    mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
    // For reading as well: opening it for writing alone would wait for a reader.
    File::options().read(true).write(true).open(path).unwrap()
}

/// The next two turns of a core which lie so far apart that nothing but the time ended the wait between them.
fn await_pause(sights: &Receiver<Sight>) {
    let mut last = None;
    loop {
        let Sight::Turn(now) = sights.recv_timeout(PATIENCE).unwrap() else {
            panic!("the read ended");
        };
        if last.is_some_and(|last| now.since(last) >= PAUSE) {
            return;
        }
        last = Some(now);
    }
}

#[test]
fn a_core_whose_read_takes_long_turns_although_nothing_arrives() {
    let directory = tempfile::tempdir().unwrap();
    let mut pipe = make_pipe(directory.path());
    let (sender, sights) = crossbeam_channel::unbounded();
    let place = (directory.path(), PATIENCE);
    let (running, fatals) = start(vec![sender], ReadingMachine::new, place);
    assert_eq!(sights.recv_timeout(PATIENCE).unwrap(), Sight::Open);
    deliver(&running, 0);
    await_pause(&sights);
    await_pause(&sights);
    pipe.write_all(&[1; 7]).unwrap();
    while sights.recv_timeout(PATIENCE).unwrap() != Sight::End(7) {}
    assert_eq!(fatals.try_recv().ok(), None);
    stop(running);
}

/// Keeps whoever reads from the pipe waiting inside the kernel, also one who asked not to wait: what comes from a
/// silent socket is spliced into the pipe, which is locked meanwhile.
struct Holdup {
    peer: UnixStream,
    thread: JoinHandle<()>,
}

impl Holdup {
    fn begin(pipe: File) -> Self {
        let (silent, peer) = UnixStream::pair().unwrap();
        let (sender, ids) = crossbeam_channel::bounded(1);
        let holding = move || {
            sender.send(rustix::thread::gettid()).unwrap();
            splice(silent, None, pipe, None, 1, SpliceFlags::empty()).unwrap();
        };
        let thread = std::thread::Builder::new().spawn(holding).unwrap();
        let id = ids.recv_timeout(PATIENCE).unwrap();
        let place = format!("/proc/self/task/{}/syscall", id.as_raw_nonzero());
        let waiting = format!("{} ", libc::SYS_splice);
        while !std::fs::read_to_string(&place)
            .unwrap()
            .starts_with(&waiting)
        {
            assert!(!thread.is_finished(), "the splice waits");
            std::thread::yield_now();
        }
        Self { peer, thread }
    }

    fn end(self) {
        drop(self.peer);
        self.thread.join().unwrap();
    }
}

#[test]
fn a_core_that_the_kernel_keeps_while_it_takes_a_read_ends_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let mut pipe = make_pipe(directory.path());
    // There is something to read, so that the ring tries at once.
    pipe.write_all(&[1; 7]).unwrap();
    let (sender, sights) = crossbeam_channel::unbounded();
    let place = (directory.path(), FENCE);
    let (running, fatals) = start(vec![sender], ReadingMachine::new, place);
    assert_eq!(sights.recv_timeout(PATIENCE).unwrap(), Sight::Open);
    let holdup = Holdup::begin(pipe);
    deliver(&running, 0);
    let fatal = fatals.recv_timeout(PATIENCE).unwrap();
    assert_eq!(fatal.reason, Reason::CoreStuck);
    holdup.end();
    while sights.recv_timeout(PATIENCE).unwrap() != Sight::End(7) {}
    stop(running);
}
