//! A node at work beside its metadata, and a crash at any point of it.

use std::collections::BTreeSet;

use bytes::Bytes;
use drx_bsr::activity::{ActivityLog, Begin, EXTENT, extents_of, offset_of};
use drx_bsr::bitmap::{BLOCK, Bitmap, PAGE_SPAN};
use drx_bsr::metadata::{Head, PAGE_SLOT, encode_page, encode_record, record_offset};

use super::{SECTOR, covers, load, put};

/// A file whose writes are stable only after a sync; until then a crash may leave any of their sectors undone.
#[derive(Clone, Default)]
struct File {
    stable: Vec<u8>,
    unsynced: Vec<(u64, Bytes)>,
}

impl File {
    fn write(&mut self, offset: u64, bytes: Bytes) {
        self.unsynced.push((offset, bytes));
    }

    fn sync(&mut self) {
        for (offset, bytes) in std::mem::take(&mut self.unsynced) {
            put(&mut self.stable, offset as usize, &bytes);
        }
    }

    /// What is found after a crash: of each sector, what was stable or any of the later writes.
    fn crashed(&self, rng: &mut fastrand::Rng) -> Vec<u8> {
        let mut found = self.stable.clone();
        let likely = rng.f64();
        for (offset, bytes) in &self.unsynced {
            assert_eq!(
                (offset % SECTOR as u64, bytes.len() % SECTOR),
                (0, 0),
                "only whole sectors are written"
            );
            for (n, sector) in bytes.chunks(SECTOR).enumerate().filter(|_| rng.f64() < likely) {
                put(&mut found, *offset as usize + n * SECTOR, sector);
            }
        }
        found
    }
}

/// A node at work: writes, acknowledged or not, resyncs, saves, and the file beside it.
struct Node {
    rng: fastrand::Rng,
    bitmap: Bitmap,
    log: ActivityLog,
    under_way: Vec<(u64, u64)>,
    /// Blocks that do differ, or may as soon as a write under way has got to the disk.
    truth: BTreeSet<u64>,
    file: File,
    sequence: u64,
    crashes: u32,
}

impl Node {
    const BYTES: u64 = 3 * PAGE_SPAN - 5000;

    fn new(seed: u64) -> Node {
        let mut node = Node {
            rng: fastrand::Rng::with_seed(seed),
            bitmap: Bitmap::new(Node::BYTES),
            log: ActivityLog::new(8),
            under_way: Vec::new(),
            truth: BTreeSet::new(),
            file: File::default(),
            sequence: 0,
            crashes: 0,
        };
        node.save(Vec::new());
        let (loaded, _) = load(&node.file.stable).expect("it was created");
        assert_eq!(loaded.bitmap.weight(), node.bitmap.bits(), "of a new disk nothing is known");
        node.bitmap.set_all();
        node.bitmap.clear_all();
        let pages = node.bitmap.take_dirty();
        node.save(pages);
        node
    }

    fn head(&self, sequence: u64) -> Head {
        Head { size: Node::BYTES, agreed: sequence, ..Head::default() }
    }

    /// As `Save` says: pages, then the record; a crash may come at any point.
    fn save(&mut self, pages: Vec<(u32, Bytes)>) {
        for (number, bytes) in pages {
            let (offset, bytes) = encode_page(number, &bytes);
            self.file.write(offset, bytes);
        }
        self.may_crash(self.sequence..=self.sequence);
        self.file.sync();
        self.sequence += 1;
        let mut extents = self.log.extents();
        // Beyond the volume, so that the record has several sectors.
        extents.extend((0..300).map(|n| 1_000_000 + n + self.sequence as u32));
        let record =
            encode_record(&self.head(self.sequence), &extents, self.sequence).expect("there is room");
        self.file.write(record_offset(self.sequence), record);
        self.may_crash(self.sequence - 1..=self.sequence);
        self.file.sync();
        self.may_crash(self.sequence..=self.sequence);
    }

    fn may_crash(&mut self, sequences: std::ops::RangeInclusive<u64>) {
        if self.sequence < 2 || self.rng.u8(0..4) != 0 {
            return;
        }
        self.crashes += 1;
        let (loaded, sequence) =
            load(&self.file.crashed(&mut self.rng)).expect("a record is whole at any time");
        assert!(sequences.contains(&sequence), "{sequence} of {sequences:?}");
        assert_eq!(loaded.head, self.head(sequence));
        let mut known = loaded.bitmap;
        for extent in loaded.activity {
            known.set_out_of_sync(offset_of(extent), EXTENT);
        }
        for block in &self.truth {
            assert!(known.out_of_sync_in(block * BLOCK, 1), "block {block} is forgotten");
        }
    }

    fn step(&mut self) {
        match self.rng.u8(0..10) {
            0..5 => self.write(),
            5..8 if !self.under_way.is_empty() => self.written(),
            8 => self.resync(),
            9 if self.rng.u8(0..8) == 0 => {
                self.log.clear_unused();
                let pages = self.bitmap.take_dirty();
                self.save(pages);
            }
            _ => self.may_crash(self.sequence..=self.sequence),
        }
    }

