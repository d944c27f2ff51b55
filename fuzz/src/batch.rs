//! Record batches from a client or from a file.
//!
//! Owns: the promises of `model::batch` about arbitrary bytes.
//! Never: depends on more than `model`, so that its own tests can include this file.
//! Invariants: no panic; a view never reaches beyond the bytes; stamping keeps a valid batch valid.
//! Source: reliability.md 4.3, kafka.md 3.2.

use model::batch::{
    BatchInfo, Batches, HEADER_BYTES, KeyRule, Marker, Records, batch_len, deep_check,
    stamp_log_append_time, stamp_offset_epoch,
};
use model::offset::{LeaderEpoch, Offset};

/// Payloads above this are not decompressed, to keep runs short.
const PAYLOAD_BYTES_MAX: usize = 4 * 1024;

/// Reads the input as batches, as it is and with the CRC of the first one made right.
///
/// # Panics
/// If a promise of `model::batch` is broken.
pub fn run(data: &[u8]) {
    read(data);
    if let Some(repaired) = with_right_crc(data) {
        read(&repaired);
    }
}

fn read(data: &[u8]) {
    let mut taken = 0;
    for item in Batches::new(data) {
        let Ok((info, batch)) = item else { break };
        assert_eq!(
            info.len(),
            batch.len(),
            "a batch is as long as its view says"
        );
        assert_eq!(batch_len(batch), Some(batch.len()));
        assert_eq!(
            BatchInfo::parse_header(batch),
            Ok(info),
            "both parsers agree"
        );
        taken += batch.len();
        assert!(taken <= data.len(), "batches lie inside the input");
        walk(batch, &info);
        stamp(batch, &info);
    }
    if let Ok(info) = BatchInfo::parse_header(data) {
        walk(data, &info);
    }
}

fn walk(batch: &[u8], info: &BatchInfo) {
    if info.len() > HEADER_BYTES + PAYLOAD_BYTES_MAX {
        return;
    }
    let mut scratch = Vec::new();
    let mut seen = 0_u32;
    let Ok(records) = Records::open(batch, info, &mut scratch) else {
        return;
    };
    let mut is_whole = true;
    for record in records {
        let Ok(record) = record else {
            is_whole = false;
            break;
        };
        assert!(
            record.offset_delta <= info.last_offset_delta,
            "offsets lie inside the batch"
        );
        let headers = record.headers.len();
        assert_eq!(record.headers.count(), headers, "headers are all there");
        seen += 1;
    }
    if is_whole {
        assert_eq!(seen, info.records, "a walk without error saw every record");
    }
    let checked = deep_check(batch, info, KeyRule::Required);
    assert_eq!(
        checked.is_ok(),
        is_whole,
        "the deep check and the walk agree"
    );
    // The outcome may be any; it must not panic.
    let _outcome = Marker::read(batch, info);
}

fn stamp(batch: &[u8], before: &BatchInfo) {
    let mut stamped = batch.to_vec();
    stamp_offset_epoch(&mut stamped, Offset::new(1_000), LeaderEpoch::new(7));
    stamp_log_append_time(&mut stamped, 1_700_000_000_000);
    let after = BatchInfo::parse(&stamped).expect("a valid batch stays valid");
    let expected = BatchInfo {
        base_offset: Offset::new(1_000),
        leader_epoch: Some(LeaderEpoch::new(7)),
        is_log_append_time: true,
        max_timestamp: 1_700_000_000_000,
        crc: after.crc,
        ..*before
    };
    assert_eq!(after, expected, "stamping changes nothing else");
}

fn with_right_crc(data: &[u8]) -> Option<Vec<u8>> {
    let total = batch_len(data)?;
    let mut bytes = data.to_vec();
    let covered = bytes.get(21..total)?;
    let crc = crc32c::crc32c(covered);
    bytes.get_mut(17..21)?.copy_from_slice(&crc.to_be_bytes());
    Some(bytes)
}
