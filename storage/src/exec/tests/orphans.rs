//! Files that nothing refers to.  reliability.md 2.3 I6

use super::builder::{History, NOW, World, tp};
use crate::exec::{Disk, MemoryDisk, ORPHAN_AGE_MS, Recovered, remove_orphans};
use crate::format::layout::{QUARANTINE, index_path, partition_dir, snapshot_path};
use crate::format::manifest::Record;

/// A directory with every kind of orphan, all files a day old.
struct Left {
    world: World,
    history: History,
    live: Vec<String>,
    orphans: Vec<String>,
}

fn left() -> Left {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut journal = world.start_journal(1);
    let mut kept = world.add_segment(&history, 9);
    let mut gone = world.add_segment(&history, 10);
    let batch = history.batch(1, "a");
    world.append(&mut journal, history.log, std::slice::from_ref(&batch));
    for segment in [&mut kept, &mut gone] {
        world.segment_group(segment, std::slice::from_ref(&batch));
    }
    world.seal_segment(&kept);
    let (log, uid) = (history.log, gone.uid);
    world.record(&[Record::SegmentRemove { log, uid }]);
    let dropped = [
        snapshot_path(tp(2), history.next),
        index_path(tp(2), history.next, &uid),
    ];
    for path in &dropped {
        world.disk.put(path, vec![1; 10]);
    }
    let live = vec![kept.path.clone(), journal.path.clone()];
    let mut orphans = vec![gone.path.clone()];
    orphans.extend(dropped);
    orphans.sort();
    Left {
        world,
        history,
        live,
        orphans,
    }
}

fn age(disk: &mut MemoryDisk, ms: i64) {
    for (path, _) in disk.files() {
        disk.set_changed(&path, NOW - ms);
    }
}

impl Left {
    fn sweep(&mut self) -> Vec<String> {
        let recovered = self.world.recover();
        self.sweep_after(recovered)
    }

    fn sweep_after(&mut self, recovered: Recovered) -> Vec<String> {
        let mut removed = remove_orphans(&mut self.world.disk, &[recovered], NOW).unwrap();
        removed.sort();
        for path in &self.live {
            assert!(self.world.disk.contents(path).is_some(), "{path} is gone");
        }
        removed
    }
}

#[test]
fn orphans_go_after_a_day_and_nothing_else_does() {
    let mut left = left();
    let foreign = format!("{}/notes.txt", partition_dir(tp(2)));
    let aside = format!("{QUARANTINE}/old.seg");
    for path in [&foreign, &aside] {
        left.world.disk.put(path, vec![1; 10]);
        left.live.push(path.clone());
    }
    age(&mut left.world.disk, ORPHAN_AGE_MS);
    assert_eq!(left.sweep(), left.orphans);
    for path in &left.orphans {
        assert!(left.world.disk.contents(path).is_none(), "{path} stays");
    }
    assert_eq!(left.sweep(), Vec::<String>::new());
}

#[test]
fn orphans_stay_for_a_day() {
    let mut left = left();
    age(&mut left.world.disk, ORPHAN_AGE_MS - 1);
    assert_eq!(left.sweep(), Vec::<String>::new());
    age(&mut left.world.disk, -ORPHAN_AGE_MS);
    assert_eq!(left.sweep(), Vec::<String>::new(), "changed in the future");
}

#[test]
fn orphans_of_unknown_age_stay() {
    assert_eq!(left().sweep(), Vec::<String>::new());
}

#[test]
fn nothing_is_removed_while_anything_is_damaged() {
    let mut left = left();
    age(&mut left.world.disk, 10 * ORPHAN_AGE_MS);
    left.world.create_log(3);
    let mut lost = History::new(3);
    let segment = left.world.add_segment(&lost, 30);
    let batch = lost.batch(1, "lost");
    let mut segment = segment;
    left.world.segment_group(&mut segment, &[batch]);
    left.world.seal_segment(&segment);
    left.world.disk.remove(&segment.path).unwrap();
    assert!(left.history.next > model::offset::Offset::ZERO);
    assert_eq!(left.sweep(), Vec::<String>::new());
}

#[test]
fn a_log_of_another_core_keeps_its_files() {
    let mut left = left();
    age(&mut left.world.disk, ORPHAN_AGE_MS);
    let one = left.world.recover();
    let mut other = World::new();
    other.create_log(2);
    let two = other.recover();
    let removed = remove_orphans(&mut left.world.disk, &[one, two], NOW).unwrap();
    assert_eq!(removed.len(), 1, "{removed:?}");
    assert!(removed[0].contains("/0/") && left.orphans.contains(&removed[0]));
}
