//! What two nodes' generations say about their data: DRBD 8.4's rules, with its numbers (bsr-wire C.3).

use super::{Generations, JUST_CREATED, SYNC_OFFSET};
use crate::core::api::AfterSplitBrain;
use crate::wire::body::{FEATURE_WRITE_SAME, UUID_CRASHED_PRIMARY};
use crate::wire::{Disk, Role, Uuids};

/// All that a node needs to tell whose data both are to have. Both nodes do this by themselves, each with its own view.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// This node's generations. A comparison may correct them: they have to be saved then.
    pub mine: Generations,
    /// Bits that were set in this node's bitmap when it told its generations.
    pub dirty_bits: u64,
    /// This node's role.
    pub role: Role,
    /// This node's disk.
    pub disk: Disk,
    /// It was primary when it crashed, and no resync came since.
    pub crashed_primary: bool,
    /// Its changes are to be given up in a split brain.
    pub discard_my_data: bool,
    /// What the peer told. A comparison may correct it, for [`Generations::finish_as_target`].
    pub peer: Uuids,
    /// Its role.
    pub peer_role: Role,
    /// Its disk, as it told.
    pub peer_disk: Disk,
    /// This node breaks ties (bsr-wire A.3). Of the two just one does.
    pub resolve_conflicts: bool,
    /// The version that is spoken.
    pub version: u32,
    /// Features that both have.
    pub features: u32,
    /// after-sb-0pri, after-sb-1pri, after-sb-2pri. The peer's are the same, but for local and remote.
    pub after_split_brain: (AfterSplitBrain, AfterSplitBrain, AfterSplitBrain),
}

/// What was found. The kernel logs it as `uuid_compare()=CODE by rule RULE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// 0 nothing to do, 1 this node is source, 2 with all blocks, below 0 the other one is; [`SPLIT_BRAIN`] and the like.
    pub code: i32,
    /// By which rule.
    pub rule: u8,
}

/// Both have changes since the same generation.
pub const SPLIT_BRAIN: i32 = 100;
/// Both have changes, and the bitmaps may not tell all differences.
pub const SPLIT_BRAIN_OF_OLD: i32 = -100;
/// They have no generation in common.
pub const UNRELATED: i32 = -1000;
/// Version 91 or later would be needed.
pub const NEEDS_91: i32 = -1091;
/// The nodes parted without a new generation, which is resolved by nodes with [`FEATURE_WRITE_SAME`] only.
pub const NEEDS_WRITE_SAME: i32 = -(0x1_0000 | 101 | (FEATURE_WRITE_SAME as i32) << 8);

const SOURCE: i32 = 1;
const TARGET: i32 = -1;
const ALL: i32 = 2;

impl Handshake {
    /// Compares, and corrects what a lost packet left unfinished, on this side or in what the peer told.
    pub fn compare(&mut self) -> Comparison {
        // Known for certain now, until a resync begins.
        self.mine.shared = self.mine.bitmap != 0 && id(self.mine.current) == id(self.peer.current);
        let (code, rule) = self.by_current().unwrap_or_else(|| self.by_ancestry());
        Comparison { code, rule }
    }

    /// Rules 10 to 41: a disk without data, or both with the same data.
    fn by_current(&mut self) -> Option<(i32, u8)> {
        let (mine, peers) = (id(self.mine.current), id(self.peer.current));
        let unwritten = |current| current == JUST_CREATED || current == 0;
        // Two that have none at all are no kernel's: there both would become target.
        if mine == peers && unwritten(mine) {
            return Some((0, 10));
        }
        if unwritten(mine) && peers != JUST_CREATED {
            return Some((TARGET * ALL, 20));
        }
        if mine != JUST_CREATED && unwritten(peers) {
            return Some((SOURCE * ALL, 30));
        }
        if mine != peers {
            return None;
        }
        match (self.mine.bitmap, self.peer.bitmap) {
            (1.., 0) | (0, 1..) if self.version < 91 => Some((NEEDS_91, 40)),
            (1.., 0) => Some((SOURCE, self.was_source())),
            (0, 1..) => Some((TARGET, self.was_target())),
            _ => Some(self.by_crash()),
        }
    }

