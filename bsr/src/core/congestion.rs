//! Protocol A, when the other node does not keep up: go Ahead, telling only what is out of sync, and resync when all that
//! was sent has arrived (bsr-wire D.4).

use std::time::Duration;

use super::{Node, OnCongestion, Protocol};
use crate::wire::{Connection, Disk};

impl Node {
    /// Before a write is sent.
    pub(super) fn consider_congestion(&mut self) {
        let eligible = self.settings.protocol == Protocol::A
            && self.settings.on_congestion != OnCongestion::Block
            && self.state.connection == Connection::Connected
            && self.state.disk == Disk::UpToDate
            && self.version() >= VERSION_AHEAD
            // What the other node was asked, it answers for the state that it was asked in.
            && !self.orders.is_asking()
            && !self.is_announcing();
        if !eligible {
            return;
        }
        let (fill, extents) = (self.settings.congestion_fill, self.settings.congestion_extents as usize);
        let in_flight = self.requests.in_flight();
        let why = if fill > 0 && in_flight >= fill {
            format!("{in_flight} bytes are under way, congestion-fill is {fill}")
        } else if extents > 0 && self.activity.hot_with_references() >= extents {
            format!("{extents} extents are in use (congestion-extents)")
        } else {
            return;
        };
        self.end_epoch();
        match self.settings.on_congestion {
            OnCongestion::Block => {}
            OnCongestion::PullAhead => {
                self.change(&why, |state| state.connection = Connection::Ahead);
                self.send_state();
                // It may be the extents alone that made it so: then nothing is under way.
                self.consider_return();
            }
            OnCongestion::Disconnect => self.stand_alone(&why),
        }
    }

    /// After an acknowledgement: when nothing is under way any more, a resync may begin.
    pub(super) fn consider_return(&mut self) {
        let now = self.now;
        if self.state.connection != Connection::Ahead || self.requests.in_flight() > 0 {
            return;
        }
        if let Some(session) = &mut self.session
            && session.outbound.is_acknowledged()
            && session.ahead_until.is_none()
        {
            session.ahead_until = Some(now + RETURN);
        }
    }

    pub(super) fn ahead_timer(&mut self) {
        let Some(session) = &mut self.session else { return };
        if session.ahead_until.is_some_and(|until| until <= self.now) {
            session.ahead_until = None;
            if self.state.connection == Connection::Ahead {
                let why = "all that was sent has arrived";
                self.change(why, |state| state.connection = Connection::SyncSource);
            }
        }
    }
}

/// Ahead and Behind exist.
const VERSION_AHEAD: u32 = 96;
/// The time between the last acknowledgement and the resync, as DRBD has it: no burst ends exactly then.
const RETURN: Duration = Duration::from_secs(1);
