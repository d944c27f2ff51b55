//! The shell of the data cores: one ring, one pump and one machine per core.
//!
//! Owns: sockets, direct-I/O files, the mesh between cores, clocks and threads of the data path.
//! Never: knows a protocol or decides anything a client could observe, except when (A2).
//! Invariants: a core's state is touched by its own thread only; buffers handed to the kernel stay
//! owned by the ring until their completion.
//! Source: architecture.md sections 1, 5 and 6; runtime.md section 6; ADR-0001, ADR-0002, ADR-0009.

mod clock;
pub mod disk;
mod mailbox;
mod mesh;
mod net;
mod pump;
mod ring;
mod router;
mod start;
mod waker;
mod watch;

pub use clock::read_wall;
pub use disk::fs::open_for_check;
pub use net::farewell::shut_sockets_down;
pub use net::listener::{ListenError, Listeners};
pub use pump::Machine;
pub use ring::probe_ring;
pub use start::{
    Birth, BirthFn, CoreConfig, FatalFn, Report, Running, StartConfig, StartError,
    open_files_limit, start,
};
