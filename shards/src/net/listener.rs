//! The listening sockets.
//!
//! Owns: one socket per core on the same address (SO_REUSEPORT), so that the kernel spreads connections.
//! Never: accepts; the cores do.
//! Invariants: with port zero the first socket chooses and the others follow.
//! Source: runtime.md section 6.4, ADR-0002.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

/// Connections that may wait to be accepted, per core. The kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// How often a taken address is tried again: the kernel takes the ring of a process that was killed apart after the
/// process is gone, and with it the sockets.
const PROBES_MAX: usize = 40;

/// Time between two tries.
const PROBE_PAUSE: Duration = Duration::from_millis(50);

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    /// The address asked for.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// Bound sockets, one per core.
#[derive(Debug)]
pub struct Listeners {
    address: SocketAddr,
    sockets: Vec<TcpListener>,
}

impl Listeners {
    /// Binds `count` sockets to `address`. Clients may connect from now on, and wait until the cores accept.
    ///
    /// # Errors
    /// The address is taken, not ours, or not allowed.
    pub fn bind(address: SocketAddr, count: usize) -> Result<Self, ListenError> {
        let error = |source| ListenError { address, source };
        if address.port() != 0 {
            // SO_REUSEPORT would let two brokers of one user share the port, each getting half of
            // the connections: a plain socket finds that out.
            probe_patiently(address, pause).map_err(error)?;
        }
        let first = listen(address).map_err(error)?;
        let bound = first.local_addr().map_err(error)?;
        let mut sockets = vec![first];
        while sockets.len() < count {
            sockets.push(listen(bound).map_err(error)?);
        }
        Ok(Self {
            address: bound,
            sockets,
        })
    }

    /// The address, with the port the kernel chose if it was asked to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn into_sockets(self) -> Vec<TcpListener> {
        self.sockets
    }
}

fn socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    Ok(socket)
}

#[expect(
    clippy::disallowed_methods,
    reason = "nothing else runs yet, and nothing tells when a socket is gone"
)]
fn pause() {
    std::thread::sleep(PROBE_PAUSE);
}

/// Waits for a predecessor's sockets to go.
pub(super) fn probe_patiently(address: SocketAddr, mut pause: impl FnMut()) -> io::Result<()> {
    for _ in 1..PROBES_MAX {
        match probe(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => pause(),
            outcome => return outcome,
        }
    }
    probe(address)
}

fn probe(address: SocketAddr) -> io::Result<()> {
    let socket = socket(address)?;
    rustix::net::bind(&socket, &address)?;
    Ok(())
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    // Accepted sockets inherit it, which saves one call per connection.
    sockopt::set_tcp_nodelay(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}
