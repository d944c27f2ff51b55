//! Every name runs, others are refused.

use super::{HotError, names, run};

#[test]
fn every_function_does_its_work() {
    for name in names() {
        run(name, 50).unwrap();
    }
}

#[test]
fn another_name_is_refused_with_the_list() {
    let refused = run("nothing", 1).unwrap_err();
    assert!(matches!(refused, HotError::Unknown { .. }));
    assert!(refused.to_string().contains("parse-1k"), "{refused}");
}
