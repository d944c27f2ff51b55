//! When requests are meant to be sent.
//!
//! Owns: [`Arrivals`], the intended send times of one connection.
//! Never: looks at a clock or at answers: an open loop does not wait for the broker.
//! Invariants: times of one connection never fall; a queue of overdue requests is a single number.
//! Source: performance.md section 5 (no coordinated omission).

#[cfg(test)]
mod tests;

use model::prng::Prng;

use crate::clock::Nanos;

/// How the gaps between requests are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spacing {
    /// All gaps are equal.
    #[default]
    Even,
    /// Gaps are exponential: a Poisson process.
    Random,
}

/// The intended send times of one connection.
#[derive(Clone, Debug)]
pub struct Arrivals {
    next: f64,
    gap: f64,
    spacing: Spacing,
    prng: Prng,
}

/// Which of how many connections this is, and the rate of all together.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Counted from zero.
    pub connection: usize,
    /// At least one.
    pub connections: usize,
    /// Requests per second of all connections together.
    pub per_second: f64,
    /// Time of the first request.
    pub start: Nanos,
}

impl Arrivals {
    /// The share of one connection: connections take turns when spacing is even.
    #[must_use]
    pub fn new(share: Share, spacing: Spacing, seed: u64) -> Self {
        let connections = float(share.connections.max(1) as u64);
        let gap = 1e9 * connections / share.per_second.max(1e-6);
        let mut arrivals = Self {
            next: float(share.start) + gap * float(share.connection as u64) / connections,
            gap,
            spacing,
            prng: Prng::new(seed ^ (share.connection as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        };
        if spacing == Spacing::Random {
            arrivals.next = float(share.start) + arrivals.step();
        }
        arrivals
    }

    /// The next intended send time.
    #[must_use]
    pub fn peek(&self) -> Nanos {
        whole(self.next)
    }

    /// Takes the next intended send time.
    pub fn take(&mut self) -> Nanos {
        let at = self.peek();
        self.next += self.step();
        at
    }

    fn step(&mut self) -> f64 {
        match self.spacing {
            Spacing::Even => self.gap,
            Spacing::Random => {
                // In (0, 1], so the logarithm is finite.
                let unit = (float(self.prng.next_u64() >> 11) + 1.0) / float(1 << 53);
                -unit.ln() * self.gap
            }
        }
    }
}

/// A whole number as a float; exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "times of a run and counts stay far below 2^53"
)]
pub(crate) const fn float(value: u64) -> f64 {
    value as f64
}

/// A non-negative float as a whole number; saturates.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the conversion saturates, which is what is meant"
)]
pub(crate) const fn whole(value: f64) -> u64 {
    value as u64
}
