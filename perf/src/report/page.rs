//! Results as one page that needs nothing else: no network, no script.
//!
//! Owns: [`page`]: a table and two plots per comparison.
//! Never: leaves out a losing comparison, a warning, or a run that does not know where it belongs.
//! Invariants: every text of a result is escaped; the same results give the same page.
//! Source: performance.md section 5.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write;

use super::plot::{Axis, Curve, colour, svg};
use super::sessions::{Session, Subject, gather};
use super::{Latency, RunReport};
use crate::compare::{ROUNDS_MIN, Standing, median};
use crate::schedule::float;

const STYLE: &str = "\
body{font:15px/1.45 system-ui,sans-serif;max-width:1200px;margin:2em auto;padding:0 1em;color:#1a1a1a;background:#fff}
h2{margin:2em 0 .2em;border-top:1px solid #ccc;padding-top:1em}
p{margin:.3em 0}
.fact{color:#555;font-size:13px}
.bad{color:#a40000;font-weight:600}
.good{color:#00662b;font-weight:600}
.warning{color:#7a4b00}
table{border-collapse:collapse;margin:.8em 0}
th,td{padding:.2em .9em .2em 0;text-align:right;font-variant-numeric:tabular-nums}
th:first-child,td:first-child,th:nth-child(2),td:nth-child(2){text-align:left}
th{border-bottom:1px solid #999;font-weight:600}
.plots{display:flex;flex-wrap:wrap;gap:1em}
svg{width:560px;max-width:100%;height:auto;font:12px system-ui,sans-serif}
svg .title{font-weight:600;font-size:13px}
svg line{stroke:#ddd}
svg polyline{fill:none;stroke-width:1.6}
.key{display:inline-block;width:1.6em;height:.28em;vertical-align:middle;margin-right:.4em}
";

/// The length of a slot of a run's series, s.
const SLOT_S: f64 = 0.1;

/// Where the axis of percentiles ends at the latest: 99.999 %.
const NINES_MAX: f64 = 5.0;

/// The page of all runs of a file.
#[must_use]
pub fn page(source: &str, runs: &[RunReport]) -> String {
    let source = escaped(source);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>RapidMQ: {source}</title>\n<style>\n{STYLE}</style></head><body>\n\
         <h1>RapidMQ: {source}</h1>\n"
    );
    let sessions = gather(runs);
    paragraph(
        &mut out,
        "fact",
        &format!("{} runs, {} comparisons", runs.len(), sessions.len()),
    );
    let lost = runs.iter().filter(|run| run.place.is_none()).count();
    if lost > 0 {
        paragraph(
            &mut out,
            "warning",
            &format!("{lost} runs do not say which comparison they belong to and are not shown"),
        );
    }
    for session in &sessions {
        section(&mut out, session);
    }
    out.push_str("</body></html>\n");
    out
}

fn section(out: &mut String, session: &Session<'_>) {
    heading(out, session);
    if let Some((_, run)) = session.runs.first() {
        paragraph(out, "fact", &machine(run));
        if run.is_smoke {
            let said = "smoke runs: they show that the tools work and are no result";
            paragraph(out, "warning", said);
        }
    }
    let rounds = session.runs.iter().map(|(place, _)| place.round).max();
    if rounds.is_none_or(|rounds| rounds < ROUNDS_MIN) {
        paragraph(
            out,
            "warning",
            &format!("fewer than {ROUNDS_MIN} rounds: no result"),
        );
    }
    let subjects = session.subjects();
    table(out, &subjects);
    match session.standing() {
        Some(standing) => verdict(out, session, &standing),
        None => paragraph(
            out,
            "bad",
            "not measured: there is no round that all sides ended",
        ),
    }
    plots(out, &subjects);
    for (at, run) in &session.runs {
        for warning in run.warnings() {
            let text = format!("round {}, {}: {warning}", at.round, run.target);
            paragraph(out, "warning", &escaped(&text));
        }
    }
}

fn heading(out: &mut String, session: &Session<'_>) {
    let place = session.place;
    let (scenario, title) = (escaped(session.scenario), escaped(&place.title));
    put(out, format_args!("<h2>{scenario}: {title}</h2>\n"));
    if !place.comparison.title.is_empty() {
        paragraph(out, "", &escaped(&place.comparison.title));
    }
}

fn machine(run: &RunReport) -> String {
    let facts = &run.environment;
    let known = |fact: &Option<String>| fact.clone().unwrap_or_else(|| "unknown".to_owned());
    let dirty = match facts.is_dirty {
        Some(true) => " with changes",
        Some(false) | None => "",
    };
    escaped(&format!(
        "commit {}{dirty}; {} CPUs, {}; Linux {}; device {}, {}",
        known(&facts.commit),
        facts.cpus,
        known(&facts.cpu),
        known(&facts.kernel),
        known(&facts.device),
        known(&facts.write_cache),
    ))
}

fn table(out: &mut String, subjects: &[Subject<'_>]) {
    out.push_str(
        "<table><tr><th>subject<th>figure<th>runs<th>median<th>smallest<th>largest</tr>\n",
    );
    for (number, subject) in subjects.iter().enumerate() {
        let figure = &subject.side.figure;
        let mut values: Vec<f64> = subject
            .runs
            .iter()
            .filter_map(|run| run.figure(figure))
            .collect();
        values.sort_by(f64::total_cmp);
        let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), short);
        put(
            out,
            format_args!(
                "<tr><td><span class=\"key\" style=\"background:{}\"></span>{}<td>{}\
                 <td>{}<td>{}<td>{}<td>{}</tr>\n",
                colour(number),
                escaped(&subject.side.subject),
                escaped(figure),
                subject.runs.len(),
                shown(median(&values)),
                shown(values.first().copied()),
                shown(values.last().copied()),
            ),
        );
    }
    out.push_str("</table>\n");
}

fn verdict(out: &mut String, session: &Session<'_>, standing: &Standing) {
    let comparison = &session.place.comparison;
    let what = if comparison.them.is_empty() {
        "median"
    } else {
        "ratio of the medians"
    };
    let (class, said) = if standing.is_reached {
        ("good", "reached")
    } else {
        ("bad", "NOT reached")
    };
    let dream = match comparison.dream {
        Some(dream) if dream.holds(standing.ratio) => format!("; dream {dream} reached"),
        Some(dream) => format!("; dream {dream}"),
        None => String::new(),
    };
    put(
        out,
        format_args!(
            "<p>{what} {} ({} to {} over the rounds), to reach {}: <span class=\"{class}\">{said}</span>{}</p>\n",
            short(standing.ratio),
            short(standing.range.0),
            short(standing.range.1),
            escaped(&comparison.reach.to_string()),
            escaped(&dream),
        ),
    );
}

fn plots(out: &mut String, subjects: &[Subject<'_>]) {
    let latency = latency_plot(subjects);
    let series = series_plot(subjects);
    if !latency.is_empty() || !series.is_empty() {
        put(
            out,
            format_args!("<div class=\"plots\">\n{latency}{series}</div>\n"),
        );
    }
}

/// The histogram that a side's figure is taken from; the response time if the figure is none of a latency.
fn histogram<'a>(run: &'a RunReport, figure: &str) -> Option<&'a Latency> {
    match figure.split_once('.') {
        Some(("service", _)) => run.service.as_ref(),
        Some(("end-to-end", _)) => run.end_to_end.as_ref(),
        Some(_) | None => run.response.as_ref().or(run.end_to_end.as_ref()),
    }
}

/// Latency by percentile, all runs of a subject together.
fn latency_plot(subjects: &[Subject<'_>]) -> String {
    let mut curves = Vec::new();
    for (number, subject) in subjects.iter().enumerate() {
        let mut whole: BTreeMap<u64, u64> = BTreeMap::new();
        for latency in subject
            .runs
            .iter()
            .filter_map(|run| histogram(run, &subject.side.figure))
        {
            for (value_ns, count) in &latency.histogram {
                *whole.entry(*value_ns).or_default() += count;
            }
        }
        curves.push(Curve {
            subject: number,
            points: percentiles(&whole),
        });
    }
    let nines = curves
        .iter()
        .filter_map(|curve| curve.points.last())
        .fold(1.0_f64, |most, (nines, _)| most.max(*nines));
    let x = nines_axis(nines.min(NINES_MAX));
    svg("latency by percentile", (&x, &decades(&curves)), &curves)
}

/// Nines of the percentile from which on a value is seen, and the value as a power of ten of µs.
fn percentiles(whole: &BTreeMap<u64, u64>) -> Vec<(f64, f64)> {
    let total = float(whole.values().sum());
    let mut before = 0;
    let mut points = Vec::new();
    for (value_ns, count) in whole {
        let nines = -(1.0 - float(before) / total).log10();
        points.push((nines.max(0.0), (float((*value_ns).max(1)) / 1e3).log10()));
        before += count;
    }
    points
}

fn nines_axis(most: f64) -> Axis {
    let known = [
        (0.0, "0 %"),
        (std::f64::consts::LOG10_2, "50 %"),
        (1.0, "90 %"),
        (2.0, "99 %"),
        (3.0, "99.9 %"),
        (4.0, "99.99 %"),
        (5.0, "99.999 %"),
    ];
    Axis {
        name: "percentile",
        range: (0.0, most),
        ticks: known
            .iter()
            .filter(|(nines, _)| *nines <= most)
            .map(|(nines, says)| (*nines, (*says).to_owned()))
            .collect(),
    }
}

/// An axis of powers of ten of µs around everything that is drawn.
fn decades(curves: &[Curve]) -> Axis {
    let values = || {
        curves
            .iter()
            .flat_map(|curve| curve.points.iter().map(|(_, value)| *value))
    };
    let low = values().fold(f64::INFINITY, f64::min).floor();
    let high = values().fold(f64::NEG_INFINITY, f64::max).ceil();
    let known = [
        (-3.0, "1 ns"),
        (-2.0, "10 ns"),
        (-1.0, "100 ns"),
        (0.0, "1 us"),
        (1.0, "10 us"),
        (2.0, "100 us"),
        (3.0, "1 ms"),
        (4.0, "10 ms"),
        (5.0, "100 ms"),
        (6.0, "1 s"),
        (7.0, "10 s"),
        (8.0, "100 s"),
        (9.0, "1,000 s"),
    ];
    Axis {
        name: "latency",
        range: (low, high.max(low + 1.0)),
        ticks: known
            .iter()
            .filter(|(power, _)| *power >= low && *power <= high.max(low + 1.0))
            .map(|(power, says)| (*power, (*says).to_owned()))
            .collect(),
    }
}

/// Answers per 100 ms over the window, one line per run.
fn series_plot(subjects: &[Subject<'_>]) -> String {
    let mut curves = Vec::new();
    for (number, subject) in subjects.iter().enumerate() {
        for run in &subject.runs {
            let slots = (0_u32..).zip(&run.series);
            curves.push(Curve {
                subject: number,
                points: slots
                    .map(|(slot, answers)| (f64::from(slot) * SLOT_S, float(*answers)))
                    .collect(),
            });
        }
    }
    let most = |of: fn(&(f64, f64)) -> f64| {
        let values = curves.iter().flat_map(|curve| curve.points.iter().map(of));
        values.fold(0.0_f64, f64::max)
    };
    let x = Axis::linear("seconds", most(|point| point.0));
    let y = Axis::linear("answers per 100 ms", most(|point| point.1));
    svg("answers over time", (&x, &y), &curves)
}

fn paragraph(out: &mut String, class: &str, text: &str) {
    put(out, format_args!("<p class=\"{class}\">{text}</p>\n"));
}

/// As many digits as say something.
fn short(value: f64) -> String {
    if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else if value.abs() >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    let grown = out.write_fmt(text);
    debug_assert!(grown.is_ok(), "text never fails to grow");
}
