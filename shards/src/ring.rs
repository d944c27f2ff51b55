//! One io_uring ring per core behind a safe surface.
//!
//! Owns: every descriptor and buffer of an operation from submission to its last completion.
//! Never: retries, interprets a result, or lets the kernel see memory that somebody else may free.
//! Invariants: a slot is reused only after its final completion; dropping the ring cancels and waits,
//! and leaks what the kernel does not give back.
//! Source: ADR-0002, runtime.md section 6.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use model::fatal::{Fatal, Reason};

use crate::waker::Waker;

pub(crate) mod operation;
#[cfg(test)]
mod tests;

pub(crate) use operation::{Completed, Message, Operation};

/// Submission entries: more are submitted at once when they are full. 64 bytes each.
const SUBMISSIONS: u32 = 256;
/// Completion entries, 16 bytes each: 64 KiB per core, so that some cores fit 8 MiB of locked memory.
const COMPLETIONS: u32 = 4096;
/// Marks completions that a peer's wake-up posted.
const WOKEN: u64 = u64::MAX;
/// Marks completions of cancel requests.
const CANCELLED: u64 = u64::MAX - 1;
/// Waits while the ring is dropped; beyond it, operations are leaked.
const DROP_WAITS_MAX: u32 = 64;

/// A ring and the operations the kernel has.
pub(crate) struct Ring {
    ring: IoUring,
    slots: Vec<Option<Operation>>,
    free: Vec<u32>,
    in_flight: usize,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

impl Ring {
    /// Makes the ring. Must be called on the thread that will use it: it is the ring's single issuer.
    ///
    /// Falls back to fewer features on old kernels, and says so: a plain ring halves throughput.
    ///
    /// # Errors
    /// The kernel has no usable io_uring, or memory must not be locked.
    pub(crate) fn new() -> std::io::Result<Self> {
        let deferred = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .dontfork()
            .build(SUBMISSIONS);
        let ring = match deferred {
            Ok(ring) => ring,
            Err(first) => Self::with_less(&first)?,
        };
        if !ring.params().is_feature_ext_arg() || !ring.params().is_feature_nodrop() {
            return Err(std::io::Error::other(
                "io_uring of this kernel is too old (needs 5.15)",
            ));
        }
        Ok(Self {
            ring,
            slots: Vec::new(),
            free: Vec::new(),
            in_flight: 0,
        })
    }

    fn with_less(first: &std::io::Error) -> std::io::Result<IoUring> {
        tracing::warn!(error = %first, "no deferred task running; small requests cost more");
        let cooperative = IoUring::builder()
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(COMPLETIONS)
            .dontfork()
            .build(SUBMISSIONS);
        cooperative.or_else(|second| {
            tracing::warn!(error = %second, "plain ring: about half the throughput per core");
            IoUring::builder()
                .setup_cqsize(COMPLETIONS)
                .dontfork()
                .build(SUBMISSIONS)
        })
    }

