//! What must hold of a history, whatever happened.
//!
//! Owns: the checks of a producer's acknowledgements against what is read in the end.
//! Never: looks into the broker.
//! Invariants: each check names the place where it fails.
//! Source: reliability.md 3.3 (S8, S19), 3.8 (H1 to H4, H9).

use std::collections::BTreeMap;

use crate::client::{Acknowledged, Producer};

/// Checks one partition's records against every producer's acknowledgements.
///
/// # Errors
/// One sentence: what was lost, moved, duplicated or reordered, and where.
pub fn check(
    partition: i32,
    records: &[(i64, Vec<u8>)],
    producers: &[Producer],
) -> Result<(), String> {
    dense(partition, records)?;
    in_order_and_once(partition, records)?;
    let stored: BTreeMap<i64, &Vec<u8>> = records
        .iter()
        .map(|(offset, value)| (*offset, value))
        .collect();
    producers
        .iter()
        .try_for_each(|producer| nothing_lost(partition, &stored, producer.acknowledged()))
}

fn dense(partition: i32, records: &[(i64, Vec<u8>)]) -> Result<(), String> {
    for (expected, (offset, _)) in (0_i64..).zip(records) {
        if *offset != expected {
            return Err(format!(
                "partition {partition}: offset {offset} where {expected} belongs"
            ));
        }
    }
    Ok(())
}

fn in_order_and_once(partition: i32, records: &[(i64, Vec<u8>)]) -> Result<(), String> {
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    for (offset, value) in records {
        let Some((producer, number)) = parse(value) else {
            return Err(format!(
                "partition {partition}: offset {offset} holds bytes nobody wrote"
            ));
        };
        if last
            .insert(producer, number)
            .is_some_and(|before| before >= number)
        {
            return Err(format!(
                "partition {partition}: offset {offset} repeats or reorders {producer}:{number}"
            ));
        }
    }
    Ok(())
}

fn parse(value: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(value).ok()?;
    let mut parts = text.split(':');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn nothing_lost(
    partition: i32,
    stored: &BTreeMap<i64, &Vec<u8>>,
    acknowledged: &Acknowledged,
) -> Result<(), String> {
    for ((place, offset), value) in acknowledged {
        if *place == partition && stored.get(offset) != Some(&value) {
            let found = stored.get(offset).map_or("nothing", |_| "other bytes");
            return Err(format!(
                "partition {partition}: acknowledged offset {offset} holds {found}"
            ));
        }
    }
    Ok(())
}
