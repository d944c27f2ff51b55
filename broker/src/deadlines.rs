//! Deadlines of everything that waits in one shard.
//!
//! Owns: an indexed binary heap: insert, cancel and expire in O(log n), the next deadline in O(1).
//! Never: reads a clock; calls anything.
//! Invariants: a timer is in the heap exactly from `insert` to `cancel` or `pop_due`; no allocation once
//! the heap has reached its largest size.
//! Source: architecture.md A1; Sedgewick and Wayne, Algorithms, section 2.4 (indexed priority queue).

use model::time::Instant;

/// A timer that is set. Given back exactly once: to [`Deadlines::cancel`], or by [`Deadlines::pop_due`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId(usize);

#[derive(Clone, Debug)]
struct Timer<T> {
    at: Instant,
    /// Where in the heap; meaningless while `due` is `None`.
    position: usize,
    due: Option<T>,
}

/// Timers, earliest first.
#[derive(Clone, Debug)]
pub struct Deadlines<T> {
    timers: Vec<Timer<T>>,
    heap: Vec<usize>,
    free: Vec<usize>,
}

impl<T> Default for Deadlines<T> {
    fn default() -> Self {
        Self {
            timers: Vec::new(),
            heap: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Deadlines<T> {
    /// Sets a timer.
    pub fn insert(&mut self, at: Instant, due: T) -> TimerId {
        let position = self.heap.len();
        let timer = Timer {
            at,
            position,
            due: Some(due),
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.timers[id] = timer;
                id
            }
            None => {
                self.timers.push(timer);
                self.timers.len() - 1
            }
        };
        self.heap.push(id);
        self.sift_up(position);
        TimerId(id)
    }

    /// Takes a timer back before it is due.
    ///
    /// # Panics
    /// If it is not set any more: a programming error that would cancel somebody else's timer later.
    pub fn cancel(&mut self, timer: TimerId) -> T {
        let position = self.timers[timer.0].position;
        assert!(
            self.heap.get(position) == Some(&timer.0),
            "cancelled a timer that is not set"
        );
        self.remove_at(position)
    }

    /// Takes the earliest timer that is due.
    pub fn pop_due(&mut self, now: Instant) -> Option<T> {
        let is_due = self.next()? <= now;
        is_due.then(|| self.remove_at(0))
    }

    /// When the earliest timer is due.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.heap.first().map(|id| self.timers[*id].at)
    }

    /// Timers that are set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether no timer is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    fn remove_at(&mut self, position: usize) -> T {
        let id = self.heap.swap_remove(position);
        if position < self.heap.len() {
            self.place(position, self.heap[position]);
            self.sift_down(position);
            self.sift_up(position);
        }
        self.free.push(id);
        let due = self.timers[id].due.take();
        self.timers[id].position = usize::MAX;
        let Some(due) = due else {
            unreachable!("a timer in the heap is set")
        };
        due
    }

    fn at(&self, position: usize) -> Instant {
        self.timers[self.heap[position]].at
    }

    fn place(&mut self, position: usize, id: usize) {
        self.heap[position] = id;
        self.timers[id].position = position;
    }

    fn swap(&mut self, left: usize, right: usize) {
        let (low, high) = (self.heap[left], self.heap[right]);
        self.place(left, high);
        self.place(right, low);
    }

    fn sift_up(&mut self, mut position: usize) {
        while position > 0 {
            let parent = (position - 1) / 2;
            if self.at(parent) <= self.at(position) {
                return;
            }
            self.swap(parent, position);
            position = parent;
        }
    }

    fn sift_down(&mut self, mut position: usize) {
        loop {
            let left = 2 * position + 1;
            let right = left + 1;
            let mut least = position;
            if left < self.heap.len() && self.at(left) < self.at(least) {
                least = left;
            }
            if right < self.heap.len() && self.at(right) < self.at(least) {
                least = right;
            }
            if least == position {
                return;
            }
            self.swap(least, position);
            position = least;
        }
    }
}

#[cfg(test)]
mod tests;
