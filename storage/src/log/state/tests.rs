//! Tests of durable ends, watermarks and holes.

use model::ids::{PartitionId, TopicId};

use super::*;

fn log() -> Log {
    let topic = TopicId::from_bytes([1; 16]);
    let partition = TopicPartition {
        topic,
        partition: PartitionId::new(0),
    };
    let mut log = Log::new(LogId(1), partition, LogConfig::default());
    log.log_end = Offset::new(100);
    log
}

fn route(log: &mut Log, upto: u64, via: Via) {
    log.push_route(Offset::new(upto), via);
}

#[test]
fn durable_end_stops_at_the_first_route_that_is_on_its_way() {
    let mut log = log();
    route(&mut log, 10, Via::Journal(1));
    route(&mut log, 20, Via::Segment);
    route(&mut log, 30, Via::Journal(2));
    assert!(log.advance(2, 0));
    assert_eq!(log.flushed_upto, Offset::new(10));
    log.segment_upto = Offset::new(20);
    assert!(log.advance(2, 0));
    assert_eq!(log.flushed_upto, Offset::new(30));
}

#[test]
fn segment_that_covers_a_route_stands_in_for_the_journal() {
    let mut log = log();
    route(&mut log, 10, Via::Journal(1));
    route(&mut log, 20, Via::Journal(2));
    log.segment_upto = Offset::new(15);
    assert!(log.advance(0, 0));
    assert_eq!(log.flushed_upto, Offset::new(15));
    assert_eq!(log.routes.len(), 1);
}

#[test]
fn nothing_is_acknowledged_before_the_manifest_knows() {
    let mut log = log();
    log.gate = 5;
    route(&mut log, 10, Via::Journal(1));
    assert!(!log.advance(1, 4));
    assert_eq!(log.high_watermark, Offset::ZERO);
    assert!(log.advance(1, 5));
    assert_eq!(log.high_watermark, Offset::new(10));
}

#[test]
fn neighbouring_ranges_of_one_group_are_one_route() {
    let mut log = log();
    route(&mut log, 10, Via::Journal(1));
    route(&mut log, 20, Via::Journal(1));
    assert_eq!(log.routes.len(), 1);
}

#[test]
fn high_watermark_does_not_fall_when_durability_is_raised() {
    let mut log = log();
    log.config.durability = Durability::Memory;
    assert!(log.raise_high_watermark());
    log.config.durability = Durability::Disk;
    assert!(!log.raise_high_watermark());
    assert_eq!(log.high_watermark, Offset::new(100));
}

#[test]
fn holes_are_kept_in_order_and_without_those_inside_others() {
    let mut log = log();
    let hole = |from, upto| Hole {
        from: Offset::new(from),
        upto: Offset::new(upto),
    };
    assert!(log.add_hole(hole(50, 60)));
    assert!(log.add_hole(hole(10, 20)));
    assert!(!log.add_hole(hole(12, 18)));
    assert!(log.add_hole(hole(5, 25)));
    assert_eq!(log.holes, [hole(5, 25), hole(50, 60)]);
    assert_eq!(log.hole_at(Offset::new(55)), Some(hole(50, 60)));
    assert_eq!(log.hole_at(Offset::new(60)), None);
}
