//! The four decompressors.
//!
//! Owns: the promises of `model::batch::codec` about arbitrary bytes.
//! Never: depends on more than `model`, so that its own tests can include this file.
//! Invariants: no panic; output and its memory stay within the limit; what is compressed comes back.
//! Source: reliability.md 4.2, 4.3.

use model::batch::Compression;
use model::batch::codec::{compress, decompress};

const LIMIT: usize = 64 * 1024;

/// The first byte chooses the codec, the rest is decompressed, and also compressed and read back.
///
/// # Panics
/// If a promise of `model::batch::codec` is broken.
pub fn run(data: &[u8]) {
    let Some((&choice, input)) = data.split_first() else {
        return;
    };
    let codec = Compression::ALL[usize::from(choice) % Compression::ALL.len()];
    let mut out = Vec::new();
    if decompress(codec, input, &mut out, LIMIT).is_ok() {
        assert!(out.len() <= LIMIT, "output is within the limit");
    }
    assert!(
        out.capacity() <= 2 * LIMIT + 64,
        "memory is within twice the limit"
    );

    let mut packed = Vec::new();
    compress(codec, input, &mut packed).expect("any input can be compressed");
    let mut back = Vec::new();
    decompress(codec, &packed, &mut back, input.len()).expect("what was compressed comes back");
    assert_eq!(back, input);
}
