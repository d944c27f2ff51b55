//! Keys and values of `__consumer_offsets`, in Kafka's own format.
//!
//! Owns: encoding of the versions we write, decoding of the versions we read.
//! Never: panics or over-allocates on bytes that were read; keeps state.
//! Invariants: what is written decodes to the same; every text fits a 16-bit length.
//! Source: kafka.md 4.8, docs/format.md; the schemas `OffsetCommitKey`/`Value` v0 to v4 and `GroupMetadataKey`/`Value` v0 to v4.

#[cfg(test)]
mod tests;

use bytes::{BufMut, Bytes, BytesMut};
use model::ids::{Generation, PartitionId, TopicId};
use model::offset::{LeaderEpoch, Offset};
use model::time::Timestamp;

use super::GroupRecord;
use super::config::TEXT_BYTES_MAX;

const OFFSET_KEY_VERSION: i16 = 1;
const GROUP_KEY_VERSION: i16 = 2;
const VALUE_VERSION: i16 = 3;
/// From this version on values use compact lengths and tagged fields.
const FLEXIBLE_VERSION: i16 = 4;
/// Tagged field of an offset's value, from v4 on: the id of its topic.
const TOPIC_ID_TAG: u32 = 0;
/// Tagged fields of one structure; more is no record of Kafka's.
const TAGS_MAX: u32 = 64;

/// Why a record could not be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordError {
    /// A version from the future, or of another protocol.
    #[error("unknown record version {0}")]
    UnknownVersion(i16),
    /// The bytes do not follow the schema.
    #[error("malformed record")]
    Malformed,
}

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RecordKey {
    /// A committed offset.
    Offset {
        /// Group.
        group: String,
        /// Topic name.
        topic: String,
        /// Partition.
        partition: PartitionId,
    },
    /// A group's members and assignment.
    Group {
        /// Group.
        group: String,
    },
}

/// Value of a committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OffsetValue {
    /// Next offset to read.
    pub offset: Offset,
    /// Epoch of the last read record.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Free text.
    pub metadata: String,
    /// When it was committed.
    pub committed_at: Timestamp,
    /// The topic it was committed to; unknown before v4. A later topic of the same name is another one.
    pub topic_id: Option<TopicId>,
}

/// Value of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupValue {
    /// For example `consumer`; empty if there never was a member.
    pub protocol_type: String,
    /// Generation.
    pub generation: Generation,
    /// Chosen protocol; `None` without members.
    pub protocol: Option<String>,
    /// Leader's member id; `None` without members.
    pub leader: Option<String>,
    /// When the group got into its present state; unknown before v2.
    pub since: Option<Timestamp>,
    /// Members with their assignments.
    pub members: Vec<MemberValue>,
}

/// One member inside a [`GroupValue`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MemberValue {
    /// Member id.
    pub id: String,
    /// Static instance id.
    pub instance: Option<String>,
    /// Client id.
    pub client_id: String,
    /// Client address.
    pub client_host: String,
    /// Rebalance timeout, ms.
    pub rebalance_timeout_ms: u32,
    /// Session timeout, ms.
    pub session_timeout_ms: u32,
    /// Metadata of the chosen protocol.
    pub subscription: Bytes,
    /// Assignment.
    pub assignment: Bytes,
}

/// Record that commits an offset.
pub(super) fn offset_record(
    group: &str,
    topic: &str,
    partition: PartitionId,
    value: &OffsetValue,
) -> GroupRecord {
    let mut out = BytesMut::with_capacity(48 + value.metadata.len());
    let version = value.topic_id.map_or(VALUE_VERSION, |_| FLEXIBLE_VERSION);
    out.put_i16(version);
    out.put_i64(value.offset.to_wire());
    out.put_i32(value.leader_epoch.map_or(-1, LeaderEpoch::to_wire));
    match value.topic_id {
        Some(_) => put_compact_text(&mut out, &value.metadata),
        None => put_text(&mut out, &value.metadata),
    }
    out.put_i64(value.committed_at.as_millis());
    if let Some(topic) = value.topic_id {
        // One tagged field.
        put_varint(&mut out, 1);
        put_varint(&mut out, TOPIC_ID_TAG);
        put_varint(&mut out, 16);
        out.put_slice(topic.as_bytes());
    }
    GroupRecord {
        key: offset_key(group, topic, partition),
        value: Some(out.freeze()),
    }
}

/// Tombstone of a committed offset.
pub(super) fn offset_tombstone(group: &str, topic: &str, partition: PartitionId) -> GroupRecord {
    GroupRecord {
        key: offset_key(group, topic, partition),
        value: None,
    }
}

/// Record that stores a group.
pub(super) fn group_record(group: &str, value: &GroupValue) -> GroupRecord {
    let mut out = BytesMut::with_capacity(64 + 256 * value.members.len());
    out.put_i16(VALUE_VERSION);
    put_text(&mut out, &value.protocol_type);
    out.put_i32(value.generation.get().cast_signed());
    put_optional_text(&mut out, value.protocol.as_deref());
    put_optional_text(&mut out, value.leader.as_deref());
    out.put_i64(value.since.map_or(-1, Timestamp::as_millis));
    put_length(&mut out, value.members.len());
    for member in &value.members {
        put_member(&mut out, member);
    }
    GroupRecord {
        key: group_key(group),
        value: Some(out.freeze()),
    }
}

