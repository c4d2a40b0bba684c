//! The activity log against a plain list.

use std::collections::BTreeMap;
use std::ops::Range;

use drx_bsr::activity::{ActivityLog, Begin, EXTENT, extents_of, offset_of};
use proptest::prelude::*;

/// What every extent has: writes under way. Those that are hot, the one that is unused for longest first.
#[derive(Default)]
struct Naive {
    references: BTreeMap<u32, u32>,
    unused: Vec<u32>,
}

impl Naive {
    fn is_hot(&self, extent: u32) -> bool {
        self.references.contains_key(&extent)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Begin(Range<u32>),
    /// The n-th of those under way.
    End(usize),
    ClearUnused,
}

fn steps() -> impl Strategy<Value = Step> {
    let range = (0..30u32, 0..4u32).prop_map(|(first, count)| first..first + count);
    prop_oneof![
        10 => range.prop_map(Step::Begin),
        8 => any::<usize>().prop_map(Step::End),
        1 => Just(Step::ClearUnused),
    ]
}

proptest! {
    #[test]
    fn does_what_a_list_does(capacity in 4..40u32, steps in prop::collection::vec(steps(), 0..300)) {
        let mut log = ActivityLog::new(capacity);
        let mut naive = Naive::default();
        let mut under_way: Vec<Range<u32>> = Vec::new();
        let mut saved: Vec<u32> = Vec::new();
        for step in steps {
            match step {
                Step::Begin(range) => {
                    let missing = range.clone().filter(|&extent| !naive.is_hot(extent)).count();
                    let can_go = naive.unused.iter().filter(|extent| !range.contains(extent)).count();
                    let free = capacity as usize - naive.references.len();
                    let begin = log.begin(range.clone());
                    if missing > free + can_go {
                        prop_assert_eq!(begin, Begin::Full);
                        continue;
                    }
                    naive.unused.retain(|extent| !range.contains(extent));
                    match begin {
                        Begin::Full => prop_assert!(false, "there was room"),
                        Begin::Hot => prop_assert_eq!(missing, 0),
                        Begin::NeedsSave { evicted } => {
                            prop_assert!(missing > 0);
                            prop_assert_eq!(evicted.is_empty(), missing <= free, "only if there is no room");
                            prop_assert_eq!(&evicted[..], &naive.unused[..evicted.len()], "the oldest first");
                            naive.unused.drain(..evicted.len());
                            for extent in evicted {
                                naive.references.remove(&extent);
                            }
                            saved = log.extents();
                        }
                    }
                    for extent in range.clone() {
                        *naive.references.entry(extent).or_default() += 1;
                        prop_assert!(saved.contains(&extent), "written to without having been saved");
                    }
                    under_way.push(range);
                }
                Step::End(_) if under_way.is_empty() => {}
                Step::End(n) => {
                    let range = under_way.swap_remove(n % under_way.len());
                    log.end(range.clone());
                    for extent in range {
                        let references = naive.references.get_mut(&extent).expect("it is hot");
                        *references -= 1;
                        if *references == 0 {
                            naive.unused.push(extent);
                        }
                    }
                }
                Step::ClearUnused => {
                    let gone = std::mem::take(&mut naive.unused);
                    prop_assert_eq!(&log.clear_unused(), &gone);
                    for extent in gone {
                        naive.references.remove(&extent);
                    }
                    saved = log.extents();
                }
            }
            prop_assert_eq!(log.extents(), naive.references.keys().copied().collect::<Vec<_>>());
            prop_assert_eq!(log.hot_with_references(), naive.references.len() - naive.unused.len());
            prop_assert!(log.extents().len() <= capacity as usize);
        }
    }

    #[test]
    fn extents_cover_their_range(offset in any::<u64>(), length in 0..20 * EXTENT) {
        let extents = extents_of(offset, length);
        if length == 0 {
            prop_assert!(extents.is_empty());
        } else if offset < u64::from(u32::MAX) * EXTENT - 20 * EXTENT {
            prop_assert!(offset_of(extents.start) <= offset && offset < offset_of(extents.start) + EXTENT);
            let last = extents.end - 1;
            prop_assert!(offset_of(last) < offset + length && offset + length <= offset_of(last) + EXTENT);
        }
    }
}

#[test]
fn a_storm_of_writes_evicts_many_at_once() {
    let mut log = ActivityLog::new(1000);
    let mut evictions = 0;
    for extent in 0..10_000 {
        match log.begin(extent..extent + 1) {
            Begin::NeedsSave { evicted } => evictions += u32::from(!evicted.is_empty()),
            other => panic!("{other:?}"),
        }
        log.end(extent..extent + 1);
    }
    assert_eq!(evictions, 9000_u32.div_ceil(64));
}

#[test]
fn a_write_waits_for_room() {
    let mut log = ActivityLog::new(2);
    assert_eq!(log.begin(0..2), Begin::NeedsSave { evicted: vec![] });
    assert_eq!(log.begin(1..3), Begin::Full);
    assert_eq!(log.begin(1..2), Begin::Hot);
    log.end(0..2);
    assert_eq!(log.begin(2..4), Begin::Full, "1 is still written to");
    assert_eq!(log.begin(2..3), Begin::NeedsSave { evicted: vec![0] });
    assert_eq!(log.begin(0..3), Begin::Full, "more than there will ever be room for");
}

#[test]
fn ranges_that_are_none() {
    let mut log = ActivityLog::new(0);
    assert_eq!(log.begin(5..5), Begin::Hot);
    #[allow(clippy::reversed_empty_ranges)]
    let backwards = 5..3;
    assert_eq!(log.begin(backwards.clone()), Begin::Hot);
    log.end(backwards);
    assert_eq!(log.begin(0..u32::MAX), Begin::Full);
    assert_eq!(extents_of(u64::MAX, u64::MAX), u32::MAX..u32::MAX);
    assert_eq!(extents_of(u64::MAX, 0).len(), 0);
}
