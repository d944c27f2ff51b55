//! Tests of the memory of small batches.

use super::*;

#[test]
fn small_batches_share_a_chunk_and_keep_their_bytes() {
    let mut arena = Arena::default();
    let first = arena.keep(BytesMut::from(&[1; 100][..]));
    let second = arena.keep(BytesMut::from(&[2; 200][..]));
    assert_eq!(first, Bytes::from(vec![1; 100]));
    assert_eq!(second, Bytes::from(vec![2; 200]));
    assert_eq!(first.as_ptr().wrapping_add(100), second.as_ptr());
}

#[test]
fn large_batch_keeps_its_own_buffer() {
    let mut arena = Arena::default();
    let batch = BytesMut::from(&vec![3; COPY_BELOW_BYTES][..]);
    let at = batch.as_ptr();
    assert_eq!(arena.keep(batch).as_ptr(), at);
}

#[test]
fn batches_survive_the_change_of_chunk() {
    let mut arena = Arena::default();
    let kept: Vec<Bytes> = (0..100_u8)
        .map(|n| arena.keep(BytesMut::from(&vec![n; COPY_BELOW_BYTES - 1][..])))
        .collect();
    assert!(
        kept.iter()
            .zip(0..100_u8)
            .all(|(bytes, n)| bytes.iter().all(|byte| *byte == n))
    );
}

#[test]
fn chunk_that_nobody_holds_is_used_again() {
    let mut arena = Arena::default();
    let batch = || BytesMut::from(&vec![1; COPY_BELOW_BYTES - 1][..]);
    let first = arena.keep(batch()).as_ptr();
    let is_again = (0..1_000).any(|_| arena.keep(batch()).as_ptr() == first);
    assert!(is_again);
}

#[test]
fn chunk_is_not_written_again_while_a_batch_in_it_is_held() {
    let mut arena = Arena::default();
    let held = arena.keep(BytesMut::from(&[7; 100][..]));
    for _ in 0..1_000 {
        arena.keep(BytesMut::from(&vec![1; COPY_BELOW_BYTES - 1][..]));
    }
    assert_eq!(held, Bytes::from(vec![7; 100]));
}

#[test]
fn chunks_that_are_remembered_are_bounded() {
    let mut arena = Arena::default();
    let held: Vec<Bytes> = (0..1_000)
        .map(|_| arena.keep(BytesMut::from(&vec![1; COPY_BELOW_BYTES - 1][..])))
        .collect();
    assert_eq!(held.len(), 1_000);
    assert_eq!(arena.chunks.full.len(), CHUNKS_MAX);
}

#[test]
fn gathered_answers_keep_their_bytes_whatever_their_size() {
    let mut gather = Gather::default();
    let answers: Vec<(Bytes, usize)> = (1..200)
        .map(|n| {
            let pieces: Vec<Bytes> = (0..n).map(|_| Bytes::from(vec![7; 100])).collect();
            (gather.copy(n * 100, pieces.iter()), n * 100)
        })
        .collect();
    for (answer, len) in answers {
        assert_eq!(answer, Bytes::from(vec![7; len]));
    }
}

#[test]
fn drafts_keep_their_bytes_whatever_their_size() {
    let mut drafts = Drafts::default();
    let kept: Vec<Bytes> = (0..100_u8)
        .map(|n| drafts.copy(&[&[n; 100], &vec![n; 1_000 * usize::from(n)]]))
        .collect();
    for (bytes, n) in kept.iter().zip(0..100_u8) {
        assert_eq!(*bytes, Bytes::from(vec![n; 100 + 1_000 * usize::from(n)]));
    }
}

#[test]
fn drafts_that_were_written_make_room_for_others() {
    let mut drafts = Drafts::default();
    let block = [1; 4_096];
    let first = drafts.copy(&[&block]).as_ptr();
    assert!((0..100).any(|_| drafts.copy(&[&block]).as_ptr() == first));
}
