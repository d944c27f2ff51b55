//! Tests of one connection in virtual time, over a socket pair.

use std::cell::RefCell;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use api::{ChunkSink, CommandSink, Reply, Session, SessionError, Ticket, TransmitStatus};
use broker::admission::Admission;
use bytes::{Bytes, BytesMut};
use model::ids::ConnectionId;
use model::time::{Instant, Now};

use super::{Connection, Ending, Memory, Next};
use crate::net::Turn;
use crate::ring::{Completed, Ring};

/// What the session does next.
#[derive(Default)]
struct Script {
    frame: Option<usize>,
    in_flight: usize,
    output: Option<Bytes>,
    timeout: Option<Instant>,
    is_full: bool,
    fails: bool,
    fed: usize,
    timeouts: usize,
}

struct Scripted(Rc<RefCell<Script>>);

impl Session for Scripted {
    fn handle_bytes(
        &mut self,
        _now: Now,
        received: &mut BytesMut,
        _out: &mut CommandSink,
    ) -> Result<(), SessionError> {
        let mut script = self.0.borrow_mut();
        if script.frame.is_none_or(|frame| received.len() >= frame) {
            script.fed += received.len();
            received.clear();
            script.frame = None;
        }
        if script.fails {
            Err(SessionError::Protocol("asked to".to_owned()))
        } else {
            Ok(())
        }
    }

    fn handle_reply(
        &mut self,
        _now: Now,
        _ticket: Ticket,
        _reply: Reply,
        _out: &mut CommandSink,
    ) -> Result<(), SessionError> {
        Ok(())
    }

    fn handle_timeout(&mut self, _now: Now, _out: &mut CommandSink) -> Result<(), SessionError> {
        let mut script = self.0.borrow_mut();
        script.timeouts += 1;
        script.timeout = None;
        Ok(())
    }

    fn poll_transmit(&mut self, out: &mut ChunkSink, _budget: usize) -> TransmitStatus {
        if let Some(chunk) = self.0.borrow_mut().output.take() {
            out.push(chunk);
        }
        TransmitStatus::Idle
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.0.borrow().timeout
    }

    fn frame_bytes(&self, _received: &[u8]) -> Result<Option<usize>, SessionError> {
        Ok(self.0.borrow().frame)
    }

    fn is_full(&self) -> bool {
        self.0.borrow().is_full
    }

    fn bytes_in_flight(&self) -> usize {
        self.0.borrow().in_flight
    }
}

struct Stage {
    connection: Connection,
    script: Rc<RefCell<Script>>,
    client: UnixStream,
    memory: Admission,
    ring: Ring,
    commands: CommandSink,
    now: Instant,
}

impl Stage {
    fn new(memory: usize) -> Self {
        let (server, client) = UnixStream::pair().unwrap();
        let script = Rc::new(RefCell::new(Script::default()));
        let connection = Connection::new(
            ConnectionId::new(1),
            TcpStream::from(OwnedFd::from(server)),
            SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            Box::new(Scripted(Rc::clone(&script))),
            Instant::ZERO,
        );
        Self {
            connection,
            script,
            client,
            memory: Admission::new(memory),
            ring: Ring::new().unwrap(),
            commands: CommandSink::default(),
            now: Instant::ZERO,
        }
    }

    fn serve(&mut self) -> Result<Next, Ending> {
        let served = self
            .connection
            .serve(self.now, &mut self.memory, &mut self.ring)
            .unwrap();
        self.ring.submit().unwrap();
        served
    }

    fn wait_for(&mut self, seconds: u64) -> Result<(), Ending> {
        self.now = self.now.after(Duration::from_secs(seconds));
        let now = Now {
            instant: self.now,
            ..Now::default()
        };
        let mut turn = Turn {
            now,
            commands: &mut self.commands,
        };
        self.connection.handle_timeout(&mut turn)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).unwrap();
        let (buffer, result) = loop {
            match self.ring.complete() {
                Some(Completed::Received { buffer, result, .. }) => break (buffer, result),
                Some(other) => panic!("{other:?}"),
                None => self.ring.wait(None).unwrap(),
            }
        };
        let now = Now {
            instant: self.now,
            ..Now::default()
        };
        let mut turn = Turn {
            now,
            commands: &mut self.commands,
        };
        self.connection.received(buffer, result, &mut turn).unwrap();
    }
}

const LARGE: usize = 1 << 20;

#[test]
fn a_connection_without_requests_is_closed_after_ten_minutes() {
    let mut stage = Stage::new(LARGE);
    stage.serve().unwrap();
    stage.wait_for(599).unwrap();
    stage.send(b"request");
    stage.wait_for(599).unwrap();
    assert!(matches!(stage.wait_for(1), Err(Ending::Idle)));
}

