//! After the attack: a good peer, and an operator.

use std::time::Duration;

use drx_bsr::core::Order;
use drx_bsr::wire::{Connection, Disk, Role};

use super::side::Side;
use super::world::{PEER, VICTIM, World};

impl World {
    /// The line is the good peer's again: both disks become the same.
    pub fn recover(&mut self, restart: bool) {
        self.seized = false;
        for side in 0..2 {
            if self.sides[side].linked {
                self.sides[side].broken(self.now, 0);
            }
        }
        if restart && !self.strict {
            self.restart(VICTIM);
        }
        self.agree();
        if !self.strict {
            // The attacker may have claimed to have what the good peer has not: only an operator can know that.
            self.sides[PEER].order(self.now, Order::Secondary);
            self.calm(HOUR, |world| world.sides[PEER].is_idle());
            self.sides[VICTIM].order(self.now, Order::InvalidateRemote);
            self.calm(HOUR, |world| world.sides[VICTIM].is_idle());
            self.agree();
        }
        let sizes = self.sides.each_ref().map(|side| side.node.status().size);
        assert_eq!(sizes[0], sizes[1], "the volume's size");
        for side in &self.sides {
            assert_eq!(side.node.status().out_of_sync, 0, "{:?}", side.node.status());
        }
        let size = sizes[0] as usize;
        let [left, right] = &self.sides;
        let differs = (0..size).find(|at| left.disk.volume[*at] != right.disk.volume[*at]);
        assert_eq!(differs.map(|at| at / 512), None, "a sector differs");
    }

    /// Both are well, and nothing is left to be done.
    fn agree(&mut self) {
        for attempt in 0..ATTEMPTS {
            self.stand_up();
            let settled = |world: &World| {
                let all = |is: fn(&Side) -> bool| world.sides.iter().all(is);
                let connection = |side: &Side| side.node.state().connection;
                world.sides.iter().any(|side| connection(side) == Connection::StandAlone)
                    || all(|side| side.node.state().connection == Connection::Connected) && all(Side::is_idle)
            };
            assert!(self.calm(HOUR, settled), "they find to nothing: {}", self.tell_states());
            if self.sides.iter().all(Side::is_well) {
                return;
            }
            assert!(!self.strict, "an operator is needed: {}", self.tell_states());
            self.operate(attempt);
        }
        panic!("an operator cannot help: {}", self.tell_states());
    }

    /// Whoever stands alone looks for the other one.
    fn stand_up(&mut self) {
        for side in &mut self.sides {
            if side.node.state().connection == Connection::StandAlone {
                side.order(self.now, Order::Connect { discard_my_data: false });
            }
        }
    }

    /// What the nodes say that they need: the victim's data is kept.
    fn operate(&mut self, attempt: usize) {
        let now = self.now;
        if self.sides.iter().all(|side| {
            let state = side.node.state();
            state.connection == Connection::Connected && state.disk != Disk::UpToDate
        }) {
            self.sides[VICTIM].order(now, Order::Secondary);
            self.sides[VICTIM].order(now, Order::Primary { force: true });
            self.calm(MINUTE, |world| world.sides[VICTIM].is_idle());
            return;
        }
        for side in &self.sides {
            let status = side.node.status();
            let reason = status.last_break.unwrap_or_default();
            assert!(
                status.state.connection != Connection::StandAlone || !reason.is_empty(),
                "it stands alone, and says nothing"
            );
        }
        for side in [VICTIM, PEER] {
            self.sides[side].order(now, Order::Disconnect);
            self.calm(MINUTE, |world| world.sides[side].is_idle());
        }
        let standing = self.sides.each_ref().map(|side| side.node.state());
        assert!(standing.iter().all(|state| state.connection == Connection::StandAlone), "{standing:?}");
        self.sides[PEER].order(now, Order::Secondary);
        if standing[VICTIM].disk != Disk::UpToDate {
            self.sides[VICTIM].order(now, Order::Secondary);
            self.sides[VICTIM].order(now, Order::Primary { force: true });
        }
        if attempt == 0 {
            // Settings that the other node's operator wished for count until then.
            self.restart(VICTIM);
            self.sides[PEER].order(now, Order::Connect { discard_my_data: true });
        } else if attempt < 3 {
            self.sides[PEER].order(now, Order::Invalidate);
        } else {
            // It knows nothing of the victim's generations, whatever those have become.
            self.seeds += 1;
            let seed = self.seeds;
            self.sides[PEER].create(seed, now);
        }
        self.calm(MINUTE, |world| world.sides.iter().all(Side::is_idle));
        assert_eq!(self.sides[PEER].node.state().role, Role::Secondary);
    }

    fn tell_states(&self) -> String {
        let told = self.sides.each_ref().map(|side| {
            let status = side.node.status();
            format!("{:?} after {:?}, {} asked; ", status.state, status.last_break, side.asked())
        });
        told.concat()
    }
}

const ATTEMPTS: usize = 8;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
