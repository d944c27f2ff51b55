//! Tests of the seeded generator.

use super::*;

#[test]
fn the_sequence_is_that_of_splitmix64() {
    let mut zero = Prng::new(0);
    let first = [zero.next_u64(), zero.next_u64(), zero.next_u64()];
    assert_eq!(
        first,
        [
            0xe220_a839_7b1d_cdaf,
            0x6e78_9e6a_a1b9_65f4,
            0x06c4_5d18_8009_454f
        ]
    );
    let mut other = Prng::new(1_234_567);
    assert_eq!(other.next_u64(), 6_457_827_717_110_365_317);
    assert_eq!(other.next_u64(), 3_203_168_211_198_807_973);
}

#[test]
fn a_copy_continues_the_same_sequence() {
    let mut one = Prng::new(9);
    one.next_u64();
    let mut other = one.clone();
    assert_eq!(one.next_u64(), other.next_u64());
}

#[test]
fn numbers_stay_below_their_bound_and_reach_all_of_it() {
    let mut prng = Prng::new(3);
    let mut seen = [false; 7];
    for _ in 0..500 {
        seen[usize::try_from(prng.below(7)).unwrap()] = true;
    }
    assert_eq!(seen, [true; 7]);
    assert_eq!((prng.below(0), prng.below(1)), (0, 0));
}

#[test]
fn chances_of_zero_and_one_are_certain() {
    let mut prng = Prng::new(4);
    assert!((0..100).all(|_| !prng.chance(0, 5)));
    assert!((0..100).all(|_| prng.chance(5, 5)));
    let hits = (0..10_000).filter(|_| prng.chance(1, 4)).count();
    assert!((2_300..2_700).contains(&hits), "{hits} of 10000");
}

#[test]
fn sixteen_bytes_are_the_next_two_numbers() {
    let mut bytes = Prng::new(5);
    let mut numbers = Prng::new(5);
    let expected = u128::from(numbers.next_u64()) | u128::from(numbers.next_u64()) << 64;
    assert_eq!(bytes.bytes16(), expected.to_le_bytes());
}
