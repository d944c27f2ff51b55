//! Hash maps with a fixed seed.
//!
//! Owns: [`FastMap`] and [`FastSet`].
//! Never: used with keys an attacker chooses freely (names, member ids); those go into a `BTreeMap`.
//! Invariants: the same insertions give the same layout on every run; still, iteration order is not an API.
//! Source: style.md rule 19.

/// Hash map keyed by identifiers this process hands out.
pub type FastMap<K, V> = hashbrown::HashMap<K, V, foldhash::fast::FixedState>;

/// Hash set keyed by identifiers this process hands out.
pub type FastSet<K> = hashbrown::HashSet<K, foldhash::fast::FixedState>;

#[cfg(test)]
mod tests;
