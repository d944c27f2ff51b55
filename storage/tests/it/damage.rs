//! Damage of every kind to whole directories, by seed.
//!
//! Owns: the fast share of the damage cases, directories that once failed, a long sweep.
//! Never: writes the format; damage is done to what a real store wrote.
//! Invariants: a failing case prints the scene and the script, made small.
//! Source: reliability.md 2.4 to 2.6, 3.6.
//!
//! The rule that every case is held to: no byte is served that was not written, no acknowledged offset is given out
//! again unsaid, and whatever is lost is reported as damage by the start and by the check, with file and place. One
//! loss alone may go unreported, because the same bytes can be what a crash left: that of offsets in a group which is
//! lost, in or behind the first lost group of its lineage above everything that is left on the disk and names a group
//! as durable. What names one is in `kit/evidence.rs`: headers of the lineage, valid groups with more behind them than
//! can be in flight, records and witnesses of segments, what journal and manifest say of each other. A journal that
//! ends where a group does without zeros behind it is never such a loss, and in a directory that rested for a second
//! before the stop nothing is.

use std::panic::{AssertUnwindSafe, catch_unwind};

use model::prng::Prng;
use storage::exec::{MemoryDisk, Severity, Verdict};

use crate::kit::judge::{Outcome, Start, judge};
use crate::kit::scene::{Scene, Stop};
use crate::kit::script::{Op, apply, parse, random};

/// Cases in the ordinary tests; a long sweep is a build with `TEST_SWEEP_CASES=9000 TEST_SWEEP_SCENES=300`.
const CASES: u64 = 1_500;
/// Directories that they damage.
const SCENES: u64 = 40;
/// Which cases.
const SHARE: u64 = 1;
const BLOCK: usize = 4_096;

fn number(given: Option<&str>, ordinary: u64) -> u64 {
    given.map_or(ordinary, |number| number.parse().unwrap())
}

fn run(scene: &Scene, ops: &[Op]) -> Option<Outcome> {
    let mut disk = scene.disk.clone();
    let done = apply(ops, &mut disk, scene);
    if done.is_empty() {
        return None;
    }
    Some(judge(scene, &disk))
}

/// Leaves out operations as long as the case fails without them.
fn shrink(scene: &Scene, mut ops: Vec<Op>) -> Vec<Op> {
    let fails = |ops: &[Op]| catch_unwind(AssertUnwindSafe(|| run(scene, ops))).is_err();
    let mut at = 0;
    while at < ops.len() {
        let mut fewer = ops.clone();
        fewer.remove(at);
        if fails(&fewer) {
            ops = fewer;
        } else {
            at += 1;
        }
    }
    ops
}

