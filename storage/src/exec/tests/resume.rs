//! Open segments that are read from the newest group on that a witness names.  docs/format.md (SegDurable), ADR 0012

use model::batch::{BatchBuilder, BatchProducer, NewRecord};
use model::ids::{BatchSequence, ProducerEpoch, ProducerId};
use model::offset::LeaderEpoch;

use super::builder::{
    BLOCK, History, NOW, Put, Segment, World, holes, log, offset, tail_bases, worst,
};
use crate::exec::{Disk, Severity, Verdict, check};
use crate::format::journal::{GroupPlace, SegDurableEntry};
use crate::format::manifest::Record;

/// The witness of the group written last, with its place.
fn placed(segment: &Segment) -> SegDurableEntry {
    let place = GroupPlace {
        position: *segment.positions.last().unwrap(),
        max_timestamp: NOW + 5,
        longest: 4_096,
        has_producers: false,
    };
    SegDurableEntry {
        place: Some(place),
        ..segment.witness()
    }
}

fn epoch(world: &mut World, history: &mut History, number: u32) {
    history.epoch = LeaderEpoch::new(number);
    world.record(&[Record::EpochStart {
        log: history.log,
        epoch: history.epoch,
        start: history.next,
    }]);
}

/// A log whose open segment has four groups of two records, of which a witness names the second or another one.
struct Scene {
    world: World,
    history: History,
    segment: Segment,
    witness: SegDurableEntry,
}

fn scene() -> Scene {
    let mut world = World::new();
    let mut history = world.create_log(1);
    epoch(&mut world, &mut history, 3);
    let mut segment = world.add_segment(&history, 9);
    let mut witness = None;
    for number in 0..4 {
        let batch = history.batch(2, "word");
        world.segment_group(&mut segment, &[batch]);
        if number == 2 {
            witness = Some(placed(&segment));
        }
    }
    Scene {
        world,
        history,
        segment,
        witness: witness.unwrap(),
    }
}

impl Scene {
    fn place(&mut self) -> &mut GroupPlace {
        self.witness.place.as_mut().unwrap()
    }

    fn tell(&mut self) {
        let mut journal = self.world.start_journal(1);
        self.world
            .group(&mut journal, 0, &[Put::Witness(self.witness)]);
    }

    /// Damages a group that the witness saves from being read.
    fn damage_first(&mut self) {
        let at = self.segment.positions[0] + 140;
        assert!(self.world.disk.flip(&self.segment.path, at));
    }

    /// Whether a start reads the segment from its first group on.
    fn is_read_whole(&mut self) -> bool {
        self.damage_first();
        self.tell();
        let recovered = self.world.recover();
        let found = holes(log(&recovered, 1));
        assert!(found == [(0, 2)] || found.is_empty(), "{found:?}");
        !found.is_empty()
    }
}

#[test]
fn an_open_segment_is_read_from_its_newest_witnessed_group_on() {
    let mut scene = scene();
    scene.damage_first();
    scene.tell();
    let recovered = scene.world.recover();
    assert_eq!(worst(&recovered), None);
    let found = log(&recovered, 1);
    assert_eq!(found.log_end, scene.history.next);
    assert_eq!(found.chain, scene.history.chain);
    assert_eq!(found.epoch, LeaderEpoch::new(3));
    let [segment] = &found.segments[..] else {
        panic!("{:?}", found.segments)
    };
    assert_eq!(segment.valid_end, scene.segment.position);
    assert_eq!((segment.groups, segment.upto), (4, offset(8)));
    assert_eq!(segment.epoch, LeaderEpoch::new(3));
    assert_eq!(segment.max_timestamp, NOW + 5);
    assert!(segment.index.is_none(), "nobody saw all groups");
    // A check reads everything, and so does a start that needs producers of a sealed segment.
    assert_eq!(check(&scene.world.disk).verdict(), Verdict::Damaged);
    assert_eq!(holes(log(&scene.world.recover(), 1)), [(0, 2)]);
}

#[test]
fn journal_entries_behind_the_segment_follow_as_ever() {
    let mut scene = scene();
    let mut journal = scene.world.start_journal(1);
    let witness = [Put::Witness(scene.witness)];
    scene.world.group(&mut journal, 0, &witness);
    let batch = scene.history.batch(1, "tail");
    let log_id = scene.history.log;
    scene.world.append(&mut journal, log_id, &[batch]);
    let recovered = scene.world.recover();
    assert_eq!(tail_bases(log(&recovered, 1)), [8]);
    assert_eq!(log(&recovered, 1).log_end, scene.history.next);
    assert_eq!(worst(&recovered), None);
}

#[test]
fn a_witness_without_a_place_lets_the_segment_be_read_whole() {
    let mut scene = scene();
    scene.witness.place = None;
    assert!(scene.is_read_whole());
}

