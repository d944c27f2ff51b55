//! Tests of how long a core polls.

use std::time::Duration;

use super::park::Spin;

#[test]
fn polling_is_short_while_a_durable_write_is_out() {
    let micros = Duration::from_micros;
    let spin = Spin::new(micros(1_000));
    assert_eq!(spin.budget(None), micros(1_000));
    assert_eq!(spin.budget(Some(micros(20))), micros(20));
    assert_eq!(
        spin.budget(Some(micros(400))),
        micros(50),
        "polling longer starves the kernel worker"
    );
    assert_eq!(spin.budget(Some(Duration::ZERO)), Duration::ZERO);
    assert_eq!(Spin::new(Duration::ZERO).budget(None), Duration::ZERO);
}
