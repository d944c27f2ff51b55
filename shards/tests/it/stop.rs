//! Waking, stopping, and failing to start.
//!
//! Owns: the life of the cores' threads.
//! Never: waits without a limit.
//! Invariants: a message to a sleeping core is taken at once.
//! Source: ADR-0009.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use broker::CoreMessage;
use model::ids::{MetaIndex, ShardId};
use shards::Listeners;
use storage::StallLimits;

use crate::echo::{PARK, SERVE};
use crate::rig::{PATIENCE, Rig};

#[test]
fn a_sleeping_core_takes_control_messages() {
    let rig = Rig::start(2);
    for index in 1..=500 {
        for port in rig.running.core_ports() {
            port.deliver(CoreMessage::Delta {
                index: MetaIndex::new(index),
                image: Arc::default(),
                changes: Arc::default(),
            });
        }
        let mut answers: Vec<_> = (0..2)
            .map(|_| rig.applied.recv_timeout(PATIENCE).unwrap())
            .collect();
        answers.sort();
        let index = MetaIndex::new(index);
        assert_eq!(
            answers,
            [(ShardId::new(0), index), (ShardId::new(1), index)]
        );
    }
    rig.stop();
}

#[test]
fn sleeping_cores_wake_each_other() {
    let rig = Rig::start(2);
    let mut client = rig.connect();
    for index in 0..1_000_u32 {
        client.send(u8::from(index % 2 == 0), SERVE, &index.to_be_bytes());
        assert_eq!(client.receive().1, index.to_be_bytes());
    }
    rig.stop();
}

#[test]
fn a_stop_ends_connections_with_unanswered_requests() {
    let rig = Rig::start(2);
    let mut client = rig.connect();
    client.send(0, SERVE, b"answered");
    assert_eq!(client.receive().1, b"answered");
    client.send(0, PARK, b"never");
    rig.stop();
    assert!(client.is_closed());
}

#[test]
fn a_taken_port_is_reported() {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let first = Listeners::bind(any, 2).unwrap();
    assert_ne!(first.address().port(), 0);
    let second = Listeners::bind(first.address(), 2);
    assert!(
        second
            .unwrap_err()
            .to_string()
            .contains("cannot listen on 127.0.0.1")
    );
}

#[test]
fn a_core_that_cannot_be_born_fails_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let refused = shards::start::<crate::echo::EchoMachine>(shards::StartConfig {
        cores: Vec::new(),
        listeners: Listeners::bind(any, 1).unwrap(),
        data_dir: directory.path().to_owned(),
        factory: Arc::new(crate::echo::EchoSession::boxed),
        image: Arc::default(),
        busy_poll: Duration::ZERO,
        request_bytes_max: 1 << 20,
        stall: StallLimits::default(),
        on_fatal: Arc::new(|_| {}),
    });
    assert!(matches!(
        refused,
        Err(shards::StartError::Cores {
            cores: 0,
            sockets: 1
        })
    ));
}
