//! The bitmap against a plain list of bits.

use drx_bsr::bitmap::{BLOCK, Bitmap, PAGE, PAGE_SPAN};
use proptest::prelude::*;

/// What is done to both.
#[derive(Clone, Debug)]
enum Step {
    OutOfSync(u64, u64),
    InSync(u64, u64),
    Resize(u64, bool),
    SetAll,
    ClearAll,
}

/// One block, one entry.
struct Naive {
    bytes: u64,
    set: Vec<bool>,
}

impl Naive {
    fn range(&self, block: usize) -> (u64, u64) {
        let from = block as u64 * BLOCK;
        (from, (from + BLOCK).min(self.bytes))
    }

    fn touched(&self, block: usize, offset: u64, length: u64) -> bool {
        let (from, to) = self.range(block);
        offset < to && offset.saturating_add(length) > from && length > 0
    }

    fn covered(&self, block: usize, offset: u64, length: u64) -> bool {
        let (from, to) = self.range(block);
        offset <= from && offset.saturating_add(length) >= to
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::OutOfSync(offset, length) => {
                for block in 0..self.set.len() {
                    self.set[block] |= self.touched(block, offset, length);
                }
            }
            Step::InSync(offset, length) => {
                for block in 0..self.set.len() {
                    self.set[block] &= !self.covered(block, offset, length);
                }
            }
            Step::Resize(bytes, set) => {
                let old = std::mem::replace(&mut self.bytes, bytes);
                self.set.resize(bytes.div_ceil(BLOCK) as usize, false);
                if set && bytes > old {
                    self.step(&Step::OutOfSync(old, bytes - old));
                }
            }
            Step::SetAll => self.set.fill(true),
            Step::ClearAll => self.set.fill(false),
        }
    }
}

fn apply(bitmap: &mut Bitmap, step: &Step) -> Option<u64> {
    match *step {
        Step::OutOfSync(offset, length) => return Some(bitmap.set_out_of_sync(offset, length)),
        Step::InSync(offset, length) => return Some(bitmap.set_in_sync(offset, length)),
        Step::Resize(bytes, set) => bitmap.resize(bytes, set),
        Step::SetAll => bitmap.set_all(),
        Step::ClearAll => bitmap.clear_all(),
    }
    None
}

/// Three pages and a bit more: page boundaries are crossed, and the last block is partial.
const SMALL: u64 = 3 * PAGE_SPAN + 5 * 64 * BLOCK + 777;

fn offsets() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..SMALL + 100_000,
        (0..SMALL / BLOCK + 10).prop_map(|block| block * BLOCK),
        (0..4u64, -3..3i64)
            .prop_map(|(page, blocks)| (page * PAGE_SPAN).saturating_add_signed(blocks * 4096)),
        Just(u64::MAX - 5),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let length = prop_oneof![0..200_000u64, 0..SMALL, Just(u64::MAX)];
    prop_oneof![
        4 => (offsets(), length.clone()).prop_map(|(offset, length)| Step::OutOfSync(offset, length)),
        4 => (offsets(), length).prop_map(|(offset, length)| Step::InSync(offset, length)),
        1 => (0..SMALL, any::<bool>()).prop_map(|(bytes, set)| Step::Resize(bytes, set)),
        1 => Just(Step::SetAll),
        1 => Just(Step::ClearAll),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn does_what_a_list_of_bits_does(start in 0..SMALL, steps in prop::collection::vec(steps(), 1..20)) {
        let mut bitmap = Bitmap::new(start);
        let mut naive = Naive { bytes: start, set: vec![false; start.div_ceil(BLOCK) as usize] };
        let mut saved: Vec<Vec<u8>> = (0..bitmap.pages()).map(|page| bitmap.page(page).to_vec()).collect();
        for step in &steps {
            let before = naive.set.clone();
            let changed = apply(&mut bitmap, step);
            naive.step(step);
            if let Some(changed) = changed {
                let differ = before.iter().zip(&naive.set).filter(|(a, b)| a != b).count();
                prop_assert_eq!(changed, differ as u64);
            }
            prop_assert_eq!(bitmap.bits(), naive.set.len() as u64);
            prop_assert_eq!(bitmap.weight(), naive.set.iter().filter(|&&set| set).count() as u64);
            let first = naive.set.iter().position(|&set| set).map(|bit| bit as u64);
            prop_assert_eq!(bitmap.next_set(0), first);
            let clear = naive.set.iter().position(|&set| !set).map(|bit| bit as u64);
            prop_assert_eq!(bitmap.next_clear(0), clear);

            // What is saved from the dirty pages is always all of it.
            prop_assert!(bitmap.is_dirty() || matches!(step, Step::Resize(..)) || before == naive.set);
            saved.resize(bitmap.pages() as usize, vec![0xa5; PAGE]);
            for (page, bytes) in bitmap.take_dirty() {
                saved[page as usize] = bytes.to_vec();
            }
            let mut loaded = Bitmap::new(bitmap.bytes());
            for (page, bytes) in saved.iter().enumerate() {
                prop_assert!(loaded.load_page(page as u32, bytes));
            }
            prop_assert_eq!(loaded.weight(), bitmap.weight());
            prop_assert_eq!(&loaded, &bitmap);
        }
    }

    #[test]
    fn finds_what_is_set_in_a_range(set in prop::collection::vec((0..SMALL, 1..300_000u64), 0..4),
                                    asked in prop::collection::vec((offsets(), 0..400_000u64), 1..50)) {
        let mut bitmap = Bitmap::new(SMALL);
        let mut naive = Naive { bytes: SMALL, set: vec![false; SMALL.div_ceil(BLOCK) as usize] };
        for (offset, length) in set {
            bitmap.set_out_of_sync(offset, length);
            naive.step(&Step::OutOfSync(offset, length));
        }
        for (offset, length) in asked {
            let any = (0..naive.set.len()).any(|block| naive.set[block] && naive.touched(block, offset, length));
            prop_assert_eq!(bitmap.out_of_sync_in(offset, length), any);
            let from = offset / BLOCK;
            let next = (from as usize..naive.set.len()).find(|&block| naive.set[block]);
            prop_assert_eq!(bitmap.next_set(from), next.map(|bit| bit as u64));
        }
    }
}

