//! What all groups of a shard may hold together.

use super::*;

fn small() -> Bench {
    Bench::with(|config| config.held_bytes_max = 20_000)
}

fn of_group(group: &str, bytes: usize) -> Join {
    let mut join = dynamic("");
    join.group = group.to_owned();
    join.requires_known_member = false;
    join.protocols = vec![("range".to_owned(), Bytes::from(vec![7; bytes]))];
    join
}

#[test]
fn many_groups_together_are_refused_what_one_may_have() {
    let mut bench = small();
    let first = bench.join(of_group("a", 12_000));
    let member = bench.joined(first).member;
    let refused = bench.join(of_group("b", 12_000));
    assert_eq!(bench.refused(refused).error, GroupError::Full);
    // Whoever is in may come back with as much as before.
    let mut again = of_group("a", 12_000);
    again.member = member.clone();
    let ticket = bench.join(again);
    bench.joined(ticket);
    bench.ask(Command::LeaveGroup(Leave {
        group: "a".to_owned(),
        members: vec![(member, None)],
    }));
    let welcome = bench.join(of_group("b", 12_000));
    bench.joined(welcome);
}

fn noted(partition: u32, offset: u64) -> Command {
    let note = OffsetToCommit {
        metadata: "n".repeat(3_000),
        ..element("orders", partition, offset)
    };
    Command::CommitOffsets(Commit {
        key: simple(),
        offsets: vec![note],
    })
}

#[test]
fn commits_are_refused_when_they_would_hold_too_much_and_may_replace_what_is_there() {
    let mut bench = Bench::with(|config| config.held_bytes_max = 8_000);
    for partition in 0..2 {
        let ticket = bench.send(noted(partition, 1));
        assert_eq!(bench.committed(ticket), vec![Ok(())]);
    }
    let refused = bench.send(noted(2, 1));
    let too_much = Err(GroupError::TooMuchCommitted);
    assert_eq!(bench.committed(refused), vec![too_much]);
    let ticket = bench.send(noted(1, 2));
    assert_eq!(bench.committed(ticket), vec![Ok(())]);
    assert_eq!(bench.fetch(1), Some(2));
    bench.restart();
    let refused = bench.send(noted(2, 1));
    assert_eq!(
        bench.committed(refused),
        vec![too_much],
        "what was read counts"
    );
    bench.delete_topic("orders");
    bench.pump();
    let ticket = bench.send(noted(2, 1));
    assert_eq!(bench.committed(ticket), vec![Ok(())]);
}

#[test]
fn what_is_held_is_what_the_groups_hold() {
    let mut bench = Bench::new();
    assert_eq!(bench.held(), (0, 0));
    let members = bench.stable(3);
    let ticket = bench.commit(key(&members[0].member, members[0].generation), &[(0, 5)]);
    bench.committed(ticket);
    let (held, weighed) = bench.held();
    assert_eq!(held, weighed);
    assert!(held > 3_000);
    bench.coordinator.unload(PARTITION);
    assert_eq!(bench.held(), (0, 0));
}
