//! What must be on a disk: for each sector the last acknowledged write, or one that came later and is not acknowledged.
//! Where the power may have taken what no application flushed: the last that was flushed, or any that came later.

use std::collections::HashMap;

/// A write that nobody has heard the end of.
struct Open {
    number: u64,
    tag: u64,
    first: usize,
    count: usize,
    fua: bool,
}

/// A write that is acknowledged, but may be in a cache.
struct Cached {
    number: u64,
    first: usize,
    count: usize,
}

/// A read, and what it may find: for each sector what was there, or might be, when it began.
struct Read {
    first: usize,
    allowed: Vec<Vec<u64>>,
}

/// What applications know of the volume.
pub struct Model {
    reads: HashMap<u64, Read>,
    acknowledged: Vec<u64>,
    maybe: Vec<Vec<u64>>,
    open: HashMap<u64, Open>,
    /// What was there when a flush was last acknowledged, and each write since then (its number and tag), as they began.
    numbers: u64,
    flushed: Vec<u64>,
    since: Vec<Vec<(u64, u64)>>,
    cached: Vec<Cached>,
    /// How many writes of `cached` each flush is good for.
    flushes: HashMap<u64, usize>,
}

impl Model {
    pub fn new(sectors: usize) -> Model {
        Model {
            reads: HashMap::new(),
            acknowledged: vec![0; sectors],
            maybe: vec![Vec::new(); sectors],
            open: HashMap::new(),
            numbers: 0,
            flushed: vec![0; sectors],
            since: vec![Vec::new(); sectors],
            cached: Vec::new(),
            flushes: HashMap::new(),
        }
    }

    pub fn begin(&mut self, id: u64, tag: u64, first: usize, count: usize, fua: bool) {
        self.numbers += 1;
        let number = self.numbers;
        for sector in first..first + count {
            self.maybe[sector].push(tag);
            self.since[sector].push((number, tag));
        }
        self.open.insert(id, Open { number, tag, first, count, fua });
    }

    pub fn begin_flush(&mut self, id: u64) {
        self.flushes.insert(id, self.cached.len());
    }

    pub fn begin_read(&mut self, id: u64, first: usize, count: usize) {
        let allowed = (first..first + count).map(|sector| self.known(sector)).collect();
        self.reads.insert(id, Read { first, allowed });
    }

    fn known(&self, sector: usize) -> Vec<u64> {
        let mut known = self.maybe[sector].clone();
        known.push(self.acknowledged[sector]);
        known
    }

    /// The read found these tags, one for each sector.
    pub fn end_read(&mut self, id: u64, tags: &[u64], may_lose: bool) {
        let Some(Read { first, allowed }) = self.reads.remove(&id) else { return };
        assert_eq!(tags.len(), allowed.len(), "read {id}");
        for (sector, (tag, before)) in (first..).zip(tags.iter().zip(allowed)) {
            let now = self.known(sector);
            assert!(
                may_lose || before.contains(tag) || now.contains(tag),
                "read {id}: sector {sector} has {tag}, not {before:?} or {now:?}"
            );
        }
    }

    /// The write is done. One that failed may still be there.
    pub fn end(&mut self, id: u64, done: bool) {
        self.reads.remove(&id);
        if let Some(count) = self.flushes.remove(&id) {
            if done {
                self.flush(count);
            } else {
                self.cached.clear();
                // Nor does one that is under way: what comes now is none of its.
                self.flushes.values_mut().for_each(|count| *count = 0);
            }
            return;
        }
        let Some(Open { number, tag, first, count, fua }) = self.open.remove(&id) else { return };
        if done {
            if fua {
                self.settle(number, first, count);
            } else {
                self.cached.push(Cached { number, first, count });
            }
            for sector in first..first + count {
                // Not there: a later write to the same place was done first, while another part of this one was not.
                if let Some(place) = self.maybe[sector].iter().position(|other| *other == tag) {
                    self.acknowledged[sector] = tag;
                    self.maybe[sector].drain(..=place);
                }
            }
        }
    }

    fn flush(&mut self, count: usize) {
        let cached: Vec<Cached> = self.cached.drain(..count.min(self.cached.len())).collect();
        for other in self.flushes.values_mut() {
            *other = other.saturating_sub(count);
        }
        for Cached { number, first, count } in cached {
            self.settle(number, first, count);
        }
    }

    /// This write, or a later one, is there for good.
    fn settle(&mut self, number: u64, first: usize, count: usize) {
        for sector in first..first + count {
            // Not there: a later one was flushed before.
            if let Some(place) = self.since[sector].iter().position(|(other, _)| *other == number) {
                self.flushed[sector] = self.since[sector][place].1;
                self.since[sector].drain(..=place);
            }
        }
    }

    /// The node that had them is gone, and no later flush speaks of what it had in its cache.
    pub fn abandon(&mut self) {
        self.cached.clear();
        self.open.clear();
        self.reads.clear();
        self.flushes.clear();
    }

    pub fn is_idle(&self) -> bool {
        self.open.is_empty() && self.reads.is_empty() && self.flushes.is_empty()
    }

    /// The tags on a disk, one for each sector. What is there, is there from now on.
    pub fn check(&mut self, tags: &[u64], lost: Lost, who: &str) {
        for (sector, tag) in tags.iter().enumerate() {
            let (known, what) = match lost {
                Lost::Nothing => (
                    *tag == self.acknowledged[sector] || self.maybe[sector].contains(tag),
                    (self.acknowledged[sector], "acknowledged"),
                ),
                Lost::Unflushed => (
                    *tag == self.flushed[sector] || self.since[sector].iter().any(|(_, other)| other == tag),
                    (self.flushed[sector], "flushed"),
                ),
                Lost::Anything => (true, (0, "")),
            };
            assert!(
                known,
                "{who}: sector {sector} has {tag}, but {} was {}, and {:?} may have come after it, {:?} since the flush",
                what.0, what.1, self.maybe[sector], self.since[sector]
            );
        }
        if lost == Lost::Anything {
            self.flushed.copy_from_slice(tags);
            self.cached.clear();
        }
        // What came after it is gone: no later flush brings it back.
        for (since, tag) in self.since.iter_mut().zip(tags) {
            let there = since.iter().rposition(|(_, other)| other == tag);
            since.truncate(there.map_or(0, |place| place + 1));
        }
        self.acknowledged.copy_from_slice(tags);
        self.maybe.iter_mut().for_each(Vec::clear);
    }
}

/// What may be missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Nothing that was acknowledged.
    Nothing,
    /// What no application flushed.
    Unflushed,
    /// Protocols A and B: what the node had that will not come back in time.
    Anything,
}

/// One of two flushes fails: the other one says nothing of a write that began after both.
#[test]
fn a_flush_speaks_of_what_was_before_it() {
    let mut model = Model::new(1);
    model.begin(1, 7, 0, 1, false);
    model.end(1, true);
    model.begin_flush(2);
    model.begin_flush(3);
    model.end(2, false);
    model.begin(4, 8, 0, 1, false);
    model.end(4, true);
    model.end(3, true);
    // As a disk may be that lost its power just now.
    model.check(&[7], Lost::Unflushed, "a disk");
}
