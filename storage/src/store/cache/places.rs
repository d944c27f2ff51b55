//! Where blocks lie: small places in offset order, and the blocks themselves in no order.
//!
//! Owns: the list of every log, and the slots that its places name.
//! Never: moves a block because another comes or goes; a list may hold tens of thousands of them.
//! Invariants: every place names a slot that is taken, every slot that is taken has one place; no list is empty.
//! Source: performance.md P9.

use std::collections::VecDeque;

use model::map::FastMap;
use model::offset::Offset;

use super::Entry;
use crate::store::LogId;

/// Places of one log, or slots of all, below which a list keeps its memory.
pub(super) const LIST_KEPT: usize = 64;

/// Where the block that starts at an offset is. What moves when another comes or goes before it in the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    base: Offset,
    slot: usize,
}

const _: () = assert!(
    size_of::<Place>() == 16,
    "half of a list of them moves at once"
);

/// Places of one log, in offset order.
pub(super) type List = VecDeque<Place>;

/// All blocks.
#[derive(Debug, Default)]
pub(super) struct Places {
    lists: FastMap<LogId, List>,
    slots: Vec<Option<Entry>>,
    free: Vec<usize>,
}

impl Places {
    /// Blocks in all lists.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Every block.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.slots.iter_mut().flatten()
    }

    /// Adds a block; a log without blocks gets the list that `new_list` gives.
    pub(super) fn insert(&mut self, log: LogId, entry: Entry, new_list: impl FnOnce() -> List) {
        let base = entry.base;
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                self.slots.len() - 1
            }
        };
        if let Some(free) = self.slots.get_mut(slot) {
            *free = Some(entry);
        }
        let list = self.lists.entry(log).or_insert_with(new_list);
        let at = list.partition_point(|before| before.base < base);
        list.insert(at, Place { base, slot });
    }

    /// The last block of a log that starts at `offset` or before.
    pub(super) fn last_upto(&self, log: LogId, offset: Offset) -> Option<&Entry> {
        self.slots.get(self.slot_upto(log, offset)?)?.as_ref()
    }

    /// As [`Self::last_upto`], to be changed.
    pub(super) fn last_upto_mut(&mut self, log: LogId, offset: Offset) -> Option<&mut Entry> {
        let slot = self.slot_upto(log, offset)?;
        self.slots.get_mut(slot)?.as_mut()
    }

    fn slot_upto(&self, log: LogId, offset: Offset) -> Option<usize> {
        let list = self.lists.get(&log)?;
        let after = list.partition_point(|place| place.base <= offset);
        Some(list.get(after.checked_sub(1)?)?.slot)
    }

    /// Start of the first block of a log that starts at `offset` or after.
    pub(super) fn first_from(&self, log: LogId, offset: Offset) -> Option<Offset> {
        let list = self.lists.get(&log)?;
        let at = list.partition_point(|place| place.base < offset);
        Some(list.get(at)?.base)
    }

    /// Takes the block of a log that starts at `base` out, and its list if it was the last.
    pub(super) fn remove(&mut self, log: LogId, base: Offset) -> Option<(Entry, Option<List>)> {
        let list = self.lists.get_mut(&log)?;
        let at = list.partition_point(|place| place.base < base);
        let place = list.get(at).filter(|place| place.base == base).copied()?;
        list.remove(at);
        if is_sparse(list.len(), list.capacity()) {
            list.shrink_to(list.capacity() / 4);
        }
        let is_empty = list.is_empty();
        let list = is_empty.then(|| self.lists.remove(&log)).flatten();
        let entry = self.slots.get_mut(place.slot)?.take()?;
        self.free.push(place.slot);
        if is_sparse(self.len(), self.slots.capacity()) {
            self.move_together();
        }
        Some((entry, list))
    }

    /// Most slots are free: their memory is given back.
    fn move_together(&mut self) {
        let mut slots = Vec::with_capacity(self.slots.capacity() / 4);
        for place in self.lists.values_mut().flatten() {
            let entry = self.slots.get_mut(place.slot).and_then(Option::take);
            place.slot = slots.len();
            slots.push(entry);
        }
        self.slots = slots;
        self.free = Vec::new();
    }

    /// Places that one log has memory for, all slots, and logs.
    #[cfg(test)]
    pub(super) fn memory(&self, log: LogId) -> (usize, usize, usize) {
        let list = self.lists.get(&log).map_or(0, List::capacity);
        (list, self.slots.capacity(), self.lists.len())
    }
}

/// Whether a list is so empty that it gives memory back.
fn is_sparse(len: usize, capacity: usize) -> bool {
    capacity > LIST_KEPT && len < capacity / 8
}
