//! The end of all connections of a process that must not serve any longer.
//!
//! Owns: shutting every socket down, whichever core it belongs to.
//! Never: closes a descriptor: its number could be given to a file while another core still uses it. Leaves the
//! three standard streams alone, which may be sockets of a log service.
//! Invariants: works without the cores, which may hang; touches nothing but sockets.
//! Source: A10, ADR-0011 (a device that stalls keeps the process, and with it its sockets, until it answers).

use std::os::fd::BorrowedFd;

use rustix::net::{Shutdown, shutdown};

/// Shuts all sockets of the process down: peers see the end of their connections, new ones are refused.
pub fn shut_sockets_down() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    for number in numbers.filter(|number: &i32| *number > 2) {
        #[expect(unsafe_code, reason = "the sockets belong to threads that may hang")]
        // SAFETY: the number was open a moment ago and is not negative. If it was closed since, the call fails
        // or meets another socket of this process, which is to be shut down as well; whatever is no socket
        // refuses (ENOTSOCK) and stays as it is.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        match shutdown(descriptor, Shutdown::Both) {
            // What is no socket, or is not connected, has nothing to end.
            Ok(()) | Err(_) => {}
        }
    }
}
