//! The extents that may be written to: after a crash, just these count as different besides what the bitmap says.

use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes of an extent.
pub const EXTENT: u64 = 4 << 20;

/// The most extents that are given up at once. New ones then find room for a while without pages of the bitmap having
/// to be saved for each.
const EVICT_AT_ONCE: usize = 64;

/// Which extents may be written to ("hot"). An extent is hot from the first write to it until another one needs its
/// place; one with a write under way keeps it.
///
/// The promise to be kept with it: an extent is written to only after a save that has it, and is given up only with a
/// save that has its pages of the bitmap.
#[derive(Clone, Debug)]
pub struct ActivityLog {
    capacity: usize,
    hot: BTreeMap<u32, Use>,
    /// Those without a write under way, the one that is unused for longest first.
    unused: BTreeMap<u64, u32>,
    clock: u64,
}

/// A hot extent.
#[derive(Clone, Copy, Debug)]
struct Use {
    /// Writes under way.
    references: u32,
    /// When the last one ended: its key in `unused`, if there are none.
    since: u64,
}

/// What has to come before a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Nothing: a save that has all its extents was ordered before.
    Hot,
    /// A save with the dirty pages of those that were given up, and with [`ActivityLog::extents`].
    NeedsSave {
        /// Extents that are no longer hot.
        evicted: Vec<u32>,
    },
    /// An end of another write: all places are in use. Nothing has changed.
    Full,
}

impl ActivityLog {
    /// With so many places. No write may touch more extents than these.
    pub fn new(capacity: u32) -> ActivityLog {
        ActivityLog { capacity: capacity as usize, hot: BTreeMap::new(), unused: BTreeMap::new(), clock: 0 }
    }

    /// A write to these extents begins. Unless there was no room, [`ActivityLog::end`] has to follow.
    pub fn begin(&mut self, extents: Range<u32>) -> Begin {
        let wanted = (extents.end.saturating_sub(extents.start)) as usize;
        let present: Vec<u32> =
            self.hot.range(extents.start..extents.end.max(extents.start)).map(|(&e, _)| e).collect();
        let missing = wanted - present.len();
        let own_unused = present.iter().filter(|extent| self.hot[extent].references == 0).count();
        if missing > self.capacity - self.hot.len() + self.unused.len() - own_unused {
            return Begin::Full;
        }
        for &extent in &present {
            self.refer(extent);
        }
        if missing == 0 {
            return Begin::Hot;
        }
        let mut evicted = Vec::new();
        if missing > self.capacity - self.hot.len() {
            // Of a small log not all at once: it would forget what is about to be used again.
            let several = EVICT_AT_ONCE.min(self.capacity / 8);
            let room = missing - (self.capacity - self.hot.len());
            while evicted.len() < room.max(several)
                && let Some((_, extent)) = self.unused.pop_first()
            {
                self.hot.remove(&extent);
                evicted.push(extent);
            }
        }
        for extent in extents {
            self.hot.entry(extent).or_insert(Use { references: 1, since: 0 });
        }
        Begin::NeedsSave { evicted }
    }

    /// A write that had begun is over: both nodes have it, or the bitmap tells where they differ.
    pub fn end(&mut self, extents: Range<u32>) {
        for extent in extents {
            let Some(hot) = self.hot.get_mut(&extent).filter(|hot| hot.references > 0) else {
                debug_assert!(false, "the end of a write to extent {extent} that never began");
                continue;
            };
            hot.references -= 1;
            if hot.references == 0 {
                self.clock += 1;
                hot.since = self.clock;
                self.unused.insert(self.clock, extent);
            }
        }
    }

    /// All hot extents, in their order: what is to be saved.
    pub fn extents(&self) -> Vec<u32> {
        self.hot.keys().copied().collect()
    }

    /// How many extents have a write under way (congestion-extents).
    pub fn hot_with_references(&self) -> usize {
        self.hot.len() - self.unused.len()
    }

    /// Gives up all extents without a write under way, and returns them: a save has to follow as after
    /// [`Begin::NeedsSave`].
    pub fn clear_unused(&mut self) -> Vec<u32> {
        let unused: Vec<u32> = std::mem::take(&mut self.unused).into_values().collect();
        for extent in &unused {
            self.hot.remove(extent);
        }
        unused
    }

    fn refer(&mut self, extent: u32) {
        if let Some(hot) = self.hot.get_mut(&extent) {
            if hot.references == 0 {
                self.unused.remove(&hot.since);
            }
            hot.references += 1;
        }
    }
}

/// The extents that a range in bytes touches. Those beyond the last number are left out: no volume has them.
pub fn extents_of(offset: u64, length: u64) -> Range<u32> {
    let number = |extent: u64| u32::try_from(extent).unwrap_or(u32::MAX);
    let first = number(offset / EXTENT);
    if length == 0 { first..first } else { first..number(offset.saturating_add(length).div_ceil(EXTENT)) }
}

/// Where an extent begins in the volume, in bytes. It has [`EXTENT`] bytes, or as many as the volume still has.
pub fn offset_of(extent: u32) -> u64 {
    u64::from(extent) * EXTENT
}
