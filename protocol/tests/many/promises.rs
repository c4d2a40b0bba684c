//! What a relay promises of a resource's sessions.

use std::cell::Cell;
use std::rc::Rc;

use drx_protocol::channel::EndedBy;
use drx_protocol::ending::Ending;
use drx_protocol::names::ChannelType;
use drx_protocol::session::{Order, Slot};
use drx_protocol::state::State;

use super::bsr::TYPES;
use super::end::Debt;
use super::{Resource, Side, across};

/// How many rounds a link may see before it is idle again. A fault costs two or three.
const MOST_ROUNDS: u32 = 4;

/// How often a promise was put to the test: one that is never in question is no promise.
#[derive(Debug, Default)]
pub struct Seen {
    /// A bsr lost the data that was flushed to it while it had its meta.
    pub flushes: Cell<u32>,
    /// An older duplicate was lost beside a whole session.
    pub duplicates: Cell<u32>,
    /// A stop named another partner than the one that the channel has here.
    pub strangers: Cell<u32>,
}

fn count(seen: &Cell<u32>) {
    seen.set(seen.get() + 1);
}

impl Resource {
    /// What is well stays well, whatever becomes of older duplicates.
    pub(super) fn promise_together(&self) -> Result<(), String> {
        self.are_together().then_some(()).ok_or_else(|| "what was well is well no more".into())
    }

    /// A fault is followed by a few rounds, not by rounds without end.
    pub(super) fn promise_rest(&self) -> Result<(), String> {
        let restless =
            |side| Slot::ALL.into_iter().any(|slot| self.end(side, slot).channel.attempt() > MOST_ROUNDS);
        if Side::BOTH.into_iter().any(restless) {
            return Err("rounds follow each other again and again".into());
        }
        Ok(())
    }

    /// No lane lets bsr in while a session is in `close_pending`.
    pub(super) fn promise_closed_door(&self, side: Side) -> Result<(), String> {
        match Slot::ALL.into_iter().find(|&slot| self.end(side, slot).is(State::ClosePending)) {
            Some(slot) => Err(format!("{side:?}'s bsr is let in while {slot:?} is in close_pending")),
            None => Ok(()),
        }
    }

    /// bsr never loses its meta before the data that the other one's relay flushes is through, and before it has
    /// answered the end of data: what is written to it it may not have read.
    pub(super) fn promise_flushed(&self, side: Side, slot: Slot) -> Result<(), String> {
        let bsr = &self.bsrs[side as usize];
        let (Some(data), Some(meta)) = (bsr.at(ChannelType::Data), bsr.at(ChannelType::Meta)) else {
            return Ok(());
        };
        if !bsr.connected {
            return Ok(());
        }
        match self.end(side.other(), across(data)).debt {
            Debt::Due | Debt::Paid if slot == meta => {
                return Err(format!("{side:?}'s bsr loses meta {slot:?} before the data at {data:?}"));
            }
            Debt::Paid if slot == data => count(&self.seen.flushes),
            _ => {}
        }
        Ok(())
    }

    /// A stop that means another partner does not end one that two bsr hold.
    pub(super) fn promise_meant(&self, side: Side, partner: Option<Slot>, by: EndedBy) -> Result<(), String> {
        let EndedBy::Remote(Ending { partner: Some(meant), .. }) = by else { return Ok(()) };
        let Some(partner) = partner else { return Ok(()) };
        let round = self.end(side, partner).channel.round();
        if round == Some(meant) {
            return Ok(());
        }
        count(&self.seen.strangers);
        let at_a = if side == Side::A { partner } else { across(partner) };
        let joined = TYPES.into_iter().any(|channel_type| self.is_joined(at_a, channel_type));
        let ends = |order: &Order| order.slot == partner && Some(order.round) == round;
        if joined && self.relays[side as usize].orders.iter().any(ends) {
            return Err(format!(
                "{side:?} ends {partner:?}, which two bsr hold, by a stop that means another"
            ));
        }
        Ok(())
    }

    /// A channel has ended, and was none of the session's.
    pub(super) fn notice_duplicate(&self) {
        if self.are_together() {
            count(&self.seen.duplicates);
        }
    }

    /// Once they are together each bsr writes something that the other must get.
    pub(super) fn replicate(&mut self) {
        if !self.are_together() {
            return;
        }
        for side in Side::BOTH {
            let data = self.bsrs[side as usize].at(ChannelType::Data);
            if let Some(data) = data.filter(|&data| self.end(side, data).debt == Debt::None) {
                self.end_mut(side, data).debt = Debt::Due;
            }
        }
    }

    /// What bsr wrote there has reached the other bsr.
    pub(super) fn pay(&mut self, side: Side, slot: Slot) {
        if self.end(side, slot).debt == Debt::Due {
            self.end_mut(side, slot).debt = Debt::Paid;
        }
    }

    /// Nobody can promise that what was in the BAB arrives: a link, an actor or the time is gone.
    pub(super) fn forgive(&mut self) {
        for end in self.relays.iter_mut().flat_map(|relay| &mut relay.ends) {
            if matches!(end.debt, Debt::Due | Debt::Paid) {
                Rc::make_mut(end).debt = Debt::Forgiven;
            }
        }
    }
}
