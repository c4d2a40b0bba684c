//! The generations of a volume's data, and what two nodes' generations say about them (bsr-wire C.3).

use std::fmt;

use crate::wire::Uuids;

pub mod compare;
pub mod decide;

pub use compare::{Comparison, Handshake};
pub use decide::{Decision, Reason};

/// A node's generations. The lowest bit of each tells whether the node was primary then, and is no part of the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Generations {
    /// Of the data as it is.
    pub current: u64,
    /// Since which the bitmap tells the differences; 0: none.
    pub bitmap: u64,
    /// The two before.
    pub history: [u64; 2],
    /// The other node may have the current one, too: a resync to it began since this one is current, and may be over
    /// without this node knowing. Not told to it. Of no meaning without [`Generations::bitmap`].
    pub shared: bool,
}

/// The generation of a disk that was just created: nothing is known of its data.
pub const JUST_CREATED: u64 = 4;

/// What a resync's own generation differs by from the one that it starts from.
pub const SYNC_OFFSET: u64 = 1 << 48;

/// A generation's lowest bit: the node was primary.
const PRIMARY: u64 = 1;

impl fmt::Display for Generations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:016x}:{:016x}:{:016x}:{:016x}",
            self.current, self.bitmap, self.history[0], self.history[1]
        )
    }
}

impl From<&Uuids> for Generations {
    fn from(told: &Uuids) -> Generations {
        Generations { current: told.current, bitmap: told.bitmap, history: told.history, shared: false }
    }
}

impl Generations {
    /// Those of a disk that was just created.
    pub fn just_created() -> Generations {
        Generations { current: JUST_CREATED, ..Generations::default() }
    }

    /// What P_UUIDS tells of them, with how many bits are set, and UUID_* flags.
    pub fn told(&self, dirty_bits: u64, flags: u64) -> Uuids {
        Uuids { current: self.current, bitmap: self.bitmap, history: self.history, dirty_bits, flags }
    }

    /// The node's role, kept in the lowest bit of the current generation.
    pub fn set_primary(&mut self, primary: bool) {
        self.current = self.current & !PRIMARY | u64::from(primary);
    }

    /// Whether the other node may have the data as it is, so that writes that it does not get need a new generation.
    ///
    /// The kernel goes by the bitmap's generation alone. So a source that lost its target in the moment in which that one
    /// was done writes on within a generation that both have: what it wrote can be taken for what the target has, and be
    /// lost, or never be looked at.
    pub fn may_be_shared(&self) -> bool {
        self.bitmap == 0 || self.shared
    }

    /// The target of a resync from here cannot be done: this node has not all of its acknowledgements, and the target
    /// makes sure of these before.
    pub fn target_is_not_done(&mut self) {
        self.shared = false;
    }

    /// From now on there may be writes that the other node does not get. `random`: 64 fresh random bits.
    ///
    /// If there is a generation already that the bitmap tells the differences since, it stays, and the current one
    /// becomes history: the bitmap still tells just these differences. (The kernel overwrites it with a warning; a peer
    /// that has that generation is a stranger then.)
    pub fn rotate_for_new(&mut self, random: u64) {
        if self.bitmap == 0 {
            self.bitmap = self.current;
        } else {
            self.remember(self.current);
        }
        self.replace_current(fresh(random));
        self.shared = false;
    }

    /// No differences are left since the bitmap's generation, which becomes history.
    pub fn clear_bitmap(&mut self) {
        if self.bitmap != 0 {
            self.remember(self.bitmap);
            self.bitmap = 0;
            self.shared = false;
        }
    }

    /// This node begins to be a resync's source. Returns what P_SYNC_UUID has to say. `random`: 64 fresh random bits.
    pub fn start_sync_source(&mut self, random: u64) -> u64 {
        let resync = match self.bitmap & !PRIMARY {
            0 | JUST_CREATED => fresh(random),
            _ => self.bitmap.wrapping_add(SYNC_OFFSET),
        };
        self.clear_bitmap();
        self.bitmap = resync;
        self.shared = true;
        resync
    }

    /// P_SYNC_UUID came: what this node has is neither its own nor the source's data, until the resync is over.
    pub fn receive_sync_uuid(&mut self, resync: u64) {
        self.replace_current(resync);
        self.bitmap = 0;
    }

    /// A resync to this node is over: what it has is what the source has. `source`: its generations as it told them
    /// before the resync, and as [`Handshake::decide`] corrected them. Afterwards both nodes' generations are the same;
    /// but after a full resync from a kernel not the older one of the history.
    pub fn finish_as_target(&mut self, source: &Uuids) {
        let resync = self.current;
        self.bitmap = source.bitmap;
        self.history = source.history;
        self.clear_bitmap();
        self.remember(resync);
        self.replace_current(source.current);
    }

    /// A resync from this node is over.
    pub fn finish_as_source(&mut self) {
        self.clear_bitmap();
    }

    /// The bitmap tells all differences since a generation, now that all its bits are to be set.
    fn all_differ_from(&mut self, generation: u64) {
        let generation = generation & !PRIMARY;
        let known = [self.bitmap & !PRIMARY, self.current & !PRIMARY, 0, JUST_CREATED];
        if !known.contains(&generation) {
            self.clear_bitmap();
            self.bitmap = generation;
        }
    }

    fn remember(&mut self, generation: u64) {
        self.history = [generation, self.history[0]];
    }

    /// Whether the node is primary does not change with the data.
    fn replace_current(&mut self, generation: u64) {
        self.current = generation & !PRIMARY | self.current & PRIMARY;
    }
}

/// A new generation: never one of the two numbers that have a meaning of their own.
fn fresh(random: u64) -> u64 {
    if matches!(random & !PRIMARY, 0 | JUST_CREATED) { random ^ SYNC_OFFSET } else { random }
}
