//! Rules about the text of a file: headers, sizes, names, unsafe, tests, words.
//!
//! Owns: line-based checks.
//! Never: parses Rust; each rule is simple enough to be read off a line.
//! Invariants: a rule that fires names the line and the remedy.
//! Source: style.md rules 1, 4 to 6, 14, 25, 28, 30.

use super::{Finding, Source};

/// Lines of one source file, tests and generated tables excepted.
const FILE_LINES_MAX: usize = 800;

/// Blocks of `unsafe` in the whole repository.
const UNSAFE_BLOCKS_MAX: usize = 30;

/// Where `unsafe` may stand: folders of `shards`, the ring of the rulers.
const UNSAFE_PLACES: &[&str] = &[
    "perf/src/ruler/ring",
    "shards/src/ring",
    "shards/src/disk",
    "shards/src/net",
    "shards/src/memory",
];

/// Names that become sinks.
const SINKS: &[&str] = &[
    "common", "util", "utils", "helper", "helpers", "misc", "manager", "types",
];

/// Checks every source.
pub(super) fn check(sources: &[Source], findings: &mut Vec<Finding>) {
    let mut unsafe_blocks = 0;
    for source in sources {
        check_path(source, findings);
        if source.path.ends_with(".rs") {
            check_shape(source, findings);
            check_lines(source, findings);
            unsafe_blocks += count_unsafe(source, findings);
        }
    }
    if unsafe_blocks > UNSAFE_BLOCKS_MAX {
        let what = format!("{unsafe_blocks} unsafe blocks, at most {UNSAFE_BLOCKS_MAX} (rule 25)");
        findings.push(Finding {
            path: "shards".to_owned(),
            line: 0,
            what,
        });
    }
}

fn check_path(source: &Source, findings: &mut Vec<Finding>) {
    let stem = source.path.rsplit('/').next().unwrap_or_default();
    let stem = stem.split('.').next().unwrap_or_default();
    if SINKS.contains(&stem) {
        findings.push(at(
            source,
            0,
            &format!("`{stem}` says nothing; name what it holds (rule 6)"),
        ));
    }
    if stem == "mod" && source.path.ends_with(".rs") {
        findings.push(at(
            source,
            0,
            "use foo.rs beside foo/, never mod.rs (rule 4)",
        ));
    }
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/") || path.starts_with("tests/")
}

fn check_shape(source: &Source, findings: &mut Vec<Finding>) {
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX && !is_test(&source.path) {
        let what = format!("{lines} lines, at most {FILE_LINES_MAX}: split by concern (rule 1)");
        findings.push(at(source, 0, &what));
    }
    if !source.text.starts_with("//!") && !source.text.starts_with("#![") {
        findings.push(at(
            source,
            1,
            "a file opens with `//!`: what it owns, never does (rule 5)",
        ));
    }
    if needs_full_header(&source.path) {
        for heading in ["//! Owns:", "//! Never:", "//! Invariants:", "//! Source:"] {
            if !source.text.contains(heading) {
                findings.push(at(source, 1, &format!("header lacks `{heading}` (rule 5)")));
            }
        }
    }
}

fn needs_full_header(path: &str) -> bool {
    !is_test(path) && !path.starts_with("benches/") && !path.starts_with("fuzz/")
}

fn check_lines(source: &Source, findings: &mut Vec<Finding>) {
    if source.path.starts_with("xtask/") {
        return;
    }
    for (index, line) in source.text.lines().enumerate() {
        for what in broken_rules(&source.path, line.trim_start()) {
            findings.push(at(source, index + 1, &what));
        }
    }
}

fn broken_rules(path: &str, line: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let mut rule = |fires: bool, what: &str| {
        if fires {
            broken.push(what.to_owned());
        }
    };
    rule(
        line.contains("FIXME") || line.contains("dbg!("),
        "unfinished code stays out (rule 28)",
    );
    rule(
        line.contains("TODO") && !line.contains("TODO(#"),
        "a TODO names its issue (rule 28)",
    );
    rule(
        line.starts_with("#[ignore") || line.starts_with("#[should_panic"),
        "no such test (rule 30)",
    );
    rule(
        line.starts_with("fn test_"),
        "a test is named like a sentence (rule 29)",
    );
    rule(
        line.contains("todo!(") || line.contains("unimplemented!("),
        "no stub (rule 14)",
    );
    rule(
        line.starts_with("#[allow("),
        "use #[expect(lint, reason)] (models.md)",
    );
    rule(
        is_test(path) && line.contains("thread::sleep("),
        "no sleeping in tests (rule 30)",
    );
    rule(
        path_is_product(path) && line.contains("cfg(feature = \"sim\")"),
        "the simulator is a second shell, not a feature (A7)",
    );
    broken
}

fn path_is_product(path: &str) -> bool {
    !path.starts_with("xtask/")
}

fn count_unsafe(source: &Source, findings: &mut Vec<Finding>) -> usize {
    if source.path.starts_with("xtask/") {
        return 0;
    }
    let mut blocks = 0;
    for (index, line) in source.text.lines().enumerate() {
        let line = line.trim();
        if uses_unsafe(line) {
            blocks += 1;
            if !UNSAFE_PLACES
                .iter()
                .any(|place| source.path.starts_with(place))
            {
                findings.push(at(
                    source,
                    index + 1,
                    "unsafe only in shards ring, disk, net, memory (rule 25)",
                ));
            }
        }
    }
    blocks
}

fn uses_unsafe(line: &str) -> bool {
    !line.starts_with("//") && (line.contains("unsafe {") || line.starts_with("unsafe impl"))
}

fn at(source: &Source, line: usize, what: &str) -> Finding {
    Finding {
        path: source.path.clone(),
        line,
        what: what.to_owned(),
    }
}
