//! Producer state comes back from the log and from snapshots that the chain confirms.  kafka.md 3.7, I9

use model::batch::{BatchBuilder, BatchProducer, NewRecord};
use model::ids::{BatchSequence, ProducerEpoch, ProducerId};

use super::builder::{Batch, History, NOW, Put, World, holes, log, offset, tp};
use crate::exec::recovered::Recovered;
use crate::format::layout::snapshot_path;
use crate::format::snapshot::{Batch as SnapshotBatch, Producer, Snapshot};
use crate::log::Admit;

const ID: u64 = 7;

fn produced(history: &mut History, sequence: u32) -> Batch {
    let mut builder = BatchBuilder::new(NOW).producer(BatchProducer {
        id: ProducerId::new(ID),
        epoch: ProducerEpoch::new(0),
        base_sequence: Some(BatchSequence::new(sequence)),
    });
    builder.push(&NewRecord::value(NOW, b"once")).unwrap();
    history.stamp(builder.build())
}

/// A log with three batches of one producer in a sealed segment and one in the journal.
fn world() -> (World, History, Vec<Batch>) {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut journal = world.start_journal(1);
    let mut segment = world.add_segment(&history, 9);
    let batches: Vec<Batch> = (0..4).map(|at| produced(&mut history, at)).collect();
    world.segment_group(&mut segment, &batches[..3]);
    world.seal_segment(&segment);
    world.append(&mut journal, history.log, &batches[3..]);
    (world, history, batches)
}

/// A snapshot after `upto` batches that knows the last of them.
fn snapshot(batches: &[Batch], upto: u64, chain: u64) -> Snapshot {
    let known = batches
        .iter()
        .take(usize::try_from(upto).unwrap())
        .map(|batch| {
            let sequence = batch.info.producer.unwrap().base_sequence.unwrap().get();
            SnapshotBatch {
                first_sequence: sequence,
                last_sequence: sequence,
                first_offset: batch.info.base_offset.get(),
                last_offset: batch.info.last_offset().get(),
                log_append_time: None,
            }
        });
    let batches = known.collect();
    let producer = Producer {
        id: ID,
        epoch: 0,
        last_used_ms: NOW,
        batches,
    };
    Snapshot {
        log: 1,
        upto,
        chain,
        producers: vec![producer],
    }
}

fn admit(recovered: &Recovered, batch: &Batch) -> Admit {
    log(recovered, 1).producers.admit(NOW + 2, &batch.info)
}

fn is_duplicate_of(recovered: &Recovered, batch: &Batch) -> bool {
    let (first, last) = (batch.info.base_offset, batch.info.last_offset());
    admit(recovered, batch)
        == Admit::Duplicate {
            first,
            last,
            log_append_time: None,
        }
}

#[test]
fn without_a_snapshot_the_producers_come_from_the_batches() {
    let (mut world, mut history, batches) = world();
    let recovered = world.recover();
    assert!(
        batches
            .iter()
            .all(|batch| is_duplicate_of(&recovered, batch))
    );
    assert_eq!(admit(&recovered, &produced(&mut history, 4)), Admit::Fresh);
    assert_eq!(log(&recovered, 1).snapshot_upto, None);
}

#[test]
fn a_snapshot_that_the_chain_confirms_saves_reading_the_sealed_segments() {
    let (mut world, _, batches) = world();
    let bytes = snapshot(&batches, 3, batches[2].chain_after)
        .encode()
        .unwrap();
    world.disk.put(&snapshot_path(tp(1), offset(3)), bytes);
    let recovered = world.recover();
    assert_eq!(recovered.report.segments_scanned, 0);
    assert_eq!(log(&recovered, 1).snapshot_upto, Some(offset(3)));
    assert!(
        batches
            .iter()
            .all(|batch| is_duplicate_of(&recovered, batch))
    );
}

