//! Power cuts while a start is under way.
//!
//! Owns: recovery that is interrupted at every change it makes, once and twice.
//! Never: interrupts the store itself; its own tests do.
//! Invariants: what can be read afterwards is what an undisturbed start gives.
//! Source: reliability.md 2.1, 2.5 steps 2, 3 and 8.

use model::ids::TopicPartition;
use model::prng::Prng;
use storage::exec::{Disk, MemoryDisk, Severity, recover};
use storage::{IoError, LogId};

use crate::kit::cutting::{Cut, CuttingDisk};
use crate::kit::judge::{now, read_all};
use crate::kit::scene::Scene;
use crate::kit::script::{apply, parse, random};
use crate::kit::world::{SHARD, World};

/// One log as a reader sees it: log start, log end, holes, batches.
type Content = (
    LogId,
    TopicPartition,
    [u64; 2],
    Vec<(u64, u64)>,
    Vec<Vec<u8>>,
);

fn start(disk: &mut impl Disk) -> Result<storage::exec::Recovered, storage::exec::RecoverError> {
    recover(disk, SHARD, now().wall.as_millis())
}

/// What a start on this directory gives; `None` if it is refused.
fn content(disk: &MemoryDisk) -> Option<Vec<Content>> {
    let mut disk = disk.clone();
    let recovered = start(&mut disk).ok()?;
    let holes: Vec<_> = recovered
        .logs
        .iter()
        .map(|log| (log.id, log.tp, log.holes.clone()))
        .collect();
    let mut world = World::open(disk, recovered, (u64::MAX, now()));
    let logs = holes.into_iter().map(|(id, tp, holes)| {
        let bounds = world.store.bounds(id).unwrap();
        let ends = [bounds.log_start.get(), bounds.log_end.get()];
        let batches = read_all(&mut world, id, &holes);
        let holes = holes.iter().map(|hole| (hole.start.get(), hole.end.get()));
        (id, tp, ends, holes.collect(), batches)
    });
    Some(logs.collect())
}

/// Interrupts a start at a change; the disk afterwards, unless the start ended before.
fn interrupted(disk: &MemoryDisk, at: (u64, Cut)) -> Option<MemoryDisk> {
    let mut cutting = CuttingDisk::new(disk, Some(at));
    match start(&mut cutting) {
        Ok(_) => None,
        Err(_) => Some(cutting.durable),
    }
}

fn cuts(seed: u64) -> [Cut; 4] {
    [Cut::Lost, Cut::Done, Cut::Torn(seed), Cut::Torn(seed + 1)]
}

/// Every change of a start in turn, and every kind of cut; gives the number of interrupted starts.
fn interrupt_everywhere(disk: &MemoryDisk, mut then: impl FnMut(&MemoryDisk, (u64, Cut))) -> usize {
    let mut count = 0;
    for change in 1.. {
        let mut is_over = true;
        for cut in cuts(change) {
            if let Some(left) = interrupted(disk, (change, cut)) {
                (is_over, count) = (false, count + 1);
                then(&left, (change, cut));
            }
        }
        if is_over {
            break;
        }
    }
    count
}

#[test]
fn a_start_that_is_cut_off_anywhere_is_repeated_by_the_next_one() {
    let mut count = 0;
    for seed in 0..16 {
        let scene = Scene::build(seed);
        let expected = content(&scene.disk).unwrap();
        count += interrupt_everywhere(&scene.disk, |left, at| {
            assert!(
                content(left) == Some(expected.clone()),
                "scene {seed} at {at:?}"
            );
        });
    }
    assert!(count > 200, "only {count} interrupted starts");
}

#[test]
fn a_start_that_is_cut_off_twice_is_repeated_as_well() {
    for seed in [1, 2, 3, 5] {
        let scene = Scene::build(seed);
        let expected = content(&scene.disk).unwrap();
        interrupt_everywhere(&scene.disk, |left, first| {
            interrupt_everywhere(left, |left, second| {
                let found = content(left);
                assert!(
                    found == Some(expected.clone()),
                    "scene {seed} at {first:?} and {second:?}"
                );
            });
        });
    }
}

#[test]
fn a_start_on_damaged_files_that_is_cut_off_comes_to_the_same_verdict() {
    let mut count = 0;
    for seed in 0..60 {
        let scene = Scene::build(seed % 12);
        let mut disk = scene.disk.clone();
        let mut prng = Prng::new(seed);
        apply(&parse(&random(&mut prng)), &mut disk, &scene);
        let Some(expected) = content(&disk) else {
            continue;
        };
        count += interrupt_everywhere(&disk, |left, at| {
            let found = content(left);
            assert!(
                found == Some(expected.clone()),
                "scene {} damage {seed} at {at:?}: {found:?} instead of {expected:?}",
                scene.seed
            );
        });
    }
    assert!(count > 500, "only {count} interrupted starts");
}

#[test]
fn nothing_is_decided_from_writes_that_a_predecessor_left_in_the_cache() {
    let mut differences = 0;
    for seed in 0..16 {
        let scene = Scene::build(seed);
        let Some(kept) = scene.older.last() else {
            continue;
        };
        // A process was killed: what it wrote is seen, but a loss of power would undo it.
        let mut disk = CuttingDisk::unflushed(&scene.disk, kept, None);
        differences += usize::from(disk.seen != disk.durable);
        start(&mut disk).unwrap();
        let expected = content(&disk.seen).unwrap();
        let found = content(&disk.durable);
        assert!(
            found == Some(expected),
            "scene {seed}: power was lost after the start"
        );
    }
    assert!(differences > 4, "only {differences} full caches");
}

/// A disk whose device fails when it is told to keep what it has.
struct Failing(MemoryDisk);

impl Disk for Failing {
    fn flush(&mut self) -> Result<(), IoError> {
        Err(IoError::Device(5))
    }
    fn list(&self, _: &str) -> Result<Vec<storage::exec::DirEntry>, IoError> {
        panic!("read before the flush")
    }
    fn read(&self, _: &str, _: u64, _: usize) -> Result<Vec<u8>, IoError> {
        panic!("read before the flush")
    }
    fn len(&self, _: &str) -> Result<u64, IoError> {
        panic!("read before the flush")
    }
    fn create(&mut self, path: &str, len: u64) -> Result<(), IoError> {
        self.0.create(path, len)
    }
    fn write(&mut self, path: &str, position: u64, bytes: &[u8]) -> Result<(), IoError> {
        self.0.write(path, position, bytes)
    }
    fn rename(&mut self, from: &str, to: &str) -> Result<(), IoError> {
        self.0.rename(from, to)
    }
    fn remove(&mut self, path: &str) -> Result<(), IoError> {
        self.0.remove(path)
    }
}

#[test]
fn a_device_that_cannot_be_flushed_is_not_started_on() {
    let scene = Scene::build(1);
    let mut disk = Failing(scene.disk.clone());
    let refused = start(&mut disk).unwrap_err();
    assert!(refused.to_string().contains("device error"), "{refused}");
    assert!(disk.0 == scene.disk, "nothing was changed");
    let mut disk = CuttingDisk::new(&scene.disk, None);
    let findings = start(&mut disk).unwrap().report.findings;
    assert!(findings.iter().all(|f| f.severity < Severity::Damage));
}
