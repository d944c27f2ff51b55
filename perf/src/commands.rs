//! The verbs of `rapidmq-perf`.
//!
//! Owns: translation of arguments into the library's calls; what is printed.
//! Never: measures anything itself.
//! Invariants: a scenario that is not reached is printed like one that is.
//! Source: performance.md section 5.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rapidmq_perf::bench::{Target, bench};
use rapidmq_perf::books::Verdict;
use rapidmq_perf::compare::{Plan, compare};
use rapidmq_perf::error::BenchError;
use rapidmq_perf::load::Load;
use rapidmq_perf::report::RunReport;
use rapidmq_perf::report::page::page;
use rapidmq_perf::rig::Rig;
use rapidmq_perf::ruler;
use rapidmq_perf::ruler::ring::Operation;
use rapidmq_perf::scenario::{Comparison, Scenario, Side};

use crate::{DeviceArgs, LoadArgs, RigArgs, RulerArgs, say};

const SCENARIOS: &str = "perf/scenarios";
const DEVICE_FILE_BYTES: u64 = 256 << 20;

pub(crate) fn load(args: &LoadArgs) -> Result<bool, BenchError> {
    let load: Load = toml::from_str(&args.set.join("\n"))
        .map_err(|error| BenchError::Usage(error.to_string()))?;
    let target = Target {
        name: args.bootstrap.clone(),
        address: args.bootstrap.clone(),
        pid: args.pid,
        directory: args.directory.clone(),
    };
    let report = bench(&load, &target)?;
    say(&report.text());
    if let Some(path) = &args.output {
        write_json(path, &report)?;
    }
    Ok(report
        .books
        .is_none_or(|books| books.verdict != Verdict::Lost))
}

fn write_json(path: &Path, report: &RunReport) -> Result<(), BenchError> {
    let text =
        serde_json::to_string(report).map_err(|error| BenchError::Wrong(error.to_string()))?;
    fs::write(path, text).map_err(BenchError::local(format!("writing {}", path.display())))
}

pub(crate) fn ruler(args: &RulerArgs) -> Result<bool, BenchError> {
    let prepared = ruler::server::Prepared::new(args.kind, &args.directory)?;
    let failed = || BenchError::network("listening");
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed())?;
    let address = listener.local_addr().map_err(failed())?;
    if let Some(path) = &args.ready_file {
        let text = format!("{{\"kafka\":\"{address}\"}}\n");
        let written = || BenchError::local(format!("writing {}", path.display()));
        let temporary = path.with_extension("tmp");
        fs::write(&temporary, text).map_err(written())?;
        fs::rename(&temporary, path).map_err(written())?;
    }
    say(&address.to_string());
    prepared.serve(&listener)?;
    Ok(true)
}

pub(crate) fn device(args: &DeviceArgs) -> Result<bool, BenchError> {
    let operation = match args.operation.as_str() {
        "write" => Operation::Write,
        "durable" => Operation::DurableWrite,
        "read" => Operation::Read,
        other => {
            return Err(BenchError::Usage(format!(
                "operation `{other}`: write, durable or read"
            )));
        }
    };
    fs::create_dir_all(&args.directory).map_err(BenchError::local(format!(
        "making {}",
        args.directory.display()
    )))?;
    let plan = ruler::device::Plan {
        block: args.block,
        depth: args.depth,
        operation,
        file_bytes: DEVICE_FILE_BYTES,
        duration: Duration::from_secs(args.seconds),
    };
    say(&ruler::device::measure(&args.directory, &plan)?.text());
    Ok(true)
}

