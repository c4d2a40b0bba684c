//! What must be on a disk: for each sector the last acknowledged write, or one that came later and is not acknowledged.

use std::collections::HashMap;

/// A write that nobody has heard the end of.
struct Open {
    tag: u64,
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
}

impl Model {
    pub fn new(sectors: usize) -> Model {
        Model {
            reads: HashMap::new(),
            acknowledged: vec![0; sectors],
            maybe: vec![Vec::new(); sectors],
            open: HashMap::new(),
        }
    }

    pub fn begin(&mut self, id: u64, tag: u64, first: usize, count: usize) {
        for sector in first..first + count {
            self.maybe[sector].push(tag);
        }
        self.open.insert(id, Open { tag, first, count });
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
        let Some(Open { tag, first, count }) = self.open.remove(&id) else { return };
        if done {
            for sector in first..first + count {
                // Not there: a later write to the same place was done first, while another part of this one was not.
                if let Some(place) = self.maybe[sector].iter().position(|other| *other == tag) {
                    self.acknowledged[sector] = tag;
                    self.maybe[sector].drain(..=place);
                }
            }
        }
    }

    /// The node that had them is gone.
    pub fn abandon(&mut self) {
        self.open.clear();
        self.reads.clear();
    }

    pub fn is_idle(&self) -> bool {
        self.open.is_empty() && self.reads.is_empty()
    }

    /// The tags on a disk, one for each sector. What is there, is there from now on.
    pub fn check(&mut self, tags: &[u64], may_lose: bool, who: &str) {
        for (sector, tag) in tags.iter().enumerate() {
            let known = *tag == self.acknowledged[sector] || self.maybe[sector].contains(tag);
            assert!(
                known || may_lose,
                "{who}: sector {sector} has {tag}, but {} was acknowledged, and {:?} may have come after it",
                self.acknowledged[sector],
                self.maybe[sector]
            );
        }
        self.acknowledged.copy_from_slice(tags);
        self.maybe.iter_mut().for_each(Vec::clear);
    }
}