#[test]
fn a_connection_with_an_unanswered_request_is_not_idle() {
    let mut stage = Stage::new(LARGE);
    stage.script.borrow_mut().in_flight = 10;
    stage.serve().unwrap();
    stage.wait_for(5_000).unwrap();
}

#[test]
fn a_client_that_does_not_read_is_closed_after_thirty_seconds() {
    let mut stage = Stage::new(LARGE);
    stage.script.borrow_mut().output = Some(Bytes::from(vec![0; 64 << 20]));
    stage.serve().unwrap();
    let Some(Completed::Sent {
        message, result, ..
    }) = stage.ring.complete()
    else {
        panic!("the socket buffer takes some")
    };
    stage.now = stage.now.after(Duration::from_secs(20));
    stage.connection.sent(message, result, stage.now).unwrap();
    stage.serve().unwrap();
    stage.wait_for(29).unwrap();
    assert!(matches!(stage.wait_for(1), Err(Ending::Stalled)));
}

#[test]
fn a_large_frame_waits_for_memory_before_it_is_read() {
    let mut stage = Stage::new(LARGE);
    assert!(stage.memory.try_reserve(LARGE / 2));
    stage.serve().unwrap();
    stage.script.borrow_mut().frame = Some(LARGE);
    stage.send(b"head");
    let next = stage.serve().unwrap();
    assert_eq!(next.memory, Memory::Short);
    stage.wait_for(500).unwrap();
    assert_eq!(stage.connection.reserved(), 0);
    stage.memory.release(LARGE / 2);
    let next = stage.serve().unwrap();
    assert_eq!(next.memory, Memory::Enough);
    assert_eq!(stage.memory.used(), LARGE);
    stage.wait_for(29).unwrap();
    assert!(
        matches!(stage.wait_for(1), Err(Ending::Stalled)),
        "its memory is for progress"
    );
}

#[test]
fn memory_is_kept_until_the_request_is_answered() {
    let mut stage = Stage::new(LARGE);
    stage.serve().unwrap();
    stage.script.borrow_mut().frame = Some(100_000);
    stage.send(&[1; 1000]);
    stage.serve().unwrap();
    assert_eq!(stage.memory.used(), 100_000);
    stage.script.borrow_mut().in_flight = 100_000;
    stage.send(&[1; 99_000]);
    stage.serve().unwrap();
    assert_eq!(stage.script.borrow().fed, 100_000);
    assert_eq!(stage.memory.used(), 100_000);
    stage.script.borrow_mut().in_flight = 0;
    stage.serve().unwrap();
    assert_eq!(stage.memory.used(), 0);
}

#[test]
fn a_full_session_is_not_read_and_is_fed_when_it_has_room() {
    let mut stage = Stage::new(LARGE);
    stage.serve().unwrap();
    stage.script.borrow_mut().is_full = true;
    stage.send(b"early");
    let next = stage.serve().unwrap();
    assert!(!next.is_hungry);
    assert_eq!(stage.script.borrow().fed, 0);
    stage.script.borrow_mut().is_full = false;
    assert!(stage.serve().unwrap().is_hungry, "sending made room");
    let mut turn = Turn {
        now: Now::default(),
        commands: &mut stage.commands,
    };
    stage.connection.feed_backlog(&mut turn);
    assert_eq!(stage.script.borrow().fed, 5);
}

#[test]
fn a_session_error_ends_the_connection_after_its_output() {
    let mut stage = Stage::new(LARGE);
    stage.serve().unwrap();
    stage.script.borrow_mut().fails = true;
    stage.script.borrow_mut().output = Some(Bytes::from_static(b"last words"));
    stage.send(b"nonsense");
    stage.serve().unwrap();
    let Some(Completed::Sent {
        message, result, ..
    }) = stage.ring.complete()
    else {
        panic!("nothing sent")
    };
    assert_eq!(result, Ok(10));
    stage.connection.sent(message, result, stage.now).unwrap();
    let ending = stage.serve().unwrap_err();
    assert_eq!(
        ending.reason().as_deref(),
        Some("protocol violation: asked to")
    );
}

#[test]
fn a_session_timer_is_armed_once_and_fires() {
    let mut stage = Stage::new(LARGE);
    let at = Instant::ZERO.after(Duration::from_secs(3));
    stage.script.borrow_mut().timeout = Some(at);
    let [session, inspect] = stage.serve().unwrap().timers;
    assert_eq!(session, Some(at));
    assert!(inspect.is_some());
    assert_eq!(stage.serve().unwrap().timers, [None, None]);
    assert!(stage.connection.disarm(at));
    assert!(!stage.connection.disarm(at), "a stale entry does not count");
    stage.wait_for(3).unwrap();
    assert_eq!(stage.script.borrow().timeouts, 1);
}
