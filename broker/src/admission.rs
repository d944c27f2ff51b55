//! Memory for requests: reserved from the frame length, before the body is read (A9).
//!
//! Owns: one byte budget per shard.
//! Never: blocks; a refused reservation means "stop reading that socket".
//! Invariants: `used` never exceeds `capacity`, except that one request is always admitted to an idle budget.
//! Source: reliability.md section 5.

/// A byte budget.
#[derive(Clone, Debug)]
pub struct Admission {
    capacity: usize,
    used: usize,
}

impl Admission {
    /// A budget of `capacity` bytes.
    #[must_use]
    pub const fn new(capacity: usize) -> Self {
        Self { capacity, used: 0 }
    }

    /// Takes `bytes` if they fit, or if nothing at all is taken (so that a frame larger than the budget still passes alone).
    pub fn try_reserve(&mut self, bytes: usize) -> bool {
        let fits = self
            .used
            .checked_add(bytes)
            .is_some_and(|sum| sum <= self.capacity);
        if fits || self.used == 0 {
            self.used = self.used.saturating_add(bytes);
            true
        } else {
            false
        }
    }

    /// Gives `bytes` back.
    ///
    /// # Panics
    /// If more is given back than was taken: a programming error.
    pub fn release(&mut self, bytes: usize) {
        assert!(
            bytes <= self.used,
            "released {bytes} of {} reserved bytes",
            self.used
        );
        self.used -= bytes;
    }

    /// Bytes taken now.
    #[must_use]
    pub const fn used(&self) -> usize {
        self.used
    }
}

#[cfg(test)]
mod tests;
