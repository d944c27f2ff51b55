//! What is asked of Iggy and of its tool, and what is understood of their answers.

use std::path::Path;

use serde_json::json;

use super::settings::{confirm, environment, options, topic};
use super::summary::Summary;
use super::{DATA_BYTES_MAX, arguments, most_batches, next_probe, program, suits};
use crate::load::{Codec, Load};
use crate::process::{DeviceCounters, Usage};
use crate::report::RunReport;
use crate::rig::{Mode, Rig};

/// Two producers of 100 B x 1, as `iggy-bench` of the commit in `perf/peers/iggy/README.md` wrote it: what was said of
/// the machine is left out, the series are cut.
const PRODUCERS: &str = include_str!("producers.json");
/// One consumer of 1 KiB, 1,024 records per poll, likewise.
const CONSUMER: &str = include_str!("consumer.json");

/// A reason and what in a load gives it.
type Spoilt = (&'static str, fn(&mut Load));

fn eight() -> Load {
    Load {
        connections: 8,
        partitions: 8,
        record_bytes: 100,
        ..Load::default()
    }
}

fn reader() -> Load {
    Load {
        connections: 0,
        consumers: 1,
        catch_up: true,
        ..Load::default()
    }
}

fn assert_near(report: &RunReport, figure: &str, expected: f64) {
    let found = report.figure(figure).unwrap();
    assert!(
        (found - expected).abs() < 1e-6 * expected,
        "{figure}: {found}"
    );
}

#[test]
fn the_rates_of_all_producers_add_up_and_their_percentiles_are_averaged() {
    let summary = Summary::read(PRODUCERS, 2).unwrap();
    let usage = Usage {
        server_cpu_ns: Some(summary.requests * 5_000),
        device: Some(DeviceCounters {
            writes: summary.requests * 2,
            ..DeviceCounters::default()
        }),
        ..Usage::default()
    };
    assert_eq!(summary.requests, 1_200);
    let report = summary.into_report(&eight(), usage);
    for (figure, expected) in [
        ("requests-per-s", 1_200.0 / 0.097),
        ("records-per-s", 1_200.0 / 0.097),
        ("mb-per-s", 0.12 / 0.097),
        ("response.mean-us", 161.5),
        ("response.p50-us", 154.5),
        ("response.p99-us", 374.5),
        ("response.p999-us", 1_050.5),
    ] {
        assert_near(&report, figure, expected);
    }
    // It is of a smoothed series.
    assert_eq!(report.figure("response.max-us"), None);
    assert_eq!(report.server_cpu_us_per_request, Some(5.0));
    assert_eq!(report.device_writes_per_request, Some(2.0));
}

#[test]
fn a_slower_producer_counts_with_its_own_rate_and_the_window_is_the_longest() {
    let mut report: serde_json::Value = serde_json::from_str(PRODUCERS).unwrap();
    report["individual_metrics"][1]["summary"]["total_time_secs"] = json!(0.194);
    let summary = Summary::read(&report.to_string(), 2).unwrap();
    assert!((summary.seconds - 0.194).abs() < 1e-9);
    let report = summary.into_report(&eight(), Usage::default());
    assert_near(&report, "requests-per-s", 600.0 / 0.097 + 600.0 / 0.194);
    assert!((report.window_s - 0.194).abs() < 1e-9);
}

#[test]
fn what_a_consumer_polls_is_fetched_and_nothing_is_produced() {
    let report = Summary::read(CONSUMER, 1)
        .unwrap()
        .into_report(&reader(), Usage::default());
    assert_near(&report, "fetched-records-per-s", 10_240.0 / 0.033);
    assert_near(&report, "fetched-mb-per-s", 10.48576 / 0.033);
    assert_near(&report, "poll.p50-us", 2_988.0);
    assert_eq!(report.figure("requests-per-s"), None);
    assert_eq!(report.figure("response.p50-us"), None);
    assert_eq!(report.server_cpu_us_per_request, None);
}

#[test]
fn a_report_of_other_actors_or_of_no_time_is_refused() {
    let error = Summary::read(PRODUCERS, 8).unwrap_err().to_string();
    assert!(error.contains("2 producers or consumers, 8"), "{error}");
    assert!(Summary::read("{}", 1).is_err());
    assert!(Summary::read(r#"{"individual_metrics":[]}"#, 0).is_err());
    let mut idle: serde_json::Value = serde_json::from_str(CONSUMER).unwrap();
    idle["individual_metrics"][0]["summary"]["total_time_secs"] = json!(0.0);
    let error = Summary::read(&idle.to_string(), 1).unwrap_err().to_string();
    assert!(error.contains("too few"), "{error}");
}

#[test]
fn the_load_becomes_the_arguments_of_a_pinned_producer() {
    assert_eq!(
        arguments(&eight(), "127.0.0.1:1", 7_000, 300).join(" "),
        "-m 100 -P 1 -b 7000 -w 300ms --reuse-streams pinned-producer -p 8 tcp --nodelay --server-address 127.0.0.1:1"
    );
}

#[test]
fn a_poll_asks_for_as_many_records_as_one_of_our_fetches_holds() {
    assert_eq!(
        arguments(&reader(), "127.0.0.1:1", 937, 0).join(" "),
        "-m 1024 -P 1024 -b 937 -w 0s --reuse-streams pinned-consumer -c 1 tcp --nodelay --server-address 127.0.0.1:1"
    );
}

#[test]
fn a_load_that_the_tool_cannot_carry_out_is_refused_with_the_reason() {
    suits(&eight()).unwrap();
    suits(&reader()).unwrap();
    let refused: [Spoilt; 8] = [
        ("depth = 1", |load| load.depth = 2),
        ("rate = 0", |load| load.rate = 10.0),
        ("acks = -1", |load| load.acks = 1),
        ("compress", |load| load.compression = Codec::Lz4),
        ("produces or consumes", |load| load.consumers = 1),
        ("partitions = connections", |load| load.partitions = 1),
        ("idle = 0", |load| load.idle = 1),
        ("a request carries", |load| load.batch_records = 0),
    ];
    for (reason, spoil) in refused {
        let mut load = eight();
        spoil(&mut load);
        let error = suits(&load).unwrap_err().to_string();
        assert!(error.contains(reason), "{reason}: {error}");
    }
    let waiting = Load {
        catch_up: false,
        ..reader()
    };
    assert!(suits(&waiting).is_err());
}

#[test]
fn probes_grow_by_bounds_and_a_run_never_exceeds_its_bytes() {
    assert_eq!(next_probe(16, 500.0), 16 * 32);
    assert_eq!(next_probe(1_000, 5.0), 6_000, "a little more than needed");
    assert_eq!(next_probe(1_000, 1.01), 2_000, "at least twice as many");
    let large = Load {
        batch_records: 1_000,
        ..Load::default()
    };
    assert_eq!(most_batches(&large), DATA_BYTES_MAX / 1_024_000);
    assert!(
        most_batches(&eight()) * 8 <= u64::from(u32::MAX),
        "the tool multiplies batches and producers in 32 bits"
    );
}

#[test]
fn the_modes_differ_by_the_two_options_that_make_an_acknowledgement_durable() {
    assert!(options(Mode::Shipped).is_empty());
    let durable = topic("topic-1", Mode::Durable);
    assert_eq!(
        durable["options"],
        json!({ "enforce_fsync": "true", "messages_required_to_save": "1" })
    );
    let mut without = durable;
    without["options"] = json!({});
    assert_eq!(without, topic("topic-1", Mode::Shipped));
}

#[test]
fn a_server_that_does_not_confirm_the_durable_options_is_not_measured_as_durable() {
    let made = json!({ "options": {
        "enforce_fsync": { "value": "true", "explicit": true },
        "messages_required_to_save": { "value": "1", "explicit": true },
    }});
    confirm(Mode::Durable, &made).unwrap();
    let other = json!({ "options": {
        "enforce_fsync": { "value": "true", "explicit": true },
        "messages_required_to_save": { "value": "1024", "explicit": false },
    }});
    let error = confirm(Mode::Durable, &other).unwrap_err().to_string();
    assert!(error.contains("messages_required_to_save"), "{error}");
    assert!(confirm(Mode::Durable, &json!({})).is_err());
    confirm(Mode::Shipped, &json!({})).unwrap();
}

#[test]
fn the_server_gets_its_ports_its_directory_and_one_shard() {
    let set = environment(
        ("127.0.0.1:1", "127.0.0.1:2"),
        Path::new("/data/run"),
        Some(0),
    );
    for (name, value) in [
        ("IGGY_TCP_ADDRESS", "127.0.0.1:1"),
        ("IGGY_HTTP_ADDRESS", "127.0.0.1:2"),
        ("IGGY_SYSTEM_PATH", "/data/run"),
        ("IGGY_SYSTEM_SHARDING_CPU_ALLOCATION", "1"),
    ] {
        assert!(set.contains(&(name, value.to_owned())), "{name}");
    }
}

#[test]
fn whoever_has_no_iggy_is_told_how_to_get_it() {
    let empty = tempfile::tempdir().unwrap();
    let rig = Rig {
        root: empty.path().to_owned(),
        rapidmq: empty.path().join("rapidmq"),
        data: empty.path().join("data"),
        server_cpu: None,
        client_cpu: None,
    };
    let error = program(&rig, "iggy-server").unwrap_err().to_string();
    assert!(error.contains("IGGY_SOURCE="), "{error}");
    assert!(error.contains("perf/peers/iggy/fetch"), "{error}");
}
