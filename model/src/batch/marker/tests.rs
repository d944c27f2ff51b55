//! Tests of transaction markers.

use super::*;
use crate::batch::vectors::vector;
use crate::batch::{BatchInfo, stamp_offset_epoch};
use crate::offset::{LeaderEpoch, Offset};

fn built(outcome: Outcome) -> Vec<u8> {
    let marker = Marker {
        outcome,
        coordinator_epoch: 11,
    };
    marker
        .build(
            ProducerId::new(4242),
            ProducerEpoch::new(7),
            1_700_000_000_000,
        )
        .to_vec()
}

fn read(batch: &[u8]) -> Result<Option<Marker>, BatchError> {
    Marker::read(batch, &BatchInfo::parse(batch).unwrap())
}

#[test]
fn markers_are_byte_for_byte_those_of_the_reference() {
    for (outcome, name) in [
        (Outcome::Committed, "java_marker_commit"),
        (Outcome::Aborted, "java_marker_abort"),
    ] {
        let mut batch = built(outcome);
        stamp_offset_epoch(&mut batch, Offset::new(17), LeaderEpoch::new(3));
        assert_eq!(batch, vector(name));
        assert_eq!(
            read(&batch),
            Ok(Some(Marker {
                outcome,
                coordinator_epoch: 11
            }))
        );
    }
}

#[test]
fn batches_of_data_are_no_markers() {
    assert_eq!(read(&vector("java_none")), Ok(None));
    assert_eq!(read(&vector("java_zstd")), Ok(None));
}

fn control_batch(record: &NewRecord<'_>) -> Vec<u8> {
    let mut builder = BatchBuilder::new(0).transactional().control();
    builder.push(record).unwrap();
    builder.build().to_vec()
}

#[test]
fn control_records_of_other_types_are_no_markers() {
    assert_eq!(
        read(&control_batch(&NewRecord::keyed(
            0,
            &[0, 0, 0, 2],
            b"leader"
        ))),
        Ok(None)
    );
    assert_eq!(
        read(&BatchBuilder::new(0).transactional().control().build()),
        Ok(None)
    );
}

#[test]
fn malformed_markers_are_errors() {
    for record in [
        NewRecord::keyed(0, &[0, 0, 0], &[0; 6]),
        NewRecord::value(0, &[0; 6]),
        NewRecord::keyed(0, &[0, 0, 0, 1], &[0; 5]),
        NewRecord::tombstone(0, &[0, 0, 0, 1]),
    ] {
        assert!(matches!(
            read(&control_batch(&record)),
            Err(BatchError::BadRecord { .. })
        ));
    }
}