/// Tombstone of a group.
pub(super) fn group_tombstone(group: &str) -> GroupRecord {
    GroupRecord {
        key: group_key(group),
        value: None,
    }
}

/// Reads a key.
///
/// # Errors
/// [`RecordError::UnknownVersion`] for keys of protocols that this broker does not run.
pub(super) fn decode_key(bytes: &[u8]) -> Result<RecordKey, RecordError> {
    let mut reader = Reader {
        rest: bytes,
        form: Form::Classic,
    };
    match reader.i16().ok_or(RecordError::Malformed)? {
        0 | OFFSET_KEY_VERSION => reader.offset_key().ok_or(RecordError::Malformed),
        GROUP_KEY_VERSION => reader
            .text()
            .map(|group| RecordKey::Group { group })
            .ok_or(RecordError::Malformed),
        version => Err(RecordError::UnknownVersion(version)),
    }
}

/// Reads a committed offset.
///
/// # Errors
/// Unknown version, malformed bytes or a negative offset.
pub(super) fn decode_offset(bytes: &[u8]) -> Result<OffsetValue, RecordError> {
    let (mut reader, version) = Reader::of_value(bytes)?;
    reader.offset_value(version).ok_or(RecordError::Malformed)
}

/// Reads a group.
///
/// # Errors
/// Unknown version or malformed bytes.
pub(super) fn decode_group(bytes: &[u8]) -> Result<GroupValue, RecordError> {
    let (mut reader, version) = Reader::of_value(bytes)?;
    reader.group_value(version).ok_or(RecordError::Malformed)
}

fn offset_key(group: &str, topic: &str, partition: PartitionId) -> Bytes {
    let mut out = BytesMut::with_capacity(10 + group.len() + topic.len());
    out.put_i16(OFFSET_KEY_VERSION);
    put_text(&mut out, group);
    put_text(&mut out, topic);
    out.put_i32(partition.get().cast_signed());
    out.freeze()
}

fn group_key(group: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(4 + group.len());
    out.put_i16(GROUP_KEY_VERSION);
    put_text(&mut out, group);
    out.freeze()
}

fn put_member(out: &mut BytesMut, member: &MemberValue) {
    put_text(out, &member.id);
    put_optional_text(out, member.instance.as_deref());
    put_text(out, &member.client_id);
    put_text(out, &member.client_host);
    out.put_i32(
        member
            .rebalance_timeout_ms
            .min(i32::MAX.cast_unsigned())
            .cast_signed(),
    );
    out.put_i32(
        member
            .session_timeout_ms
            .min(i32::MAX.cast_unsigned())
            .cast_signed(),
    );
    put_bytes(out, &member.subscription);
    put_bytes(out, &member.assignment);
}

fn put_text(out: &mut BytesMut, text: &str) {
    let length = i16::try_from(text.len()).unwrap_or(-1);
    assert!(
        length >= 0,
        "texts are bounded where they enter: {} bytes",
        text.len()
    );
    out.put_i16(length);
    out.put_slice(text.as_bytes());
}

/// A text with its length plus one in front, seven bits per byte.
fn put_compact_text(out: &mut BytesMut, text: &str) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    assert!(
        text.len() <= TEXT_BYTES_MAX,
        "texts are bounded where they enter: {length} bytes"
    );
    put_varint(out, length + 1);
    out.put_slice(text.as_bytes());
}

fn put_varint(out: &mut BytesMut, mut value: u32) {
    loop {
        let [low, ..] = (value & 0x7f).to_le_bytes();
        value >>= 7;
        if value == 0 {
            return out.put_u8(low);
        }
        out.put_u8(low | 0x80);
    }
}

fn put_optional_text(out: &mut BytesMut, text: Option<&str>) {
    match text {
        Some(text) => put_text(out, text),
        None => out.put_i16(-1),
    }
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.put_slice(bytes);
}

fn put_length(out: &mut BytesMut, length: usize) {
    let length = i32::try_from(length).unwrap_or(-1);
    assert!(
        length >= 0,
        "group_bytes_max bounds a group's bytes far below 2 GiB"
    );
    out.put_i32(length);
}

/// How lengths are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Fixed-width lengths.
    Classic,
    /// Variable-width lengths plus one, tagged fields after every structure.
    Flexible,
}

/// Takes fields off the front; `None` means malformed.
struct Reader<'a> {
    rest: &'a [u8],
    form: Form,
}

impl<'a> Reader<'a> {
    fn of_value(bytes: &'a [u8]) -> Result<(Self, i16), RecordError> {
        let mut reader = Self {
            rest: bytes,
            form: Form::Classic,
        };
        let version = reader.i16().ok_or(RecordError::Malformed)?;
        match version {
            0..=VALUE_VERSION => Ok((reader, version)),
            FLEXIBLE_VERSION => Ok((
                Self {
                    form: Form::Flexible,
                    ..reader
                },
                version,
            )),
            other => Err(RecordError::UnknownVersion(other)),
        }
    }

