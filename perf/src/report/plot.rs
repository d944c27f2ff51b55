//! Plots as SVG: text that every browser draws without a script.
//!
//! Owns: axes, curves, the frame around them.
//! Never: knows what is plotted; `page` does.
//! Invariants: whatever the numbers, the text stays within a bound: points less than a pixel apart are one.
//! Source: performance.md section 5.

#[cfg(test)]
mod tests;

use std::fmt::Write;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 44.0;

/// Two points of a curve are at least so far apart in one direction.
const PIXEL: f64 = 0.7;

/// Told apart by people who see colours differently, too; Okabe and Ito's palette.
const COLOURS: &[&str] = &[
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
];

/// The colour of the subject with this number.
pub(super) fn colour(number: usize) -> &'static str {
    COLOURS
        .get(number % COLOURS.len())
        .copied()
        .unwrap_or("#000000")
}

/// One direction of a plot.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// What it says, with its unit.
    pub(super) name: &'static str,
    /// Ends.
    pub(super) range: (f64, f64),
    /// Marks and what they say.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Where a value lies, as a share of the axis.
    fn share(&self, value: f64) -> f64 {
        let (low, high) = self.range;
        if high > low {
            ((value - low) / (high - low)).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.share(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.share(value) * (HEIGHT - TOP - BOTTOM)
    }

    /// From zero to `high`, with round marks.
    pub(super) fn linear(name: &'static str, high: f64) -> Self {
        let high = if high > 0.0 { high } else { 1.0 };
        let step = round_step(high / 5.0);
        let marks = (0..=10_u32).map(|number| f64::from(number) * step);
        Self {
            name,
            range: (0.0, high),
            ticks: marks
                .take_while(|mark| *mark <= high)
                .map(|mark| (mark, mark.to_string()))
                .collect(),
        }
    }
}

/// 1, 2 or 5 times a power of ten, not below `least`.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0];
    let fitting = steps.iter().map(|step| step * power);
    fitting
        .into_iter()
        .find(|step| *step >= least)
        .unwrap_or(10.0 * power)
}

/// Points in the units of the axes, joined by lines.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    /// Number of its subject.
    pub(super) subject: usize,
    /// From left to right.
    pub(super) points: Vec<(f64, f64)>,
}

/// The whole plot; empty if there is nothing to draw. Text of `title` is escaped already.
pub(super) fn svg(title: &str, (x, y): (&Axis, &Axis), curves: &[Curve]) -> String {
    if curves.iter().all(|curve| curve.points.is_empty()) {
        return String::new();
    }
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n\
         <text class=\"title\" x=\"{LEFT}\" y=\"16\">{title}</text>\n"
    );
    grid(&mut out, x, y);
    for curve in curves {
        path(&mut out, (x, y), curve);
    }
    out.push_str("</svg>\n");
    out
}

fn grid(out: &mut String, x: &Axis, y: &Axis) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for (value, says) in &x.ticks {
        let at = x.x(*value);
        put(
            out,
            format_args!("<line x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom}\"/>\n"),
        );
        let below = bottom + 16.0;
        put(
            out,
            format_args!(
                "<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{says}</text>\n"
            ),
        );
    }
    for (value, says) in &y.ticks {
        let at = y.y(*value);
        put(
            out,
            format_args!("<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\"/>\n"),
        );
        let (before, middle) = (LEFT - 6.0, at + 4.0);
        put(
            out,
            format_args!(
                "<text x=\"{before}\" y=\"{middle:.1}\" text-anchor=\"end\">{says}</text>\n"
            ),
        );
    }
    let (middle, under) = (f64::midpoint(LEFT, right), HEIGHT - 6.0);
    put(
        out,
        format_args!(
            "<text x=\"{middle}\" y=\"{under}\" text-anchor=\"middle\">{}</text>\n",
            x.name
        ),
    );
    let centre = f64::midpoint(TOP, bottom);
    put(
        out,
        format_args!(
            "<text transform=\"translate(14 {centre}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
            y.name
        ),
    );
}

fn path(out: &mut String, (x, y): (&Axis, &Axis), curve: &Curve) {
    let mut drawn: Option<(f64, f64)> = None;
    let mut line = String::new();
    let last = curve.points.len().saturating_sub(1);
    for (number, (across, up)) in curve.points.iter().enumerate() {
        let at = (x.x(*across), y.y(*up));
        let is_far = drawn.is_none_or(|before| {
            (at.0 - before.0).abs() >= PIXEL || (at.1 - before.1).abs() >= PIXEL
        });
        if is_far || number == last {
            put(&mut line, format_args!(" {:.1},{:.1}", at.0, at.1));
            drawn = Some(at);
        }
    }
    put(
        out,
        format_args!(
            "<polyline stroke=\"{}\" points=\"{}\"/>\n",
            colour(curve.subject),
            line.trim_start()
        ),
    );
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    let grown = out.write_fmt(text);
    debug_assert!(grown.is_ok(), "text never fails to grow");
}
