//! Journal files of another core under the name of ours.  docs/format.md (journal file)

use super::builder::{Batch, History, Journal, World, log, worst};
use crate::exec::{Disk, Severity};

/// What a core says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Ours,
    Theirs,
}

/// A core with one log of `groups` groups; logs have the same number and topic on every core.
fn core(word: Word, groups: u32) -> (World, Journal, Vec<Batch>) {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let (byte, text) = match word {
        Word::Ours => (1, "ours"),
        Word::Theirs => (2, "theirs"),
    };
    let mut journal = world.start_journal(byte);
    let batches: Vec<Batch> = (0..groups).map(|_| history.batch(1, text)).collect();
    for batch in &batches {
        world.append(
            &mut journal,
            History::new(1).log,
            std::slice::from_ref(batch),
        );
    }
    world.seal_journal(&mut journal);
    (world, journal, batches)
}

/// Starts; how bad the start calls it.
fn start_with_nothing_of_theirs(mut world: World, ours: &[Batch], at: &str) -> Option<Severity> {
    let recovered = world.recover();
    for (bytes, info) in &log(&recovered, 1).tail {
        let is_ours = ours.iter().any(|batch| batch.bytes == *bytes);
        assert!(is_ours, "{at}: {info:?} was written by another core");
    }
    worst(&recovered)
}

#[test]
fn the_journal_file_of_another_core_is_never_replayed() {
    for groups in 1..5 {
        let (mut world, journal, ours) = core(Word::Ours, 3);
        let (other, foreign, _) = core(Word::Theirs, groups);
        let bytes = other.disk.contents(&foreign.path).unwrap().to_vec();
        world.disk.put(&journal.path, bytes);
        let at = format!("{groups} groups");
        let worst = start_with_nothing_of_theirs(world, &ours, &at);
        assert_eq!(worst, Some(Severity::Damage), "{at}");
    }
}

#[test]
fn groups_of_another_core_behind_our_header_are_never_replayed() {
    for first in 0..3 {
        let (mut world, journal, ours) = core(Word::Ours, 3);
        let (other, foreign, _) = core(Word::Theirs, 3);
        let from = foreign.positions[first].1;
        let bytes = other.disk.contents(&foreign.path).unwrap();
        let bytes = bytes[usize::try_from(from).unwrap()..].to_vec();
        world.disk.write(&journal.path, from, &bytes).unwrap();
        let worst = start_with_nothing_of_theirs(world, &ours, &format!("from group {first}"));
        // With the last group its only witness is lost: that is what a crash leaves too.
        assert!(worst >= Some(Severity::Repairable), "from group {first}");
    }
}
