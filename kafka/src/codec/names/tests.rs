//! Names that are shared between requests.
//!
//! Owns: agreement with names that are not, bounds of what is kept.
//! Never: part of the product.
//! Invariants: no clocks, no sleeps, no ports.
//! Source: architecture.md A9.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn body(text: &[u8]) -> Vec<u8> {
    let length = i16::try_from(text.len()).expect("short");
    [&length.to_be_bytes(), text].concat()
}

proptest! {
    #[test]
    fn a_name_is_what_the_bytes_say_whatever_was_named_before(
        texts in vec(prop_oneof![vec(any::<u8>(), 0..4), Just(b"orders".to_vec())], 0..20),
    ) {
        let mut names = Names::default();
        for text in texts {
            let body = body(&text);
            let found = TopicLabel::read_name(&mut Reader::new(&body, 0), &mut names);
            let plain = Reader::new(&body, 0).string();
            prop_assert_eq!(found, plain.map(|name| TopicLabel::Name(name.into())));
        }
    }
}

#[test]
fn a_name_that_comes_again_takes_no_memory() {
    let mut names = Names::default();
    let body = body(b"orders");
    let mut read = || TopicLabel::read_name(&mut Reader::new(&body, 0), &mut names);
    let first = read().expect("a name");
    let spent = allocation_counter::measure(|| assert_eq!(read().expect("a name"), first));
    assert_eq!(spent.count_total, 0);
}

#[test]
fn a_name_longer_than_a_topic_may_have_is_not_kept() {
    for (length, is_kept) in [
        (TOPIC_NAME_BYTES_MAX, true),
        (TOPIC_NAME_BYTES_MAX + 1, false),
    ] {
        let mut names = Names::default();
        let body = body(&vec![b'n'; length]);
        let name = TopicLabel::read_name(&mut Reader::new(&body, 0), &mut names);
        assert!(name.is_ok());
        assert_eq!(names.last.is_some(), is_kept, "{length}");
    }
}
