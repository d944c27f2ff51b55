//! Who may import whom.
//!
//! Owns: the table of arrows and the places of heavy dependencies.
//! Never: resolves features or transitive dependencies; direct ones are what a crate chose.
//! Invariants: a crate that is not in the table is a finding, so the table stays complete.
//! Source: architecture.md section 4 and A6.

use super::{Finding, Source};

/// Package, folder, and the packages of ours it may depend on.
const ARROWS: &[(&str, &str, &[&str])] = &[
    ("model", "model", &[]),
    ("api", "api", &["model"]),
    ("raft-host", "raft", &["model"]),
    ("storage", "storage", &["model"]),
    (
        "broker",
        "broker",
        &["api", "raft-host", "storage", "model"],
    ),
    ("kafka", "kafka", &["api", "model"]),
    ("shards", "shards", &["broker", "storage", "api", "model"]),
    (
        "control",
        "control",
        &["broker", "raft-host", "storage", "api", "model"],
    ),
    (
        "sim",
        "sim",
        &["broker", "raft-host", "storage", "kafka", "api", "model"],
    ),
    ("xtask", "xtask", &[]),
    (
        "rapidmq-benches",
        "benches",
        &["model", "api", "raft-host", "storage", "broker", "kafka"],
    ),
    ("rapidmq-perf", "perf", &["model"]),
];

/// Heavy dependencies and the packages of the product that may name each: one. `perf` stands beside the product; its
/// rulers measure what the ring can do without `shards`.
const QUARANTINED: &[(&str, &[&str])] = &[
    ("io-uring", &["shards", "rapidmq-perf"]),
    ("glommio", &["control"]),
    ("raft", &["raft-host"]),
];

/// Packages that must stay pure.
const PURE: &[&str] = &["model", "api", "raft", "storage", "broker", "kafka"];

/// Dependencies that no pure package may have, whatever the layer.
const IMPURE: &[&str] = &[
    "tokio",
    "io-uring",
    "glommio",
    "libc",
    "rand",
    "tracing",
    "crossbeam-channel",
];

/// Checks every manifest and the `forbid(unsafe_code)` of the pure crates.
pub(super) fn check(sources: &[Source], findings: &mut Vec<Finding>) {
    for source in sources
        .iter()
        .filter(|source| is_member_manifest(&source.path))
    {
        check_manifest(source, findings);
    }
    for source in sources {
        check_forbid(source, findings);
    }
}

fn is_member_manifest(path: &str) -> bool {
    path.matches('/').count() == 1 && path.ends_with("/Cargo.toml") && !path.starts_with("fuzz/")
}

fn check_manifest(source: &Source, findings: &mut Vec<Finding>) {
    let folder = source.path.trim_end_matches("/Cargo.toml");
    let Some((package, _, allowed)) = ARROWS.iter().find(|(_, at, _)| *at == folder) else {
        findings.push(finding(
            source,
            "package is not in the table of xtask/src/tidy/layers.rs",
        ));
        return;
    };
    let Ok(manifest) = source.text.parse::<toml::Table>() else {
        findings.push(finding(source, "manifest does not parse"));
        return;
    };
    for dependency in names(&manifest, "dependencies") {
        check_arrow(source, (package, allowed), &dependency, findings);
        check_heavy(source, package, &dependency, findings);
    }
}

fn names(manifest: &toml::Table, section: &str) -> Vec<String> {
    manifest
        .get(section)
        .and_then(toml::Value::as_table)
        .map(|table| table.keys().cloned().collect())
        .unwrap_or_default()
}

fn check_arrow(
    source: &Source,
    (package, allowed): (&str, &[&str]),
    dependency: &str,
    findings: &mut Vec<Finding>,
) {
    let is_ours = ARROWS.iter().any(|(name, _, _)| *name == dependency);
    if is_ours && !allowed.contains(&dependency) {
        let what = format!("{package} must not depend on {dependency} (architecture.md section 4)");
        findings.push(finding(source, &what));
    }
}

fn check_heavy(source: &Source, package: &str, dependency: &str, findings: &mut Vec<Finding>) {
    let homes = QUARANTINED
        .iter()
        .find(|(name, _)| *name == dependency)
        .map(|(_, homes)| *homes);
    if homes.is_some_and(|homes| !homes.contains(&package)) {
        findings.push(finding(
            source,
            &format!("{dependency} lives in one crate only (A6)"),
        ));
    }
    let folder = source.path.trim_end_matches("/Cargo.toml");
    if PURE.contains(&folder) && IMPURE.contains(&dependency) {
        findings.push(finding(
            source,
            &format!("a pure crate must not depend on {dependency}"),
        ));
    }
}

fn check_forbid(source: &Source, findings: &mut Vec<Finding>) {
    let is_pure_root = PURE
        .iter()
        .any(|folder| source.path == format!("{folder}/src/lib.rs"));
    if is_pure_root && !source.text.contains("#![forbid(unsafe_code)]") {
        findings.push(finding(
            source,
            "a pure crate carries #![forbid(unsafe_code)]",
        ));
    }
}

fn finding(source: &Source, what: &str) -> Finding {
    Finding {
        path: source.path.clone(),
        line: 0,
        what: what.to_owned(),
    }
}
