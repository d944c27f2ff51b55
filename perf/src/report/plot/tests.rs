//! Marks are round, curves are bounded.

use super::{Axis, Curve, round_step, svg};

#[test]
fn steps_between_marks_are_round_and_not_too_small() {
    for (least, step) in [
        (0.7, 1.0),
        (1.0, 1.0),
        (1.2, 2.0),
        (30.0, 50.0),
        (60.0, 100.0),
    ] {
        assert_eq!(round_step(least), step, "{least}");
    }
    let marks = Axis::linear("n", 870.0).ticks;
    let says: Vec<_> = marks.iter().map(|(_, says)| says.as_str()).collect();
    assert_eq!(says, ["0", "200", "400", "600", "800"]);
}

#[test]
fn an_axis_without_extent_still_has_marks() {
    assert!(!Axis::linear("n", 0.0).ticks.is_empty());
}

#[test]
fn a_million_points_are_as_many_as_pixels() {
    let points = (0..1_000_000)
        .map(|at| (f64::from(at), f64::from(at % 2)))
        .collect();
    let (x, y) = (Axis::linear("x", 1e6), Axis::linear("y", 1e6));
    let text = svg("many", (&x, &y), &[Curve { subject: 0, points }]);
    assert!(text.len() < 20_000, "{} bytes", text.len());
    assert!(text.contains("<polyline"));
}

#[test]
fn nothing_is_drawn_of_nothing() {
    let axis = Axis::linear("x", 1.0);
    let curve = Curve {
        subject: 0,
        points: Vec::new(),
    };
    assert_eq!(svg("none", (&axis, &axis), &[curve]), "");
}
