//! When a meta channel holds bsr's pings, and what it says of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use drx_protocol::meta::Strange;
use drx_protocol::names::ChannelType;
use drx_protocol::{Standing, State};
use slog::{info, warn};

use super::ChannelActor;
use crate::bab::BabOrder;

impl ChannelActor {
    /// Tells the BAB whenever it changes whether pings are held.
    pub(super) fn mind_pings(&mut self) {
        let most = self.may_hold_pings();
        if most != self.holding_pings {
            self.holding_pings = most;
            self.order_bab(BabOrder::HoldPings(most));
        }
    }

    /// How long bsr's pings may be held, if nobody at the other side can answer them now.
    fn may_hold_pings(&self) -> Option<Duration> {
        let (machine, link) = (&self.machine, &self.terms.settings.link);
        if !link.hold_pings || machine.channel_type() != Some(ChannelType::Meta) {
            return None;
        }
        let established = machine.state() == State::Established;
        // The other bsr is gone. Its relay holds meta open until the data that it left is here, and this
        // relay does until that is written.
        let flushed_there = established && self.remote == Some(Standing::In(State::Stopping));
        if established && machine.link().is_suspended() {
            Some(link.resume_timeout)
        } else if flushed_there || machine.outlives_the_other_bsr() {
            Some(link.close_pending_timeout)
        } else {
            None
        }
    }

    pub(super) fn ping_held(&self) {
        if let Some(unsaid) = self.may_say_of_pings() {
            info!(self.log, "bsr's pings are answered here: nobody at the other side can"; "attempt" => self.machine.attempt(),
                "unsaid" => unsaid);
        }
    }

    pub(super) fn pings_held(&self, answered: u64) {
        if let Some(unsaid) = self.may_say_of_pings() {
            info!(self.log, "bsr's pings are not answered here any more"; "answered" => answered,
                "attempt" => self.machine.attempt(), "unsaid" => unsaid);
        }
    }

    pub(super) fn pings_given_up(&self, strange: Strange) {
        warn!(self.log, "no ping is held until bsr connects again: its meta is not understood"; "why" => %strange,
            "attempt" => self.machine.attempt());
    }

    /// A line that flaps does not fill the log.
    fn may_say_of_pings(&self) -> Option<u64> {
        let bsr = self.addresses.bsr.as_ref().and_then(|bsr| bsr.parse::<SocketAddr>().ok());
        let bsr = bsr.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |bsr| bsr.ip());
        self.terms.quiet.borrow_mut().may_say(bsr)
    }
}
