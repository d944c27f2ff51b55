//! Tests of the byte budget.

use super::Admission;

#[test]
fn a_budget_refuses_what_does_not_fit_beside_what_is_taken() {
    let mut admission = Admission::new(100);
    assert!(admission.try_reserve(60));
    assert!(!admission.try_reserve(41));
    assert!(admission.try_reserve(40));
    assert_eq!(admission.used(), 100);
}

#[test]
fn an_idle_budget_admits_one_request_of_any_size() {
    let mut admission = Admission::new(100);
    assert!(admission.try_reserve(1_000));
    assert!(!admission.try_reserve(1));
    admission.release(1_000);
    assert!(admission.try_reserve(1));
}
