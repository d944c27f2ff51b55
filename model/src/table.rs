//! A table by numbers that are given out one after the other.
//!
//! Owns: [`Table`], [`Number`].
//! Never: used for few numbers, or for such that lie far from each other: a page that holds one value takes memory for 256.
//! Invariants: a page without a value is given back; any number, also one from a damaged disk, costs one page and 1 MiB of
//! places at most.
//! Source: performance.md P15: a hash map of ten thousand entries costs two reads of memory that is in no cache, a page of
//! this one at most.

use std::marker::PhantomData;

use crate::map::FastMap;

/// Values in one page: as many as a byte has values.
const PAGE: usize = 256;

/// Pages found without a search: sixteen million numbers. A place for each that was ever used costs 16 bytes.
const NEAR_MAX: u64 = 1 << 16;

/// A key that counts up.
pub trait Number: Copy {
    /// How many were given out before it.
    fn number(self) -> u64;
}

#[derive(Debug)]
struct Page<T> {
    slots: Box<[Option<T>; PAGE]>,
    len: usize,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self {
            slots: Box::new([const { None }; PAGE]),
            len: 0,
        }
    }
}

/// Values by numbers that lie close together. Small values, or boxes: a page has room for 256 of them.
#[derive(Debug)]
pub struct Table<K, T> {
    near: Vec<Option<Page<T>>>,
    far: FastMap<u64, Page<T>>,
    len: usize,
    keys: PhantomData<K>,
}

impl<K, T> Default for Table<K, T> {
    fn default() -> Self {
        Self {
            near: Vec::new(),
            far: FastMap::default(),
            len: 0,
            keys: PhantomData,
        }
    }
}

impl<K: Number, T> Table<K, T> {
    /// The value of a number.
    #[must_use]
    #[inline]
    pub fn get(&self, key: &K) -> Option<&T> {
        let (number, slot) = place(*key);
        let page = match near(number) {
            Some(at) => self.near.get(at)?.as_ref(),
            None => self.far.get(&number),
        };
        page?.slots[slot].as_ref()
    }

    /// The value of a number, to change.
    #[inline]
    pub fn get_mut(&mut self, key: &K) -> Option<&mut T> {
        let (number, slot) = place(*key);
        let page = match near(number) {
            Some(at) => self.near.get_mut(at)?.as_mut(),
            None => self.far.get_mut(&number),
        };
        page?.slots[slot].as_mut()
    }

    /// Gives a number a value; the one it had before.
    pub fn insert(&mut self, key: K, value: T) -> Option<T> {
        let (number, slot) = place(key);
        let page = match near(number) {
            Some(at) => {
                if self.near.len() <= at {
                    self.near.resize_with(at + 1, || None);
                }
                self.near.get_mut(at)?.get_or_insert_default()
            }
            None => self.far.entry(number).or_default(),
        };
        let old = page.slots[slot].replace(value);
        let added = usize::from(old.is_none());
        page.len += added;
        self.len += added;
        old
    }

    /// Takes the value of a number.
    pub fn remove(&mut self, key: &K) -> Option<T> {
        let (number, slot) = place(*key);
        let page = match near(number) {
            Some(at) => self.near.get_mut(at)?.as_mut(),
            None => self.far.get_mut(&number),
        }?;
        let value = page.slots[slot].take()?;
        page.len -= 1;
        self.len -= 1;
        if page.len == 0 {
            match near(number) {
                Some(at) => drop(self.near.get_mut(at)?.take()),
                None => drop(self.far.remove(&number)),
            }
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
        let pages = self.near.iter().flatten().chain(self.far.values());
        pages.flat_map(|page| page.slots.iter().flatten())
    }
}

/// The page of a number, and its place there.
#[inline]
fn place<K: Number>(key: K) -> (u64, usize) {
    let number = key.number();
    let [lowest, ..] = number.to_le_bytes();
    (number >> u8::BITS, usize::from(lowest))
}

/// Where a page is found without a search.
#[inline]
fn near(page: u64) -> Option<usize> {
    let at = usize::try_from(page).ok();
    at.filter(|_| page < NEAR_MAX)
}

#[cfg(test)]
mod tests;
