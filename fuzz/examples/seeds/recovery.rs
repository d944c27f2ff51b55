//! Damage of every kind to directories of every kind.

use crate::{Seed, chosen};

/// Kinds of damage that `storage/tests/it/kit/script.rs` knows.
const KINDS: u8 = 19;

pub(crate) fn damage() -> Vec<Seed> {
    let kinds = (0..KINDS).map(|kind| {
        let script = [
            kind,
            5 * kind + 1,
            7 * kind + 2,
            11 * kind,
            kind % 3,
            6 * kind,
        ];
        (format!("kind-{kind:02}"), chosen(kind, &script))
    });
    let twice = (0..4).map(|stop| {
        let script = [2, 3, 0, 40, 0, 0, 13, 9, 0, 0, 0, 0];
        (format!("two-{stop}"), chosen(64 + stop, &script))
    });
    kinds
        .chain(twice)
        .chain([("undamaged".to_owned(), vec![3])])
        .collect()
}