    fn write(&mut self) {
        let offset = self.rng.u64(0..Node::BYTES / SECTOR as u64) * SECTOR as u64;
        // Nearby most of the time, so that extents are used again.
        let offset = if self.rng.bool() { offset % (6 * EXTENT) } else { offset };
        let length = self.rng.u64(1..=1 << 20).min(Node::BYTES - offset);
        match self.log.begin(extents_of(offset, length)) {
            Begin::Full => return,
            Begin::Hot => {}
            Begin::NeedsSave { evicted } => {
                let mut pages = Vec::new();
                for extent in evicted {
                    pages.extend(self.bitmap.take_dirty_of(offset_of(extent), EXTENT));
                }
                self.save(pages);
            }
        }
        self.truth.extend(offset / BLOCK..(offset + length).div_ceil(BLOCK));
        self.under_way.push((offset, length));
    }

    /// The other node has it, or does not.
    fn written(&mut self) {
        let (offset, length) = self.under_way.swap_remove(self.rng.usize(0..self.under_way.len()));
        if self.rng.bool() {
            self.bitmap.set_out_of_sync(offset, length);
        } else {
            for block in offset / BLOCK..(offset + length).div_ceil(BLOCK) {
                let marked = self.bitmap.out_of_sync_in(block * BLOCK, 1);
                let again = self
                    .under_way
                    .iter()
                    .any(|&(from, length)| (from / BLOCK..(from + length).div_ceil(BLOCK)).contains(&block));
                if !marked && !again {
                    self.truth.remove(&block);
                }
            }
        }
        self.log.end(extents_of(offset, length));
    }

    fn resync(&mut self) {
        let Some(block) = self.bitmap.next_set(self.rng.u64(0..self.bitmap.bits())) else { return };
        let busy =
            |&(from, length): &(u64, u64)| (from / BLOCK..(from + length).div_ceil(BLOCK)).contains(&block);
        if !self.under_way.iter().any(busy) {
            self.truth.remove(&block);
            self.bitmap.set_in_sync(block * BLOCK, BLOCK);
        }
    }
}

#[test]
fn after_a_crash_at_any_point_nothing_is_forgotten() {
    let mut crashes = 0;
    for seed in 0..40 {
        let mut node = Node::new(seed);
        for _ in 0..400 {
            node.step();
        }
        crashes += node.crashes;
    }
    assert!(crashes > 2000, "only {crashes} crashes");
}

/// The worst case alone: every subset of a small save's sectors.
#[test]
fn any_part_of_a_save_is_old_or_new() {
    let mut old = Bitmap::new(PAGE_SPAN);
    old.set_out_of_sync(0, PAGE_SPAN / 2);
    let mut new = Bitmap::new(PAGE_SPAN);
    new.set_out_of_sync(PAGE_SPAN / 3, PAGE_SPAN / 3);
    let mut both = Bitmap::new(PAGE_SPAN);
    both.set_out_of_sync(PAGE_SPAN / 3, PAGE_SPAN / 6);

    let mut file = File::default();
    file.write(encode_page(0, &old.page(0)).0, encode_page(0, &old.page(0)).1);
    let record = |sequence, extents: &[u32]| {
        let head = Head { size: PAGE_SPAN, agreed: sequence, ..Head::default() };
        encode_record(&head, extents, sequence).expect("there is room")
    };
    let many: Vec<u32> = (0..500).collect();
    file.write(record_offset(1), record(1, &many));
    file.sync();

    let (offset, page) = encode_page(0, &new.page(0));
    for undone in 0..1 << (PAGE_SLOT / SECTOR) {
        let mut found = file.stable.clone();
        for sector in (0..PAGE_SLOT / SECTOR).filter(|sector| undone >> sector & 1 == 0) {
            let at = offset as usize + sector * SECTOR;
            put(&mut found, at, &page[sector * SECTOR..(sector + 1) * SECTOR]);
        }
        let (loaded, _) = load(&found).expect("the record is whole");
        assert!(covers(&loaded.bitmap, &both), "what both have is there");
        assert!(loaded.bitmap.weight() < loaded.bitmap.bits(), "no sector counts as damaged");
    }

    let newer: Vec<u32> = (1000..1600).collect();
    let bytes = record(2, &newer);
    let sectors = bytes.len() / SECTOR;
    assert!(sectors > 4);
    for undone in 0..1 << sectors {
        let mut found = file.stable.clone();
        // Where it goes, an older one is still there.
        put(&mut found, record_offset(0) as usize, &record(0, &many));
        for sector in (0..sectors).filter(|sector| undone >> sector & 1 == 0) {
            put(
                &mut found,
                record_offset(2) as usize + sector * SECTOR,
                &bytes[sector * SECTOR..(sector + 1) * SECTOR],
            );
        }
        let (loaded, sequence) = load(&found).expect("the older record is whole");
        assert_eq!((sequence, &loaded.activity), if undone == 0 { (2, &newer) } else { (1, &many) });
    }
}
