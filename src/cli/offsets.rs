//! Offsets as people write them, and how the broker is asked for them.
//!
//! Owns: parsing of `start end 42 -10 +5 @time`, and ListOffsets.
//! Never: guesses: an unknown form is an error that shows the forms.
//! Invariants: a resolved offset is never negative.
//! Source: features.md 3.2 point 5.

use kafka_wire::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use kafka_wire_core::StrBytes;

use super::client::Connection;
use super::failure::{Failure, Kind};
use super::{clock, wire_error};

/// An end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// First readable record.
    Start,
    /// Next record to be written.
    End,
    /// First record with at least this timestamp, ms.
    Time(i64),
}

/// Where reading starts or ends, as given on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// `start`.
    Start,
    /// `end`.
    End,
    /// `42`.
    At(i64),
    /// `-10`: so many records before the end.
    BeforeEnd(i64),
    /// `+5`: so many records after the start.
    AfterStart(i64),
    /// `@2026-11-20T10:00`, `@1760000000000` or `@-2h`: by time, ms since the epoch.
    Time(i64),
}

impl Position {
    /// Parses the forms above; kcat's `beginning`, `earliest`, `latest`, `s@ms` are accepted as well.
    ///
    /// # Errors
    /// None of the forms.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let number = |text: &str| text.parse::<i64>().ok();
        let parsed = match text {
            "start" | "beginning" | "earliest" => Some(Self::Start),
            "end" | "latest" => Some(Self::End),
            _ => match text.as_bytes().first() {
                Some(b'+') => number(text.get(1..).unwrap_or_default()).map(Self::AfterStart),
                Some(b'-') => number(text.get(1..).unwrap_or_default()).map(Self::BeforeEnd),
                Some(b'@') => time(text.get(1..).unwrap_or_default()).map(Self::Time),
                Some(b's') if text.starts_with("s@") => {
                    time(text.get(2..).unwrap_or_default()).map(Self::Time)
                }
                _ => number(text).map(Self::At),
            },
        };
        parsed.ok_or_else(|| {
            Failure::new(Kind::Usage, format!("`{text}` is not an offset"))
                .fix("use start, end, 42, -10 (before the end), +5 (after the start), @-2h or @2026-11-20T10:00")
        })
    }

    /// The offset this position means in one partition.
    ///
    /// # Errors
    /// The broker refused.
    pub(crate) fn resolve(
        self,
        leader: &mut Connection,
        topic: &str,
        partition: i32,
    ) -> Result<i64, Failure> {
        let mut bound = |bound| offset_of(leader, topic, partition, bound);
        match self {
            Self::Start => bound(Bound::Start),
            Self::End => bound(Bound::End),
            Self::At(offset) => Ok(offset),
            Self::BeforeEnd(count) => {
                let start = bound(Bound::Start)?;
                Ok(bound(Bound::End)?.saturating_sub(count).max(start))
            }
            Self::AfterStart(count) => {
                let end = bound(Bound::End)?;
                Ok(bound(Bound::Start)?.saturating_add(count).min(end))
            }
            Self::Time(ms) => match bound(Bound::Time(ms))? {
                offset if offset < 0 => bound(Bound::End),
                offset => Ok(offset),
            },
        }
    }
}

/// Asks a leader for one offset; -1 if no record has the timestamp.
///
/// # Errors
/// The broker refused.
pub(crate) fn offset_of(
    leader: &mut Connection,
    topic: &str,
    partition: i32,
    bound: Bound,
) -> Result<i64, Failure> {
    let mut wanted = ListOffsetsPartition::default();
    wanted.partition_index = partition;
    wanted.current_leader_epoch = -1;
    wanted.timestamp = match bound {
        Bound::Start => -2,
        Bound::End => -1,
        Bound::Time(ms) => ms,
    };
    let mut of_topic = ListOffsetsTopic::default();
    of_topic.name = StrBytes::from(topic);
    of_topic.partitions = vec![wanted];
    let mut request = ListOffsetsRequest::default();
    request.replica_id = -1;
    request.topics = vec![of_topic];
    let response = leader.call(&request)?;
    let answer = response
        .topics
        .first()
        .and_then(|topic| topic.partitions.first());
    let answer =
        answer.ok_or_else(|| Failure::new(Kind::Failed, "the broker answered no offset"))?;
    wire_error::check(
        answer.error_code,
        &format!("looking up an offset of {topic}/{partition}"),
    )?;
    Ok(answer.offset)
}

/// `-2h`, milliseconds, or `YYYY-MM-DD[THH:MM[:SS]]` in UTC.
fn time(text: &str) -> Option<i64> {
    if let Some(ago) = text.strip_prefix('-') {
        return Some(clock::wall_ms().saturating_sub(duration_ms(ago)?));
    }
    if let Ok(ms) = text.parse::<i64>() {
        return Some(ms);
    }
    date_ms(text)
}

/// `500ms`, `10s`, `5m`, `2h`, `1d`.
pub(crate) fn duration_ms(text: &str) -> Option<i64> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(split);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    digits.parse::<i64>().ok()?.checked_mul(factor)
}

fn date_ms(text: &str) -> Option<i64> {
    let (date, clock) = text.split_once('T').unwrap_or((text, "00:00"));
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut clock = clock
        .trim_end_matches('Z')
        .splitn(3, ':')
        .map(|part| part.parse::<i64>().ok());
    let (hour, minute) = (clock.next()??, clock.next()??);
    let second = clock.next().unwrap_or(Some(0))?;
    let in_range = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..60).contains(&second)
        && (1970..10_000).contains(&year);
    in_range.then(|| {
        let seconds =
            days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
        seconds * 1_000
    })
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar; the year begins in March here, so that
/// the leap day is its last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests;
