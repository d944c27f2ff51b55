//! Thousands of logs: what idle ones cost, and that all of them work.

use super::world::{World, small_config};
use crate::store::StoreConfig;

fn config() -> StoreConfig {
    StoreConfig {
        journal_bytes: 4 << 20,
        journal_first_bytes: 4 << 20,
        tail_bytes_max: 32 << 20,
        open_files_max: 100,
        ..small_config()
    }
}

#[test]
fn idle_logs_cost_no_io() {
    let mut world = World::with(config());
    let ids: Vec<_> = (0..10_000).map(|number| world.log(number)).collect();
    world.settle();
    let before = world.writes;
    world.append(ids[77], 1, 100);
    world.settle();
    assert_eq!(world.writes, before + 1);
    assert_eq!(world.store.dirty.len() + world.store.flush_list.len(), 0);
    assert_eq!(world.store.age_timers.len(), 1);
}

#[test]
fn every_log_of_two_thousand_is_flushed_and_read_back() {
    let mut world = World::with(config());
    let ids: Vec<_> = (0..2_000).map(|number| world.log(number)).collect();
    for _ in 0..2 {
        for id in &ids {
            world.append(*id, 1, 100);
        }
        world.settle();
        assert!(ids.iter().all(|id| world.visible(*id) > 0));
    }
    world.pass_ms(8_000);
    assert_eq!(world.store.unflushed_bytes, 0);
    for id in ids.iter().step_by(997) {
        assert_eq!(world.read_all(*id, 0).len(), 2);
    }
}

#[test]
fn segments_of_thousands_of_logs_are_made_some_at_a_time() {
    let mut world = World::with(config());
    let ids: Vec<_> = (0..2_000).map(|number| world.log(number)).collect();
    world.settle();
    for id in &ids {
        world.append(*id, 1, 100);
    }
    world.settle_but_segments();
    world.advance_ms(6_000);
    for _ in 0..20 {
        world.settle_but_segments();
    }
    let asked = world.segments_asked_for();
    assert!((100..=128).contains(&asked), "{asked} segments at once");
    world.settle();
    world.pass_ms(8_000);
    assert_eq!(world.store.unflushed_bytes, 0);
    assert_eq!(
        (
            world.store.creates_under_way,
            world.store.create_queue.len()
        ),
        (0, 0)
    );
    assert_eq!(world.segments_asked_for(), 0);
    for id in ids.iter().step_by(97) {
        assert_eq!(world.read_all(*id, 0).len(), 1);
    }
}

#[test]
fn a_store_whose_segments_do_not_keep_up_holds_acknowledgements_and_then_says_so() {
    let tail_bytes_max = 64 << 10;
    let mut world = World::with(StoreConfig {
        tail_bytes_max,
        ..config()
    });
    let ids: Vec<_> = (0..300).map(|number| world.log(number)).collect();
    world.settle();
    let mut taken = 0;
    while !world.store.is_overfull() {
        world.append(ids[taken % ids.len()], 1, 1_000);
        world.settle_but_segments();
        taken += 1;
    }
    assert!((200..400).contains(&taken), "{taken} appends");
    let acknowledged: u64 = ids.iter().map(|id| world.visible(*id)).sum();
    assert!(
        (100..200).contains(&acknowledged),
        "{acknowledged} in the journal"
    );
    world.settle();
    assert!(!world.store.is_overfull());
    let acknowledged: u64 = ids.iter().map(|id| world.visible(*id)).sum();
    assert_eq!(acknowledged, taken as u64);
}
