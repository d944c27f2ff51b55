//! The batches of one group, checked against its header.
//!
//! Owns: splitting a verified payload into batches and recomputing the chain.
//! Never: looks at records.
//! Invariants: batches rise in offsets, fill the payload exactly, and give the header's offsets, epochs,
//! count and chain.
//! Source: reliability.md 2.2.

use model::batch::BatchInfo;
use model::offset::Offset;

use crate::format::FormatError;
use crate::format::chain;
use crate::format::segment::SegmentGroup;

const WHAT: &str = "segment group";

/// How much of a batch is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchDepth {
    /// The header: the group's checksum covers the rest.
    Header,
    /// The batch's own checksum as well.
    Checksum,
}

/// One batch and the chain hash on both sides of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadBatch {
    pub(crate) info: BatchInfo,
    pub(crate) chain_before: u64,
    pub(crate) chain_after: u64,
}

/// Puts the batches of a group into `out`.
pub(crate) fn read_batches(
    group: &SegmentGroup<'_>,
    depth: BatchDepth,
    out: &mut Vec<ReadBatch>,
) -> Result<(), FormatError> {
    out.clear();
    let header = &group.header;
    split(
        group.payload,
        depth,
        (header.first, header.chain_before),
        out,
    )?;
    let (Some(first), Some(last)) = (out.first(), out.last()) else {
        return Err(wrong("it holds no batch"));
    };
    let epoch_of = |batch: &ReadBatch| batch.info.leader_epoch.unwrap_or_default();
    if (first.info.base_offset, last.info.last_offset()) != (header.first, header.last) {
        return Err(wrong("its batches have other offsets"));
    }
    if (epoch_of(first), epoch_of(last)) != (header.first_epoch, header.last_epoch) {
        return Err(wrong("its batches have other leader epochs"));
    }
    if u32::try_from(out.len()) != Ok(header.batches) || last.chain_after != header.chain_after {
        return Err(wrong("its batches give another chain hash"));
    }
    Ok(())
}

/// Splits a payload whose first batch starts at or after `next`.
pub(crate) fn split(
    payload: &[u8],
    depth: BatchDepth,
    (mut next, mut chain): (Offset, u64),
    out: &mut Vec<ReadBatch>,
) -> Result<(), FormatError> {
    let mut rest = payload;
    while !rest.is_empty() {
        let parsed = match depth {
            BatchDepth::Header => BatchInfo::parse_header(rest),
            BatchDepth::Checksum => BatchInfo::parse(rest),
        };
        let info = parsed.map_err(|_| wrong("a batch in it is malformed"))?;
        let Some((_, behind)) = rest.split_at_checked(info.len()) else {
            return Err(wrong("a batch in it is cut short"));
        };
        rest = behind;
        if info.base_offset < next {
            return Err(wrong("its batches do not rise in offsets"));
        }
        let chain_before = chain;
        chain = chain::extend_stamped(chain, &info);
        next = info.end_offset();
        out.push(ReadBatch {
            info,
            chain_before,
            chain_after: chain,
        });
    }
    Ok(())
}

fn wrong(why: &'static str) -> FormatError {
    FormatError::Inconsistent { what: WHAT, why }
}
