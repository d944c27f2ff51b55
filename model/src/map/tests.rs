//! Tests of the maps with a fixed seed.

use super::*;

#[test]
fn the_same_insertions_give_the_same_iteration_order() {
    let fill = || {
        let mut map = FastMap::default();
        for key in 0..1_000_u64 {
            map.insert(key.wrapping_mul(0x9e37_79b9), key);
        }
        for key in 0..300_u64 {
            map.remove(&key.wrapping_mul(0x9e37_79b9));
        }
        map
    };
    let order = |map: FastMap<u64, u64>| map.into_iter().collect::<Vec<_>>();
    assert_eq!(order(fill()), order(fill()));
}

#[test]
fn sets_hold_each_value_once() {
    let mut set = FastSet::default();
    assert!(set.insert(4_u32));
    assert!(!set.insert(4));
    assert!(set.contains(&4) && set.len() == 1);
}
