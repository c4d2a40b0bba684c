//! What becomes of a node's generations, step by step, as in the kernel.

use drx_bsr::uuid::{Generations, JUST_CREATED, SYNC_OFFSET};
use proptest::prelude::*;

use super::generations;

const A: u64 = 0xa000;
const B: u64 = 0xb000;
const C: u64 = 0xc000;
const D: u64 = 0xd000;

#[test]
fn a_resync_by_bitmap_from_its_beginning_to_its_end() {
    // Both had A; the source wrote alone since.
    let (mut source, mut target) = (generations(A, 0, [B, C]), generations(A, 0, [B, C]));
    source.rotate_for_new(D);
    assert_eq!(source, generations(D, A, [B, C]));
    let told = source.told(5, 0);

    let resync = source.start_sync_source(1);
    let begun = Generations { shared: true, ..generations(D, A + SYNC_OFFSET, [A, B]) };
    assert_eq!((resync, source), (A + SYNC_OFFSET, begun));
    target.receive_sync_uuid(resync);
    assert_eq!(target, generations(A + SYNC_OFFSET, 0, [B, C]));
    target.finish_as_target(&told);
    source.finish_as_source();
    assert_eq!((source, target), (generations(D, 0, [A + SYNC_OFFSET, A]), source));
}

#[test]
fn a_full_resync_to_a_new_disk() {
    let (mut source, mut target) = (generations(A, 0, [B, C]), Generations::just_created());
    let told = source.told(9, 0);
    let resync = source.start_sync_source(D);
    let begun = Generations { shared: true, ..generations(A, D, [B, C]) };
    assert_eq!((resync, source), (D, begun), "there is no generation to begin from");
    target.receive_sync_uuid(resync);
    target.finish_as_target(&told);
    source.finish_as_source();
    assert_eq!((source, target), (generations(A, 0, [D, B]), source));
}

#[test]
fn the_first_primary_of_two_new_disks() {
    let (mut source, mut target) = (Generations::just_created(), Generations::just_created());
    source.set_primary(true);
    source.rotate_for_new(A);
    assert_eq!(source, generations(A | 1, JUST_CREATED | 1, [0, 0]));
    let told = source.told(9, 0);
    let resync = source.start_sync_source(D);
    assert_eq!(resync, D, "what was just created is no generation to begin from");
    target.receive_sync_uuid(resync);
    target.finish_as_target(&told);
    source.finish_as_source();
    assert_eq!(source.current & !1, target.current);
    assert_eq!(source.history[0], target.history[0]);
}

#[test]
fn a_forced_primary_keeps_what_its_bitmap_tells() {
    let mut forced = generations(A, B, [C, 0]);
    forced.rotate_for_new(D);
    assert_eq!(forced, generations(D, B, [A, C]));
}

#[test]
fn the_role_is_in_the_lowest_bit_of_the_current_one() {
    let mut node = generations(A, 0, [0, 0]);
    node.set_primary(true);
    assert_eq!(node.current, A | 1);
    node.rotate_for_new(D);
    assert_eq!(node, generations(D | 1, A | 1, [0, 0]));
    node.receive_sync_uuid(B);
    assert_eq!(node.current, B | 1);
    node.set_primary(false);
    assert_eq!(node.current, B);
    node.receive_sync_uuid(C | 1);
    assert_eq!(node.current, C, "the source's role is not the target's");
}

#[test]
fn a_source_writes_on_in_a_generation_of_its_own() {
    let mut source = generations(A, 0, [B, C]);
    assert!(source.may_be_shared(), "both had it when they parted");
    source.rotate_for_new(D);
    assert!(!source.may_be_shared());
    source.start_sync_source(1);
    assert!(source.may_be_shared(), "the target may be done at any time");
    let mut before_the_end = source;
    before_the_end.target_is_not_done();
    assert!(!before_the_end.may_be_shared());
    source.rotate_for_new(0x1234);
    assert!(!source.may_be_shared());
    assert_eq!(source.history, [D, A], "a target that was done has it");
    source.finish_as_source();
    assert!(source.may_be_shared());
}

#[test]
fn nothing_to_clear() {
    let mut node = generations(A, 0, [B, C]);
    node.finish_as_source();
    assert_eq!(node, generations(A, 0, [B, C]));
}

proptest! {
    /// A new generation is none of those with a meaning of their own.
    #[test]
    fn new_ones_are_new(random in prop_oneof![0..9u64, any::<u64>()], primary in any::<bool>()) {
        let mut node = Generations::just_created();
        node.set_primary(primary);
        node.rotate_for_new(random);
        prop_assert!(node.current & !1 > JUST_CREATED || node.current & !1 == 2);
        let resync = generations(A, 0, [0, 0]).start_sync_source(random);
        prop_assert!(resync & !1 != 0 && resync & !1 != JUST_CREATED);
    }
}
