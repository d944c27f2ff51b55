//! `rapidmq check`: offline verification of a data directory.
//!
//! Owns: the report and its exit code.
//! Never: changes the directory.
//! Invariants: exit code 0 clean, 1 damaged, 7 repairable (a start repairs it by itself).
//! Source: reliability.md 2.6; the part 3.

use std::path::{Path, PathBuf};

use clap::Args;
use control::MetadataSeverity;
use serde_json::json;
use storage::exec::{self, CheckReport, Finding, Severity, Verdict};

use super::failure::{Failure, Kind};
use super::output::{self, Format, Listing};

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Data directory of a stopped broker.
    data_dir: PathBuf,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Runs the verb.
///
/// # Errors
/// The directory is in use, is none of ours, or is damaged.
pub(crate) fn run(args: &Check) -> Result<(), Failure> {
    let disk = shards::open_for_check(&args.data_dir).map_err(|error| {
        Failure::new(
            Kind::Failed,
            format!("{} cannot be checked", args.data_dir.display()),
        )
        .why(error.to_string())
        .fix("stop the broker that uses it, and name its data directory")
    })?;
    let mut report = exec::check(&disk);
    add_metadata(&args.data_dir, &mut report);
    print(args, &report)?;
    match report.verdict() {
        Verdict::Clean => Ok(()),
        Verdict::Repairable => Err(Failure::new(
            Kind::Repairable,
            "the last stop left work behind",
        )
        .fix("start the broker: it repairs this by itself, nothing acknowledged is lost")),
        Verdict::Damaged => Err(Failure::new(Kind::Failed, "data are damaged")
            .why("each line of severity `damage` names the file and the records")
            .fix("restore these files from a copy; what is intact stays readable")),
    }
}

/// The metadata log is the control core's; without it the records of all partitions have no names.
fn add_metadata(data_dir: &Path, report: &mut CheckReport) {
    let Some(findings) = control::check(data_dir) else {
        if report.batches > 0 {
            let what = "the metadata log is missing, and there are records";
            report.push(Finding::new(Severity::Damage, "raft", what));
        }
        return;
    };
    for finding in findings {
        let severity = match finding.severity {
            MetadataSeverity::Repairable => Severity::Repairable,
            MetadataSeverity::Damage => Severity::Damage,
        };
        report.push(Finding {
            position: finding.position,
            ..Finding::new(severity, finding.file, finding.what)
        });
    }
}

fn print(args: &Check, report: &CheckReport) -> Result<(), Failure> {
    let rows = report
        .findings
        .iter()
        .map(|finding| {
            vec![
                json!(severity(finding.severity)),
                json!(finding.file),
                json!(finding.position),
                json!(finding.offset.map(model::offset::Offset::get)),
                json!(finding.partition.map(|partition| partition.to_string())),
                json!(finding.records),
                json!(finding.what),
            ]
        })
        .collect();
    let columns = &[
        "severity",
        "file",
        "position",
        "offset",
        "partition",
        "records",
        "what",
    ];
    output::listing(&Listing { columns, rows }, args.output)
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Repairable => "repairable",
        Severity::Damage => "damage",
    }
}
