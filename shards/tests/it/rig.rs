//! Starts echo cores and talks to them.
//!
//! Owns: the data directory and the running cores of one test.
//! Never: leaves a thread behind.
//! Invariants: every client operation has a time limit.
//! Source: style.md section 7.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use broker::{ControlPort, Proposal};
use crossbeam_channel::{Receiver, Sender};
use model::ids::{MetaIndex, ShardId};
use shards::{CoreConfig, Listeners, Running, StartConfig};
use storage::StallLimits;
use tempfile::TempDir;

use crate::echo::{EchoMachine, EchoSession, frame};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

struct Applied(Sender<(ShardId, MetaIndex)>);

impl ControlPort for Applied {
    fn propose(&self, proposal: Proposal) -> Result<(), Box<Proposal>> {
        Err(Box::new(proposal))
    }

    fn applied(&self, shard: ShardId, index: MetaIndex) {
        self.0.send((shard, index)).unwrap();
    }
}

pub(crate) struct Rig {
    pub(crate) running: Running,
    pub(crate) applied: Receiver<(ShardId, MetaIndex)>,
    pub(crate) directory: TempDir,
}

impl Rig {
    pub(crate) fn start(cores: usize) -> Self {
        Self::start_with(cores, 64 << 20)
    }

    pub(crate) fn start_with(cores: usize, request_bytes_max: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (sender, applied) = crossbeam_channel::unbounded();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let core = |_| CoreConfig {
            birth: Box::new(|birth: shards::Birth<'_>| Ok(EchoMachine::new(birth.shard))),
            control: Box::new(Applied(sender.clone())) as Box<dyn ControlPort>,
            cpu: None,
        };
        let running = shards::start(StartConfig {
            cores: (0..cores).map(core).collect(),
            listeners: Listeners::bind(any, cores).unwrap(),
            data_dir: directory.path().to_owned(),
            factory: Arc::new(EchoSession::boxed),
            image: Arc::default(),
            busy_poll: Duration::ZERO,
            request_bytes_max,
            stall: StallLimits::default(),
            on_fatal: Arc::new(|fatal| panic!("{fatal}")),
        })
        .unwrap();
        Self {
            running,
            applied,
            directory,
        }
    }

    pub(crate) fn connect(&self) -> Client {
        let socket = TcpStream::connect(self.running.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Client { socket }
    }

    pub(crate) fn stop(self) {
        self.running.begin_stop();
        assert!(self.running.join(PATIENCE), "all cores stop in order");
    }
}

pub(crate) struct Client {
    pub(crate) socket: TcpStream,
}

impl Client {
    pub(crate) fn send(&mut self, shard: u8, operation: u8, payload: &[u8]) {
        self.socket
            .write_all(&frame(shard, operation, payload))
            .unwrap();
    }

    /// (serving shard, payload)
    pub(crate) fn receive(&mut self) -> (u8, Vec<u8>) {
        let mut header = [0; 5];
        self.socket.read_exact(&mut header).unwrap();
        let [a, b, c, d, shard] = header;
        let mut payload = vec![0; u32::from_be_bytes([a, b, c, d]) as usize - 1];
        self.socket.read_exact(&mut payload).unwrap();
        (shard, payload)
    }

    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.socket.read(&mut [0; 1]), Ok(0) | Err(_))
    }
}
