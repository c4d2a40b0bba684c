//! Every rule of bsr-wire C.3, from both sides.

use drx_bsr::uuid::compare::{NEEDS_91, NEEDS_WRITE_SAME, SPLIT_BRAIN, SPLIT_BRAIN_OF_OLD, UNRELATED};
use drx_bsr::uuid::{Comparison, Generations, Handshake, JUST_CREATED, SYNC_OFFSET};
use drx_bsr::wire::Role;
use drx_bsr::wire::body::UUID_CRASHED_PRIMARY;
use proptest::prelude::*;

use super::{generations, handshake, mirrored};

const A: u64 = 0xa000;
const B: u64 = 0xb000;
const C: u64 = 0xc000;
const D: u64 = 0xd000;
const E: u64 = 0xe000;
const F: u64 = 0xf000;

fn view(mine: Generations, peers: Generations) -> Handshake {
    handshake(mine, peers.told(0, 0))
}

/// Compares from both sides; each with its code and rule.
fn both(view: &Handshake, code: (i32, u8), mirror: (i32, u8)) -> (Handshake, Handshake) {
    let (mut here, mut there) = (view.clone(), mirrored(view));
    assert_eq!(here.compare(), Comparison { code: code.0, rule: code.1 });
    assert_eq!(there.compare(), Comparison { code: mirror.0, rule: mirror.1 }, "from the other side");
    (here, there)
}

#[test]
fn a_disk_without_data_gets_all() {
    let new = Generations::just_created();
    let used = generations(A, B, [C, D]);
    both(&view(new, new), (0, 10), (0, 10));
    both(&view(new, used), (-2, 20), (2, 30));
    both(&view(generations(0, 0, [0, 0]), used), (-2, 20), (2, 30));
    both(&view(generations(0, 0, [0, 0]), new), (2, 30), (-2, 20));
    both(&view(generations(0, 0, [0, 0]), generations(0, 0, [0, 0])), (0, 10), (0, 10));
    both(&view(generations(JUST_CREATED | 1, 0, [0, 0]), used), (-2, 20), (2, 30));
}

#[test]
fn a_resync_whose_end_one_side_missed_is_ended() {
    // The target has the source's data, and its history with the resync; the source still has it as bitmap.
    let (source, target) = (generations(A, B, [C, D]), generations(A, 0, [B, C]));
    let (here, there) = both(&view(source, target), (1, 34), (-1, 35));
    assert_eq!(here.mine, target);
    assert_eq!(there.peer, target.told(0, 0));
}

#[test]
fn a_source_whose_target_has_not_noticed_begins_again() {
    let (here, _) = both(&view(generations(A, B, [C, D]), generations(A, 0, [C, D])), (1, 36), (-1, 37));
    let shared = Generations { shared: true, ..generations(A, B, [C, D]) };
    assert_eq!(here.mine, shared, "there is nothing to put right");
}

#[test]
fn after_a_lost_line_nothing_is_to_be_done() {
    both(&view(generations(A | 1, 0, [B, C]), generations(A, 0, [D, E])), (0, 40), (0, 40));
    both(&view(generations(A, B, [C, D]), generations(A, B, [C, D])), (0, 40), (0, 40));
}

#[test]
fn who_crashed_as_primary_is_source() {
    let same = generations(A, 0, [B, C]);
    let one = Handshake { crashed_primary: true, ..view(same, same) };
    both(&one, (1, 40), (-1, 40));

    let mut both_did = one.clone();
    both_did.peer.flags = UUID_CRASHED_PRIMARY;
    both(&both_did, (1, 40), (-1, 40));
    both_did.resolve_conflicts = true;
    both(&both_did, (-1, 40), (1, 40));
}

#[test]
fn who_is_primary_now_is_source() {
    let same = generations(A, 0, [B, C]);
    let mut crashed = Handshake { crashed_primary: true, peer_role: Role::Primary, ..view(same, same) };
    both(&crashed, (-1, 41), (1, 41));
    crashed.role = Role::Primary;
    both(&crashed, (SPLIT_BRAIN_OF_OLD, 41), (SPLIT_BRAIN_OF_OLD, 41));
    crashed.features = 0;
    both(&crashed, (NEEDS_WRITE_SAME, 41), (NEEDS_WRITE_SAME, 41));
}

