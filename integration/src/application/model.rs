//! What must be on a volume: of each sector's writes the last one that was acknowledged, or one that came after it.
//!
//! Writes that are under way at the same time may come to stand in any order, as NBD has it. One that is begun when
//! another has ended comes after that.

use std::collections::HashMap;

use super::content::{SECTOR, tag_of};

/// What applications know of the volume.
#[derive(Debug)]
pub struct Model {
    sectors: Vec<Sector>,
    open: HashMap<u64, Open>,
    /// Of everything that happens, the number.
    clock: u64,
    tags: u64,
}

/// A moment of the model's.
pub type Moment = u64;

/// What may be read in a sector.
#[derive(Debug, Default)]
struct Sector {
    /// What was certainly there when it was last looked at.
    base: u64,
    since: Vec<Version>,
}

#[derive(Clone, Copy, Debug)]
struct Version {
    /// What is in each word of it; 0: zeros.
    tag: u64,
    begun: Moment,
    /// Nobody writes it any more.
    ended: Option<Moment>,
    acknowledged: bool,
}

#[derive(Debug)]
struct Open {
    begun: Moment,
    first: usize,
    count: usize,
}

impl Model {
    /// Of a volume of so many sectors, all of them zeros.
    pub fn new(sectors: usize) -> Model {
        let sectors = std::iter::repeat_with(Sector::default).take(sectors).collect();
        Model { sectors, open: HashMap::new(), clock: 0, tags: 0 }
    }

    /// A write begins: its number, and its tag, unless it writes zeros.
    pub fn begin(&mut self, first: usize, count: usize, zeros: bool) -> (u64, u64) {
        self.clock += 1;
        let begun = self.clock;
        let tag = if zeros {
            0
        } else {
            self.tags += 1;
            self.tags
        };
        for sector in &mut self.sectors[first..first + count] {
            sector.since.push(Version { tag, begun, ended: None, acknowledged: false });
        }
        self.open.insert(begun, Open { begun, first, count });
        (begun, tag)
    }

    /// A write has ended: done, or nobody knows.
    ///
    /// # Panics
    /// It was not begun.
    pub fn end(&mut self, number: u64, acknowledged: bool) {
        let Open { begun, first, count } = self.open.remove(&number).expect("it was begun");
        self.clock += 1;
        let now = self.clock;
        for sector in &mut self.sectors[first..first + count] {
            let version = sector.since.iter_mut().rev().find(|version| version.begun == begun);
            let version = version.expect("it was begun");
            (version.ended, version.acknowledged) = (Some(now), acknowledged);
        }
    }

    /// Whether no write is under way.
    pub fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// The present moment.
    pub fn now(&self) -> Moment {
        self.clock
    }

    /// Whether this may be read from there, where all that was acknowledged up to `until` must have arrived.
    ///
    /// # Errors
    /// The first sector that may not be so, and what is known of it.
    pub fn check(&self, first: usize, content: &[u8], until: Moment) -> Result<(), String> {
        for (number, bytes) in content.chunks(SECTOR).enumerate() {
            let (place, sector) = (first + number, &self.sectors[first + number]);
            let tag = tag_of(place, bytes).map_err(|what| format!("sector {place}: {what}"))?;
            if !sector.may_have(tag, until) {
                let base = sector.base;
                return Err(format!("sector {place} has {tag}; it had {base}, then {:?}", sector.since));
            }
        }
        Ok(())
    }

    /// Of a volume that may have lost the last moments: the beginning of the last write that it does have. Whoever began
    /// it knew all that was acknowledged before.
    pub fn last_seen(&self, volume: &[u8]) -> Moment {
        let sectors = volume.chunks(SECTOR).enumerate();
        let begun = sectors.filter_map(|(place, bytes)| {
            let tag = tag_of(place, bytes).ok().filter(|tag| *tag != 0)?;
            self.sectors[place].since.iter().find(|version| version.tag == tag).map(|version| version.begun)
        });
        begun.max().unwrap_or(0)
    }

    /// What is there, is there from now on.
    ///
    /// # Panics
    /// Writes are under way, or a sector is of more than one write: [`Model::check`] comes first.
    pub fn settle(&mut self, volume: &[u8]) {
        assert!(self.is_idle(), "writes are under way");
        for ((place, bytes), sector) in volume.chunks(SECTOR).enumerate().zip(&mut self.sectors) {
            sector.base = tag_of(place, bytes).expect("it was checked");
            sector.since.clear();
        }
    }
}

impl Sector {
    fn may_have(&self, tag: u64, until: Moment) -> bool {
        let counts =
            |version: &&Version| version.acknowledged && version.ended.is_some_and(|end| end <= until);
        let gone_by = |end: Moment| self.since.iter().filter(counts).any(|later| end < later.begun);
        tag == self.base && !gone_by(0)
            || self.since.iter().any(|version| version.tag == tag && !version.ended.is_some_and(gone_by))
    }
}

#[cfg(test)]
mod tests {
    use super::super::content::fill;
    use super::*;

    fn sector(tag: u64) -> Vec<u8> {
        let mut bytes = vec![0; SECTOR];
        fill(0, tag, &mut bytes);
        bytes
    }

    #[test]
    fn what_was_acknowledged_stays_until_something_else_may_be_there() {
        let mut model = Model::new(1);
        let now = |model: &Model| model.now();
        let may = |model: &Model, tag| model.check(0, &sector(tag), now(model)).is_ok();
        let (a, tag_a) = model.begin(0, 1, false);
        assert!(may(&model, 0) && may(&model, tag_a));
        model.end(a, true);
        assert!(!may(&model, 0) && may(&model, tag_a));

        // One that nobody knows the end of may be there, or not.
        let (b, tag_b) = model.begin(0, 1, false);
        model.end(b, false);
        assert!(may(&model, tag_a) && may(&model, tag_b));
        let (c, tag_c) = model.begin(0, 1, false);
        let (d, tag_d) = model.begin(0, 1, false);
        let before = now(&model);
        model.end(d, true);
        // C and D were under way together: the later acknowledgement is not the later write.
        assert!(!may(&model, tag_a) && !may(&model, tag_b) && may(&model, tag_c) && may(&model, tag_d));
        assert!(model.check(0, &sector(tag_b), before).is_ok(), "D was not acknowledged then");
        model.end(c, true);
        assert!(may(&model, tag_c) && may(&model, tag_d));
        model.settle(&sector(tag_c));
        assert!(may(&model, tag_c) && !may(&model, tag_d));
    }

    #[test]
    fn content_of_another_place_is_noticed() {
        let model = Model::new(2);
        let mut bytes = vec![0; SECTOR];
        fill(1, 5, &mut bytes);
        assert!(model.check(0, &bytes, 0).unwrap_err().contains("sector 0"));
    }
}