#[test]
fn a_snapshot_where_a_sealed_segment_ends_outlives_damage_directly_behind_it() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut sealed = world.add_segment(&history, 9);
    let mut batches: Vec<Batch> = (0..3).map(|at| produced(&mut history, at)).collect();
    world.segment_group(&mut sealed, &batches);
    world.seal_segment(&sealed);
    let bytes = snapshot(&batches, 3, history.chain).encode().unwrap();
    world.disk.put(&snapshot_path(tp(1), offset(3)), bytes);
    let mut open = world.add_segment(&history, 8);
    for sequence in 3..5 {
        batches.push(produced(&mut history, sequence));
        world.segment_group(&mut open, batches.last_chunk::<1>().unwrap());
    }
    let mut journal = world.start_journal(1);
    world.group(&mut journal, 0, &[Put::Witness(open.witness())]);
    assert!(world.disk.flip(&open.path, open.positions[0] + 140));
    let recovered = world.recover();
    assert_eq!(holes(log(&recovered, 1)), [(3, 4)]);
    assert_eq!(log(&recovered, 1).snapshot_upto, Some(offset(3)));
    assert_eq!(recovered.report.segments_scanned, 1, "not the sealed one");
    let known = [0, 1, 2, 4].map(|at: usize| &batches[at]);
    assert!(known.iter().all(|batch| is_duplicate_of(&recovered, batch)));
}

#[test]
fn a_snapshot_inside_a_sealed_segment_is_confirmed_by_reading_it() {
    let (mut world, _, batches) = world();
    let bytes = snapshot(&batches, 2, batches[1].chain_after)
        .encode()
        .unwrap();
    world.disk.put(&snapshot_path(tp(1), offset(2)), bytes);
    let recovered = world.recover();
    assert_eq!(log(&recovered, 1).snapshot_upto, Some(offset(2)));
    assert!(
        batches
            .iter()
            .all(|batch| is_duplicate_of(&recovered, batch))
    );
}

#[test]
fn a_snapshot_of_another_history_is_ignored_and_removed() {
    let (mut world, _, batches) = world();
    let path = snapshot_path(tp(1), offset(3));
    world
        .disk
        .put(&path, snapshot(&[], 3, 12_345).encode().unwrap());
    let recovered = world.recover();
    assert_eq!(log(&recovered, 1).snapshot_upto, None);
    assert_eq!(world.disk.contents(&path), None);
    assert!(
        batches
            .iter()
            .all(|batch| is_duplicate_of(&recovered, batch))
    );
}

#[test]
fn a_snapshot_beyond_the_log_end_is_ignored() {
    let (mut world, _, batches) = world();
    world.disk.put(
        &snapshot_path(tp(1), offset(9)),
        snapshot(&[], 9, 1).encode().unwrap(),
    );
    let recovered = world.recover();
    assert_eq!(log(&recovered, 1).snapshot_upto, None);
    assert!(
        batches
            .iter()
            .all(|batch| is_duplicate_of(&recovered, batch))
    );
}

#[test]
fn a_snapshot_at_the_log_end_needs_no_batch_at_all() {
    let (mut world, history, batches) = world();
    let bytes = snapshot(&batches, 4, history.chain).encode().unwrap();
    world.disk.put(&snapshot_path(tp(1), offset(4)), bytes);
    let recovered = world.recover();
    assert_eq!(log(&recovered, 1).snapshot_upto, Some(offset(4)));
    assert!(
        batches
            .iter()
            .all(|batch| is_duplicate_of(&recovered, batch))
    );
}

#[test]
fn a_damaged_snapshot_is_as_good_as_none() {
    let (mut world, _, batches) = world();
    let path = snapshot_path(tp(1), offset(3));
    world.disk.put(
        &path,
        snapshot(&batches, 3, batches[2].chain_after)
            .encode()
            .unwrap(),
    );
    assert!(world.disk.flip(&path, 60));
    let recovered = world.recover();
    assert_eq!(log(&recovered, 1).snapshot_upto, None);
    assert!(
        batches
            .iter()
            .all(|batch| is_duplicate_of(&recovered, batch))
    );
}