    fn offset_key(&mut self) -> Option<RecordKey> {
        let group = self.text()?;
        let topic = self.text()?;
        let partition = PartitionId::new(u32::try_from(self.i32()?).ok()?);
        Some(RecordKey::Offset {
            group,
            topic,
            partition,
        })
    }

    fn offset_value(&mut self, version: i16) -> Option<OffsetValue> {
        let offset = Offset::from_wire(self.i64()?)?;
        let leader_epoch = if version >= 3 {
            LeaderEpoch::from_wire(self.i32()?)
        } else {
            None
        };
        let metadata = self.text()?;
        let committed_at = Timestamp::from_millis(self.i64()?);
        let mut topic_id = None;
        self.tags(|tag, bytes| {
            if tag == TOPIC_ID_TAG {
                topic_id = bytes.try_into().ok().map(TopicId::from_bytes);
            }
        })?;
        Some(OffsetValue {
            offset,
            leader_epoch,
            metadata,
            committed_at,
            topic_id: topic_id.filter(|topic| !topic.is_none()),
        })
    }

    fn group_value(&mut self, version: i16) -> Option<GroupValue> {
        let protocol_type = self.text()?;
        let generation = Generation::new(u32::try_from(self.i32()?).ok()?);
        let protocol = self.optional_text()?;
        let leader = self.optional_text()?;
        let since = if version >= 2 { self.i64()? } else { -1 };
        let count = self.count()?;
        let mut members = Vec::new();
        for _ in 0..count {
            members.push(self.member(version)?);
        }
        let since = (since >= 0).then(|| Timestamp::from_millis(since));
        Some(GroupValue {
            protocol_type,
            generation,
            protocol,
            leader,
            since,
            members,
        })
    }

    fn member(&mut self, version: i16) -> Option<MemberValue> {
        let id = self.text()?;
        let instance = if version >= 3 {
            self.optional_text()?
        } else {
            None
        };
        let client_id = self.text()?;
        let client_host = self.text()?;
        let rebalance = if version >= 1 {
            Some(self.millis()?)
        } else {
            None
        };
        let session_timeout_ms = self.millis()?;
        let subscription = self.bytes()?;
        let assignment = self.bytes()?;
        self.tags(|_, _| {})?;
        Some(MemberValue {
            id,
            instance,
            client_id,
            client_host,
            rebalance_timeout_ms: rebalance.unwrap_or(session_timeout_ms),
            session_timeout_ms,
            subscription,
            assignment,
        })
    }

    fn i16(&mut self) -> Option<i16> {
        let (head, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(i16::from_be_bytes(*head))
    }

    fn i32(&mut self) -> Option<i32> {
        let (head, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(i32::from_be_bytes(*head))
    }

    fn i64(&mut self) -> Option<i64> {
        let (head, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(i64::from_be_bytes(*head))
    }

    fn millis(&mut self) -> Option<u32> {
        u32::try_from(self.i32()?).ok()
    }

    /// At most five bytes, seven bits each.
    fn varint(&mut self) -> Option<u32> {
        let mut value = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).ok();
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(head)
    }

    /// Elements of an array. Every element takes bytes, so a lying count ends with the input.
    fn count(&mut self) -> Option<usize> {
        match self.form {
            Form::Classic => usize::try_from(self.i32()?).ok(),
            Form::Flexible => usize::try_from(self.varint()?.checked_sub(1)?).ok(),
        }
    }

    /// Outer `None`: malformed. Inner `None`: null.
    fn optional_text(&mut self) -> Option<Option<String>> {
        let length = match self.form {
            Form::Classic => i64::from(self.i16()?),
            Form::Flexible => i64::from(self.varint()?) - 1,
        };
        if length == -1 {
            return Some(None);
        }
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= TEXT_BYTES_MAX)?;
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        Some(Some(text.to_owned()))
    }

    fn text(&mut self) -> Option<String> {
        self.optional_text()?
    }

    /// Copied, so that a small group does not keep a whole batch alive.
    fn bytes(&mut self) -> Option<Bytes> {
        let length = match self.form {
            Form::Classic => usize::try_from(self.i32()?).ok()?,
            Form::Flexible => usize::try_from(self.varint()?.checked_sub(1)?).ok()?,
        };
        Some(Bytes::copy_from_slice(self.take(length)?))
    }

    /// Tagged fields, which only values in the flexible form have.
    fn tags(&mut self, mut field: impl FnMut(u32, &'a [u8])) -> Option<()> {
        if self.form == Form::Classic {
            return Some(());
        }
        let count = self.varint().filter(|count| *count <= TAGS_MAX)?;
        for _ in 0..count {
            let tag = self.varint()?;
            let length = usize::try_from(self.varint()?).ok()?;
            field(tag, self.take(length)?);
        }
        Some(())
    }
}