    /// Rules 34 and 36: this node was a resync's source. If the target finished it, this node missed the end.
    fn was_source(&mut self) -> u8 {
        if id(self.mine.bitmap) == id(self.peer.history[0])
            && id(self.mine.history[0]) == id(self.peer.history[1])
        {
            self.mine.clear_bitmap();
            34
        } else {
            36
        }
    }

    /// Rules 35 and 37: the same, seen from the target.
    fn was_target(&mut self) -> u8 {
        if id(self.mine.history[0]) == id(self.peer.bitmap)
            && id(self.mine.history[1]) == id(self.peer.history[0])
        {
            self.peer.history = [self.peer.bitmap, self.peer.history[0]];
            self.peer.bitmap = 0;
            35
        } else {
            37
        }
    }

    /// Rules 40 and 41: the same data, up to what was being written when one of them crashed.
    fn by_crash(&self) -> (i32, u8) {
        let peer_crashed = self.peer.flags & UUID_CRASHED_PRIMARY != 0;
        if !self.crashed_primary && !peer_crashed {
            return (0, 40); // only the line was lost
        }
        match (self.role == Role::Primary, self.peer_role == Role::Primary) {
            (false, false) => {}
            _ if self.features & FEATURE_WRITE_SAME == 0 => return (NEEDS_WRITE_SAME, 41),
            (true, true) => return (SPLIT_BRAIN_OF_OLD, 41),
            (true, false) => return (SOURCE, 41),
            (false, true) => return (TARGET, 41),
        }
        match (self.crashed_primary, peer_crashed) {
            (true, false) => (SOURCE, 40),
            (false, true) => (TARGET, 40),
            _ if self.resolve_conflicts => (TARGET, 40),
            _ => (SOURCE, 40),
        }
    }

    /// Rules 50 to 100: one has what the other had, or both had the same once.
    fn by_ancestry(&mut self) -> (i32, u8) {
        let (mine, peers) = (id(self.mine.current), id(self.peer.current));
        if mine == id(self.peer.bitmap) {
            return (TARGET, 50);
        }
        if mine == id(self.peer.history[0]) && self.lost_sync_uuid(&self.peer_generations(), &self.mine) {
            if self.version < 91 {
                return (NEEDS_91, 51);
            }
            self.peer.bitmap = self.peer.history[0];
            self.peer.history[0] = self.peer.history[1];
            return (TARGET, 51);
        }
        if in_history(mine, &self.peer.history) {
            return (TARGET * ALL, 60);
        }
        if id(self.mine.bitmap) == peers {
            return (SOURCE, 70);
        }
        if id(self.mine.history[0]) == peers && self.lost_sync_uuid(&self.mine, &self.peer_generations()) {
            if self.version < 91 {
                return (NEEDS_91, 71);
            }
            self.mine.bitmap = self.mine.history[0];
            self.mine.history[0] = self.mine.history[1];
            return (SOURCE, 71);
        }
        if in_history(peers, &self.mine.history) {
            return (SOURCE * ALL, 80);
        }
        if id(self.mine.bitmap) == id(self.peer.bitmap) && id(self.mine.bitmap) != 0 {
            return (SPLIT_BRAIN, 90);
        }
        // As in the kernel, places that never had a generation count as a common one, too: both nodes have to say the
        // same, and only an operator can tell.
        if self.mine.history.iter().any(|&old| in_history(id(old), &self.peer.history)) {
            return (SPLIT_BRAIN_OF_OLD, 100);
        }
        (UNRELATED, 100)
    }

    /// Rules 51 and 71: whether the source had begun a resync, and the target did not get its P_SYNC_UUID.
    fn lost_sync_uuid(&self, source: &Generations, target: &Generations) -> bool {
        if self.version < 96 {
            id(source.history[1]) == id(target.history[0])
        } else {
            id(source.history[0]).wrapping_add(SYNC_OFFSET) == id(source.bitmap)
        }
    }

    pub(super) fn peer_generations(&self) -> Generations {
        Generations::from(&self.peer)
    }
}

/// The identity of a generation: without the lowest bit.
fn id(generation: u64) -> u64 {
    generation & !1
}

fn in_history(generation: u64, history: &[u64; 2]) -> bool {
    history.iter().any(|&old| id(old) == generation)
}
