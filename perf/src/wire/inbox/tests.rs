//! Frames come out whole however the bytes arrive.

use std::io::{self, Read};

use super::{Inbox, Received};

/// Gives bytes in pieces of a fixed size.
struct Pieces<'a> {
    rest: &'a [u8],
    size: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let count = self.size.min(self.rest.len()).min(room.len());
        room[..count].copy_from_slice(&self.rest[..count]);
        self.rest = &self.rest[count..];
        Ok(count)
    }
}

fn frames_of(bytes: &[u8], size: usize) -> Vec<Vec<u8>> {
    let mut from = Pieces { rest: bytes, size };
    let mut inbox = Inbox::default();
    let mut frames = Vec::new();
    while inbox.receive(&mut from).unwrap() != Received::Closed {
        while let Some(frame) = inbox.next_frame().unwrap() {
            frames.push(inbox.bytes(frame).to_vec());
        }
    }
    frames
}

#[test]
fn frames_of_all_sizes_come_out_whole_in_pieces_of_all_sizes() {
    let sizes = [4_usize, 5, 100, 70_000, 4, 300_000, 65_532, 65_536];
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for (index, size) in sizes.into_iter().enumerate() {
        let body = vec![u8::try_from(index).unwrap(); size];
        bytes.extend_from_slice(&i32::try_from(size).unwrap().to_be_bytes());
        bytes.extend_from_slice(&body);
        expected.push(body);
    }
    for size in [1, 3, 4096, 65_536, 1 << 20] {
        assert_eq!(frames_of(&bytes, size), expected, "pieces of {size}");
    }
}

#[test]
fn a_length_that_no_answer_has_is_refused() {
    for prefix in [0_i32, 3, -1, i32::MIN, i32::MAX, (128 << 20) + 1] {
        let bytes = prefix.to_be_bytes();
        let mut inbox = Inbox::default();
        inbox.receive(&mut &bytes[..]).unwrap();
        assert!(inbox.next_frame().is_err(), "{prefix}");
    }
}
