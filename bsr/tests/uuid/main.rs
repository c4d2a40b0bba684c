//! Generations: what each rule says, what follows from it, and two nodes through any history.

mod bookkeeping;
mod decisions;
mod histories;
mod node;
mod pair;
mod rules;

use drx_bsr::core::api::AfterSplitBrain;
use drx_bsr::uuid::{Decision, Generations, Handshake};
use drx_bsr::wire::body::{FEATURE_WRITE_SAME, UUID_CRASHED_PRIMARY, UUID_DISCARD_MY_DATA};
use drx_bsr::wire::{Disk, Role, Uuids};

/// Two secondaries with good disks, of today's version.
fn handshake(mine: Generations, peer: Uuids) -> Handshake {
    Handshake {
        mine,
        dirty_bits: 0,
        role: Role::Secondary,
        disk: Disk::UpToDate,
        crashed_primary: false,
        discard_my_data: false,
        peer,
        peer_role: Role::Secondary,
        peer_disk: Disk::UpToDate,
        resolve_conflicts: false,
        version: 101,
        features: FEATURE_WRITE_SAME,
        after_split_brain: (
            AfterSplitBrain::Disconnect,
            AfterSplitBrain::Disconnect,
            AfterSplitBrain::Disconnect,
        ),
    }
}

fn generations(current: u64, bitmap: u64, history: [u64; 2]) -> Generations {
    Generations { current, bitmap, history, shared: false }
}

/// What P_UUIDS says of it.
fn flags(crashed_primary: bool, discard_my_data: bool) -> u64 {
    let crashed = if crashed_primary { UUID_CRASHED_PRIMARY } else { 0 };
    let discard = if discard_my_data { UUID_DISCARD_MY_DATA } else { 0 };
    crashed | discard
}

/// The same two nodes, seen by the other one.
fn mirrored(view: &Handshake) -> Handshake {
    let flags = flags(view.crashed_primary, view.discard_my_data);
    let swapped = |policy| match policy {
        AfterSplitBrain::DiscardLocal => AfterSplitBrain::DiscardRemote,
        AfterSplitBrain::DiscardRemote => AfterSplitBrain::DiscardLocal,
        other => other,
    };
    let (none, one, two) = view.after_split_brain;
    Handshake {
        mine: generations(view.peer.current, view.peer.bitmap, view.peer.history),
        dirty_bits: view.peer.dirty_bits,
        role: view.peer_role,
        disk: view.peer_disk,
        crashed_primary: view.peer.flags & UUID_CRASHED_PRIMARY != 0,
        discard_my_data: view.peer.flags & UUID_DISCARD_MY_DATA != 0,
        peer: view.mine.told(view.dirty_bits, flags),
        peer_role: view.role,
        peer_disk: view.disk,
        resolve_conflicts: !view.resolve_conflicts,
        version: view.version,
        features: view.features,
        after_split_brain: (swapped(none), swapped(one), swapped(two)),
    }
}

/// Whether two nodes that come to these go well together.
fn are_mirrored(one: Decision, other: Decision) -> bool {
    use Decision::{NoSync, Refused, Source, Target};
    use drx_bsr::uuid::Reason::TargetIsPrimary;
    match (one, other) {
        (Source { full: a }, Target { full: b }) | (Target { full: a }, Source { full: b }) => a == b,
        (NoSync, NoSync) => true,
        (Refused(TargetIsPrimary), Source { .. }) | (Source { .. }, Refused(TargetIsPrimary)) => true,
        (Refused(a), Refused(b)) => a == b,
        _ => false,
    }
}
