//! A node with a small disk: what it has, and what its applications were told.

use std::collections::BTreeSet;

use drx_bsr::uuid::Generations;
use drx_bsr::wire::{Disk, Role, Uuids};

use super::{flags, generations};

pub const BLOCKS: usize = 8;

/// One of the two.
#[derive(Clone, Debug)]
pub struct Node {
    pub mine: Generations,
    pub role: Role,
    pub disk: Disk,
    pub crashed_primary: bool,
    pub discard_my_data: bool,
    /// The write that each block was written by.
    pub blocks: [u64; BLOCKS],
    pub bits: [bool; BLOCKS],
    /// Written to lately: after a crash these may differ.
    pub hot: Vec<usize>,
    /// Writes that an application was told to be done, as far as this disk has them.
    pub acknowledged: BTreeSet<u64>,
    /// It was primary without the other one since both had the same.
    pub alone: bool,
    /// The other one's generations, as corrected.
    pub peer: Uuids,
}

impl Node {
    pub fn new() -> Node {
        Node {
            mine: generations(0xa0, 0, [0xb0, 0xc0]),
            role: Role::Secondary,
            disk: Disk::UpToDate,
            crashed_primary: false,
            discard_my_data: false,
            blocks: [0; BLOCKS],
            bits: [false; BLOCKS],
            hot: Vec::new(),
            acknowledged: BTreeSet::new(),
            alone: false,
            peer: Uuids::default(),
        }
    }

    pub fn told(&self) -> Uuids {
        self.mine.told(self.weight(), flags(self.crashed_primary, self.discard_my_data))
    }

    pub fn weight(&self) -> u64 {
        self.bits.iter().filter(|&&set| set).count() as u64
    }

    pub fn write_alone(&mut self, block: usize, write: u64) {
        self.blocks[block] = write;
        self.bits[block] = true;
        self.acknowledged.insert(write);
    }

    pub fn heat(&mut self, block: usize) {
        self.hot.insert(0, block);
        self.hot.truncate(3);
    }
}
