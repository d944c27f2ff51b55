//! Partition choice must agree with the Java client.

use super::{murmur2, partition_for};

#[test]
fn murmur2_gives_the_values_that_kafka_publishes_in_its_tests() {
    let cases: [(&[u8], i32); 6] = [
        (b"21", -973_932_308),
        (b"foobar", -790_332_482),
        (b"a-little-bit-long-string", -985_981_536),
        (b"a-little-bit-longer-string", -1_486_304_829),
        (
            b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
            -58_897_971,
        ),
        (b"abc", 479_470_107),
    ];
    for (key, expected) in cases {
        assert_eq!(murmur2(key).cast_signed(), expected, "{key:?}");
    }
}

#[test]
fn without_a_key_the_fallback_decides() {
    assert_eq!(partition_for(None, 4, 6), 2);
    assert_eq!(partition_for(None, 0, 6), 0);
}
