//! The list of what one write is made of, whose memory is used again.
//!
//! Owns: [`Pieces`], and the memory of long lists between two writes.
//! Never: keeps what lists named: a list is empty when it comes home.
//! Invariants: at most [`LISTS_MAX`] lists with [`PLACES_MAX`] places together wait to be used again; short lists need no
//! memory at all.
//! Source: architecture.md A3.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;

use bytes::Bytes;
use smallvec::SmallVec;

/// Lists that wait at most: so many writes are asked for before the first of them is carried out.
const LISTS_MAX: usize = 64;

/// Places of all lists that wait together; 32 bytes each.
const PLACES_MAX: usize = 16 * 1024;

/// Pieces of a list that needs no memory of its own.
const PLACES_WITHIN: usize = 4;

/// The pieces.
type List = SmallVec<[Bytes; PLACES_WITHIN]>;

/// Bytes of one write, in order. A few need no memory of their own for the list; the memory of a longer list goes back to
/// whoever made the write as soon as the list is dropped.
#[derive(Debug, Default)]
pub struct Pieces {
    list: List,
    home: Option<Home>,
}

impl Pieces {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// None yet, with places for so many.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self {
            list: List::with_capacity(count),
            home: None,
        }
    }

    /// Adds the next.
    pub fn push(&mut self, piece: Bytes) {
        self.list.push(piece);
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        if let Some(home) = self.home.take().filter(|_| self.list.spilled()) {
            home.keep(std::mem::take(&mut self.list));
        }
    }
}

impl Deref for Pieces {
    type Target = [Bytes];

    fn deref(&self) -> &[Bytes] {
        &self.list
    }
}

impl Clone for Pieces {
    fn clone(&self) -> Self {
        self.list.iter().cloned().collect()
    }
}

impl Extend<Bytes> for Pieces {
    fn extend<T: IntoIterator<Item = Bytes>>(&mut self, pieces: T) {
        self.list.extend(pieces);
    }
}

impl FromIterator<Bytes> for Pieces {
    fn from_iter<T: IntoIterator<Item = Bytes>>(pieces: T) -> Self {
        Self {
            list: pieces.into_iter().collect(),
            home: None,
        }
    }
}

impl From<Vec<Bytes>> for Pieces {
    fn from(pieces: Vec<Bytes>) -> Self {
        Self {
            list: pieces.into(),
            home: None,
        }
    }
}

/// Lists that wait to be used again; nothing is made for them before the first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lists {
    home: Option<Home>,
}

impl Lists {
    /// An empty list for so many pieces; a long one comes back when it is dropped.
    pub(crate) fn list(&mut self, count: usize) -> Pieces {
        if count <= PLACES_WITHIN {
            return Pieces::new();
        }
        let home = self.home.get_or_insert_default();
        Pieces {
            list: home.take(),
            home: Some(home.clone()),
        }
    }
}

/// Where lists come back to.
#[derive(Clone, Debug, Default)]
struct Home {
    kept: Rc<RefCell<Vec<List>>>,
}

impl Home {
    fn take(&self) -> List {
        let kept = self.kept.try_borrow_mut().ok();
        kept.and_then(|mut kept| kept.pop()).unwrap_or_default()
    }

    fn keep(&self, mut list: List) {
        // First: what is dropped with the pieces is not known here.
        list.clear();
        let Ok(mut kept) = self.kept.try_borrow_mut() else {
            return;
        };
        let places: usize = kept.iter().map(List::capacity).sum();
        if kept.len() < LISTS_MAX && places + list.capacity() <= PLACES_MAX {
            kept.push(list);
        }
    }
}

#[cfg(test)]
mod tests;
