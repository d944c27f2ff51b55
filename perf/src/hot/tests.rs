//! Every name runs, others are refused.

use super::{NAMES, run};

#[test]
fn every_name_runs_and_others_are_refused() {
    for name in NAMES {
        run(name, 2).unwrap();
    }
    assert!(run("nothing", 1).is_err());
}
