//! What can still be told from a journal group whose header is good and whose body is not.
//!
//! Owns: reading a table of entries without trusting it.
//! Never: returns a payload that does not match its own checksum.
//! Invariants: the lengths of all entries must give the body's length, or nothing is believed.
//! Source: reliability.md 2.6.

use model::limits::BATCH_RECORDS_MAX;
use model::offset::{LeaderEpoch, Offset};

use crate::format::FormatError;
use crate::format::cursor::Reader;
use crate::format::journal::{AppendEntry, ENTRIES_MAX, ENTRY_BYTES};
use crate::store::LogId;

const WHAT: &str = "journal entry";

/// An append, with its payload if that is intact.
pub(crate) type Believed<'b> = (AppendEntry, Option<&'b [u8]>);

/// The appends of a damaged group, each with its payload if that is intact.
pub(crate) fn believed_entries(body: &[u8], count: u32, body_len: u32) -> Vec<Believed<'_>> {
    let count = count as usize;
    if count > ENTRIES_MAX {
        return Vec::new();
    }
    read_table(body, count, body_len as usize).unwrap_or_default()
}

fn read_table(
    body: &[u8],
    count: usize,
    body_len: usize,
) -> Result<Vec<Believed<'_>>, FormatError> {
    let mut reader = Reader::new(body, WHAT);
    let mut table = Reader::new(reader.bytes(count * ENTRY_BYTES)?, WHAT);
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        rows.push(Reader::new(table.bytes(ENTRY_BYTES)?, WHAT));
    }
    let mut found = Vec::new();
    let mut used = count * ENTRY_BYTES;
    for mut row in rows {
        let kind = row.u8()?;
        row.bytes(3)?;
        let len = row.u32()? as usize;
        used = used.saturating_add(len);
        // A file that was cut short has the table but not every payload.
        let payload = reader.bytes(len.min(reader.remaining()))?;
        if kind == 1
            && let Some(entry) = append(&mut row)?
        {
            let is_intact =
                payload.len() == len && crc32c::crc32c(payload) == entry.crc && !payload.is_empty();
            found.push((entry, is_intact.then_some(payload)));
        }
    }
    // If one length were wrong, every payload behind it would be misplaced.
    Ok(if used == body_len { found } else { Vec::new() })
}

fn append(row: &mut Reader<'_>) -> Result<Option<AppendEntry>, FormatError> {
    let entry = AppendEntry {
        log: LogId(row.u64()?),
        topic_tag: row.u64()?,
        generation: row.u32()?,
        epoch: LeaderEpoch::new(row.u32()?),
        first: Offset::new(row.u64()?),
        last: Offset::new(row.u64()?),
        chain_before: row.u64()?,
        committed_floor: Offset::new(row.u64()?),
        crc: row.u32()?,
        batches: row.u32()?,
    };
    let offsets = u64::from(entry.batches).saturating_mul(u64::from(BATCH_RECORDS_MAX));
    let is_sane = entry.first <= entry.last
        && entry.last < Offset::MAX
        && entry.first.distance(entry.last) < offsets;
    Ok(is_sane.then_some(entry))
}