/// Runs the cases of a share; every failure is made small and told.
fn cases((share, count): (u64, u64), directories: u64) -> Vec<Outcome> {
    let scenes: Vec<Scene> = (0..directories).map(Scene::build).collect();
    let (mut outcomes, mut failures) = (Vec::new(), Vec::new());
    for case in 0..count {
        let mut prng = Prng::new(share << 32 | case);
        let scene = &scenes[usize::try_from(prng.below(directories)).unwrap()];
        let ops = parse(&random(&mut prng));
        match catch_unwind(AssertUnwindSafe(|| run(scene, &ops))) {
            Ok(outcome) => outcomes.extend(outcome),
            Err(why) => {
                let why = why.downcast_ref::<String>().cloned().unwrap_or_default();
                let small = shrink(scene, ops);
                let done = apply(&small, &mut scene.disk.clone(), scene);
                failures.push(format!("scene {} {done:?}: {why}", scene.seed));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "share {share}:\n{}",
        failures.join("\n")
    );
    outcomes
}

#[test]
fn scenes_without_damage_keep_everything() {
    for seed in 0..SCENES {
        let scene = Scene::build(seed);
        let outcome = judge(&scene, &scene.disk);
        assert_eq!((outcome.lost, outcome.shortened), (0, 0), "scene {seed}");
    }
}

/// Every verdict of the table in reliability.md 2.4 and what else a start or a check may say often.
const SAID: &[&str] = &[
    "the last write was cut off by the stop",
    "the last group was cut off by the stop",
    "cannot be read; everything up to",
    "were durable and cannot be read",
    "was durable according to group",
    "journal groups are lost, and nothing tells which offsets",
    "offsets were durable in the journal and cannot be read",
    "the file is cut short inside a group",
    "the header block cannot be read",
    "the header is of another segment",
    "segment header has no magic number",
    "the journal file is missing",
    "the segment is missing",
    "blocks cannot be read from the device",
    "but it holds offsets up to",
    "may be the newer copy",
    "the index is rebuilt",
    "producers are rebuilt from the log",
    "no manifest refers to this",
];

#[test]
fn damage_is_never_served_and_never_silent() {
    let share = number(option_env!("TEST_SWEEP_SHARE"), SHARE);
    let count = number(option_env!("TEST_SWEEP_CASES"), CASES);
    let scenes = number(option_env!("TEST_SWEEP_SCENES"), SCENES);
    let outcomes = cases((share, count), scenes);
    let findings = || outcomes.iter().flat_map(|outcome| &outcome.findings);
    for said in SAID {
        let is_said = findings().any(|finding| finding.what.contains(said));
        assert!(is_said, "no case shows: {said}");
    }
    for severity in [Severity::Note, Severity::Repairable, Severity::Damage] {
        assert!(findings().any(|finding| finding.severity == severity));
    }
    for verdict in [Verdict::Clean, Verdict::Repairable, Verdict::Damaged] {
        assert!(outcomes.iter().any(|outcome| outcome.verdict == verdict));
    }
    let refused = |outcome: &&Outcome| matches!(outcome.start, Start::Refused(_));
    let count = outcomes.iter().filter(refused).count();
    assert!(count > 0 && count < outcomes.len() / 2, "{count} refused");
    // Most damage leaves most of the data readable, and some damage hits data.
    let lossy = outcomes.iter().filter(|outcome| outcome.lost > 0).count();
    assert!(lossy > outcomes.len() / 20, "{lossy} with loss");
    let is_untold = |outcome: &&Outcome| outcome.untold > 0;
    let untold = outcomes.iter().filter(is_untold).count();
    assert!(untold < outcomes.len() / 100, "{untold} untold");
}

/// Directories that once failed, and their like of every kind of stop.
const PINNED: [u64; 17] = [
    25, 29, 84, 85, 96, 129, 149, 281, 267, 91, 231, 20, 109, 221, 280, 197, 16,
];

/// What a journal or manifest may be put back to: every earlier end, by zeros or by a cut, and what it once was.
fn put_back(scene: &Scene, path: &str, mut visit: impl FnMut(&str, u64, MemoryDisk)) {
    let bytes = scene.disk.contents(path).unwrap();
    let blocks = bytes.len() / BLOCK;
    let is_used = |block: &usize| {
        bytes[block * BLOCK..(block + 1) * BLOCK]
            .iter()
            .any(|b| *b != 0)
    };
    let used = (0..blocks).rev().find(is_used).map_or(0, |block| block + 1);
    for at in (1..used).map(|block| (block * BLOCK) as u64) {
        let mut disk = scene.disk.clone();
        assert!(disk.zero(path, at, bytes.len() as u64 - at));
        visit("zeros", at, disk);
        let mut disk = scene.disk.clone();
        assert!(disk.truncate(path, at));
        visit("cut", at, disk);
    }
    for (at, older) in scene.older.iter().enumerate() {
        if let Some(older) = older.contents(path).filter(|older| *older != bytes) {
            let mut disk = scene.disk.clone();
            disk.put(path, older.to_vec());
            visit("older", at as u64, disk);
        }
    }
}

#[test]
fn journals_and_manifests_that_are_put_back_are_told_from_what_a_crash_leaves() {
    let (mut untold, mut cases) = (0, 0);
    for seed in PINNED {
        let scene = Scene::build(seed);
        for (path, _) in scene.disk.files() {
            if !path.starts_with("core-0/") {
                continue;
            }
            put_back(&scene, &path, |how, at, disk| {
                let judged = catch_unwind(AssertUnwindSafe(|| judge(&scene, &disk)));
                assert!(judged.is_ok(), "scene {seed}: {path} {how} {at}");
                let outcome = judged.unwrap();
                let is_crash_alike = how != "cut" && scene.stop != Stop::Rested;
                let why = format!("scene {seed} {:?}: {path} {how} {at} is untold", scene.stop);
                assert!(outcome.untold == 0 || is_crash_alike, "{why}");
                untold += usize::from(outcome.untold > 0);
                cases += 1;
            });
        }
    }
    assert!(cases > 300, "{cases} cases");
    assert!(untold < cases / 10, "{untold} of {cases} untold");
}

/// Paths of its manifests, and of its journal files.
fn core_files(disk: &MemoryDisk) -> (Vec<String>, Vec<String>) {
    let paths = disk.files().into_iter().map(|(path, _)| path);
    let own = paths.filter(|path| path.starts_with("core-0/"));
    own.partition(|path| path.contains("manifest"))
}

#[test]
fn a_manifest_that_is_put_back_is_told_though_the_first_group_of_each_journal_is_damaged_too() {
    let mut cases = 0;
    for seed in 0..SCENES {
        let scene = Scene::build(seed);
        let (manifests, journals) = core_files(&scene.disk);
        for path in manifests {
            put_back(&scene, &path, |how, at, mut disk| {
                let mut journals = journals.iter();
                assert!(journals.all(|journal| disk.flip(journal, BLOCK as u64)));
                let judged = catch_unwind(AssertUnwindSafe(|| judge(&scene, &disk)));
                assert!(judged.is_ok(), "scene {seed}: {path} {how} {at}");
                cases += 1;
            });
        }
    }
    assert!(cases > 300, "{cases} cases");
}

#[test]
fn the_last_block_of_a_journal_file_is_never_written() {
    let mut files = 0;
    for seed in 0..SCENES {
        let scene = Scene::build(seed);
        for (path, _) in scene.disk.files() {
            if path.starts_with("core-0/journal/") {
                let bytes = scene.disk.contents(&path).unwrap();
                assert!(bytes[bytes.len() - BLOCK..].iter().all(|byte| *byte == 0));
                files += 1;
            }
        }
    }
    assert!(files > 20, "{files} files");
}

#[test]
fn a_journal_of_another_core_is_never_replayed() {
    let mut cases = 0;
    for seed in 0..SCENES {
        let scene = Scene::build(seed);
        let theirs = core_files(&scene.neighbor).1;
        for own in core_files(&scene.disk).1 {
            for other in &theirs {
                let mut disk = scene.disk.clone();
                disk.put(&own, scene.neighbor.contents(other).unwrap().to_vec());
                let judged = catch_unwind(AssertUnwindSafe(|| judge(&scene, &disk)));
                assert!(judged.is_ok(), "scene {seed}: {own} became {other}");
                cases += 1;
            }
        }
    }
    assert!(cases > 50, "{cases} cases");
}
