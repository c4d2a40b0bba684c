//! What must be on a disk: for each sector the last acknowledged write, or one that came later and is not acknowledged.

use std::collections::HashMap;

/// A write that nobody has heard the end of.
struct Open {
    tag: u64,
    first: usize,
    count: usize,
}

/// What applications know of the volume.
pub struct Model {
    acknowledged: Vec<u64>,
    maybe: Vec<Vec<u64>>,
    open: HashMap<u64, Open>,
}

impl Model {
    pub fn new(sectors: usize) -> Model {
        Model { acknowledged: vec![0; sectors], maybe: vec![Vec::new(); sectors], open: HashMap::new() }
    }

    pub fn begin(&mut self, id: u64, tag: u64, first: usize, count: usize) {
        for sector in first..first + count {
            self.maybe[sector].push(tag);
        }
        self.open.insert(id, Open { tag, first, count });
    }

    /// The write is done. One that failed may still be there.
    pub fn end(&mut self, id: u64, done: bool) {
        let Some(Open { tag, first, count }) = self.open.remove(&id) else { return };
        if done {
            for sector in first..first + count {
                self.acknowledged[sector] = tag;
                let place = self.maybe[sector].iter().position(|other| *other == tag).expect("it was begun");
                self.maybe[sector].drain(..=place);
            }
        }
    }

    /// The node that had them is gone.
    pub fn abandon(&mut self) {
        self.open.clear();
    }

    pub fn is_idle(&self) -> bool {
        self.open.is_empty()
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