    /// A second descriptor of the ring, for peers that wake it.
    pub(crate) fn share_fd(&self) -> std::io::Result<OwnedFd> {
        #[expect(unsafe_code, reason = "the ring lends its descriptor only as a number")]
        // SAFETY: the ring owns the descriptor and outlives this borrow.
        let ring = unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) };
        ring.try_clone_to_owned()
    }

    /// Hands an operation to the kernel; it is on its way after the next [`Self::submit`] or [`Self::wait`].
    ///
    /// # Errors
    /// The kernel refuses submissions altogether.
    pub(crate) fn start(&mut self, operation: Operation) -> Result<(), Fatal> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX - 2)
            }
        };
        let Some(place) = self.slots.get_mut(slot as usize) else {
            return Err(Fatal::new(Reason::InvariantBroken, "ring slots exhausted"));
        };
        assert!(place.is_none(), "ring slot {slot} is taken");
        // The entry is built from the operation where it will stay: moving it afterwards would be
        // harmless (its buffers are on the heap) but would be one more thing to prove.
        let entry = place.insert(operation).entry().user_data(u64::from(slot));
        self.in_flight += 1;
        self.push(&entry)
    }

    fn push(&mut self, entry: &squeue::Entry) -> Result<(), Fatal> {
        if self.ring.submission().is_full() {
            self.submit()?;
        }
        #[expect(unsafe_code, reason = "the one place that hands memory to the kernel")]
        // SAFETY: every entry comes from `Operation::entry` of an operation that sits in `slots` until
        // its final completion, or refers to no memory at all (cancel); so descriptors stay open and
        // buffers stay allocated, unmoved on the heap and untouched while the kernel uses them.
        let pushed = unsafe { self.ring.submission().push(entry) };
        pushed.map_err(|_| Fatal::new(Reason::RingFailed, "submission queue full after a submit"))
    }

    /// Submits what was started, without waiting. Makes no system call if there is nothing to do.
    ///
    /// # Errors
    /// The kernel refuses submissions altogether.
    pub(crate) fn submit(&mut self) -> Result<(), Fatal> {
        let is_idle = {
            let submission = self.ring.submission();
            submission.is_empty() && !submission.taskrun() && !submission.cq_overflow()
        };
        if is_idle {
            return Ok(());
        }
        Self::settle(self.ring.submit())
    }

    /// Submits what was started and waits for a completion, at most `timeout`.
    ///
    /// # Errors
    /// The kernel refuses submissions altogether.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> Result<(), Fatal> {
        match timeout {
            None => Self::settle(self.ring.submit_and_wait(1)),
            Some(timeout) => {
                let timespec = types::Timespec::from(timeout);
                let arguments = types::SubmitArgs::new().timespec(&timespec);
                Self::settle(self.ring.submitter().submit_with_args(1, &arguments))
            }
        }
    }

    /// Submits what was started and waits for `count` completions, or fewer if a signal comes.
    ///
    /// # Errors
    /// The kernel refuses submissions altogether.
    pub(crate) fn wait_for(&mut self, count: usize) -> Result<(), Fatal> {
        Self::settle(self.ring.submit_and_wait(count))
    }

    fn settle(result: std::io::Result<usize>) -> Result<(), Fatal> {
        match result.map_err(|error| (error.raw_os_error(), error)) {
            Ok(_) => Ok(()),
            // Timed out, interrupted, or completions must be taken first: all are ordinary.
            Err((Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN), _)) => Ok(()),
            Err((_, error)) => Err(Fatal::new(
                Reason::RingFailed,
                format!("io_uring_enter: {error}"),
            )),
        }
    }

    /// Whether a completion can be taken, or would be after a [`Self::submit`]. No system call.
    pub(crate) fn has_completions(&mut self) -> bool {
        !self.ring.completion().is_empty() || self.ring.submission().taskrun()
    }

    /// Takes the oldest completion.
    pub(crate) fn complete(&mut self) -> Option<Completed> {
        loop {
            let entry = self.ring.completion().next()?;
            match entry.user_data() {
                WOKEN => return Some(Completed::Woken),
                CANCELLED => {}
                slot => return Some(self.finish(slot, &entry)),
            }
        }
    }

    fn finish(&mut self, slot: u64, entry: &cqueue::Entry) -> Completed {
        let index = usize::try_from(slot).unwrap_or(usize::MAX);
        let place = self.slots.get_mut(index);
        assert!(place.is_some(), "completion of unknown slot {slot}");
        let is_final = !cqueue::more(entry.flags());
        let result = entry.result();
        if !is_final {
            let operation = place.and_then(|place| place.as_ref());
            assert!(
                matches!(operation, Some(Operation::Accept { .. })),
                "only accepts repeat"
            );
            return operation::accepted(result, operation::Armed::Still);
        }
        let operation = place.and_then(Option::take);
        self.free.push(u32::try_from(slot).unwrap_or(u32::MAX));
        self.in_flight -= 1;
        match operation {
            Some(operation) => operation.finish(result),
            // A second final completion of one slot would be a kernel error; nothing is owned by it.
            None => Completed::Woken,
        }
    }

    /// Asks the kernel to end the accept on this ring's listener. Its final completion still comes.
    ///
    /// # Errors
    /// The kernel refuses submissions altogether.
    pub(crate) fn cancel_accepts(&mut self) -> Result<(), Fatal> {
        let accepts: Vec<usize> = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| matches!(slot, Some(Operation::Accept { .. })))
            .map(|(index, _)| index)
            .collect();
        for index in accepts {
            let entry = opcode::AsyncCancel::new(index as u64)
                .build()
                .user_data(CANCELLED);
            self.push(&entry)?;
        }
        Ok(())
    }

    fn cancel_all(&mut self) -> Result<(), Fatal> {
        for index in 0..self.slots.len() {
            if self.slots.get(index).is_some_and(Option::is_some) {
                let entry = opcode::AsyncCancel::new(index as u64)
                    .build()
                    .user_data(CANCELLED);
                self.push(&entry)?;
            }
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<(), Fatal> {
        self.cancel_all()?;
        for _ in 0..DROP_WAITS_MAX {
            while self.complete().is_some() {}
            if self.in_flight == 0 {
                return Ok(());
            }
            self.wait(Some(Duration::from_millis(100)))?;
        }
        Err(Fatal::new(Reason::RingFailed, "operations did not end"))
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if let Err(fatal) = self.drain() {
            tracing::warn!(%fatal, in_flight = self.in_flight, "operations left with the kernel");
            // The kernel may still write to their buffers.
            std::mem::forget(std::mem::take(&mut self.slots));
        }
    }
}

/// Whether this process may use io_uring, as a data core would.
///
/// # Errors
/// The kernel or a sandbox forbids it, or memory must not be locked.
pub fn probe_ring() -> std::io::Result<()> {
    Ring::new().map(drop)
}

/// An operation that wakes a peer which sleeps, or `None` if the peer has no ring yet.
pub(crate) fn wake(peer: &Arc<Waker>) -> Option<Operation> {
    peer.ring_fd().map(|_| Operation::Wake {
        peer: Arc::clone(peer),
    })
}
