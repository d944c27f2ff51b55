//! Connections through the pump.
//!
//! Owns: framing, pipelining, routing between cores, memory admission, many connections.
//! Never: depends on which core accepts a connection.
//! Invariants: answers come in request order.
//! Source: architecture.md section 6.

use std::io::Write;

use crate::echo::{PARK, SERVE, frame};
use crate::rig::Rig;

#[test]
fn one_request_is_answered() {
    let rig = Rig::start(1);
    let mut client = rig.connect();
    client.send(0, SERVE, b"hello");
    assert_eq!(client.receive(), (0, b"hello".to_vec()));
    rig.stop();
}

#[test]
fn pipelined_requests_to_both_cores_are_answered_in_order() {
    let rig = Rig::start(2);
    let mut clients = [rig.connect(), rig.connect(), rig.connect(), rig.connect()];
    let mut batch = Vec::new();
    for index in 0..2_000_u32 {
        batch.extend(frame(u8::from(index % 3 == 0), SERVE, &index.to_be_bytes()));
    }
    for client in &mut clients {
        let mut socket = client.socket.try_clone().unwrap();
        let batch = batch.clone();
        let writer = std::thread::Builder::new().spawn(move || socket.write_all(&batch).unwrap());
        for index in 0..2_000_u32 {
            let expected = (u8::from(index % 3 == 0), index.to_be_bytes().to_vec());
            assert_eq!(client.receive(), expected);
        }
        writer.unwrap().join().unwrap();
    }
    rig.stop();
}

#[test]
fn a_frame_may_come_byte_by_byte() {
    let rig = Rig::start(1);
    let mut client = rig.connect();
    for byte in frame(0, SERVE, b"slowly")
        .into_iter()
        .chain(frame(0, SERVE, b"again"))
    {
        client.socket.write_all(&[byte]).unwrap();
    }
    assert_eq!(client.receive().1, b"slowly");
    assert_eq!(client.receive().1, b"again");
    rig.stop();
}

#[test]
fn large_frames_pass_even_when_memory_is_short() {
    // Three frames of 5 MiB compete for a budget of 6 MiB.
    let rig = Rig::start_with(1, 6 << 20);
    let payload: Vec<u8> = (0..5_u32 << 20).map(|index| (index % 251) as u8).collect();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let mut client = rig.connect();
            let payload = payload.clone();
            std::thread::Builder::new()
                .spawn(move || {
                    for _ in 0..3 {
                        client.send(0, SERVE, &payload);
                        assert!(client.receive().1 == payload, "payload comes back whole");
                    }
                })
                .unwrap()
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    rig.stop();
}

#[test]
fn an_impossible_frame_closes_the_connection_after_earlier_answers() {
    let rig = Rig::start(1);
    let mut client = rig.connect();
    let mut bytes = frame(0, SERVE, b"first");
    bytes.extend([0xff; 16]);
    client.socket.write_all(&bytes).unwrap();
    assert_eq!(client.receive().1, b"first");
    assert!(client.is_closed());
    let mut other = rig.connect();
    other.send(0, SERVE, b"still here");
    assert_eq!(other.receive().1, b"still here");
    rig.stop();
}

#[test]
fn connections_closed_with_operations_in_flight_harm_nobody() {
    let rig = Rig::start(2);
    let big = vec![7; 1 << 20];
    for index in 0..200_u32 {
        let mut client = rig.connect();
        match index % 4 {
            0 => client.send(0, PARK, b"never answered"),
            1 => client.send(1, SERVE, &big),
            2 => client
                .socket
                .write_all(&frame(1, SERVE, b"half")[..7])
                .unwrap(),
            _ => (0..50).for_each(|_| client.send(1, SERVE, b"unread")),
        }
    }
    let mut client = rig.connect();
    client.send(1, SERVE, b"fine");
    assert_eq!(client.receive(), (1, b"fine".to_vec()));
    rig.stop();
}

#[test]
fn a_thousand_connections_are_served() {
    let rig = Rig::start(2);
    let mut clients: Vec<_> = (0..1_000).map(|_| rig.connect()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.send(u8::from(index % 2 == 0), SERVE, &index.to_be_bytes());
    }
    for (index, client) in clients.iter_mut().enumerate() {
        let expected = (u8::from(index % 2 == 0), index.to_be_bytes().to_vec());
        assert_eq!(client.receive(), expected);
    }
    rig.stop();
}

#[test]
fn an_unread_connection_stops_being_read() {
    let rig = Rig::start(1);
    let mut client = rig.connect();
    client.socket.set_nonblocking(true).unwrap();
    let request = frame(0, SERVE, &vec![3; 60_000]);
    let mut written = 0;
    // More than requests in flight, message and both socket buffers hold.
    loop {
        match client.socket.write(&request[written % request.len()..]) {
            Ok(count) => written += count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
        assert!(written < 1 << 30, "the broker reads without bound");
    }
    drop(client);
    let mut other = rig.connect();
    other.send(0, SERVE, b"served");
    assert_eq!(other.receive().1, b"served");
    rig.stop();
}
