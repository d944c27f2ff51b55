//! Later manifest records win over earlier ones.

use model::ids::{PartitionId, TopicId, TopicPartition};
use model::offset::{LeaderEpoch, Offset};

use super::ManifestState;
use crate::format::manifest::Record;
use crate::store::LogId;

const LOG: LogId = LogId(4);

fn tp() -> TopicPartition {
    TopicPartition {
        topic: TopicId::from_bytes([9; 16]),
        partition: PartitionId::new(1),
    }
}

fn state(records: &[Record]) -> ManifestState {
    let mut state = ManifestState::default();
    records.iter().for_each(|record| state.apply(record));
    state
}

fn offset(value: u64) -> Offset {
    Offset::new(value)
}

fn rich() -> Vec<Record> {
    vec![
        Record::NextLog(LogId(3)),
        Record::LogCreate { log: LOG, tp: tp() },
        Record::EpochStart {
            log: LOG,
            epoch: LeaderEpoch::new(2),
            start: offset(0),
        },
        Record::EpochStart {
            log: LOG,
            epoch: LeaderEpoch::new(5),
            start: offset(30),
        },
        Record::SegmentAdd {
            log: LOG,
            uid: [2; 16],
            base: offset(20),
            created_ms: 7,
        },
        Record::SegmentAdd {
            log: LOG,
            uid: [1; 16],
            base: offset(0),
            created_ms: 6,
        },
        Record::SegmentSeal {
            log: LOG,
            uid: [1; 16],
            valid_end: 12_288,
            upto: offset(20),
            chain_after: 77,
            max_timestamp: 8,
            groups: 1,
        },
        Record::Damaged {
            log: LOG,
            from: offset(4),
            upto: offset(9),
        },
        Record::Repaired {
            log: LOG,
            from: offset(4),
            upto: offset(6),
        },
        Record::JournalAdd {
            lineage: [3; 16],
            file: [4; 16],
            number: 0,
        },
        Record::JournalAdd {
            lineage: [3; 16],
            file: [5; 16],
            number: 1,
        },
        Record::JournalRetire { file: [4; 16] },
    ]
}

#[test]
fn a_checkpoint_rebuilds_the_same_state() {
    let before = state(&rich());
    assert_eq!(state(&before.checkpoint()), before);
    assert_eq!(before.next_log, 5);
    assert_eq!(before.journals.len(), 1);
    let log = before.logs.get(&LOG).unwrap();
    assert_eq!(log.sealed_upto(), offset(20));
    assert_eq!(log.segments.first().unwrap().uid, [1; 16], "sorted by base");
    assert_eq!(log.holes.ranges(), [offset(6)..offset(9)]);
}

#[test]
fn a_raised_log_start_forgets_holes_and_epochs_below_it() {
    let mut state = state(&rich());
    state.apply(&Record::LogStart {
        log: LOG,
        offset: offset(31),
    });
    let log = state.logs.get(&LOG).unwrap();
    assert_eq!(log.holes.ranges(), []);
    assert_eq!(log.epochs.iter().count(), 1);
    assert_eq!(log.sealed_upto(), offset(31));
}

#[test]
fn records_about_a_dropped_log_change_nothing() {
    let mut state = state(&rich());
    state.apply(&Record::LogDrop(LOG));
    let before = state.clone();
    rich()
        .iter()
        .skip(2)
        .take(7)
        .for_each(|record| state.apply(record));
    assert_eq!(state, before);
    assert_eq!(state.next_log, 5, "ids are never given again");
}

#[test]
fn a_start_ends_the_clean_stop() {
    let mut state = state(&[Record::CleanStop { lineage: [1; 16] }]);
    assert!(state.is_clean);
    state.apply(&Record::Started);
    assert!(!state.is_clean);
}

#[test]
fn a_recycled_journal_file_counts_once_with_its_newest_number() {
    let mut state = state(&rich());
    state.apply(&Record::JournalAdd {
        lineage: [3; 16],
        file: [4; 16],
        number: 2,
    });
    let numbers: Vec<u64> = state
        .journals
        .iter()
        .map(|journal| journal.number)
        .collect();
    assert_eq!(numbers, [1, 2]);
}
