//! Waking a core that sleeps in the kernel.
//!
//! Owns: the `sleeping` flag of one core, its event descriptor and a handle of its ring.
//! Never: makes a system call while the core is awake.
//! Invariants: whoever clears `sleeping` wakes; the core re-checks its queues after it set the flag,
//! and both sides fence, so a message is either seen before parking or its sender sees the flag.
//! Source: ADR-0009, runtime.md 3 (cross-core).

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use rustix::event::{EventfdFlags, eventfd};

/// How other threads wake one core.
#[derive(Debug)]
pub(crate) struct Waker {
    is_sleeping: AtomicBool,
    event: OwnedFd,
    // A duplicate of the core's ring descriptor: it keeps the number from being reused by another
    // file while a peer may still send to it.
    ring: OnceLock<OwnedFd>,
}

impl Waker {
    /// A waker of a core that is awake and has no ring yet.
    pub(crate) fn new() -> std::io::Result<Self> {
        // Blocking on purpose: the ring answers a read of a non-blocking descriptor with EAGAIN
        // instead of waiting for it.
        let event = eventfd(0, EventfdFlags::CLOEXEC)?;
        Ok(Self {
            is_sleeping: AtomicBool::new(false),
            event,
            ring: OnceLock::new(),
        })
    }

    /// Publishes the core's ring, once.
    pub(crate) fn publish_ring(&self, ring: OwnedFd) {
        assert!(self.ring.set(ring).is_ok(), "a core has one ring");
    }

    /// The core's ring, if its thread got that far.
    pub(crate) fn ring_fd(&self) -> Option<RawFd> {
        self.ring.get().map(AsRawFd::as_raw_fd)
    }

    /// The descriptor the core reads to be woken.
    pub(crate) fn event_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    /// Called by the core before it looks at its queues for the last time.
    pub(crate) fn begin_sleep(&self) {
        self.is_sleeping.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Called by the core when it is awake again.
    pub(crate) fn end_sleep(&self) {
        self.is_sleeping.store(false, Ordering::SeqCst);
    }

    /// Whether the caller, having queued something, must wake the core. At most one caller is told so.
    pub(crate) fn claim(&self) -> bool {
        fence(Ordering::SeqCst);
        self.is_sleeping.load(Ordering::SeqCst) && self.is_sleeping.swap(false, Ordering::SeqCst)
    }

    /// Wakes the core if it sleeps; for threads without a ring.
    pub(crate) fn wake(&self) {
        if self.claim() {
            self.wake_by_event();
        }
    }

    /// Wakes the core through its event descriptor, whether it sleeps or not.
    pub(crate) fn wake_by_event(&self) {
        // The counter saturates only after 2^64 - 2 unread wake-ups; nothing else can fail here.
        if let Err(error) = rustix::io::write(self.event.as_fd(), &1_u64.to_ne_bytes()) {
            tracing::warn!(%error, "a core could not be woken");
        }
    }
}
