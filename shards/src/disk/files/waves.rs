//! Many files laid out at once.
//!
//! Owns: the ring of the file thread, and the zeros that it writes.
//! Never: makes anything durable; has more on its way than one ordinary write of zeros would be.
//! Invariants: a wave has ended before the next begins, so the zeros are nobody else's while heads are put among them; a
//! write that fails fails its file alone.
//! Source: performance.md P15 (10,000 partitions); runtime.md section 6.

use std::io;
use std::sync::Arc;

use model::fatal::{Fatal, Reason};
use model::limits::BLOCK_BYTES;

use super::growth::{FILL_BYTES, Growth, zeros};
use crate::disk::pool::AlignedBuffer;
use crate::ring::{Completed, Operation, Ring};

#[cfg(test)]
mod tests;

/// Writes of one wave at most.
const WRITES_MAX: usize = 32;

/// One write of a wave.
struct Step {
    /// Which file.
    index: usize,
    /// Where its bytes are among the zeros.
    start: usize,
    bytes: usize,
    /// How many of them are not zero.
    head: usize,
}

/// Writes waves of zeros.
#[derive(Debug)]
pub(super) struct Waves {
    ring: Ring,
    zeros: Arc<AlignedBuffer>,
}

impl Waves {
    /// A ring of the calling thread, which is the only one that may use it.
    ///
    /// # Errors
    /// The kernel has no usable io_uring, or memory must not be locked.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            ring: Ring::new()?,
            zeros: Arc::new(zeros(FILL_BYTES)),
        })
    }

    /// Writes all that is left of each file, or notes why not.
    ///
    /// # Errors
    /// The ring is of no use any more. Files that are unfinished then may still be written to, and must not be used.
    pub(super) fn lay_out(&mut self, growths: &mut [&mut Growth]) -> Result<(), Fatal> {
        loop {
            let steps = self.start(growths)?;
            if steps.is_empty() {
                return Ok(());
            }
            self.end(growths, &steps)?;
        }
    }

    /// Starts the next write of as many files as may be written at once.
    fn start(&mut self, growths: &[&mut Growth]) -> Result<Vec<Step>, Fatal> {
        let mut steps: Vec<Step> = Vec::with_capacity(WRITES_MAX);
        let mut start = 0;
        let memory = self.own_zeros()?;
        let unfinished = growths
            .iter()
            .enumerate()
            .filter(|(_, growth)| growth.is_unfinished());
        for (index, growth) in unfinished.take(WRITES_MAX) {
            let bytes = growth.next_bytes(FILL_BYTES);
            let Some(part) = memory.get_mut(start..start + bytes) else {
                break;
            };
            let head = growth.put_head(part);
            steps.push(Step {
                index,
                start,
                bytes,
                head,
            });
            start += bytes.next_multiple_of(BLOCK_BYTES);
        }
        for step in &steps {
            if let Some(growth) = growths.get(step.index) {
                self.ring.start(Operation::Fill {
                    index: step.index,
                    file: Arc::clone(growth.file()),
                    memory: Arc::clone(&self.zeros),
                    start: step.start,
                    len: u32::try_from(step.bytes).unwrap_or(u32::MAX),
                    position: growth.position(),
                })?;
            }
        }
        Ok(steps)
    }

    /// Waits for every write of the wave.
    fn end(&mut self, growths: &mut [&mut Growth], steps: &[Step]) -> Result<(), Fatal> {
        let mut left = steps.len();
        while left > 0 {
            self.ring.wait_for(left)?;
            while let Some(completed) = self.ring.complete() {
                let Completed::Filled { index, result } = completed else {
                    return Err(broken(format!("{completed:?} on the ring of files")));
                };
                let step = steps.iter().find(|step| step.index == index);
                if let Some((growth, step)) = growths.get_mut(index).zip(step) {
                    growth.wrote(step.bytes, result);
                }
                left -= 1;
            }
        }
        let memory = self.own_zeros()?;
        for step in steps {
            let head = memory.get_mut(step.start..step.start + step.head);
            head.unwrap_or_default().fill(0);
        }
        Ok(())
    }

    /// The zeros, which the kernel has no more.
    fn own_zeros(&mut self) -> Result<&mut [u8], Fatal> {
        let zeros = Arc::get_mut(&mut self.zeros);
        let zeros = zeros.ok_or_else(|| broken("zeros are still being written".to_owned()))?;
        Ok(zeros.bytes_mut())
    }
}

fn broken(what: String) -> Fatal {
    Fatal::new(Reason::InvariantBroken, what)
}
