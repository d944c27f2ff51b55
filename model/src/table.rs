//! A table by numbers that are given out one after the other.
//!
//! Owns: [`Table`], [`Number`].
//! Never: used with numbers from outside without need: each page of 256 numbers that holds one value takes memory for all.
//! Invariants: a page without a value is given back.
//! Source: performance.md P15: a hash map of ten thousand entries costs two reads of memory that is in no cache, a page of
//! this one at most.

use std::marker::PhantomData;

use crate::ids::PartitionId;
use crate::map::FastMap;

/// Values in one page.
const PAGE: usize = 256;

/// A key that counts up.
pub trait Number: Copy {
    /// How many were given out before it.
    fn number(self) -> u64;
}

impl Number for PartitionId {
    fn number(self) -> u64 {
        u64::from(self.get())
    }
}

#[derive(Debug)]
struct Page<T> {
    slots: Box<[Option<T>]>,
    len: usize,
}

/// Values by numbers that lie close together. Small values, or boxes: a page has room for 256 of them.
#[derive(Debug)]
pub struct Table<K, T> {
    pages: FastMap<u64, Page<T>>,
    len: usize,
    keys: PhantomData<K>,
}

impl<K, T> Default for Table<K, T> {
    fn default() -> Self {
        Self {
            pages: FastMap::default(),
            len: 0,
            keys: PhantomData,
        }
    }
}

impl<K: Number, T> Table<K, T> {
    /// The value of a number.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&T> {
        let (page, slot) = place(*key);
        self.pages.get(&page)?.slots.get(slot)?.as_ref()
    }

    /// The value of a number, to change.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut T> {
        let (page, slot) = place(*key);
        self.pages.get_mut(&page)?.slots.get_mut(slot)?.as_mut()
    }

    /// Gives a number a value; the one it had before.
    pub fn insert(&mut self, key: K, value: T) -> Option<T> {
        let (page, slot) = place(key);
        let page = self.pages.entry(page).or_insert_with(|| Page {
            slots: (0..PAGE).map(|_| None).collect(),
            len: 0,
        });
        let old = page.slots.get_mut(slot)?.replace(value);
        if old.is_none() {
            page.len += 1;
            self.len += 1;
        }
        old
    }

    /// Takes the value of a number.
    pub fn remove(&mut self, key: &K) -> Option<T> {
        let (number, slot) = place(*key);
        let page = self.pages.get_mut(&number)?;
        let value = page.slots.get_mut(slot)?.take()?;
        page.len -= 1;
        self.len -= 1;
        if page.len == 0 {
            self.pages.remove(&number);
        }
        Some(value)
    }

    /// How many numbers have a value.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no number has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Every value, in no order.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        let slots = self.pages.values().flat_map(|page| page.slots.iter());
        slots.flatten()
    }
}

fn place<K: Number>(key: K) -> (u64, usize) {
    let (number, page) = (key.number(), PAGE as u64);
    // The rest of a division by 256 fits any integer.
    (
        number / page,
        usize::try_from(number % page).unwrap_or(PAGE),
    )
}

#[cfg(test)]
mod tests;
