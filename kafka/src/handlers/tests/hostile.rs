//! Frames that no client of ours would send.
//!
//! Owns: every API number and version with bodies of every kind.
//! Never: part of the product.
//! Invariants: a whole frame leads to an answer, to questions for the broker, or to the end of the connection; it is
//! never met with silence.
//! Source: kafka.md 2.3, 4.1.

use model::prng::Prng;

use crate::conversation::Conversation;
use crate::versions::{self, TABLE};

fn frame(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(10 + body.len()).expect("small");
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend(key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(7_i32.to_be_bytes());
    frame.extend((-1_i16).to_be_bytes()); // no client id
    frame.extend(body);
    frame
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    Asked,
    Closed,
}

fn fate(key: i16, version: i16, body: &[u8]) -> Fate {
    let mut talk = Conversation::new();
    if talk.feed(&frame(key, version, body)).is_err() {
        assert!(
            talk.next_frame().is_none(),
            "nothing is sent before closing"
        );
        return Fate::Closed;
    }
    if !talk.commands().is_empty() {
        return Fate::Asked;
    }
    if talk.next_frame().is_none() {
        // Only a produce request without acks gets no answer; the connection goes on.
        assert_eq!(key, 0, "silence on version {version}: {body:?}");
        talk.feed(&frame(18, 0, &[])).expect("goes on");
        assert!(talk.next_frame().is_some(), "goes on");
    }
    Fate::Answered
}

#[test]
fn an_api_or_version_that_is_not_served_closes_and_a_newer_api_versions_is_answered() {
    for key in -2..=120 {
        let api = versions::find(key);
        let max = api.map_or(0, |api| api.max);
        for version in [i16::MIN, -1, max + 1, 99, i16::MAX] {
            let expected = match key {
                18 if version > max => Fate::Answered,
                _ => Fate::Closed,
            };
            assert_eq!(fate(key, version, &[]), expected, "{key} v{version}");
        }
    }
}

#[test]
fn no_body_whatsoever_is_met_with_silence() {
    let mut prng = Prng::new(1);
    let mut fates = [0_usize; 3];
    for api in TABLE {
        for version in api.min..=api.max {
            let mut bodies = vec![Vec::new(), vec![0; 64], vec![0xff; 64]];
            for length in 1..40 {
                let small = (0..length).map(|_| prng.next_u64().to_le_bytes()[0] % 4);
                bodies.push(small.collect());
                let any = (0..length).map(|_| prng.next_u64().to_le_bytes()[0]);
                bodies.push(any.collect());
            }
            for body in bodies {
                let fate = fate(api.key.to_wire(), version, &body);
                fates[fate as usize] += 1;
            }
        }
    }
    assert!(
        fates.iter().all(|count| *count > 100),
        "every fate is met: {fates:?}"
    );
}

#[test]
fn half_a_frame_is_waited_for_and_an_impossible_one_closes_at_once() {
    let whole = frame(3, 12, &[0; 16]);
    for cut in 0..whole.len() {
        let mut talk = Conversation::new();
        assert!(talk.feed(&whole[..cut]).is_ok(), "{cut} bytes");
        assert!(talk.commands().is_empty() && talk.next_frame().is_none());
    }
    for length in [-1, 0, 7, i32::MAX] {
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend([0; 8]);
        assert!(Conversation::new().feed(&bytes).is_err(), "length {length}");
    }
    let mut large = frame(12, 4, &[]);
    let length = i32::try_from(crate::limits::SMALL_FRAME_BYTES_MAX + 1).expect("small");
    large[..4].copy_from_slice(&length.to_be_bytes());
    assert!(
        Conversation::new().feed(&large).is_err(),
        "a heartbeat of megabytes is refused by its length alone"
    );
}
