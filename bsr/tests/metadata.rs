//! The metadata: what is kept comes back, and after a crash at any point nothing that may differ is forgotten.

use std::collections::BTreeSet;
use std::convert::Infallible;

use bytes::Bytes;
use drx_bsr::activity::{ActivityLog, Begin, EXTENT, extents_of, offset_of};
use drx_bsr::bitmap::{BLOCK, Bitmap, PAGE, PAGE_SPAN};
use drx_bsr::metadata::{
    self, Head, LoadError, Loaded, MOST_EXTENTS, PAGE_SLOT, RECORD, TooManyExtents, encode_page,
    encode_record, record_offset,
};
use drx_bsr::uuid::Generations;
use proptest::prelude::*;

const SECTOR: usize = 512;

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

fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if file.len() < offset + bytes.len() {
        file.resize(offset + bytes.len(), 0);
    }
    file[offset..offset + bytes.len()].copy_from_slice(bytes);
}

fn load(file: &[u8]) -> Result<(Loaded, u64), LoadError<Infallible>> {
    metadata::load(1 << 40, |offset, buffer| {
        buffer.fill(0);
        let there = file.get(offset as usize..).unwrap_or_default();
        let some = there.len().min(buffer.len());
        buffer[..some].copy_from_slice(&there[..some]);
        Ok(())
    })
}

