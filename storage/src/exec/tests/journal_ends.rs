//! Groups of the journal that are gone: offsets that they gave out are not given out again.  docs/format.md, Ends

use model::offset::LeaderEpoch;

use super::builder::{BLOCK, History, Journal, Put, World, holes, log, offset, tail_bases, worst};
use crate::exec::{Disk, Severity};
use crate::format::manifest::Record;
use crate::store::LogId;

/// Offsets that a log leaves out when nobody knows where it ended.
const FAR: u64 = 1 << 48;

/// Three logs; the groups of the first journal are, from 1: one, two, one, two, seal.
struct Written {
    world: World,
    journal: Journal,
    one: History,
    two: History,
}

fn written() -> Written {
    let mut world = World::new();
    let (mut one, mut two) = (world.create_log(1), world.create_log(2));
    world.create_log(3);
    let mut journal = world.start_journal(1);
    for _ in 0..2 {
        for history in [&mut one, &mut two] {
            let batch = history.batch(2, "word");
            world.append(&mut journal, history.log, &[batch]);
        }
    }
    world.seal_journal(&mut journal);
    Written {
        world,
        journal,
        one,
        two,
    }
}

impl Written {
    /// Destroys groups, headers and all.
    fn destroy(&mut self, groups: &[usize]) {
        for group in groups {
            let (path, position) = self.journal.positions[group - 1].clone();
            assert!(self.world.disk.zero(&path, position, 128));
        }
    }

    fn append_to_one(&mut self) {
        let batch = self.one.batch(1, "later");
        self.world.append(&mut self.journal, self.one.log, &[batch]);
    }
}

#[test]
fn the_last_entry_of_a_log_is_missed_by_the_group_behind_it() {
    let mut written = written();
    written.destroy(&[4]);
    let recovered = written.world.recover();
    let (one, two) = (log(&recovered, 1), log(&recovered, 2));
    assert_eq!((one.log_end, holes(one)), (offset(4), vec![]));
    assert_eq!((two.log_end, holes(two)), (offset(4), vec![(2, 4)]));
    assert_eq!(tail_bases(one), [0, 2]);
    assert_eq!(log(&recovered, 3).log_end, offset(0));
    assert_eq!(worst(&recovered), Some(Severity::Damage));
    let again = written.world.recover();
    assert_eq!(log(&again, 2).log_end, offset(4));
    assert_eq!(holes(log(&again, 2)), [(2, 4)]);
}

#[test]
fn a_lost_seal_costs_nothing() {
    let mut written = written();
    written.append_to_one();
    let Written { world, journal, .. } = &mut written;
    world.seal_journal(journal);
    written.destroy(&[5]);
    let recovered = written.world.recover();
    for (number, end) in [(1, 5), (2, 4), (3, 0)] {
        let found = log(&recovered, number);
        assert_eq!((found.log_end, holes(found)), (offset(end), vec![]));
    }
    assert_eq!(worst(&recovered), Some(Severity::Damage));
}

#[test]
fn a_group_that_nothing_speaks_of_moves_every_log_that_it_may_have_ended() {
    let mut written = written();
    // Group 4 is spoken of by the seal; group 3 is spoken of by group 4 alone.
    written.destroy(&[3, 4]);
    let recovered = written.world.recover();
    for (number, known) in [(1, 2), (2, 4), (3, 0)] {
        let found = log(&recovered, number);
        assert_eq!(found.log_end, offset(known + FAR), "log {number}");
        let hole = holes(found).last().copied();
        assert_eq!(hole.map(|hole| hole.1), Some(known + FAR));
        assert!(found.is_tail_unverified);
    }
}

#[test]
fn a_log_with_an_entry_behind_the_lost_groups_stays_where_it_is() {
    let mut written = written();
    written.append_to_one();
    let Written { world, journal, .. } = &mut written;
    world.seal_journal(journal);
    written.destroy(&[3, 4]);
    let recovered = written.world.recover();
    let one = log(&recovered, 1);
    assert_eq!((one.log_end, holes(one)), (offset(5), vec![(2, 4)]));
    assert_eq!(tail_bases(one), [4]);
    assert_eq!(log(&recovered, 2).log_end, offset(4 + FAR));
}

#[test]
fn the_same_loss_is_not_counted_twice() {
    let mut written = written();
    written.destroy(&[3, 4]);
    for _ in 0..3 {
        assert_eq!(log(&written.world.recover(), 2).log_end, offset(4 + FAR));
    }
    // The next start goes on in a journal of its own, and stops before the old one is retired.
    let mut world = World::over(written.world.disk);
    let mut second = world.start_journal(2);
    let epoch = |world: &mut World, start| {
        let log = written.two.log;
        let (epoch, start) = (LeaderEpoch::new(1), offset(start));
        world.record(&[Record::EpochStart { log, epoch, start }]);
    };
    epoch(&mut world, 4 + FAR);
    world.seal_journal(&mut second);
    for _ in 0..3 {
        assert_eq!(log(&world.recover(), 2).log_end, offset(4 + FAR));
    }
}