pub(crate) fn scenarios(root: &Path) -> Result<bool, BenchError> {
    let folder = root.join(SCENARIOS);
    let failed = || BenchError::local(format!("reading {}", folder.display()));
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).map_err(failed())? {
        let path = entry.map_err(failed())?.path();
        if let Some(name) = path.file_stem() {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    for name in names {
        let scenario = Scenario::read(&folder, &name)?;
        say(&format!("{:<5} {}", scenario.number, scenario.title));
    }
    Ok(true)
}

pub(crate) fn report(file: &Path, out: Option<&Path>) -> Result<bool, BenchError> {
    let text = fs::read_to_string(file).map_err(BenchError::local(format!(
        "reading {} (`rapidmq-perf run` writes such files)",
        file.display()
    )))?;
    let mut runs = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let run: RunReport = serde_json::from_str(line).map_err(|error| {
            BenchError::Usage(format!(
                "{}, line {number}: no run of this version: {error}",
                file.display()
            ))
        })?;
        runs.push(run);
    }
    let name = file.file_name().unwrap_or(file.as_os_str());
    let html = page(&name.to_string_lossy(), &runs);
    let out = out.map_or_else(|| file.with_extension("html"), Path::to_path_buf);
    fs::write(&out, html).map_err(BenchError::local(format!("writing {}", out.display())))?;
    say(&format!(
        "{} runs are shown in {}",
        runs.len(),
        out.display()
    ));
    Ok(true)
}

pub(crate) fn run(name: &str, args: &RigArgs) -> Result<bool, BenchError> {
    let scenario = Scenario::read(&args.root.join(SCENARIOS), name)?;
    carry_out(scenario, args)
}

pub(crate) fn compare_two(
    (us, them): (&str, &str),
    name: &str,
    figure: Option<&str>,
    args: &RigArgs,
) -> Result<bool, BenchError> {
    let mut scenario = Scenario::read(&args.root.join(SCENARIOS), name)?;
    let nothing = || BenchError::Usage(format!("{name} compares nothing"));
    let first = scenario.compare.first().cloned().ok_or_else(nothing)?;
    let side = |subject: &str| Side {
        subject: subject.to_owned(),
        figure: figure.unwrap_or(&first.us.figure).to_owned(),
        ..first.us.clone()
    };
    scenario.compare = vec![Comparison {
        us: side(us),
        them: vec![side(them)],
        ..first.clone()
    }];
    carry_out(scenario, args)
}

/// One short round instead of a measurement.
fn shorten(scenario: &mut Scenario) {
    for table in std::iter::once(&mut scenario.load)
        .chain(&mut scenario.prepare)
        .chain(&mut scenario.background)
    {
        table.insert("warmup-ms".to_owned(), toml::Value::Integer(300));
        table.insert("duration-ms".to_owned(), toml::Value::Integer(1_500));
    }
}

fn carry_out(mut scenario: Scenario, args: &RigArgs) -> Result<bool, BenchError> {
    let results = match (&args.machine, args.smoke) {
        (Some(machine), false) => args.root.join(format!("perf/results/{machine}.jsonl")),
        (_, true) => args.root.join("perf/out/smoke.jsonl"),
        (None, false) => args.root.join("perf/out/results.jsonl"),
    };
    if args.smoke {
        shorten(&mut scenario);
    }
    let absolute = |path: &PathBuf| {
        std::path::absolute(args.root.join(path)).map_err(BenchError::local("finding a path"))
    };
    let rig = Rig {
        root: absolute(&PathBuf::new())?,
        rapidmq: absolute(&args.rapidmq)?,
        data: absolute(&args.data)?,
        server_cpu: (!args.unpinned).then_some(args.server_cpu),
        client_cpu: (!args.unpinned).then_some(args.client_cpu),
    };
    fs::create_dir_all(&rig.data).map_err(BenchError::local("making the data directory"))?;
    let plan = Plan {
        rounds: if args.smoke { 1 } else { args.rounds },
        results: &results,
        is_smoke: args.smoke,
    };
    say(&format!("{}: {}", scenario.number, scenario.title));
    let mut is_reached = true;
    for comparison in &scenario.compare {
        if !comparison.title.is_empty() {
            say(&comparison.title);
        }
        match compare(&rig, &scenario, comparison, plan, say) {
            Ok(standing) => {
                is_reached &= standing.is_reached;
                say(&standing.text(comparison));
                for warning in &standing.warnings {
                    say(&format!("warning: {warning}"));
                }
            }
            // The other comparisons of the scenario stand on their own.
            Err(error) => {
                is_reached = false;
                say(&format!("not measured: {error}"));
            }
        }
    }
    say(&format!("runs are in {}", results.display()));
    Ok(is_reached)
}
