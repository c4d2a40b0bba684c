//! What follows from a comparison: who is to be the source, or why nobody can be (bsr-wire C.3).

use super::compare::{
    Comparison, Handshake, NEEDS_91, NEEDS_WRITE_SAME, SPLIT_BRAIN, SPLIT_BRAIN_OF_OLD, UNRELATED,
};
use crate::core::api::AfterSplitBrain;
use crate::wire::body::{UUID_DISCARD_MY_DATA, UUID_INCONSISTENT};
use crate::wire::{Disk, Role};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: both have the same data.
    NoSync,
    /// The peer gets this node's data.
    Source {
        /// All bits are to be set first.
        full: bool,
    },
    /// This node gets the peer's data.
    Target {
        /// All bits are to be set first.
        full: bool,
    },
    /// The connection must not be: nobody but an operator can tell whose data is to be lost. StandAlone.
    Refused(Reason),
}

/// Why two nodes must not be connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Their generations have nothing in common.
    #[error("the disks have no generation of data in common")]
    Unrelated,
    /// And the settings for it found no answer.
    #[error("split brain: both nodes have changes of their own, with {primaries} of them primary")]
    SplitBrain {
        /// How many of them are primary at present.
        primaries: u8,
    },
    /// The node that would be source has no consistent data.
    #[error("the node that would be the resync's source is inconsistent")]
    SourceInconsistent,
    /// This node would be target, but applications use its data.
    #[error("this node would be the resync's target, but is primary")]
    TargetIsPrimary,
    /// What is spoken is too old for what happened.
    #[error("version 91 or later is needed to tell who has the newer data")]
    Version,
    /// The other node is too old for what happened.
    #[error(
        "the same generation of data on both, one crashed, one primary: the peer is too old to tell who is newer"
    )]
    Feature,
}

/// Whose data is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Target,
}

impl Handshake {
    /// Compares, then decides. Both nodes must have a disk (at least Negotiating): otherwise there is nothing to compare.
    ///
    /// A source with all bits set knows all differences since any generation, the target's included: that becomes the
    /// bitmap's. So it can be interrupted any number of times, and still knows the target. (The kernel leaves it, and
    /// may call the target a stranger after the third time.)
    ///
    /// The other node comes to the mirror image of it, but for [`Reason::TargetIsPrimary`]: that one only the target
    /// knows, and ends the connection.
    pub fn decide(&mut self) -> (Comparison, Decision) {
        let comparison = self.compare();
        let decision = self.settle(comparison.code);
        match decision {
            Decision::Source { full: true } => self.mine.all_differ_from(self.peer.current),
            Decision::Target { full: true } => {
                let mut source = self.peer_generations();
                source.all_differ_from(self.mine.current);
                self.peer = source.told(self.peer.dirty_bits, self.peer.flags);
            }
            _ => {}
        }
        (comparison, decision)
    }

    fn settle(&self, code: i32) -> Decision {
        let (side, full) = match (code, self.better_disk()) {
            (UNRELATED, _) => return Decision::Refused(Reason::Unrelated),
            (NEEDS_91, _) => return Decision::Refused(Reason::Version),
            (NEEDS_WRITE_SAME, _) => return Decision::Refused(Reason::Feature),
            (_, Some(side)) => (side, code == SPLIT_BRAIN_OF_OLD || code.abs() == 2),
            (0, None) => return Decision::NoSync,
            (SPLIT_BRAIN | SPLIT_BRAIN_OF_OLD, None) => {
                // always-asbp is no: settings resolve only what the bitmaps know to be all differences.
                let by_settings = if code == SPLIT_BRAIN { self.recover() } else { None };
                match by_settings.or_else(|| self.given_up()) {
                    // The kernel takes the bitmaps for enough here. A full one is safe with it, too: whatever either
                    // side has set counts.
                    Some(side) => (side, code == SPLIT_BRAIN_OF_OLD),
                    None => return Decision::Refused(Reason::SplitBrain { primaries: self.primaries() }),
                }
            }
            (code, None) => (if code > 0 { Side::Source } else { Side::Target }, code.abs() == 2),
        };
        match side {
            Side::Source if self.disk <= Disk::Inconsistent => Decision::Refused(Reason::SourceInconsistent),
            Side::Source => Decision::Source { full },
            Side::Target if self.real_peer_disk() <= Disk::Inconsistent => {
                Decision::Refused(Reason::SourceInconsistent)
            }
            Side::Target if self.role == Role::Primary && self.disk >= Disk::Consistent => {
                Decision::Refused(Reason::TargetIsPrimary)
            }
            Side::Target => Decision::Target { full },
        }
    }

