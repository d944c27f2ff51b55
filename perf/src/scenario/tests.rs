//! Every committed scenario is one that the engine can carry out.

use std::path::Path;

use super::{Bound, Scenario};
use crate::rig::Subject;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

const NUMBERS: &[&str] = &[
    "p1", "p2", "p3", "p4", "p5", "p7", "p8", "p9", "p10", "p11", "p11b", "p12", "p13", "p14",
    "p15", "p16", "p17", "p18",
];

#[test]
fn there_is_a_scenario_for_every_number_of_this_protocol() {
    for number in NUMBERS {
        let scenario = Scenario::read(&folder(), number).unwrap();
        assert_eq!(scenario.number.to_lowercase(), *number);
        for comparison in &scenario.compare {
            for side in std::iter::once(&comparison.us).chain(&comparison.them) {
                let subject: Result<Subject, _> = side.subject.parse();
                assert!(subject.is_ok(), "{number}: {}", side.subject);
                scenario.load_of(side).unwrap().check().unwrap();
                scenario
                    .load_before(side)
                    .unwrap()
                    .iter()
                    .for_each(|load| load.check().unwrap());
                scenario
                    .load_beside(side)
                    .unwrap()
                    .iter()
                    .for_each(|load| load.check().unwrap());
            }
        }
    }
}

#[test]
fn every_file_in_the_folder_is_a_scenario() {
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        Scenario::read(&folder(), &name).unwrap();
    }
}

#[test]
fn a_misspelt_field_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let text = r#"
        number = "P0"
        title = "a load with a field that there is not"
        load = { conections = 3 }
        [[compare]]
        us = { subject = "rapidmq", figure = "requests-per-s" }
        reach = { at-least = 1.0 }
    "#;
    std::fs::write(directory.path().join("p0.toml"), text).unwrap();
    let error = Scenario::read(directory.path(), "P0")
        .unwrap_err()
        .to_string();
    assert!(error.contains("conections"), "{error}");
}

#[test]
fn bounds_hold_at_their_limit() {
    assert!(Bound::AtMost(1.35).holds(1.35) && !Bound::AtMost(1.35).holds(1.36));
    assert!(Bound::AtLeast(12.0).holds(12.0) && !Bound::AtLeast(12.0).holds(11.9));
}
