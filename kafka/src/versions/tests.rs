//! The version table.
//!
//! Owns: its order, its floors, the page made of it.
//! Never: part of the product.
//! Invariants: no clocks, no sleeps, no ports.
//! Source: kafka.md 1.2.

use super::*;

fn of(key: ApiKey) -> &'static Api {
    find(key.to_wire()).expect("every key has a line")
}

#[test]
fn keys_rise_and_are_unique() {
    assert!(TABLE.windows(2).all(|pair| pair[0].key < pair[1].key));
}

#[test]
fn every_range_is_ordered_and_announced() {
    for api in TABLE {
        assert!(api.advertised_min <= api.min, "{}", api.name);
        assert!(api.min <= api.max, "{}", api.name);
    }
}

#[test]
fn only_produce_is_announced_below_what_is_served() {
    let lies: Vec<_> = TABLE
        .iter()
        .filter(|api| api.advertised_min != api.min)
        .collect();
    assert_eq!(lies.len(), 1);
    assert_eq!((lies[0].key, lies[0].advertised_min), (ApiKey::Produce, 0));
}

#[test]
fn every_line_is_found_by_its_number_and_its_key() {
    for api in TABLE {
        assert_eq!(find(api.key.to_wire()), Some(api));
        assert_eq!(of(api.key), api);
    }
    assert_eq!(find(4), None);
    assert_eq!(find(-1), None);
}

#[test]
fn api_versions_never_has_a_tagged_response_header() {
    let api = of(ApiKey::ApiVersions);
    assert!(api.is_flexible(4));
    assert!(!api.has_tagged_response_header(4));
}

#[test]
fn core_apis_that_old_clients_probe_have_their_floor() {
    // kafka.md 1.2 trap 2: a higher floor switches features of old librdkafka off.
    for (key, floor) in [
        (ApiKey::FindCoordinator, 0),
        (ApiKey::JoinGroup, 0),
        (ApiKey::SyncGroup, 0),
        (ApiKey::Heartbeat, 0),
        (ApiKey::LeaveGroup, 0),
        (ApiKey::InitProducerId, 0),
        (ApiKey::Metadata, 0),
        (ApiKey::Produce, 0),
        (ApiKey::OffsetFetch, 1),
        (ApiKey::ListOffsets, 1),
        (ApiKey::OffsetCommit, 2),
        (ApiKey::Fetch, 4),
    ] {
        assert_eq!(of(key).advertised_min, floor, "{key:?}");
    }
}

#[test]
fn the_compatibility_page_is_what_the_table_says() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/kafka-compatibility.md"
    );
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == markdown(),
        "docs/kafka-compatibility.md is stale; it should be:\n{}",
        markdown()
    );
}
