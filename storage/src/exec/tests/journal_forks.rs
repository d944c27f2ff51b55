//! Entries that a start had cut and the next start wrote again, below a log start.  reliability.md 2.5 step 6

use super::builder::{Batch, History, Journal, Put, World, holes, log, offset, tail_bases, worst};
use crate::format::manifest::Record;
use model::offset::LeaderEpoch;

/// A log of which an older start left one batch, a write that was cut off, and batches behind it; the
/// newer start has written other batches there.
struct Forked {
    world: World,
    history: History,
    newer: Journal,
    new: Vec<Batch>,
}

fn forked() -> Forked {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut older = world.start_journal(1);
    let kept = history.batch(1, "a");
    let mut fork = history.clone();
    fork.batch(2, "cut off");
    let beyond = [fork.batch(2, "x"), fork.batch(2, "y")];
    world.append(&mut older, history.log, std::slice::from_ref(&kept));
    world.append(&mut older, history.log, &beyond);
    world.seal_journal(&mut older);
    assert_eq!(log(&world.recover(), 1).log_end, offset(1));
    let mut world = World::over(world.disk);
    let mut newer = world.start_journal(2);
    let new = vec![
        history.batch(1, "b"),
        history.batch(3, "c"),
        history.batch(1, "d"),
    ];
    world.append(&mut newer, history.log, &[kept]);
    Forked {
        world,
        history,
        newer,
        new,
    }
}

impl Forked {
    fn start_at(&mut self, start: u64) {
        let log = self.history.log;
        let offset = offset(start);
        self.world.record(&[Record::LogStart { log, offset }]);
    }
}

#[test]
fn what_was_cut_does_not_come_back_when_the_log_starts_behind_the_cut() {
    // The fork has batches at 3 and 5, the log at 1, 2 and 5: starts inside and between them.
    for start in 1..=6 {
        for in_one_entry in [false, true] {
            let mut forked = forked();
            let (log_id, new) = (forked.history.log, forked.new.clone());
            let Forked { world, newer, .. } = &mut forked;
            if in_one_entry {
                world.group(newer, 1, &[Put::Append(log_id, &new)]);
            } else {
                for batch in &new {
                    world.append(newer, log_id, std::slice::from_ref(batch));
                }
            }
            world.seal_journal(newer);
            forked.start_at(start);
            let recovered = forked.world.recover();
            let found = log(&recovered, 1);
            assert_eq!(found.log_end, offset(6), "start {start}");
            assert_eq!(worst(&recovered), None, "start {start}");
            assert_eq!(holes(found), []);
            for (bytes, info) in &found.tail {
                let mut same = new.iter();
                assert!(same.any(|batch| batch.bytes == *bytes), "{info:?}");
            }
            let is_chain = found.chain == forked.history.chain;
            assert!(is_chain || found.tail.is_empty());
        }
    }
}

#[test]
fn the_tail_starts_with_the_batch_that_holds_the_log_start() {
    let mut forked = forked();
    let (log_id, new) = (forked.history.log, forked.new.clone());
    let Forked { world, newer, .. } = &mut forked;
    world.append(newer, log_id, &new);
    world.seal_journal(newer);
    forked.start_at(3);
    assert_eq!(tail_bases(log(&forked.world.recover(), 1)), [2, 5]);
}

#[test]
fn what_was_cut_does_not_come_back_when_everything_behind_it_was_deleted() {
    let mut forked = forked();
    // What came in its place went to a segment that is deleted; nothing of it is left but its epoch.
    let (log, epoch, start) = (forked.history.log, LeaderEpoch::new(1), offset(1));
    forked
        .world
        .record(&[Record::EpochStart { log, epoch, start }]);
    forked.start_at(3);
    let recovered = forked.world.recover();
    assert_eq!(super::builder::log(&recovered, 1).log_end, offset(3));
}

#[test]
fn a_manifest_group_with_another_predecessor_does_not_count() {
    let mut world = World::new();
    world.create_log(1);
    world.manifest.file.last_hash ^= 2;
    world.create_log(2);
    assert_eq!(world.recover().logs.len(), 1);
}

#[test]
fn a_journal_group_with_another_predecessor_does_not_count() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut journal = world.start_journal(1);
    let batches = [history.batch(1, "a"), history.batch(1, "b")];
    world.append(&mut journal, history.log, &batches[..1]);
    journal.prev_hash ^= 2;
    world.append(&mut journal, history.log, &batches[1..]);
    assert_eq!(tail_bases(log(&world.recover(), 1)), [0]);
}
