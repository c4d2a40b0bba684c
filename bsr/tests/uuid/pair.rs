//! Two nodes and the line between them.

use drx_bsr::uuid::{Comparison, Decision, Generations, Handshake, Reason};
use drx_bsr::wire::{Disk, Role};

use super::node::{BLOCKS, Node};
use super::{are_mirrored, handshake};

/// How far the two have got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    Down,
    /// Both have the same, and every write goes to both.
    Same,
    /// From node `.0`.
    Resync(usize, Stage),
}

/// How far a resync has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Both know who is source.
    Decided,
    /// Both have both bitmaps.
    Bitmaps,
    /// The source has begun; its P_SYNC_UUID is on its way.
    Begun,
    /// The target has it.
    Running,
    /// The target is done; the source does not know yet.
    TargetDone,
}

/// When a node that is primary alone begins a new generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// If there is none for the bitmap yet.
    Kernel,
    /// Also if the other one may have the current one: it was the target of a resync that may be over.
    Careful,
}

/// The world.
#[derive(Debug)]
pub struct Pair {
    pub rng: fastrand::Rng,
    pub nodes: [Node; 2],
    pub line: Line,
    habits: [Habit; 2],
    writes: u64,
    /// What was decided, and by which rule, for each connection.
    pub log: Vec<(Comparison, Decision)>,
    /// An operator said whose changes are to be lost; the resync that follows is not over yet.
    resolved: bool,
    /// A promise that was not kept.
    pub broken: Option<String>,
}

impl Pair {
    pub fn new(seed: u64, habits: [Habit; 2]) -> Pair {
        let node = Node::new();
        let nodes = [node.clone(), node];
        Pair {
            rng: fastrand::Rng::with_seed(seed),
            nodes,
            line: Line::Down,
            habits,
            writes: 0,
            log: Vec::new(),
            resolved: false,
            broken: None,
        }
    }

    fn random(&mut self) -> u64 {
        self.rng.u64(1 << 16..)
    }

    pub fn step(&mut self) {
        let one = self.rng.usize(0..2);
        match self.rng.u8(0..20) {
            0 | 1 => self.promote(one),
            2 => self.demote(one),
            3..=7 => self.write(one),
            8 => self.lose_line(),
            9 if self.rng.bool() => self.crash(one),
            _ => match self.line {
                Line::Down => self.connect(),
                Line::Same => {}
                Line::Resync(source, stage) => self.resync(source, stage),
            },
        }
    }

    fn promote(&mut self, one: usize) {
        let [mine, other] = [&self.nodes[one], &self.nodes[1 - one]];
        let prepares = matches!(self.line, Line::Resync(_, Stage::Decided | Stage::Bitmaps));
        let other_is = self.line != Line::Down && other.role == Role::Primary;
        if mine.role == Role::Primary || mine.disk != Disk::UpToDate || other_is || prepares {
            return;
        }
        self.nodes[one].role = Role::Primary;
        if self.line == Line::Down {
            self.part(one);
        }
        self.nodes[one].mine.set_primary(true);
    }

    /// A primary goes its own way: what it has is no longer what the other one has.
    fn part(&mut self, one: usize) {
        let random = self.random();
        let (habit, node) = (self.habits[one], &mut self.nodes[one]);
        let source = matches!(self.line, Line::Resync(source, Stage::Begun | Stage::Running | Stage::TargetDone) if source == one);
        if source && node.weight() > 0 {
            node.mine.target_is_not_done();
        }
        if node.role == Role::Primary && node.disk == Disk::UpToDate {
            node.alone = true;
            let rotates = match habit {
                Habit::Kernel => node.mine.bitmap == 0,
                Habit::Careful => node.mine.may_be_shared(),
            };
            if rotates {
                node.mine.rotate_for_new(random);
            }
        }
    }

    fn demote(&mut self, one: usize) {
        self.nodes[one].role = Role::Secondary;
        self.nodes[one].mine.set_primary(false);
        self.nodes[one].hot.clear();
    }

