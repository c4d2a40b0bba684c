//! What follows from a comparison: disks, settings, an operator's word, roles (bsr-wire C.3).

use drx_bsr::core::api::AfterSplitBrain::{self, *};
use drx_bsr::uuid::{Decision, Generations, Handshake, Reason};
use drx_bsr::wire::body::{UUID_DISCARD_MY_DATA, UUID_INCONSISTENT};
use drx_bsr::wire::{Disk, Role};

use super::{are_mirrored, generations, handshake, mirrored};

const SAME: Generations =
    Generations { current: 0xa000, bitmap: 0, history: [0xb000, 0xc000], shared: false };
const SOURCE: Decision = Decision::Source { full: false };
const TARGET: Decision = Decision::Target { full: false };
const FULL_SOURCE: Decision = Decision::Source { full: true };
const FULL_TARGET: Decision = Decision::Target { full: true };

/// What this node decides; the other one has to come to the mirror image.
fn decided(view: &Handshake) -> Decision {
    let (_, here) = view.clone().decide();
    let (_, there) = mirrored(view).decide();
    assert!(are_mirrored(here, there), "{here:?} here, {there:?} there: {view:#?}");
    here
}

/// Both have written since 0xc000.
fn split() -> Handshake {
    handshake(
        generations(0xa000, 0xc000, [0xd000, 0xe000]),
        generations(0xb000, 0xc000, [0xd000, 0xe000]).told(0, 0),
    )
}

/// The same, but their bitmaps are of different generations.
fn split_of_old() -> Handshake {
    handshake(
        generations(0xa000, 0xc000, [0xd000, 0xe000]),
        generations(0xb000, 0xf000, [0xd000, 0xe000]).told(0, 0),
    )
}

fn refused(primaries: u8) -> Decision {
    Decision::Refused(Reason::SplitBrain { primaries })
}

#[test]
fn the_better_disk_is_source_whatever_the_generations_say() {
    let mut view = handshake(SAME, SAME.told(0, 0));
    assert_eq!(decided(&view), Decision::NoSync);
    view.disk = Disk::Inconsistent;
    assert_eq!(decided(&view), TARGET);
    view.peer_disk = Disk::Outdated;
    assert_eq!(decided(&view), TARGET);
    view.peer_disk = Disk::Inconsistent;
    assert_eq!(decided(&view), Decision::NoSync, "both are inconsistent: an operator has to say");
    view.disk = Disk::Consistent;
    assert_eq!(decided(&view), SOURCE);

    // By generations the other way round.
    let mut newer = handshake(generations(0xf000, SAME.current, [0, 0]), SAME.told(0, 0));
    newer.disk = Disk::Inconsistent;
    assert_eq!(decided(&newer), TARGET);
    newer.mine.bitmap = 0xd000;
    newer.mine.history = [SAME.current, 0];
    assert_eq!(decided(&newer), FULL_TARGET, "the bitmap is of another generation");
    assert_eq!(decided(&Handshake { disk: Disk::Inconsistent, ..split() }), TARGET);
    assert_eq!(decided(&Handshake { disk: Disk::Inconsistent, ..split_of_old() }), FULL_TARGET);
}

#[test]
fn an_attaching_disk_is_what_its_flags_say() {
    let mut view = handshake(SAME, SAME.told(0, 0));
    view.peer_disk = Disk::Negotiating;
    assert_eq!(view.decide().1, Decision::NoSync);
    view.peer.flags = UUID_INCONSISTENT;
    assert_eq!(view.decide().1, SOURCE);
}

#[test]
fn strangers_are_refused() {
    let view = handshake(generations(1 << 8, 2 << 8, [3 << 8, 4 << 8]), SAME.told(0, 0));
    assert_eq!(decided(&view), Decision::Refused(Reason::Unrelated));
    let worse = Handshake { disk: Disk::Inconsistent, discard_my_data: true, ..view };
    assert_eq!(
        decided(&worse),
        Decision::Refused(Reason::Unrelated),
        "even if one of them has nothing to lose"
    );
}

#[test]
fn a_source_needs_consistent_data() {
    let mut view = handshake(generations(0xf000, SAME.current, [0, 0]), SAME.told(0, 0));
    assert_eq!(decided(&view), SOURCE);
    (view.disk, view.peer_disk) = (Disk::Inconsistent, Disk::Inconsistent);
    assert_eq!(decided(&view), Decision::Refused(Reason::SourceInconsistent));
}

#[test]
fn a_primary_is_no_target() {
    let mut view = handshake(SAME, generations(0xf000, SAME.current, [0, 0]).told(0, 0));
    assert_eq!(decided(&view), TARGET);
    view.role = Role::Primary;
    assert_eq!(decided(&view), Decision::Refused(Reason::TargetIsPrimary));
    view.disk = Disk::Inconsistent;
    assert_eq!(decided(&view), TARGET, "it reads from the other node anyway");
}

#[test]
fn an_operator_ends_a_split_brain() {
    for (view, source, target) in [(split(), SOURCE, TARGET), (split_of_old(), FULL_SOURCE, FULL_TARGET)] {
        assert_eq!(decided(&view), refused(0));
        let mut mine = Handshake { discard_my_data: true, ..view.clone() };
        assert_eq!(decided(&mine), target);
        mine.peer.flags = UUID_DISCARD_MY_DATA;
        assert_eq!(decided(&mine), refused(0), "one of them has to be kept");
        mine.discard_my_data = false;
        assert_eq!(decided(&mine), source);
        mine.peer_role = Role::Primary;
        assert_eq!(decided(&mine), source, "the peer will object");
    }
}

