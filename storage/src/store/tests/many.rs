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
