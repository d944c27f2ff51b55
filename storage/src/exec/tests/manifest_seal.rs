//! The manifest's last group with and without a seal behind it.  reliability.md 2.4

use super::builder::{BLOCK, NOW, SHARD, World, log, offset};
use crate::exec::manifest_open::flat;
use crate::exec::{Disk, RecoverError, Severity, check, recover};
use crate::format::frame::{Beside, Frame};
use crate::format::manifest::{Record, encode_group};
use crate::store::LogId;

/// A core whose last manifest group is the one made of `records`; gives its position.
fn written(records: &[Record]) -> (World, u64) {
    let mut world = World::new();
    world.create_log(1);
    world.create_log(2);
    let position = world.manifest.file.position;
    world.record(records);
    (world, position)
}

/// Writes an empty group that witnesses everything before it.
fn seal(world: &mut World) {
    let file = &mut world.manifest.file;
    let frame = Frame {
        lineage: file.uid,
        seq: file.next_seq,
        block: file.position / BLOCK,
        durable_through: file.next_seq - 1,
        prev_hash: file.last_hash,
        count: 0,
        body_len: 0,
        flags: 0,
        beside: Beside::default(),
    };
    let group = encode_group(frame, &[]);
    let bytes = flat(&group);
    world.disk.write(&file.path, file.position, &bytes).unwrap();
    file.position += u64::from(group.len);
    file.next_seq += 1;
    file.last_hash = group.hash;
}

fn rot(world: &mut World, position: u64) {
    assert!(world.disk.flip(&world.manifest.file.path, position + 133));
}

fn lost_records() -> [Vec<Record>; 3] {
    let log = LogId(1);
    let start = Record::LogStart {
        log,
        offset: offset(7),
    };
    let create = Record::LogCreate {
        log: LogId(3),
        tp: super::builder::tp(3),
    };
    [vec![Record::LogDrop(log)], vec![start], vec![create]]
}

#[test]
fn a_rotten_last_group_is_damage_when_a_seal_follows() {
    for records in lost_records() {
        let (mut world, position) = written(&records);
        seal(&mut world);
        rot(&mut world, position);
        let before = world.disk.clone();
        let error = recover(&mut world.disk, SHARD, NOW).unwrap_err();
        let RecoverError::Damaged { position: at, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(at, position);
        assert_eq!(world.disk, before, "nothing was changed");
        let findings = check(&world.disk).findings;
        let worst = findings.iter().map(|finding| finding.severity).max();
        assert_eq!(worst, Some(Severity::Damage));
    }
}

#[test]
fn a_rotten_last_group_is_cut_when_no_seal_follows() {
    for records in lost_records() {
        let (mut world, position) = written(&records);
        rot(&mut world, position);
        let recovered = world.recover();
        assert_eq!(recovered.logs.len(), 2);
        assert_eq!(log(&recovered, 1).log_start, offset(0));
    }
}

#[test]
fn a_rotten_seal_loses_nothing() {
    for records in lost_records() {
        let (mut world, _) = written(&records);
        let position = world.manifest.file.position;
        seal(&mut world);
        assert!(world.disk.flip(&world.manifest.file.path, position + 20));
        let recovered = world.recover();
        let number = match records.first() {
            Some(Record::LogDrop(_)) => 1,
            Some(Record::LogCreate { .. }) => 3,
            _ => 2,
        };
        assert_eq!(recovered.logs.len(), number);
    }
}

#[test]
fn a_sealed_manifest_takes_further_records() {
    let (mut world, _) = written(&[Record::LogDrop(LogId(1))]);
    seal(&mut world);
    let path = world.manifest.file.path.clone();
    let recovered = world.recover();
    assert_eq!(recovered.logs.len(), 1);
    assert_eq!(recovered.manifest.path, path, "no new generation");
}