fn with(
    policy: (AfterSplitBrain, AfterSplitBrain, AfterSplitBrain),
    roles: (Role, Role),
    dirty: (u64, u64),
) -> Handshake {
    let mut view = split();
    (view.after_split_brain, view.role, view.peer_role) = (policy, roles.0, roles.1);
    (view.dirty_bits, view.peer.dirty_bits) = dirty;
    view
}

const ALL: [AfterSplitBrain; 11] = [
    Disconnect,
    DiscardYoungerPrimary,
    DiscardOlderPrimary,
    DiscardZeroChanges,
    DiscardLeastChanges,
    DiscardLocal,
    DiscardRemote,
    Consensus,
    DiscardSecondary,
    CallPriLost,
    Violently,
];

#[test]
fn settings_for_two_secondaries() {
    let decide = |policy, dirty| {
        decided(&with((policy, Disconnect, Disconnect), (Role::Secondary, Role::Secondary), dirty))
    };
    for policy in [Disconnect, Consensus, DiscardSecondary, CallPriLost, Violently] {
        assert_eq!(decide(policy, (5, 0)), refused(0));
    }
    assert_eq!(decide(DiscardLocal, (5, 0)), TARGET);
    assert_eq!(decide(DiscardRemote, (0, 5)), SOURCE);
    assert_eq!(decide(DiscardZeroChanges, (5, 0)), SOURCE);
    assert_eq!(decide(DiscardZeroChanges, (0, 5)), TARGET);
    assert_eq!(decide(DiscardZeroChanges, (1, 5)), refused(0));
    for policy in [DiscardLeastChanges, DiscardYoungerPrimary, DiscardOlderPrimary] {
        assert_eq!(decide(policy, (1, 5)), TARGET);
        assert_eq!(decide(policy, (5, 1)), SOURCE);
    }
    // Nothing tells them apart but who accepted meta.
    for policy in [DiscardZeroChanges, DiscardLeastChanges, DiscardYoungerPrimary] {
        let mut tie = with((policy, Disconnect, Disconnect), (Role::Secondary, Role::Secondary), (0, 0));
        assert_eq!(decided(&tie), SOURCE);
        tie.resolve_conflicts = true;
        assert_eq!(decided(&tie), TARGET);
    }
}

#[test]
fn who_was_primary_first() {
    for (policy, older, younger) in
        [(DiscardYoungerPrimary, SOURCE, TARGET), (DiscardOlderPrimary, TARGET, SOURCE)]
    {
        let mut view = with((policy, Disconnect, Disconnect), (Role::Secondary, Role::Secondary), (0, 9));
        view.mine.bitmap |= 1; // primary when they parted
        assert_eq!(decided(&view), older);
        (view.mine.bitmap, view.peer.bitmap) = (view.peer.bitmap, view.mine.bitmap);
        assert_eq!(decided(&view), younger);
    }
}

#[test]
fn settings_for_one_primary() {
    let decide = |zero, one, dirty| {
        let as_primary = decided(&with((zero, one, Disconnect), (Role::Primary, Role::Secondary), dirty));
        let as_secondary = decided(&with((zero, one, Disconnect), (Role::Secondary, Role::Primary), dirty));
        (as_primary, as_secondary)
    };
    for policy in [
        Disconnect,
        DiscardYoungerPrimary,
        DiscardZeroChanges,
        DiscardLeastChanges,
        DiscardLocal,
        DiscardRemote,
    ] {
        assert_eq!(decide(DiscardLeastChanges, policy, (5, 1)), (refused(1), refused(1)));
    }
    assert_eq!(decide(Disconnect, DiscardSecondary, (1, 5)), (SOURCE, TARGET));
    for policy in [Consensus, CallPriLost] {
        assert_eq!(decide(DiscardLeastChanges, policy, (5, 1)), (SOURCE, refused(1)), "{policy:?}");
        assert_eq!(decide(DiscardLeastChanges, policy, (1, 5)), (refused(1), TARGET), "{policy:?}");
        assert_eq!(decide(Disconnect, policy, (1, 5)), (refused(1), refused(1)));
    }
    let primary = Decision::Refused(Reason::TargetIsPrimary);
    assert_eq!(decide(DiscardLeastChanges, Violently, (5, 1)), (SOURCE, SOURCE));
    assert_eq!(decide(DiscardLeastChanges, Violently, (1, 5)), (primary, TARGET));
}

#[test]
fn settings_for_two_primaries() {
    let roles = (Role::Primary, Role::Primary);
    for policy in ALL {
        let decision = decided(&with((DiscardLeastChanges, Violently, policy), roles, (5, 1)));
        assert_eq!(decision, if policy == Violently { SOURCE } else { refused(2) }, "{policy:?}");
    }
}

#[test]
fn any_settings_are_mirrored() {
    let roles = [Role::Primary, Role::Secondary];
    let disks = [Disk::Inconsistent, Disk::Outdated, Disk::Consistent, Disk::UpToDate];
    for zero in ALL {
        for one in ALL {
            for two in ALL {
                for (n, dirty) in [(0, 0), (0, 3), (3, 0), (2, 3), (3, 3)].into_iter().enumerate() {
                    for (mine, peers) in roles.iter().flat_map(|a| roles.iter().map(move |b| (*a, *b))) {
                        let mut view = with((zero, one, two), (mine, peers), dirty);
                        view.resolve_conflicts = n % 2 == 0;
                        view.peer.bitmap |= u64::from(n > 2);
                        for disk in disks {
                            view.disk = disk;
                            decided(&view);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn settings_do_not_resolve_what_the_bitmaps_do_not_tell() {
    for policy in ALL {
        let mut view = split_of_old();
        view.after_split_brain = (policy, policy, policy);
        view.peer.dirty_bits = 9;
        assert_eq!(decided(&view), refused(0));
    }
}
