//! How many events the kernel was told of.
//!
//! Owns: the number that a flush takes as its bound.
//! Never: lets anybody see an answer whose event it does not count yet.
//! Invariants: a request that an answer caused finds the answered event counted.
//! Source: reliability.md 3.7.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Events answered so far.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    count: Mutex<u64>,
}

impl Answered {
    /// Events answered so far; waits for an answer that is just being given.
    pub(crate) fn count(&self) -> u64 {
        *self.lock()
    }

    /// Gives an answer with which all of `count` events are answered.
    pub(crate) fn answer(&self, count: u64, give: impl FnOnce()) {
        let mut answered = self.lock();
        // The kernel may send the flush that follows before this thread goes on: it waits for the lock.
        give();
        *answered = count;
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Answered;

    #[test]
    fn a_request_that_an_answer_caused_finds_it_counted() {
        let answered = Answered::default();
        std::thread::scope(|scope| {
            let mut flush = None;
            answered.answer(5, || {
                assert!(answered.count.try_lock().is_err(), "nobody counts now");
                flush = Some(scope.spawn(|| answered.count()));
            });
            assert_eq!(flush.unwrap().join().unwrap(), 5);
        });
    }
}
