//! Damage of every kind to whole directories, by seed.
//!
//! Owns: the fast share of the damage cases, and cases that once failed.
//! Never: writes the format; damage is done to what a real store wrote.
//! Invariants: a failing case prints the scene and the script, made small.
//! Source: reliability.md 2.4 to 2.6, 3.6.

use std::panic::{AssertUnwindSafe, catch_unwind};

use model::prng::Prng;
use storage::exec::{Severity, Verdict};

use crate::kit::judge::{Outcome, Start, judge};
use crate::kit::scene::Scene;
use crate::kit::script::{Op, apply, parse, random};

/// Cases in the ordinary tests; any number may be put here.
const CASES: u64 = 1_500;
/// Directories that they damage.
const SCENES: u64 = 40;

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
fn cases(share: u64, count: u64) -> Vec<Outcome> {
    let scenes: Vec<Scene> = (0..SCENES).map(Scene::build).collect();
    let (mut outcomes, mut failures) = (Vec::new(), Vec::new());
    for case in 0..count {
        let mut prng = Prng::new(share << 32 | case);
        let scene = &scenes[usize::try_from(prng.below(SCENES)).unwrap()];
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
    let outcomes = cases(1, CASES);
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
    let is_rollback = |outcome: &&Outcome| outcome.rolled_back > 0;
    let rollbacks = outcomes.iter().filter(is_rollback).count();
    assert!(rollbacks < outcomes.len() / 20, "{rollbacks} rolled back");
}
