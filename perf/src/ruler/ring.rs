//! The smallest ring that writes whole blocks.
//!
//! Owns: [`WriteRing`] with its file and its memory: the kernel never sees a buffer that somebody else may free.
//! Never: is used by the product.
//! Invariants: a slot's memory is not touched between its submission and its completion; dropping waits for all.
//! Source: performance.md section 2; io_uring_enter(2).

use std::os::fd::AsRawFd;

use io_uring::{IoUring, opcode, squeue, types};
use rustix::io::ReadWriteFlags;

use super::direct::{Aligned, Prewritten};
use crate::error::BenchError;

/// Slots of one ring, at most.
const SLOTS_MAX: usize = 256;

/// Mark of the watch among completions.
const WATCH: u64 = u64::MAX;

/// What a slot's next operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Write without a flush.
    Write,
    /// Write with `RWF_DSYNC`.
    DurableWrite,
    /// Read.
    Read,
}

/// What a completion says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The operation of a slot is done.
    Done {
        /// The slot, free again.
        slot: usize,
    },
    /// The watched descriptor has something to read.
    Readable,
}

/// A ring over one file, with memory for every operation in flight.
#[expect(missing_debug_implementations, reason = "a ring has nothing to show")]
pub struct WriteRing {
    ring: IoUring,
    file: Prewritten,
    slots: Vec<Aligned>,
    free: Vec<usize>,
}

impl WriteRing {
    /// A ring of `slots` operations of up to `bytes` each.
    ///
    /// # Errors
    /// The kernel refuses a ring.
    pub fn new(file: Prewritten, slots: usize, bytes: usize) -> Result<Self, BenchError> {
        if !(1..=SLOTS_MAX).contains(&slots) {
            return Err(BenchError::Usage(format!("depth: 1 to {SLOTS_MAX}")));
        }
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(512)
            .map_err(BenchError::local("setting up io_uring"))?;
        Ok(Self {
            ring,
            file,
            slots: (0..slots).map(|_| Aligned::new(bytes)).collect(),
            free: (0..slots).collect(),
        })
    }

    /// Operations in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// A free slot to be filled, if there is one.
    pub fn slot(&mut self) -> Option<(usize, &mut [u8])> {
        let index = *self.free.last()?;
        Some((index, self.slots.get_mut(index)?.bytes_mut()))
    }

    /// Queues `len` bytes of the slot that [`Self::slot`] gave, and says which it is.
    ///
    /// # Errors
    /// There is no such slot, or the queue is full.
    pub fn submit(&mut self, len: usize, operation: Operation) -> Result<usize, BenchError> {
        let wrong = || BenchError::Wrong("the ring has no free slot".to_owned());
        let index = self.free.pop().ok_or_else(wrong)?;
        let at = self.file.advance(len);
        let slot = self.slots.get_mut(index).ok_or_else(wrong)?;
        let room = slot.bytes_mut().get_mut(..len).ok_or_else(wrong)?;
        let length = u32::try_from(room.len()).map_err(|_| wrong())?;
        let fd = types::Fd(self.file.file().as_raw_fd());
        let durable = i32::try_from(ReadWriteFlags::DSYNC.bits()).map_err(|_| wrong())?;
        let entry = match operation {
            Operation::Write => opcode::Write::new(fd, room.as_ptr(), length)
                .offset(at)
                .build(),
            Operation::DurableWrite => opcode::Write::new(fd, room.as_ptr(), length)
                .offset(at)
                .rw_flags(durable)
                .build(),
            Operation::Read => opcode::Read::new(fd, room.as_mut_ptr(), length)
                .offset(at)
                .build(),
        };
        self.push(&entry.user_data((index as u64) << 32 | u64::from(length)))?;
        Ok(index)
    }

    /// Asks for one [`Event::Readable`] when the descriptor has something to read.
    ///
    /// # Errors
    /// The queue is full.
    pub fn watch(&mut self, descriptor: &impl AsRawFd) -> Result<(), BenchError> {
        let events = u32::from(rustix::event::PollFlags::IN.bits());
        let entry = opcode::PollAdd::new(types::Fd(descriptor.as_raw_fd()), events).build();
        self.push(&entry.user_data(WATCH))
    }

    #[expect(
        unsafe_code,
        reason = "io_uring is told addresses; the comment says why they stay valid"
    )]
    fn push(&mut self, entry: &squeue::Entry) -> Result<(), BenchError> {
        // SAFETY: a poll names no memory. A read or write names the memory of a slot, which lives in this struct; the
        // slot left the free list and comes back with its completion only, and `drop` waits for every one in flight.
        let pushed = unsafe { self.ring.submission().push(entry) };
        pushed.map_err(|_| BenchError::Wrong("the submission queue is full".to_owned()))
    }

    /// Submits what is queued and waits for at least `want` completions; calls `done` with each.
    ///
    /// # Errors
    /// An operation failed or was cut short.
    pub fn reap(&mut self, want: usize, mut done: impl FnMut(Event)) -> Result<(), BenchError> {
        let failed = || BenchError::local("io_uring");
        self.ring.submit_and_wait(want).map_err(failed())?;
        for completion in self.ring.completion() {
            if completion.user_data() == WATCH {
                done(Event::Readable);
                continue;
            }
            let index = usize::try_from(completion.user_data() >> 32).unwrap_or(usize::MAX);
            let wanted = i64::try_from(completion.user_data() & u64::from(u32::MAX)).unwrap_or(-1);
            self.free.push(index);
            if completion.result() < 0 {
                let error = std::io::Error::from_raw_os_error(-completion.result());
                return Err(failed()(error));
            }
            if i64::from(completion.result()) != wanted {
                return Err(failed()(std::io::ErrorKind::WriteZero.into()));
            }
            done(Event::Done { slot: index });
        }
        Ok(())
    }
}

impl Drop for WriteRing {
    fn drop(&mut self) {
        while self.in_flight() > 0 {
            // An error of one operation leaves the others to be waited for.
            let before = self.in_flight();
            if self.reap(1, |_| {}).is_err() && self.in_flight() == before {
                // Memory that the kernel may still write to must not be freed.
                std::mem::forget(std::mem::take(&mut self.slots));
                return;
            }
        }
    }
}
