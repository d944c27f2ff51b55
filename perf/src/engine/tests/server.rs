//! A server that answers Produce as it is told to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::wire::produce::put_acknowledgement;

/// What the server does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Behaviour {
    /// Answers everything at once.
    Answer,
    /// Holds the answer after so many for a time, then goes on.
    StallOnce { after: u64, time: Duration },
    /// Answers everything with this error code.
    Refuse(i16),
    /// Closes after so many answers.
    CloseAfter(u64),
}

/// A listening server; its threads end with their connections.
pub(super) struct Server {
    address: SocketAddr,
    answered: Arc<AtomicU64>,
}

impl Server {
    pub(super) fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answered = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&answered);
        thread::Builder::new()
            .spawn(move || {
                for stream in listener.incoming() {
                    let counter = Arc::clone(&counter);
                    let stream = stream.unwrap();
                    thread::Builder::new()
                        .spawn(move || serve(stream, behaviour, &counter))
                        .unwrap();
                }
            })
            .unwrap();
        Self { address, answered }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Acquire)
    }
}

fn serve(mut stream: TcpStream, behaviour: Behaviour, answered: &AtomicU64) {
    stream.set_nodelay(true).unwrap();
    let mut prefix = [0; 4];
    // The generator closes when it is done.
    while stream.read_exact(&mut prefix).is_ok() {
        let mut body = vec![0; usize::try_from(i32::from_be_bytes(prefix)).unwrap()];
        stream.read_exact(&mut body).unwrap();
        let count = answered.fetch_add(1, Ordering::AcqRel);
        let correlation = i32::from_be_bytes(body[4..8].try_into().unwrap());
        let mut answer = Vec::new();
        put_acknowledgement(&mut answer, correlation, 0);
        match behaviour {
            Behaviour::Answer => {}
            Behaviour::StallOnce { after, time } if count == after => {
                // Nobody sends: this is a wait of exactly that time.
                let (_keep, silence) = mpsc::channel::<()>();
                assert!(silence.recv_timeout(time).is_err());
            }
            Behaviour::StallOnce { .. } => {}
            Behaviour::Refuse(code) => {
                let at = 4 + 4 + 4 + 2 + "bench".len() + 4 + 4;
                answer[at..at + 2].copy_from_slice(&code.to_be_bytes());
            }
            Behaviour::CloseAfter(limit) if count >= limit => return,
            Behaviour::CloseAfter(_) => {}
        }
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}
