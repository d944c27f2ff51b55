//! Tests of producer ids.
//!
//! Owns: blocks, waiters, epochs.
//! Never: appends.
//! Invariants: none.
//! Source: KIP-98, KIP-360; kafka.md 4.9.

use std::collections::BTreeSet;
use std::time::Duration;

use api::error::MetadataError;
use api::{Command, Origin, Reply};
use model::ids::{ProducerEpoch, ProducerId};
use model::limits;

use crate::rig::{Quorum, Rig};

const FRESH: Command = Command::InitProducerId { current: None };

fn answer(rig: &mut Rig, origin: Origin) -> Option<Result<(u64, u16), MetadataError>> {
    let reply = rig.answer(origin)?;
    let Reply::ProducerId(result) = reply else {
        panic!("{reply:?}")
    };
    Some(result.map(|(id, epoch)| (id.get(), epoch.get())))
}

fn ask(rig: &mut Rig, current: Option<(u64, u16)>) -> (u64, u16) {
    let current = current.map(|(id, epoch)| (ProducerId::new(id), ProducerEpoch::new(epoch)));
    let origin = rig.send(Command::InitProducerId { current });
    answer(rig, origin).unwrap().unwrap()
}

#[test]
fn fresh_ids_start_with_epoch_zero_and_never_repeat_across_blocks_and_restarts() {
    let mut rig = Rig::new();
    let mut seen = BTreeSet::new();
    for _ in 0..2 {
        for _ in 0..limits::PRODUCER_ID_BLOCK + 10 {
            let (id, epoch) = ask(&mut rig, None);
            assert_eq!(epoch, 0);
            assert!(seen.insert(id), "{id} was given out twice");
        }
        rig.restart();
    }
}

#[test]
fn a_known_producer_gets_its_next_epoch_and_at_the_last_one_a_fresh_id() {
    let mut rig = Rig::new();
    assert_eq!(ask(&mut rig, Some((77, 4))), (77, 5));
    let last = u16::try_from(i16::MAX).unwrap() - 1;
    let (id, epoch) = ask(&mut rig, Some((77, last)));
    assert_ne!(id, 77);
    assert_eq!(epoch, 0);
}

#[test]
fn many_waiters_are_served_by_as_many_blocks_as_they_need() {
    let mut rig = Rig::new();
    rig.quorum = Quorum::IsSilent;
    let origins: Vec<_> = (0..2_500).map(|_| rig.send(FRESH)).collect();
    assert!(rig.replies.is_empty());
    assert_eq!(rig.proposals.len(), 1, "one block is asked for at a time");
    while let Some(proposal) = rig.proposals.pop_front() {
        rig.settle(&proposal);
        assert!(rig.proposals.len() <= 1);
    }
    let ids: BTreeSet<u64> = origins
        .into_iter()
        .map(|origin| answer(&mut rig, origin).unwrap().unwrap().0)
        .collect();
    assert_eq!(ids.len(), 2_500);
}

#[test]
fn whoever_waits_for_an_id_in_vain_is_told() {
    let mut rig = Rig::new();
    rig.quorum = Quorum::IsSilent;
    let origin = rig.send(FRESH);
    rig.pass(Duration::from_secs(29));
    assert!(rig.answer(origin).is_none());
    rig.pass(Duration::from_secs(2));
    assert_eq!(answer(&mut rig, origin), Some(Err(MetadataError::TimedOut)));
    rig.quorum = Quorum::Commits;
    ask(&mut rig, None);
}

#[test]
fn a_refused_block_is_told_at_once_and_asked_for_again() {
    let mut rig = Rig::new();
    rig.quorum = Quorum::Refuses;
    let origin = rig.send(FRESH);
    assert_eq!(answer(&mut rig, origin), Some(Err(MetadataError::TimedOut)));
    rig.quorum = Quorum::Commits;
    ask(&mut rig, None);
}