#[test]
fn a_log_with_producers_is_read_whole() {
    let mut scene = scene();
    scene.place().has_producers = true;
    assert!(scene.is_read_whole());
}

#[test]
fn a_place_where_another_group_lies_lets_the_segment_be_read_whole() {
    for wrong in 0..4 {
        let mut scene = scene();
        let position = scene.segment.positions[1];
        match wrong {
            0 => scene.place().position = position,
            1 => scene.place().position += BLOCK * 1_000,
            2 => scene.place().position = scene.segment.position,
            _ => scene.witness.last = offset(4),
        }
        assert!(scene.is_read_whole(), "{wrong}");
    }
}

#[test]
fn a_witnessed_group_that_is_damaged_is_a_hole_as_ever() {
    let mut scene = scene();
    let at = scene.segment.positions[2] + 140;
    assert!(scene.world.disk.flip(&scene.segment.path, at));
    scene.tell();
    let recovered = scene.world.recover();
    assert_eq!(holes(log(&recovered, 1)), [(4, 6)]);
    assert_eq!(worst(&recovered), Some(Severity::Damage));
    let segment = &log(&recovered, 1).segments[0];
    assert!(segment.index.is_some(), "it was read from the start");
}

#[test]
fn a_file_that_ends_inside_the_witnessed_group_is_cut_short_as_ever() {
    let mut scene = scene();
    // One block per group: the whole of the last two.
    let at = scene.segment.positions[2] + 512;
    scene.tell();
    assert!(scene.world.disk.truncate(&scene.segment.path, at));
    let recovered = scene.world.recover();
    assert_eq!(worst(&recovered), Some(Severity::Damage));
    let segment = &log(&recovered, 1).segments[0];
    assert_eq!(segment.upto, offset(4));
    assert!(segment.valid_end <= scene.world.disk.len(&scene.segment.path).unwrap());
}

#[test]
fn an_epoch_that_the_manifest_does_not_know_is_found_where_it_begins() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    epoch(&mut world, &mut history, 3);
    let mut segment = world.add_segment(&history, 9);
    for number in 0..4 {
        // The record that says so was on its way when power failed.
        history.epoch = LeaderEpoch::new(if number == 0 { 3 } else { 4 });
        let batch = history.batch(2, "word");
        world.segment_group(&mut segment, &[batch]);
    }
    let mut journal = world.start_journal(1);
    world.group(&mut journal, 0, &[Put::Witness(placed(&segment))]);
    let recovered = world.recover();
    let epochs = &log(&recovered, 1).epochs;
    assert_eq!(epochs.at(offset(1)), Some(LeaderEpoch::new(3)));
    assert_eq!(epochs.at(offset(2)), Some(LeaderEpoch::new(4)));
}

#[test]
fn an_epoch_that_begins_behind_the_witness_is_found_as_ever() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    epoch(&mut world, &mut history, 3);
    let mut segment = world.add_segment(&history, 9);
    for number in 0..3 {
        history.epoch = LeaderEpoch::new(if number < 2 { 3 } else { 4 });
        let batch = history.batch(2, "word");
        world.segment_group(&mut segment, &[batch]);
        if number == 1 {
            let mut journal = world.start_journal(1);
            world.group(&mut journal, 0, &[Put::Witness(placed(&segment))]);
        }
    }
    let recovered = world.recover();
    assert!(log(&recovered, 1).segments[0].index.is_none());
    let epochs = &log(&recovered, 1).epochs;
    assert_eq!(epochs.at(offset(3)), Some(LeaderEpoch::new(3)));
    assert_eq!(epochs.at(offset(4)), Some(LeaderEpoch::new(4)));
}

#[test]
fn a_log_with_a_hole_in_the_segment_is_read_whole() {
    let mut scene = scene();
    let log = scene.history.log;
    let (from, upto) = (offset(0), offset(2));
    scene.world.record(&[Record::Damaged { log, from, upto }]);
    assert!(scene.is_read_whole());
}

#[test]
fn producers_of_batches_behind_the_witness_are_known() {
    let mut scene = scene();
    scene.tell();
    let mut builder = BatchBuilder::new(NOW).producer(BatchProducer {
        id: ProducerId::new(7),
        epoch: ProducerEpoch::new(0),
        base_sequence: Some(BatchSequence::new(0)),
    });
    builder.push(&NewRecord::value(NOW, b"once")).unwrap();
    let batch = scene.history.stamp(builder.build());
    let info = batch.info;
    scene.world.segment_group(&mut scene.segment, &[batch]);
    let recovered = scene.world.recover();
    let found = log(&recovered, 1);
    assert!(found.segments[0].index.is_none());
    let admitted = found.producers.admit(NOW + 2, &info);
    assert!(matches!(admitted, crate::log::Admit::Duplicate { .. }));
}
