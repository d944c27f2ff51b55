//! Tests of timers, of the rate of log lines, of taken addresses, and of how connections end.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use api::{ChunkSink, Command, CommandSink, Reply, Session, SessionError, Ticket, TransmitStatus};
use bytes::{Bytes, BytesMut};
use model::ids::{ConnectionId, ShardId};
use model::time::{Instant, Now};

use super::listener::probe_patiently;
use super::report::Reporter;
use super::timers::Timers;
use super::{Net, NetConfig, Turn};
use crate::ring::{Completed, Ring};

fn at(seconds: u64) -> Instant {
    Instant::ZERO.after(Duration::from_secs(seconds))
}

#[test]
fn timers_fire_in_order_and_not_before_they_are_due() {
    let mut timers = Timers::default();
    for (seconds, id) in [(3, 30), (1, 10), (2, 20)] {
        timers.arm(at(seconds), ConnectionId::new(id));
    }
    assert_eq!(timers.next(), Some(at(1)));
    assert_eq!(timers.pop_due(at(0)), None);
    assert_eq!(timers.pop_due(at(2)), Some((at(1), ConnectionId::new(10))));
    assert_eq!(timers.pop_due(at(2)), Some((at(2), ConnectionId::new(20))));
    assert_eq!(timers.pop_due(at(2)), None);
}

#[test]
fn log_lines_are_limited_per_second() {
    let mut reporter = Reporter::default();
    let admitted = (0..100).filter(|_| reporter.admit(at(5))).count();
    assert_eq!(admitted, 10);
    assert!(reporter.admit(at(6)), "a new second has new lines");
}

#[test]
fn an_address_that_a_predecessor_still_holds_is_waited_for_and_one_that_stays_taken_is_refused() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let mut pauses = 0;
    let refused = probe_patiently(address, || pauses += 1).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse);
    assert_eq!(pauses, 39);
    let mut holder = Some(holder);
    probe_patiently(address, || holder = None).unwrap();
    assert!(holder.is_none());
}

/// Sends a greeting, takes nothing that begins with `!`, and asks for one thing when its client is gone.
struct Polite(Option<Bytes>);

impl Session for Polite {
    fn handle_bytes(
        &mut self,
        _now: Now,
        received: &mut BytesMut,
        _out: &mut CommandSink,
    ) -> Result<(), SessionError> {
        let is_rude = received.starts_with(b"!");
        received.clear();
        match is_rude {
            true => Err(SessionError::Protocol("rude".to_owned())),
            false => Ok(()),
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
        Ok(())
    }

    fn handle_close(&mut self, _now: Now, out: &mut CommandSink) {
        out.push(
            Ticket(1),
            Command::ListGroups {
                shard: ShardId::new(0),
            },
        );
    }

    fn poll_transmit(&mut self, out: &mut ChunkSink, _budget: usize) -> TransmitStatus {
        out.push(self.0.take().unwrap_or_default());
        TransmitStatus::Idle
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn frame_bytes(&self, _received: &[u8]) -> Result<Option<usize>, SessionError> {
        Ok(None)
    }

    fn is_full(&self) -> bool {
        false
    }

    fn bytes_in_flight(&self) -> usize {
        0
    }
}

/// A network side with one connection, which was greeted.
struct Greeted {
    net: Net,
    ring: Ring,
    client: TcpStream,
    commands: CommandSink,
}

impl Greeted {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let factory =
            |_, _| Box::new(Polite(Some(Bytes::from_static(b"hello")))) as Box<dyn Session>;
        let mut net = Net::new(NetConfig {
            shard: ShardId::new(0),
            shards: 1,
            factory: Arc::new(factory),
            memory_bytes: 1 << 20,
        });
        net.accepted(listener.accept().unwrap().0, Now::default());
        let mut greeted = Self {
            net,
            ring: Ring::new().unwrap(),
            client,
            commands: CommandSink::default(),
        };
        greeted.serve();
        greeted
    }

    fn serve(&mut self) {
        self.net
            .serve_touched(Instant::ZERO, &mut self.ring)
            .unwrap();
        self.ring.submit().unwrap();
    }

    fn next(&mut self) -> Completed {
        loop {
            match self.ring.complete() {
                Some(completed) => return completed,
                None => self.ring.wait(None).unwrap(),
            }
        }
    }

    /// Connections whose sessions were told of their end, each with a command.
    fn told(&mut self) -> Vec<ConnectionId> {
        let mut told = Vec::new();
        let mut turn = Turn {
            now: Now::default(),
            commands: &mut self.commands,
        };
        while let Some(id) = self.net.poll_ended(&mut turn) {
            assert!(matches!(
                turn.commands.pop(),
                Some((_, Command::ListGroups { .. }))
            ));
            assert!(turn.commands.is_empty());
            told.push(id);
        }
        told
    }
}

#[test]
fn a_session_hears_of_the_end_when_a_send_fails() {
    let mut greeted = Greeted::new();
    let Completed::Sent {
        connection,
        message,
        ..
    } = greeted.next()
    else {
        panic!("the greeting is sent first")
    };
    assert_eq!(greeted.told(), []);
    greeted
        .net
        .sent(connection, message, Err(libc::EPIPE), Instant::ZERO);
    assert_eq!(greeted.net.count(), 0);
    assert_eq!(greeted.told(), [connection]);
    assert_eq!(greeted.told(), [], "once");
}

#[test]
fn a_session_hears_of_the_end_that_it_asked_for_itself() {
    let mut greeted = Greeted::new();
    greeted.client.write_all(b"!").unwrap();
    let mut ended = None;
    while ended.is_none() {
        match greeted.next() {
            Completed::Sent {
                connection,
                message,
                result,
            } => greeted.net.sent(connection, message, result, Instant::ZERO),
            Completed::Received {
                connection,
                buffer,
                result,
            } => {
                let mut commands = CommandSink::default();
                let mut turn = Turn {
                    now: Now::default(),
                    commands: &mut commands,
                };
                greeted.net.received(connection, buffer, result, &mut turn);
            }
            other => panic!("{other:?}"),
        }
        greeted.serve();
        ended = greeted.told().pop();
    }
    assert_eq!(greeted.net.count(), 0);
    assert_eq!(greeted.told(), [], "once");
}
