//! A core that stands still.
//!
//! Owns: a machine that keeps its core until it is told to go on.
//! Never: measures how long it took to find out.
//! Invariants: every wait has a limit.
//! Source: ADR-0011 decision 4.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker::{ControlPort, CoreMessage, Input, Output, Proposal};
use crossbeam_channel::Receiver;
use model::fatal::{Fatal, Reason};
use model::ids::{MetaIndex, ShardId};
use model::time::{Instant, Now};
use shards::{CoreConfig, Listeners, Running, StartConfig};
use storage::StallLimits;

use crate::echo::EchoSession;
use crate::rig::PATIENCE;

/// Stands still at every delta until it gets a permission to go on.
struct StandingMachine {
    permissions: Receiver<()>,
    outputs: VecDeque<Output>,
}

impl shards::Machine for StandingMachine {
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

/// Two cores, each with its permissions; what ends the process goes to the receiver.
fn start(
    permissions: Vec<Receiver<()>>,
    data_dir: &Path,
    fence: Duration,
) -> (Running, Receiver<Fatal>) {
    let (sender, fatals) = crossbeam_channel::unbounded();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listeners = Listeners::bind(any, permissions.len()).unwrap();
    let core = |permissions| CoreConfig {
        birth: Box::new(move |_: shards::Birth<'_>| {
            Ok(StandingMachine {
                permissions,
                outputs: VecDeque::new(),
            })
        }),
        control: Box::new(Unused) as Box<dyn ControlPort>,
        cpu: None,
    };
    let running = shards::start(StartConfig {
        cores: permissions.into_iter().map(core).collect(),
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
        directory.path(),
        Duration::from_millis(600),
    );
    let ports = running.core_ports();
    ports[1].deliver(CoreMessage::Delta {
        index: MetaIndex::new(1),
        image: Arc::default(),
        changes: Arc::default(),
    });
    let fatal = fatals.recv_timeout(PATIENCE).unwrap();
    assert_eq!(fatal.reason, Reason::CoreStuck);
    let stuck = format!("core {} has not come back", ShardId::new(1));
    assert!(fatal.detail.starts_with(&stuck), "{fatal}");
    permit.send(()).unwrap();
    drop(ports);
    stop(running);
}
