//! Tests of the buffer pool.

use bytes::Bytes;

use super::{
    AlignedBuffer, CLASSES, HUGE_BYTES, HUGE_MAX, KEPT_BYTES_PER_CLASS, ORDINARY_BYTES_MAX, Pool,
};

#[test]
fn buffers_are_whole_aligned_blocks() {
    for len in [0, 1, 4096, 4097, 3 << 20] {
        let buffer = AlignedBuffer::zeroed(len);
        assert!(buffer.len() >= len);
        assert!(buffer.len().is_multiple_of(4096));
        assert!(buffer.bytes().as_ptr().addr().is_multiple_of(4096));
        assert!(buffer.bytes().iter().all(|byte| *byte == 0));
    }
}

#[test]
fn gathering_overwrites_what_was_there() {
    let mut buffer = AlignedBuffer::zeroed(8192);
    buffer.bytes_mut().fill(0xee);
    let pieces = [
        Bytes::from_static(b"abc"),
        Bytes::new(),
        Bytes::from_static(b"de"),
    ];
    buffer.gather(&pieces, 4096);
    assert_eq!(&buffer.bytes()[..6], b"abcde\0");
    assert!(buffer.bytes()[5..4096].iter().all(|byte| *byte == 0));
    assert_eq!(
        buffer.bytes()[4096],
        0xee,
        "what is not written is not touched"
    );
}

#[test]
fn a_lent_buffer_comes_home_from_another_thread() {
    let mut pool = Pool::new();
    let mut buffer = pool.take(5000);
    buffer.bytes_mut()[0] = 42;
    let address = buffer.bytes().as_ptr().addr();
    let lent = pool.lend(buffer, 4999);
    assert_eq!(lent.len(), 4999);
    let half = lent.slice(..10);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, move || drop(lent));
        thread.unwrap().join().unwrap();
    });
    assert_eq!(half[0], 42, "the last handle keeps it");
    drop(half);
    assert_eq!(pool.take(5000).bytes().as_ptr().addr(), address);
}

#[test]
fn a_lent_buffer_outlives_the_pool() {
    let mut pool = Pool::new();
    let buffer = pool.take(1);
    let lent = pool.lend(buffer, 1);
    drop(pool);
    assert_eq!(&lent[..], &[0]);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut pool = Pool::new();
    let count = KEPT_BYTES_PER_CLASS / CLASSES[8] + 3;
    let buffers: Vec<_> = (0..count).map(|_| pool.take(CLASSES[8])).collect();
    for buffer in buffers {
        pool.put(buffer);
    }
    assert_eq!(pool.classes[8].len(), KEPT_BYTES_PER_CLASS / CLASSES[8]);
    pool.put(AlignedBuffer::zeroed(9 << 20));
    assert_eq!(
        pool.take(9 << 20).len(),
        9 << 20,
        "what fits no class is not kept"
    );
}

#[test]
fn a_large_write_gets_memory_in_one_piece_that_is_used_again() {
    let mut pool = Pool::new();
    let mut buffer = pool.take_for_write(ORDINARY_BYTES_MAX + 1);
    assert_eq!(buffer.len(), HUGE_BYTES);
    let address = buffer.bytes().as_ptr().addr();
    assert!(
        address.is_multiple_of(HUGE_BYTES),
        "else it is no huge page"
    );
    assert!(buffer.bytes().iter().all(|byte| *byte == 0));
    buffer.bytes_mut()[HUGE_BYTES - 1] = 42;
    pool.put(buffer);
    let again = pool.take_for_write(HUGE_BYTES);
    assert_eq!(again.bytes().as_ptr().addr(), address);
    assert_eq!(again.bytes()[HUGE_BYTES - 1], 42, "its memory is its own");
}

#[test]
fn small_and_very_large_writes_and_all_reads_use_ordinary_memory() {
    let mut pool = Pool::new();
    assert!(!pool.take_for_write(ORDINARY_BYTES_MAX).is_huge());
    assert!(!pool.take_for_write(HUGE_BYTES + 1).is_huge());
    assert!(!pool.take(HUGE_BYTES / 2).is_huge());
    assert_eq!(pool.huge_count, 0);
}

#[test]
fn huge_pages_are_bounded_and_further_writes_use_ordinary_memory() {
    let mut pool = Pool::new();
    let mut buffers: Vec<_> = (0..HUGE_MAX)
        .map(|_| pool.take_for_write(1 << 20))
        .collect();
    assert!(buffers.iter().all(AlignedBuffer::is_huge));
    let more = pool.take_for_write(1 << 20);
    assert!(!more.is_huge());
    assert_eq!(more.len(), 1 << 20);
    pool.put(more);
    pool.put(buffers.pop().unwrap());
    assert!(pool.take_for_write(1 << 20).is_huge());
}
