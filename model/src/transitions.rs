//! State machines as tables.
//!
//! Owns: the [`transitions!`](crate::transitions) macro.
//! Never: holds state itself.
//! Invariants: a move that is not in the table cannot be made.
//! Source: style.md 6.2.

/// Declares an enum whose moves are listed; `can_become` looks, `become_next` moves or panics.
#[macro_export]
macro_rules! transitions {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$vmeta:meta])* $state:ident => [$($next:ident),* $(,)?]),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name { $($(#[$vmeta])* $state),+ }

        impl $name {
            /// Every state with the states it may become, for tests and documentation.
            $vis const TABLE: &'static [(Self, &'static [Self])] =
                &[$((Self::$state, &[$(Self::$next),*])),+];

            /// Whether the table lists the move from this state to `next`.
            #[must_use]
            $vis fn can_become(self, next: Self) -> bool {
                Self::TABLE.iter().any(|(from, to)| *from == self && to.contains(&next))
            }

            /// Makes the move.
            ///
            /// # Panics
            /// If the table does not list it: that is a programming error.
            $vis fn become_next(&mut self, next: Self) {
                assert!(self.can_become(next), "no transition from {self:?} to {next:?}");
                *self = next;
            }
        }
    };
}

#[cfg(test)]
mod tests;
