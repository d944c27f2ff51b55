//! Each rule fires on a small tree that breaks it, and the real tree is clean.

use super::{Finding, Source, layers, text};

fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

const HEADER: &str =
    "//! A.\n//!\n//! Owns: a.\n//! Never: b.\n//! Invariants: c.\n//! Source: d.\n";

fn text_findings(path: &str, body: &str) -> Vec<String> {
    let mut findings = Vec::new();
    text::check(&[source(path, &format!("{HEADER}{body}"))], &mut findings);
    findings
        .into_iter()
        .map(|finding: Finding| finding.what)
        .collect()
}

fn layer_findings(path: &str, body: &str) -> Vec<String> {
    let mut findings = Vec::new();
    layers::check(&[source(path, body)], &mut findings);
    findings
        .into_iter()
        .map(|finding: Finding| finding.what)
        .collect()
}

#[test]
fn a_clean_file_has_no_findings() {
    assert_eq!(
        text_findings("broker/src/a.rs", "fn work() {}\n"),
        Vec::<String>::new()
    );
}

#[test]
fn kafka_may_not_see_broker() {
    let found = layer_findings(
        "kafka/Cargo.toml",
        "[dependencies]\nbroker.workspace = true\n",
    );
    assert_eq!(
        found,
        ["kafka must not depend on broker (architecture.md section 4)"]
    );
}

#[test]
fn io_uring_lives_in_shards_only() {
    let found = layer_findings("control/Cargo.toml", "[dependencies]\nio-uring = \"0.7\"\n");
    assert_eq!(found, ["io-uring lives in one crate only (A6)"]);
}

#[test]
fn a_pure_crate_may_not_have_a_clock_or_runtime() {
    let found = layer_findings("storage/Cargo.toml", "[dependencies]\ntokio = \"1\"\n");
    assert_eq!(found, ["a pure crate must not depend on tokio"]);
}

#[test]
fn a_package_outside_the_table_is_found() {
    let found = layer_findings("extras/Cargo.toml", "[package]\nname = \"extras\"\n");
    assert_eq!(
        found,
        ["package is not in the table of xtask/src/tidy/layers.rs"]
    );
}

#[test]
fn a_pure_crate_must_forbid_unsafe() {
    let found = layer_findings("model/src/lib.rs", "//! model\n");
    assert_eq!(found, ["a pure crate carries #![forbid(unsafe_code)]"]);
}

#[test]
fn unsafe_outside_its_places_is_found() {
    let found = text_findings("shards/src/pump.rs", "fn f() { unsafe { g() } }\n");
    assert_eq!(
        found,
        ["unsafe only in shards ring, disk, net, memory (rule 25)"]
    );
    assert!(text_findings("shards/src/ring.rs", "fn f() { unsafe { g() } }\n").is_empty());
}

#[test]
fn a_long_file_is_found_unless_it_holds_tests() {
    let long = "fn f() {}\n".repeat(801);
    assert_eq!(text_findings("model/src/a.rs", &long).len(), 1);
    assert!(text_findings("model/src/a/tests.rs", &long).is_empty());
}

#[test]
fn a_missing_header_is_found() {
    let mut findings = Vec::new();
    text::check(&[source("model/src/a.rs", "fn f() {}\n")], &mut findings);
    assert_eq!(findings.len(), 5);
}

#[test]
fn a_sink_name_is_found() {
    assert_eq!(text_findings("model/src/utils.rs", "").len(), 1);
}

#[test]
fn ignored_and_badly_named_tests_are_found() {
    assert_eq!(
        text_findings("model/src/a.rs", "#[ignore]\nfn test_x() {}\n").len(),
        2
    );
}

#[test]
fn stubs_and_nameless_todos_are_found() {
    let found = text_findings("model/src/a.rs", "// TODO later\nfn f() { todo!() }\n");
    assert_eq!(found.len(), 2);
}

#[test]
fn sleeping_in_a_test_is_found() {
    let body = "fn f() { std::thread::sleep(x) }\n";
    assert_eq!(text_findings("shards/tests/it/net.rs", body).len(), 1);
}
