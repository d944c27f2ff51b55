//! The forms of an offset on the command line.

use super::{Position, date_ms, duration_ms};

#[test]
fn every_documented_form_parses() {
    let parse = |text| Position::parse(text).expect(text);
    assert_eq!(parse("start"), Position::Start);
    assert_eq!(parse("beginning"), Position::Start);
    assert_eq!(parse("end"), Position::End);
    assert_eq!(parse("42"), Position::At(42));
    assert_eq!(parse("-10"), Position::BeforeEnd(10));
    assert_eq!(parse("+5"), Position::AfterStart(5));
    assert_eq!(parse("@1760000000000"), Position::Time(1_760_000_000_000));
    assert_eq!(parse("s@7"), Position::Time(7));
}

#[test]
fn an_unknown_form_is_a_usage_error_that_shows_the_forms() {
    let failure = Position::parse("soon").expect_err("not an offset");
    assert!(failure.to_string().contains("fix: use start, end, 42"));
}

#[test]
fn dates_are_utc_and_know_leap_years() {
    assert_eq!(date_ms("1970-01-01"), Some(0));
    assert_eq!(date_ms("2000-02-29T12:30"), Some(951_827_400_000));
    assert_eq!(date_ms("2026-11-21T00:00:01Z"), Some(1_795_219_201_000));
    assert_eq!(date_ms("2026-13-01"), None);
}

#[test]
fn durations_have_units() {
    assert_eq!(duration_ms("2h"), Some(7_200_000));
    assert_eq!(duration_ms("500ms"), Some(500));
    assert_eq!(duration_ms("5"), None);
    assert_eq!(duration_ms("5y"), None);
}
