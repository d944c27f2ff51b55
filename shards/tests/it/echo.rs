//! A protocol and a machine that echo, for tests of the shell.
//!
//! Owns: frames `[length u32][shard u8][operation u8][payload]`, answered in request order by
//! `[length u32][serving shard u8][payload]`.
//! Never: checks anything; tests do.
//! Invariants: `SERVE` is answered by the shard named, `STORE` after a durable write and a read back,
//! `PARK` never.
//! Source: api/src/session.rs.

use std::collections::VecDeque;

use api::group::GroupListing;
use api::{
    ChunkSink, Command, CommandSink, ConnectionContext, Origin, Reply, Session, SessionError,
    Ticket, TransmitStatus,
};
use broker::{CoreMessage, Input, Output};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use model::fatal::{Fatal, Reason};
use model::ids::ShardId;
use model::time::{Instant, Now};
use storage::{FileKey, FileOp, Io, IoId, IoOutcome};

pub(crate) const SERVE: u8 = 0;
pub(crate) const STORE: u8 = 1;
pub(crate) const PARK: u8 = 2;

const FRAME_MAX: usize = 64 << 20;
const FULL: usize = 100;
const HEADER: usize = 6;

pub(crate) fn frame(shard: u8, operation: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + payload.len());
    out.put_u32(u32::try_from(payload.len() + 2).unwrap());
    out.put_u8(shard);
    out.put_u8(operation);
    out.extend_from_slice(payload);
    out
}

struct Pending {
    ticket: Ticket,
    payload: Bytes,
    served_by: Option<u8>,
}

pub(crate) struct EchoSession {
    pending: VecDeque<Pending>,
    next: u64,
    in_flight: usize,
}

impl EchoSession {
    pub(crate) fn boxed(_context: ConnectionContext, _now: Now) -> Box<dyn Session> {
        Box::new(Self {
            pending: VecDeque::new(),
            next: 0,
            in_flight: 0,
        })
    }

    fn take(&mut self, mut frame: BytesMut, out: &mut CommandSink) -> Result<(), SessionError> {
        frame.advance(4);
        let shard = frame.get_u8();
        let operation = frame.get_u8();
        let payload = frame.freeze();
        let ticket = Ticket(self.next);
        self.next += 1;
        self.in_flight += payload.len() + HEADER;
        let text = || String::from_utf8_lossy(&payload).into_owned();
        match operation {
            SERVE => {
                out.push(
                    ticket,
                    Command::ListGroups {
                        shard: ShardId::new(u16::from(shard)),
                    },
                );
            }
            STORE => out.push(ticket, Command::DescribeGroup { group: text() }),
            PARK => out.push(ticket, Command::DeleteGroup { group: text() }),
            other => return Err(SessionError::Protocol(format!("operation {other}"))),
        }
        self.pending.push_back(Pending {
            ticket,
            payload,
            served_by: None,
        });
        Ok(())
    }
}

impl Session for EchoSession {
    fn handle_bytes(
        &mut self,
        _now: Now,
        received: &mut BytesMut,
        out: &mut CommandSink,
    ) -> Result<(), SessionError> {
        while !self.is_full() {
            match self.frame_bytes(received)? {
                Some(total) if received.len() >= total => {
                    let frame = received.split_to(total);
                    self.take(frame, out)?;
                }
                Some(_) | None => return Ok(()),
            }
        }
        Ok(())
    }

    fn handle_reply(
        &mut self,
        _now: Now,
        ticket: Ticket,
        reply: Reply,
        _out: &mut CommandSink,
    ) -> Result<(), SessionError> {
        let served_by = match reply {
            Reply::Groups(Ok(groups)) => groups[0].group.parse().unwrap(),
            _ => u8::MAX,
        };
        let pending = self
            .pending
            .iter_mut()
            .find(|pending| pending.ticket == ticket)
            .unwrap();
        pending.served_by = Some(served_by);
        Ok(())
    }

    fn handle_timeout(&mut self, _now: Now, _out: &mut CommandSink) -> Result<(), SessionError> {
        Ok(())
    }