fn heads() -> impl Strategy<Value = Head> {
    (any::<[u64; 4]>(), any::<u64>(), any::<[bool; 7]>()).prop_map(|(uuids, agreed, is)| Head {
        generations: Generations { current: uuids[0], bitmap: uuids[1], history: [uuids[2], uuids[3]] },
        size: 0,
        agreed,
        consistent: is[0],
        was_up_to_date: is[1],
        primary: is[2],
        crashed_primary: is[3],
        connected: is[4],
        peer_outdated: is[5],
        full_sync: is[6],
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_kept_comes_back(head in heads(), size in 0..5 * PAGE_SPAN, sequence in any::<u64>(),
        activity in prop::collection::vec(any::<u32>(), 0..2000),
        ranges in prop::collection::vec((0..5 * PAGE_SPAN, 0..PAGE_SPAN), 0..9))
    {
        let head = Head { size, ..head };
        let mut bitmap = Bitmap::new(size);
        for (offset, length) in ranges {
            bitmap.set_out_of_sync(offset, length);
        }
        let mut file = Vec::new();
        for number in 0..bitmap.pages() {
            let (offset, bytes) = encode_page(number, &bitmap.page(number));
            put(&mut file, offset as usize, &bytes);
        }
        let record = encode_record(&head, &activity, sequence).expect("there is room");
        put(&mut file, record_offset(sequence) as usize, &record);
        prop_assert!(file.len() as u64 <= metadata::file_size(size));
        prop_assert_eq!(load(&file), Ok((Loaded { head, bitmap, activity }, sequence)));
    }

    /// Any damage: the older record or none, and bits that were set stay so.
    #[test]
    fn damage_is_never_taken_for_knowledge(seed in any::<u64>(), ranges in prop::collection::vec(0..3 * PAGE_SPAN, 0..50)) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let head = |agreed| Head { size: 3 * PAGE_SPAN, agreed, ..Head::default() };
        let mut bitmap = Bitmap::new(3 * PAGE_SPAN);
        for offset in ranges {
            bitmap.set_out_of_sync(offset, 1);
        }
        let mut file = vec![0; metadata::file_size(3 * PAGE_SPAN) as usize];
        for number in 0..bitmap.pages() {
            let (offset, bytes) = encode_page(number, &bitmap.page(number));
            put(&mut file, offset as usize, &bytes);
        }
        for sequence in 1..=2 {
            let record = encode_record(&head(sequence), &[7, 8], sequence).expect("there is room");
            put(&mut file, record_offset(sequence) as usize, &record);
        }
        let sectors = [0, RECORD / SECTOR, 2 * RECORD / SECTOR + rng.usize(0..27), 2 * RECORD / SECTOR + rng.usize(0..27)];
        for sector in sectors {
            if rng.bool() {
                let at = sector * SECTOR + rng.usize(0..SECTOR);
                file[at] ^= rng.u8(1..);
            }
        }
        match load(&file) {
            Ok((loaded, sequence)) => {
                prop_assert_eq!(loaded.head, head(sequence));
                prop_assert!(covers(&loaded.bitmap, &bitmap));
            }
            Err(error) => prop_assert_eq!(error, LoadError::NoRecord),
        }
    }

    #[test]
    fn garbage_is_no_metadata(bytes in prop::collection::vec(any::<u8>(), 0..2000), at in 0..3 * RECORD) {
        let mut file = vec![0; 3 * RECORD];
        let record = encode_record(&Head::default(), &[1, 2, 3], 1).expect("there is room");
        put(&mut file, record_offset(1) as usize, &record);
        put(&mut file, at, &bytes);
        let _ = load(&file);
    }
}

fn covers(all: &Bitmap, some: &Bitmap) -> bool {
    let mut at = 0;
    while let Some(bit) = some.next_set(at) {
        if all.next_set(bit) != Some(bit) {
            return false;
        }
        at = bit + 1;
    }
    true
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
        let record = encode_record(&self.head(self.sequence), &extents, self.sequence).expect("there is room");
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

#[test]
fn a_sector_in_the_wrong_place_counts_as_set() {
    let record =
        encode_record(&Head { size: 2 * PAGE_SPAN, ..Head::default() }, &[], 1).expect("there is room");
    let mut file = vec![];
    put(&mut file, record_offset(1) as usize, &record);
    let (first, page) = encode_page(0, &[0; PAGE]);
    put(&mut file, first as usize, &page);
    let (second, _) = encode_page(1, &[0; PAGE]);
    put(&mut file, second as usize, &page);
    let (loaded, _) = load(&file).expect("the record is whole");
    assert_eq!(loaded.bitmap.weight(), PAGE_SPAN / BLOCK, "page 1 has what is page 0's");
    let swapped = [&page[SECTOR..2 * SECTOR], &page[..SECTOR]].concat();
    put(&mut file, first as usize, &swapped);
    let (loaded, _) = load(&file).expect("the record is whole");
    assert_eq!(loaded.bitmap.weight(), PAGE_SPAN / BLOCK + 2 * 456 * 8);
}

#[test]
fn what_is_no_metadata_is_named() {
    assert_eq!(load(&[]), Err(LoadError::NoRecord));
    assert_eq!(load(&[0; 4096]), Err(LoadError::NoRecord));
    let error = metadata::load(0, |_, _| Err("gone")).map(|_| ());
    assert_eq!(error, Err(LoadError::Read("gone")));

    let head = Head { size: 1 << 41, ..Head::default() };
    let mut file = encode_record(&head, &[], 2).expect("there is room").to_vec();
    assert_eq!(load(&file), Err(LoadError::Larger { size: 1 << 41, most: 1 << 40 }));

    // Another version, with a checksum of its own: not skipped in favour of an older record.
    let older = encode_record(&Head::default(), &[], 1).expect("there is room");
    put(&mut file, record_offset(1) as usize, &older);
    file[8] = 9;
    file[80..84].fill(0);
    let checksum = crc32c::crc32c(&file[..512]).to_le_bytes();
    file[80..84].copy_from_slice(&checksum);
    assert_eq!(load(&file), Err(LoadError::Version(9)));

    assert_eq!(
        encode_record(&Head::default(), &vec![0; MOST_EXTENTS + 1], 1),
        Err(TooManyExtents(MOST_EXTENTS + 1))
    );
    let full = encode_record(&Head::default(), &vec![0; MOST_EXTENTS], 1).expect("there is room");
    assert!(full.len() <= RECORD && RECORD - full.len() < 4096);
}

/// The format is for ever: a file of today has to be read tomorrow.
#[test]
fn the_record_is_what_it_was() {
    let head = Head {
        generations: Generations { current: 0x1111, bitmap: 0x2222, history: [0x3333, 0x4444] },
        size: 1 << 20,
        agreed: 2048,
        consistent: true,
        primary: true,
        ..Head::default()
    };
    let record = encode_record(&head, &[5, 0x0102_0304], 3).expect("there is room");
    let hex: String = record[..96].iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = "4452584253524d44010000000002000003000000000000001111000000000000222200000000000033330000000000004444\
                    00000000000000001000000000000008000000000000050000000200000091339776000000000500000004030201";
    assert_eq!(hex, expected);
    assert!(record[96..].iter().all(|&byte| byte == 0));
    assert_eq!((record.len(), record_offset(3)), (512, 266_240));
    assert_eq!((encode_page(2, &[0; PAGE]).0, PAGE_SLOT), (2 * 266_240 + 2 * 4608, 4608));
}
