//! Topics as the requests of one connection name them.
//!
//! Owns: [`TopicLabel`], and the memory of the name that was used last.
//! Never: lets a shared name leave the connection: commands cross cores and carry a copy of their own.
//! Invariants: at most one name is kept, and none longer than a topic's can be.
//! Source: architecture.md A1, A9; KIP-516 (ids).

use std::rc::Rc;

use api::metadata::TopicKey;
use model::ids::TopicId;
use model::limits::TOPIC_NAME_BYTES_MAX;

use super::WireError;
use super::read::Reader;
use super::write::Writer;

/// A topic as a request names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TopicLabel {
    /// By name.
    Name(Rc<str>),
    /// By id.
    Id(TopicId),
}

impl TopicLabel {
    /// Reads a name.
    ///
    /// # Errors
    /// There is no text.
    pub(crate) fn read_name(reader: &mut Reader<'_>, names: &mut Names) -> Result<Self, WireError> {
        let text = reader.unchecked_string()?;
        if let Some(known) = names.find(text.bytes) {
            return Ok(Self::Name(known));
        }
        Ok(Self::Name(names.keep(text.checked()?)))
    }

    /// Reads an id.
    ///
    /// # Errors
    /// The frame ends before.
    pub(crate) fn read_id(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self::Id(TopicId::from_bytes(reader.uuid()?)))
    }

    /// Writes it as it was read.
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Name(name) => writer.string(name),
            Self::Id(id) => writer.raw(id.as_bytes()),
        }
    }

    /// The same for a command.
    pub(crate) fn to_key(&self) -> TopicKey {
        match self {
            Self::Name(name) => TopicKey::Name(str::to_owned(name)),
            Self::Id(id) => TopicKey::Id(*id),
        }
    }
}

/// The name that a connection used last: most connections have one topic.
#[derive(Debug, Default)]
pub(crate) struct Names {
    last: Option<Rc<str>>,
}

impl Names {
    fn find(&self, bytes: &[u8]) -> Option<Rc<str>> {
        let last = self.last.as_ref();
        last.filter(|last| last.as_bytes() == bytes).cloned()
    }

    fn keep(&mut self, name: &str) -> Rc<str> {
        let name: Rc<str> = name.into();
        if name.len() <= TOPIC_NAME_BYTES_MAX {
            self.last = Some(Rc::clone(&name));
        }
        name
    }
}

#[cfg(test)]
mod tests;