#[test]
fn a_second_loss_behind_the_first_is_counted() {
    let mut written = written();
    written.destroy(&[3, 4]);
    written.world.recover();
    let mut world = World::over(written.world.disk);
    let mut second = world.start_journal(2);
    let (log_id, epoch, start) = (written.two.log, LeaderEpoch::new(1), offset(4 + FAR));
    world.record(&[Record::EpochStart {
        log: log_id,
        epoch,
        start,
    }]);
    let mut two = History {
        next: start,
        chain: 0,
        epoch,
        ..written.two
    };
    // Acknowledged behind the hole, then lost with the group that would speak of it.
    let batch = two.batch(3, "lost");
    world.append(&mut second, log_id, &[batch]);
    world.seal_journal(&mut second);
    world.seal_journal(&mut second);
    for group in 0..2 {
        let (path, position) = second.positions[group].clone();
        assert!(world.disk.zero(&path, position, 128));
    }
    assert_eq!(log(&world.recover(), 2).log_end, offset(4 + 2 * FAR));
}

#[test]
fn a_journal_file_that_is_gone_moves_every_log_that_it_may_have_ended() {
    let mut written = written();
    let gone = written.journal.path.clone();
    let Written { world, journal, .. } = &mut written;
    world.roll_journal(journal);
    written.append_to_one();
    let Written { world, journal, .. } = &mut written;
    world.seal_journal(journal);
    world.disk.remove(&gone).unwrap();
    let recovered = world.recover();
    let one = log(&recovered, 1);
    assert_eq!((one.log_end, holes(one)), (offset(5), vec![(0, 4)]));
    assert_eq!(log(&recovered, 2).log_end, offset(FAR));
}

#[test]
fn a_lost_group_in_front_of_a_new_file_is_missed_by_its_first_group() {
    let mut written = written();
    let batch = written.two.batch(1, "last");
    let Written {
        world,
        journal,
        two,
        ..
    } = &mut written;
    world.append(journal, two.log, &[batch]);
    world.roll_journal(journal);
    written.append_to_one();
    let Written { world, journal, .. } = &mut written;
    world.seal_journal(journal);
    written.destroy(&[6]);
    let recovered = written.world.recover();
    let two = log(&recovered, 2);
    assert_eq!((two.log_end, holes(two)), (offset(5), vec![(4, 5)]));
    assert_eq!(log(&recovered, 3).log_end, offset(0));
}

#[test]
fn the_header_of_a_group_witnesses_even_if_its_body_is_lost() {
    let mut written = written();
    written.append_to_one();
    // The seal and the group before it are gone; what is left of group 6 says that both were durable.
    written.destroy(&[4, 5]);
    let (path, position) = written.journal.positions[5].clone();
    assert!(written.world.disk.flip(&path, position + 128 + 2));
    let recovered = written.world.recover();
    let two = log(&recovered, 2);
    assert!(two.log_end >= offset(4), "{}", two.log_end);
    assert_eq!(worst(&recovered), Some(Severity::Damage));
}

#[test]
fn a_write_that_was_cut_off_is_still_cut() {
    let mut written = written();
    let batch = written.two.batch(1, "never acknowledged");
    let (log_id, through) = (written.two.log, written.journal.next_seq - 1);
    let Written { world, journal, .. } = &mut written;
    world.group(journal, through, &[Put::Append(log_id, &[batch])]);
    let (path, position) = journal.positions[5].clone();
    assert!(world.disk.flip(&path, position + BLOCK - 1));
    let recovered = world.recover();
    assert_eq!(log(&recovered, 2).log_end, offset(4));
    assert_eq!(holes(log(&recovered, 2)), []);
    assert_ne!(worst(&recovered), Some(Severity::Damage));
}

#[test]
fn a_rotten_file_header_behind_retired_files_costs_nothing() {
    let mut written = written();
    let first = (written.journal.path.clone(), written.journal.file);
    let Written { world, journal, .. } = &mut written;
    world.roll_journal(journal);
    let second = journal.path.clone();
    written.append_to_one();
    let Written { world, journal, .. } = &mut written;
    world.seal_journal(journal);
    // Everything in the first file is in segments that were deleted since.
    for (log, end) in [(1, 4), (2, 4)] {
        let (log, offset) = (LogId(log), offset(end));
        world.record(&[Record::LogStart { log, offset }]);
    }
    world.record(&[Record::JournalRetire { file: first.1 }]);
    world.disk.remove(&first.0).unwrap();
    assert!(world.disk.flip(&second, 40));
    let recovered = world.recover();
    for (number, end) in [(1, 5), (2, 4), (3, 0)] {
        let found = log(&recovered, number);
        assert_eq!((found.log_end, holes(found)), (offset(end), vec![]));
    }
    assert_eq!(worst(&recovered), Some(Severity::Damage), "it is said");
}

#[test]
fn a_journal_file_that_was_emptied_is_as_good_as_gone() {
    for keep in [0, BLOCK] {
        let mut written = written();
        let path = written.journal.path.clone();
        let len = written.world.disk.len(&path).unwrap();
        if keep == 0 {
            assert!(written.world.disk.truncate(&path, 0));
        } else {
            // The whole file reads as zeros, as after a firmware fault.
            assert!(written.world.disk.zero(&path, 0, len));
        }
        let recovered = written.world.recover();
        for number in [1, 2] {
            assert_eq!(log(&recovered, number).log_end, offset(FAR), "log {number}");
        }
        assert_eq!(worst(&recovered), Some(Severity::Damage));
        assert_eq!(log(&written.world.recover(), 1).log_end, offset(FAR));
    }
}
