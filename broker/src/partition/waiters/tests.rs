//! Tests of the waiters of one partition.

use api::command::{Fetch, Isolation, ListOffset, OffsetQuery};
use api::metadata::TopicKey;
use api::{Origin, Ticket};
use model::ids::{ConnectionId, PartitionId, ShardId};
use model::offset::Offset;

use super::{AppendTarget, AppendWaiter, FetchNeed, FetchWaiter, LookupWaiter, Waiters};

fn origin(ticket: u64) -> Origin {
    let connection = ConnectionId::new(1);
    Origin {
        shard: ShardId::new(0),
        connection,
        ticket: Ticket(ticket),
    }
}

fn append(ticket: u64, last_offset: u64) -> AppendWaiter {
    let (base_offset, log_append_time) = (Offset::ZERO, None);
    let target = AppendTarget::Client {
        origin: origin(ticket),
        base_offset,
        log_append_time,
    };
    AppendWaiter {
        last_offset: Offset::new(last_offset),
        timer: None,
        target,
    }
}

fn fetch(need: FetchNeed) -> FetchWaiter {
    let fetch = Fetch {
        topic: TopicKey::Name("t".to_owned()),
        partition: PartitionId::new(0),
        offset: Offset::ZERO,
        leader_epoch: None,
        last_fetched_epoch: None,
        isolation: Isolation::ReadUncommitted,
        bytes_max: 1,
        at_least_one: true,
        wait_until: None,
    };
    FetchWaiter {
        fetch,
        timer: None,
        need,
        is_queued: false,
    }
}

#[test]
fn appends_leave_in_offset_order_also_when_a_duplicate_came_late() {
    let mut waiters = Waiters::default();
    for (ticket, last) in [(1, 4), (2, 9), (3, 4), (4, 9)] {
        waiters.park_append(append(ticket, last));
    }
    assert_eq!(waiters.pop_append(Offset::new(4)), None);
    assert_eq!(waiters.pop_append(Offset::new(5)), Some(append(1, 4)));
    assert_eq!(waiters.pop_append(Offset::new(5)), Some(append(3, 4)));
    assert_eq!(waiters.pop_append(Offset::new(5)), None);
    assert_eq!(waiters.pop_append(Offset::MAX), Some(append(2, 9)));
    assert_eq!(waiters.pop_append(Offset::MAX), Some(append(4, 9)));
    assert!(waiters.is_empty());
}

#[test]
fn one_of_several_appends_with_the_same_end_is_taken_by_its_origin() {
    let mut waiters = Waiters::default();
    for ticket in 1..=3 {
        waiters.park_append(append(ticket, 4));
    }
    assert_eq!(
        waiters.take_append(Offset::new(4), origin(2)),
        Some(append(2, 4))
    );
    assert_eq!(waiters.take_append(Offset::new(4), origin(2)), None);
    assert_eq!(waiters.take_append(Offset::new(5), origin(1)), None);
    assert_eq!(waiters.len(), 2);
}

#[test]
fn a_fetch_is_queued_once_and_only_for_what_it_needs() {
    let mut waiters = Waiters::default();
    waiters.park_fetch(origin(1), fetch(FetchNeed::Data));
    waiters.park_fetch(origin(2), fetch(FetchNeed::Device));
    let mut queued = Vec::new();
    for _ in 0..2 {
        waiters.queue_fetches(|need| need == FetchNeed::Data, |origin| queued.push(origin));
    }
    assert_eq!(queued, vec![origin(1)]);
    assert!(waiters.take_fetch(origin(2)).is_some());
    assert!(!waiters.has_fetch(origin(2)));
}

#[test]
fn deletions_leave_when_the_log_start_reached_them() {
    let mut waiters = Waiters::default();
    waiters.park_deletion(origin(1), Offset::new(5));
    assert!(waiters.has_deletion());
    assert_eq!(waiters.pop_deletion(Offset::new(4)), None);
    assert_eq!(waiters.pop_deletion(Offset::new(5)), Some(origin(1)));
    assert!(!waiters.has_deletion());
}

fn lookup(ticket: u64) -> LookupWaiter {
    let query = ListOffset {
        topic: TopicKey::Name("t".to_owned()),
        partition: PartitionId::new(0),
        leader_epoch: None,
        isolation: Isolation::ReadUncommitted,
        query: OffsetQuery::AtTimestamp(1),
    };
    LookupWaiter {
        origin: origin(ticket),
        query,
    }
}

#[test]
fn a_lookup_is_queued_once_however_often_the_device_answers() {
    let mut waiters = Waiters::default();
    (1..=3).for_each(|ticket| waiters.park_lookup(lookup(ticket)));
    assert_eq!(waiters.queue_lookups(), 3);
    assert_eq!(waiters.queue_lookups(), 0);
    // The oldest is tried, has to wait again, and a newcomer parks behind it.
    let oldest = waiters.pop_lookup().unwrap();
    assert_eq!(oldest.origin, origin(1));
    waiters.park_lookup(oldest);
    waiters.park_lookup(lookup(4));
    assert_eq!(waiters.queue_lookups(), 2);
    let order: Vec<Origin> = std::iter::from_fn(|| waiters.pop_lookup())
        .map(|waiter| waiter.origin)
        .collect();
    assert_eq!(order, [2, 3, 1, 4].map(origin));
    assert_eq!(waiters.queue_lookups(), 0);
}