    /// If just one disk is inconsistent, the other one is the source, whatever the generations say.
    fn better_disk(&self) -> Option<Side> {
        let (mine, peers) = (self.disk, self.real_peer_disk());
        if mine == Disk::Inconsistent && peers > Disk::Inconsistent {
            Some(Side::Target)
        } else if peers == Disk::Inconsistent && mine > Disk::Inconsistent {
            Some(Side::Source)
        } else {
            None
        }
    }

    /// What the peer's disk is going to be, once it is attached.
    fn real_peer_disk(&self) -> Disk {
        match self.peer_disk {
            Disk::Negotiating if self.peer.flags & UUID_INCONSISTENT != 0 => Disk::Inconsistent,
            Disk::Negotiating => Disk::Consistent,
            known => known,
        }
    }

    fn primaries(&self) -> u8 {
        u8::from(self.role == Role::Primary) + u8::from(self.peer_role == Role::Primary)
    }

    /// What an operator said: just one side's data may be discarded.
    fn given_up(&self) -> Option<Side> {
        match (self.discard_my_data, self.peer.flags & UUID_DISCARD_MY_DATA != 0) {
            (true, false) => Some(Side::Target),
            (false, true) => Some(Side::Source),
            _ => None,
        }
    }

    /// What the settings say. Where they ask for a helper program there is none: the connection ends.
    fn recover(&self) -> Option<Side> {
        use AfterSplitBrain::{CallPriLost, Consensus, DiscardSecondary, Violently};
        let (_, with_one, with_two) = self.after_split_brain;
        match (self.primaries(), with_one, with_two) {
            (0, ..) => self.recover_secondaries(),
            (1, DiscardSecondary, _) => Some(self.primary_side()),
            // Of both: only if it is the secondary that loses.
            (1, Consensus | CallPriLost, _) => {
                self.recover_secondaries().filter(|&side| side == self.primary_side())
            }
            (1, Violently, _) | (2, _, Violently) => self.recover_secondaries(),
            _ => None,
        }
    }

    /// Of one primary and one secondary: what this node is if the primary's data is kept.
    fn primary_side(&self) -> Side {
        if self.role == Role::Primary { Side::Source } else { Side::Target }
    }

    /// after-sb-0pri, which the others refer to.
    fn recover_secondaries(&self) -> Option<Side> {
        use AfterSplitBrain::*;
        // The bitmap's generation tells who was primary when they parted.
        let was_primary = (self.mine.bitmap & 1 != 0, self.peer.bitmap & 1 != 0);
        let changes = (self.dirty_bits, self.peer.dirty_bits);
        match (self.after_split_brain.0, was_primary, changes) {
            (DiscardLocal, ..) => Some(Side::Target),
            (DiscardRemote, ..) => Some(Side::Source),
            (DiscardYoungerPrimary, (true, false), _) | (DiscardOlderPrimary, (false, true), _) => {
                Some(Side::Source)
            }
            (DiscardYoungerPrimary, (false, true), _) | (DiscardOlderPrimary, (true, false), _) => {
                Some(Side::Target)
            }
            (DiscardZeroChanges, _, (0, 0)) => Some(self.tie()),
            (DiscardZeroChanges, _, (_, 0)) => Some(Side::Source),
            (DiscardZeroChanges, _, (0, _)) => Some(Side::Target),
            // The two above end up here if they find no difference.
            (DiscardLeastChanges | DiscardYoungerPrimary | DiscardOlderPrimary, _, (mine, peers)) => {
                Some(match mine.cmp(&peers) {
                    std::cmp::Ordering::Less => Side::Target,
                    std::cmp::Ordering::Greater => Side::Source,
                    std::cmp::Ordering::Equal => self.tie(),
                })
            }
            _ => None,
        }
    }

    fn tie(&self) -> Side {
        if self.resolve_conflicts { Side::Target } else { Side::Source }
    }
}
