//! The metadata: what is kept comes back, and after a crash at any point nothing that may differ is forgotten.

mod crash;

use std::convert::Infallible;

use drx_bsr::bitmap::{BLOCK, Bitmap, PAGE, PAGE_SPAN};
use drx_bsr::metadata::{
    self, Head, LoadError, Loaded, MOST_EXTENTS, PAGE_SLOT, RECORD, TooManyExtents, encode_page,
    encode_record, record_offset,
};
use drx_bsr::uuid::Generations;
use proptest::prelude::*;

const SECTOR: usize = 512;

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
    (any::<[u64; 4]>(), any::<u64>(), any::<[bool; 8]>()).prop_map(|(uuids, agreed, is)| Head {
        generations: Generations {
            current: uuids[0],
            bitmap: uuids[1],
            history: [uuids[2], uuids[3]],
            shared: is[7],
        },
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
        generations: Generations {
            current: 0x1111,
            bitmap: 0x2222,
            history: [0x3333, 0x4444],
            shared: false,
        },
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