#[test]
fn who_has_what_the_other_had_is_target() {
    both(&view(generations(A, 0, [B, C]), generations(D, A | 1, [E, F])), (-1, 50), (1, 70));
    both(&view(generations(A, 0, [B, C]), generations(D, E, [F, A])), (-2, 60), (2, 80));
    both(&view(generations(A, 0, [B, C]), generations(D, E, [A, F])), (-2, 60), (2, 80));
}

#[test]
fn a_resync_whose_beginning_was_lost_is_begun_again() {
    let target = generations(A, 0, [B, C]);
    let source = generations(D, A + SYNC_OFFSET, [A, E]);
    let (here, there) = both(&view(target, source), (-1, 51), (1, 71));
    assert_eq!(here.peer, generations(D, A, [E, E]).told(0, 0));
    assert_eq!(there.mine, generations(D, A, [E, E]));

    // Before version 96 it is the history that tells.
    let mut old = view(generations(A, 0, [E, C]), generations(D, 0x123, [A, E]));
    old.version = 95;
    let (here, there) = both(&old, (-1, 51), (1, 71));
    assert_eq!((here.peer.bitmap, there.mine.bitmap), (A, A));
    old.version = 90;
    both(&old, (NEEDS_91, 51), (NEEDS_91, 71));
}

#[test]
fn both_have_changes() {
    both(
        &view(generations(A, C, [D, E]), generations(B, C | 1, [D, E])),
        (SPLIT_BRAIN, 90),
        (SPLIT_BRAIN, 90),
    );
    let old = (SPLIT_BRAIN_OF_OLD, 100);
    both(&view(generations(A, C, [D, E]), generations(B, F, [0x10, D])), old, old);
    // Neither had a history: as in the kernel.
    both(&view(generations(A, C, [D, 0]), generations(B, F, [0x10, 0])), old, old);
    let strangers = (UNRELATED, 100);
    both(&view(generations(A, C, [D, E]), generations(B, F, [0x10, 0x20])), strangers, strangers);
}

#[test]
fn a_missed_end_needs_version_91() {
    let mut old = view(generations(A, B, [C, D]), generations(A, 0, [B, C]));
    old.version = 90;
    let (here, _) = both(&old, (NEEDS_91, 40), (NEEDS_91, 40));
    let shared = Generations { shared: true, ..generations(A, B, [C, D]) };
    assert_eq!(here.mine, shared, "nothing is put right");
}

/// Few generations, so that they meet.
fn any_generation() -> impl Strategy<Value = u64> {
    prop_oneof![
        2 => Just(0),
        1 => Just(JUST_CREATED),
        6 => prop_oneof![Just(A), Just(B), Just(C), Just(D)].prop_flat_map(|known| prop_oneof![
            4 => Just(known), 1 => Just(known | 1), 1 => Just(known + SYNC_OFFSET)]),
        1 => any::<u64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Whatever a peer tells: no panic, and a correction is only ever made for a result that needs it.
    #[test]
    fn any_two_can_be_compared(mine in [(); 4].map(|()| any_generation()), peer in [(); 4].map(|()| any_generation()),
                               version in 86..=101u32, crashed in any::<bool>(), flags in any::<u64>()) {
        let peers = generations(peer[0], peer[1], [peer[2], peer[3]]);
        let mut view = handshake(generations(mine[0], mine[1], [mine[2], mine[3]]), peers.told(7, flags));
        (view.version, view.crashed_primary) = (version, crashed);
        let mut before = view.clone();
        before.mine.shared = mine[0] & !1 == peer[0] & !1 && view.mine.bitmap != 0;
        let Comparison { code, rule } = view.compare();
        prop_assert!([0, 1, -1, 2, -2, SPLIT_BRAIN, SPLIT_BRAIN_OF_OLD, UNRELATED, NEEDS_91].contains(&code));
        prop_assert_eq!(view.mine != before.mine, rule == 34 || rule == 71 && code == 1);
        prop_assert_eq!(view.mine.current, before.mine.current);
        prop_assert_eq!(view.peer.current, before.peer.current);
        if view.peer != before.peer {
            prop_assert!(rule == 35 || rule == 51 && code == -1);
        }
    }
}