    fn poll_transmit(&mut self, out: &mut ChunkSink, budget: usize) -> TransmitStatus {
        while let Some(served_by) = self.pending.front().and_then(|front| front.served_by) {
            if out.bytes() >= budget {
                return TransmitStatus::More;
            }
            let Some(done) = self.pending.pop_front() else {
                break;
            };
            let mut header = BytesMut::new();
            header.put_u32(u32::try_from(done.payload.len() + 1).unwrap());
            header.put_u8(served_by);
            self.in_flight -= done.payload.len() + HEADER;
            out.push(header.freeze());
            out.push(done.payload);
        }
        TransmitStatus::Idle
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn frame_bytes(&self, received: &[u8]) -> Result<Option<usize>, SessionError> {
        let Some(prefix) = received.first_chunk::<4>() else {
            return Ok(None);
        };
        let total = 4 + u32::from_be_bytes(*prefix) as usize;
        if !(HEADER..=FRAME_MAX).contains(&total) {
            return Err(SessionError::FrameTooLarge {
                bytes: total as u64,
                limit: FRAME_MAX as u64,
            });
        }
        Ok(Some(total))
    }

    fn is_full(&self) -> bool {
        self.pending.len() >= FULL
    }

    fn bytes_in_flight(&self) -> usize {
        self.in_flight
    }
}

const FILE: FileKey = FileKey(7);
const FILE_BYTES: u64 = 8 << 20;

enum Step {
    Write,
    Read,
}

pub(crate) struct EchoMachine {
    shard: ShardId,
    outputs: VecDeque<Output>,
    jobs: Vec<(IoId, Step, Origin, Bytes)>,
    held: Vec<(Origin, Bytes)>,
    is_open: bool,
    position: u64,
    next: u64,
}

impl EchoMachine {
    pub(crate) fn new(shard: ShardId) -> Self {
        let path = format!("core-{shard}/deep/echo.bin");
        let create = FileOp::Create {
            file: FILE,
            path,
            len: FILE_BYTES,
            head: Bytes::new(),
        };
        let outputs = VecDeque::from([Output::Io(Io::File {
            id: IoId(0),
            op: create,
        })]);
        Self {
            shard,
            outputs,
            jobs: Vec::new(),
            held: Vec::new(),
            is_open: false,
            position: 0,
            next: 1,
        }
    }

    fn command(&mut self, origin: Origin, command: Command) {
        match command {
            Command::ListGroups { .. } => {
                let listing = GroupListing {
                    group: self.shard.to_string(),
                    protocol_type: String::new(),
                    state: api::group::GroupState::Empty,
                };
                let reply = Reply::Groups(Ok(vec![listing]));
                self.outputs.push_back(Output::Reply { origin, reply });
            }
            Command::DescribeGroup { group } if self.is_open => self.store(origin, group.into()),
            Command::DescribeGroup { group } => self.held.push((origin, group.into())),
            Command::DeleteGroup { .. } => {}
            other => panic!("unexpected {other:?}"),
        }
    }

    fn store(&mut self, origin: Origin, data: Bytes) {
        let len = u32::try_from(data.len().next_multiple_of(4096).max(4096)).unwrap();
        let id = IoId(self.next);
        self.next += 1;
        let middle = data.len() / 2;
        let pieces = vec![data.slice(..middle), data.slice(middle..)];
        let write = Io::Write {
            id,
            file: FILE,
            position: self.position,
            pieces: pieces.into(),
            len,
        };
        self.outputs.push_back(Output::Io(write));
        self.jobs.push((id, Step::Write, origin, data));
        self.position = (self.position + u64::from(len)) % (FILE_BYTES / 2);
    }

    fn io(&mut self, id: IoId, outcome: IoOutcome) -> Result<(), Fatal> {
        let fail = |what: String| Err(Fatal::new(Reason::DiskWriteFailed, what));
        if id == IoId(0) {
            let IoOutcome::Done { len: FILE_BYTES } = outcome else {
                return fail(format!("create: {outcome:?}"));
            };
            self.is_open = true;
            for (origin, data) in std::mem::take(&mut self.held) {
                self.store(origin, data);
            }
            return Ok(());
        }
        let index = self.jobs.iter().position(|(job, ..)| *job == id).unwrap();
        let (_, step, origin, data) = self.jobs.swap_remove(index);
        match (step, outcome) {
            (Step::Write, IoOutcome::Written) => {
                let id = IoId(self.next);
                self.next += 1;
                // Past the end on purpose: a read is short only there.
                let read = Io::Read {
                    id,
                    file: FILE,
                    position: FILE_BYTES - 4096,
                    len: 65536,
                };
                self.outputs.push_back(Output::Io(read));
                self.jobs.push((id, Step::Read, origin, data));
                Ok(())
            }
            (Step::Read, IoOutcome::Bytes(bytes)) => {
                assert_eq!(&bytes[..], &[0; 4096][..], "a read at the end is short");
                let reply = Reply::GroupDeleted(Ok(()));
                self.outputs.push_back(Output::Reply { origin, reply });
                Ok(())
            }
            (_, outcome) => fail(format!("{outcome:?}")),
        }
    }
}

impl shards::Machine for EchoMachine {
    fn handle(&mut self, _now: Now, input: Input) -> Result<(), Fatal> {
        match input {
            Input::Command { origin, command } => self.command(origin, command),
            Input::Io { id, outcome } => return self.io(id, outcome),
            Input::Control(CoreMessage::Delta { index, .. }) => {
                self.outputs.push_back(Output::Applied(index));
            }
            Input::Control(CoreMessage::Shutdown) => self.outputs.push_back(Output::Stopped),
            Input::Control(CoreMessage::Proposed { .. }) | Input::Timeout | Input::RoundEnd => {}
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
