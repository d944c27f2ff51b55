//! Tests of state tables.

crate::transitions! {
    /// A door.
    enum Door {
        /// Open.
        Open => [Closed],
        /// Closed.
        Closed => [Open, Locked],
        /// Locked for good.
        Locked => [],
    }
}

#[test]
fn only_listed_moves_are_possible() {
    let all = [Door::Open, Door::Closed, Door::Locked];
    let possible: Vec<_> = all
        .iter()
        .flat_map(|from| all.iter().map(move |to| (*from, *to)))
        .filter(|(from, to)| from.can_become(*to))
        .collect();
    let expected = [
        (Door::Open, Door::Closed),
        (Door::Closed, Door::Open),
        (Door::Closed, Door::Locked),
    ];
    assert_eq!(possible, expected);
}

#[test]
fn a_listed_move_changes_the_state() {
    let mut door = Door::Open;
    door.become_next(Door::Closed);
    door.become_next(Door::Locked);
    assert_eq!(door, Door::Locked);
}

#[test]
fn an_unlisted_move_panics_and_leaves_the_state() {
    let outcome = std::panic::catch_unwind(|| {
        let mut door = Door::Locked;
        door.become_next(Door::Open);
    });
    let message = outcome.unwrap_err().downcast::<String>().unwrap();
    assert_eq!(*message, "no transition from Locked to Open");
}

#[test]
fn the_table_lists_every_state() {
    assert_eq!(Door::TABLE.len(), 3);
    assert_eq!(Door::TABLE[2], (Door::Locked, [].as_slice()));
}
