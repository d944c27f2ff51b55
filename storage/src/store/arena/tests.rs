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