    fn write(&mut self, one: usize) {
        if self.nodes[one].role != Role::Primary
            || matches!(self.line, Line::Resync(_, Stage::Decided | Stage::Bitmaps))
        {
            return;
        }
        let block = self.rng.usize(0..BLOCKS);
        self.writes += 1;
        self.nodes[one].heat(block);
        if self.line == Line::Down {
            self.nodes[one].write_alone(block, self.writes);
        } else {
            for node in &mut self.nodes {
                node.blocks[block] = self.writes;
                node.bits[block] = false;
                node.acknowledged.insert(self.writes);
            }
        }
    }

    /// Something may be half way to the other node when it happens; the application is told that it is done.
    fn lose_line(&mut self) {
        let prepares = matches!(self.line, Line::Down | Line::Resync(_, Stage::Decided | Stage::Bitmaps));
        for one in 0..2 {
            if self.line != Line::Down {
                self.part(one);
            }
            if !prepares && self.nodes[one].role == Role::Primary && self.rng.bool() {
                let block = self.rng.usize(0..BLOCKS);
                self.writes += 1;
                if self.rng.bool() {
                    self.nodes[1 - one].blocks[block] = self.writes;
                }
                self.nodes[one].heat(block);
                self.nodes[one].write_alone(block, self.writes);
            }
        }
        self.line = Line::Down;
    }

    /// Something may be half way to any of the two disks; nobody was told that it is done.
    fn crash(&mut self, one: usize) {
        let prepares = matches!(self.line, Line::Resync(_, Stage::Decided | Stage::Bitmaps));
        if self.line != Line::Down && !prepares && self.nodes[one].role == Role::Primary {
            let block = self.rng.usize(0..BLOCKS);
            self.writes += 1;
            self.nodes[one].heat(block);
            for node in &mut self.nodes {
                if self.rng.bool() {
                    node.blocks[block] = self.writes;
                }
            }
        }
        if self.line != Line::Down {
            self.part(1 - one);
        }
        self.line = Line::Down;
        let node = &mut self.nodes[one];
        for block in std::mem::take(&mut node.hot) {
            node.bits[block] = true;
        }
        if node.role == Role::Primary {
            node.crashed_primary = true;
        }
        node.role = Role::Secondary;
    }

    fn view(&self, one: usize) -> Handshake {
        let (mine, other) = (&self.nodes[one], &self.nodes[1 - one]);
        let mut view = handshake(mine.mine, other.told());
        (view.role, view.disk) = (mine.role, mine.disk);
        (view.peer_role, view.peer_disk) = (other.role, other.disk);
        (view.crashed_primary, view.discard_my_data) = (mine.crashed_primary, mine.discard_my_data);
        view.dirty_bits = mine.weight();
        view.resolve_conflicts = one == 0;
        view
    }

    fn connect(&mut self) {
        let mut views = [self.view(0), self.view(1)];
        let decided = [views[0].decide(), views[1].decide()];
        assert!(are_mirrored(decided[0].1, decided[1].1), "{decided:?} for {:#?}", self.nodes);
        self.log.push(decided[0]);
        if self.nodes.iter().all(|node| node.role == Role::Primary) {
            let one = self.rng.usize(0..2);
            self.demote(one);
            return;
        }
        let source = match (decided[0].1, decided[1].1) {
            (Decision::Refused(Reason::TargetIsPrimary), _) => return self.demote(0),
            (_, Decision::Refused(Reason::TargetIsPrimary)) => return self.demote(1),
            (Decision::Refused(Reason::SplitBrain { .. }), _) => {
                self.demand(self.nodes[0].alone && self.nodes[1].alone, "a split brain with one head");
                let loser = self.rng.usize(0..2);
                self.demote(loser);
                self.nodes[loser].discard_my_data = true;
                return;
            }
            (Decision::Refused(Reason::Unrelated), _) if self.resolved => return self.create_anew(),
            (Decision::Refused(reason), _) => return self.demand(false, &reason.to_string()),
            (Decision::NoSync, _) => None,
            (Decision::Source { .. }, _) => Some(0),
            (Decision::Target { .. }, _) => Some(1),
        };
        for (node, view) in self.nodes.iter_mut().zip(&views) {
            (node.mine, node.peer) = (view.mine, view.peer);
        }
        match source {
            None => {
                self.same();
            }
            Some(source) => {
                let full =
                    matches!(decided[0].1, Decision::Source { full: true } | Decision::Target { full: true });
                self.decided(source, full);
            }
        }
    }