#[test]
fn only_pages_of_the_range_are_taken() {
    let mut bitmap = Bitmap::new(100 * PAGE_SPAN);
    for page in [3, 70, 71, 99] {
        bitmap.set_out_of_sync(page * PAGE_SPAN + 4096, 1);
    }
    let numbers =
        |taken: Vec<(u32, bytes::Bytes)>| taken.into_iter().map(|(page, _)| page).collect::<Vec<_>>();
    assert_eq!(numbers(bitmap.take_dirty_of(0, 3 * PAGE_SPAN)), [0; 0]);
    assert_eq!(numbers(bitmap.take_dirty_of(70 * PAGE_SPAN, 1)), [70]);
    assert_eq!(numbers(bitmap.take_dirty_of(69 * PAGE_SPAN, 2 * PAGE_SPAN + 1)), [71]);
    assert_eq!(numbers(bitmap.take_dirty_of(90 * PAGE_SPAN, u64::MAX)), [99]);
    assert_eq!(numbers(bitmap.take_dirty()), [3]);
    assert!(!bitmap.is_dirty());
}

#[test]
fn a_page_that_is_none_is_not_loaded() {
    let mut bitmap = Bitmap::new(PAGE_SPAN + 1);
    assert!(!bitmap.load_page(2, &[0xff; PAGE]));
    assert!(!bitmap.load_page(u32::MAX, &[0xff; PAGE]));
    assert!(!bitmap.load_page(0, &[0xff; PAGE - 1]));
    assert!(bitmap.load_page(1, &[0xff; PAGE]));
    assert_eq!(bitmap.weight(), 1, "the second page has one bit");
    assert!(bitmap.page(u32::MAX).iter().all(|&byte| byte == 0));
}

#[test]
fn an_empty_volume_has_an_empty_bitmap() {
    let mut bitmap = Bitmap::new(0);
    bitmap.set_all();
    assert_eq!((bitmap.bits(), bitmap.pages(), bitmap.weight()), (0, 0, 0));
    assert_eq!(bitmap.set_out_of_sync(0, u64::MAX) + bitmap.set_in_sync(0, u64::MAX), 0);
    assert!(!bitmap.out_of_sync_in(0, u64::MAX));
    assert_eq!(bitmap.take_dirty_of(0, u64::MAX), []);
}

#[test]
fn a_tebibyte_is_no_matter() {
    let mut bitmap = Bitmap::new(1 << 40);
    bitmap.set_all();
    assert_eq!(bitmap.weight(), 1 << 28);
    assert_eq!(bitmap.set_in_sync(4096, 1 << 40), (1 << 28) - 1);
    assert_eq!(bitmap.next_set(1), None);
    assert_eq!(bitmap.take_dirty().len(), 8192);
}
