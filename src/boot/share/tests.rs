//! Shares of machines of every size.

use std::path::Path;

use super::{limit_files, memory, open_files, tail_bytes, total};

const GIB: u64 = 1 << 30;

#[test]
fn tails_get_a_tenth_of_what_a_core_has() {
    assert_eq!(tail_bytes(Some(4 * GIB), 1), 386_547_056);
    assert_eq!(tail_bytes(Some(8 * GIB), 2), 386_547_056);
}

#[test]
fn tails_get_no_less_than_64_mib_and_no_more_than_the_journal_can_hold() {
    assert_eq!(tail_bytes(None, 1), 64 << 20);
    assert_eq!(tail_bytes(Some(GIB / 2), 4), 64 << 20);
    assert_eq!(tail_bytes(Some(1024 * GIB), 2), 512 << 20);
    assert_eq!(tail_bytes(Some(u64::MAX), 0), 512 << 20);
}

#[test]
fn segments_get_half_of_the_descriptors_shared_by_the_cores() {
    assert_eq!(open_files(20_000, 1), 10_000);
    assert_eq!(open_files(20_000, 4), 2_500);
    assert_eq!(open_files(u64::MAX, 2), 16_384);
    assert_eq!(open_files(100, 8), 128);
}

#[test]
fn the_memory_of_the_machine_is_read() {
    let text = "MemTotal:       24595000 kB\nMemFree:         1 kB\n";
    assert_eq!(total(text), Some(24_595_000 * 1_024));
    assert_eq!(total("MemFree: 1 kB\n"), None);
    assert!(memory().is_some_and(|bytes| bytes > 0));
}

#[test]
fn a_control_group_and_those_above_it_may_limit_memory() {
    let unified = limit_files("0::/a/b\n");
    let expected = [
        "/sys/fs/cgroup/a/b/memory.max",
        "/sys/fs/cgroup/a/memory.max",
        "/sys/fs/cgroup/memory.max",
    ];
    assert!(unified.iter().eq(expected.map(Path::new)), "{unified:?}");
    let named = limit_files("5:cpu,memory:/a\n3:cpuset:/a\n");
    let expected = [
        "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ];
    assert!(named.iter().eq(expected.map(Path::new)), "{named:?}");
    assert_eq!(
        limit_files("nonsense\n1:\n"),
        Vec::<std::path::PathBuf>::new()
    );
}