    fn decided(&mut self, source: usize, full: bool) {
        let given = self.nodes[1 - source].discard_my_data;
        let had = self.nodes[source].acknowledged.clone();
        let target = &mut self.nodes[1 - source];
        if given {
            self.resolved = true;
            target.acknowledged.retain(|write| had.contains(write));
        }
        let nothing_lost = target.acknowledged.is_subset(&had);
        target.disk = target.disk.min(Disk::Outdated);
        self.demand(nothing_lost, "acknowledged writes would be lost");
        for node in &mut self.nodes {
            node.discard_my_data = false;
            if full {
                node.bits = [true; BLOCKS];
            }
        }
        self.line = Line::Resync(source, Stage::Decided);
    }

    fn resync(&mut self, source: usize, stage: Stage) {
        let random = self.random();
        let target = 1 - source;
        let next = match stage {
            Stage::Decided => {
                // One after the other: the line may be lost in between.
                let to = [target, source];
                for one in &to[..self.rng.usize(1..=2)] {
                    for block in 0..BLOCKS {
                        self.nodes[*one].bits[block] |= self.nodes[1 - one].bits[block];
                    }
                }
                if self.nodes[0].bits == self.nodes[1].bits { Stage::Bitmaps } else { Stage::Decided }
            }
            Stage::Bitmaps => {
                self.nodes[source].mine.start_sync_source(random);
                Stage::Begun
            }
            Stage::Begun => {
                let told = self.nodes[source].mine.bitmap;
                self.nodes[target].mine.receive_sync_uuid(told);
                self.nodes[target].disk = Disk::Inconsistent;
                Stage::Running
            }
            Stage::Running => match self.nodes[target].bits.iter().position(|&set| set) {
                Some(block) => {
                    self.nodes[target].blocks[block] = self.nodes[source].blocks[block];
                    self.nodes[target].bits[block] = false;
                    // The acknowledgement may still be on its way.
                    self.nodes[source].bits[block] = self.rng.bool();
                    Stage::Running
                }
                None => {
                    let acknowledged = self.nodes[source].acknowledged.clone();
                    // By its ping the target knows that the source has all acknowledgements.
                    self.nodes[source].bits = [false; BLOCKS];
                    let done = &mut self.nodes[target];
                    done.mine.finish_as_target(&done.peer.clone());
                    done.disk = Disk::UpToDate;
                    done.acknowledged = acknowledged;
                    Stage::TargetDone
                }
            },
            Stage::TargetDone => {
                self.nodes[source].mine.finish_as_source();
                self.same();
                return;
            }
        };
        self.line = Line::Resync(source, next);
    }

    fn demand(&mut self, kept: bool, what: &str) {
        if !kept && self.broken.is_none() {
            self.broken = Some(what.to_owned());
        }
    }

    /// The line was lost more than once while a split brain was being resolved: an operator creates the disk anew.
    fn create_anew(&mut self) {
        let loser = usize::from(self.nodes[1].disk < self.nodes[0].disk);
        self.demote(loser);
        let node = &mut self.nodes[loser];
        node.mine = Generations::just_created();
        node.disk = Disk::Inconsistent;
        node.crashed_primary = false;
        node.acknowledged.clear();
    }

    fn same(&mut self) {
        let [one, other] = &self.nodes;
        let data = one.blocks == other.blocks && one.acknowledged == other.acknowledged;
        let known = |node: &Node| {
            [node.mine.current, node.mine.history[0], node.mine.history[1]].map(|uuid| uuid & !1)
        };
        let generations = known(one) == known(other);
        self.demand(data, "not the same data");
        self.demand(generations, "not the same generations");
        for node in &mut self.nodes {
            node.bits = [false; BLOCKS];
            (node.disk, node.crashed_primary, node.alone) = (Disk::UpToDate, false, false);
            node.discard_my_data = false;
        }
        self.resolved = false;
        self.line = Line::Same;
    }
}
