//! What happens in a world, step by step.

use std::rc::Rc;

use drx_protocol::channel::{Action, EndedBy, Event};
use drx_protocol::names::{ChannelType, LinkId};
use drx_protocol::session::{Order, Sessions, Slot};
use drx_protocol::state::State;

use super::bsr::Bsr;
use super::end::{End, Local, Message};
use super::{Relay, Resource, Side, Step, across};

impl Resource {
    pub(super) fn relay(&mut self, side: Side) -> &mut Relay {
        &mut self.relays[side as usize]
    }

    pub(super) fn bsr(&mut self, side: Side) -> &mut Bsr {
        &mut self.bsrs[side as usize]
    }

    pub(super) fn end_mut(&mut self, side: Side, slot: Slot) -> &mut End {
        Rc::make_mut(&mut self.relays[side as usize].ends[slot.index()])
    }

    pub(super) fn happen(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Link(slot) => self.link(slot),
            Step::Receive(side, slot) => {
                let end = self.end_mut(side, slot);
                let message = end.inbox.remove(0);
                let (event, answer) = end.hear(message);
                if let Some(answer) = answer {
                    self.send(side, slot, answer);
                }
                match event {
                    Some(event) => self.step(side, slot, event),
                    None => self.settle(side, slot),
                }
            }
            Step::Obey(side) => {
                let order = self.relay(side).orders.remove(0);
                match order.event(&self.end(side, order.slot).channel) {
                    Some(event) => self.step(side, order.slot, event),
                    None => Ok(()),
                }
            }
            Step::Open(side, channel_type) | Step::Duplicate(side, channel_type) => {
                self.open(side, channel_type)
            }
            Step::Dial(side, slot) => self.dial(side, slot),
            Step::Agree(side) => {
                self.bsr(side).connected = true;
                Ok(())
            }
            Step::Notice(side, slot) => self.step(side, slot, Event::LocalClosed),
            Step::BsrNotices(side, channel_type) => {
                let lost = self.bsr(side).lose(channel_type);
                self.all_close(side, lost)
            }
            Step::Lose(side, channel_type) => {
                let lost = self.bsr(side).lose(channel_type);
                self.bsr(side).waits = false; // it was at it still, and goes on
                self.all_close(side, lost)
            }
            Step::Write(side, slot) => {
                let ack = self.end_mut(side, slot).write();
                self.send(side, slot, ack);
                self.pay(side.other(), across(slot));
                self.settle(side, slot)
            }
            Step::Drop(side) | Step::GiveUp(side) => {
                let lost = self.bsr(side).drop_all();
                self.all_close(side, lost)
            }
            Step::Cut(slot) => {
                self.forgive();
                for (side, slot) in [(Side::A, slot), (Side::B, across(slot))] {
                    self.end_mut(side, slot).inbox = vec![Message::Closed];
                }
                Ok(())
            }
            Step::Fail(side, slot) => {
                self.forgive();
                self.fail(side, slot)
            }
            Step::TimedOut(side, slot) => {
                self.forgive();
                self.end_mut(side, slot).timed = false;
                self.step(side, slot, Event::TimedOut)
            }
        }
    }

    pub(super) fn link(&mut self, slot: Slot) -> Result<(), String> {
        self.links += 1;
        let link = LinkId(self.links << 96);
        self.step(Side::A, slot, Event::LinkUp(link))?;
        self.step(Side::B, across(slot), Event::LinkUp(link))
    }

    fn send(&mut self, side: Side, slot: Slot, message: Message) {
        if self.is_linked(side, slot) {
            self.end_mut(side.other(), across(slot)).inbox.push(message);
        }
    }

    /// One event in, all its actions done, then what follows from it.
    fn step(&mut self, side: Side, slot: Slot, event: Event) -> Result<(), String> {
        let before = self.end(side, slot).channel.state();
        let Some(actions) = self.end_mut(side, slot).channel.step(event) else { return Ok(()) };
        let mut gone = false;
        for action in actions {
            for message in self.end_mut(side, slot).act(action)? {
                self.send(side, slot, message);
            }
            match action {
                Action::CloseLocal(_) => {
                    self.promise_flushed(side, slot)?;
                    gone |= self.close_local(side, slot);
                }
                Action::Tell(by) => {
                    let partner = self.relays[side as usize].sessions.partner(slot);
                    self.tell(side, |sessions| sessions.ended(slot, by));
                    self.promise_meant(side, partner, by)?;
                    self.notice_duplicate();
                }
                _ => {}
            }
        }
        let channel = &self.end(side, slot).channel;
        let after = channel.state();
        if before != State::Established && after == State::Established {
            let (channel_type, round) = (channel.channel_type().unwrap(), channel.round().unwrap());
            self.relay(side).sessions.established(slot, channel_type, round);
        }
        if before != after && after == State::Stopped {
            self.tell(side, |sessions| sessions.left(slot));
        }
        if after == State::Stopped {
            self.end_mut(side, slot).timed = false;
        }
        if gone {
            self.step(side, slot, Event::LocalGone)?;
        }
        self.settle(side, slot)
    }

    /// Everything that happens by itself at once: passing states, what delivery notices.
    fn settle(&mut self, side: Side, slot: Slot) -> Result<(), String> {
        let end = self.end_mut(side, slot);
        if end.channel.passes() {
            return self.step(side, slot, Event::Next);
        }
        match end.notice() {
            Some(event) => self.step(side, slot, event),
            None => Ok(()),
        }
    }

    fn tell(&mut self, side: Side, what: impl Fn(&mut Sessions) -> Vec<Order>) {
        let relay = self.relay(side);
        let orders = what(&mut relay.sessions);
        relay.orders.extend(orders);
    }

    /// The relay closes its connection to bsr; `true` if it is gone at once.
    fn close_local(&mut self, side: Side, slot: Slot) -> bool {
        let end = self.end_mut(side, slot);
        match end.local {
            Local::Open => end.local = Local::Closing,
            Local::BsrGone => end.local = Local::None,
            Local::None | Local::Closing => {}
        }
        end.local == Local::None
    }

    /// bsr closes its connection to this channel.
    fn bsr_closes(&mut self, side: Side, slot: Slot) -> Result<(), String> {
        let end = self.end_mut(side, slot);
        match end.local {
            Local::Open => end.local = Local::BsrGone,
            Local::Closing => {
                end.local = Local::None;
                return self.step(side, slot, Event::LocalGone);
            }
            Local::None | Local::BsrGone => {}
        }
        Ok(())
    }

    fn all_close(&mut self, side: Side, slots: Vec<Slot>) -> Result<(), String> {
        slots.into_iter().try_for_each(|slot| self.bsr_closes(side, slot))
    }

    fn open(&mut self, side: Side, channel_type: ChannelType) -> Result<(), String> {
        let slot = self.open_lane(side).unwrap();
        self.promise_closed_door(side)?;
        self.bsr(side).waits = false;
        self.bsr(side).hold(channel_type, slot);
        self.end_mut(side, slot).local = Local::Open;
        self.step(side, slot, Event::Accepted)?;
        self.relay(side).sessions.connected(slot);
        self.relay(side).sessions.coming(slot, channel_type);
        self.step(side, slot, Event::FirstPacket(channel_type))
    }

    fn dial(&mut self, side: Side, slot: Slot) -> Result<(), String> {
        let channel_type = self.end(side, slot).channel.channel_type().unwrap();
        let older = self.bsr(side).hold(channel_type, slot);
        let end = self.end_mut(side, slot);
        end.dials_bsr = false;
        end.local = Local::Open;
        end.begin();
        self.relay(side).sessions.connected(slot);
        self.step(side, slot, Event::Dialled)?;
        self.all_close(side, older.into_iter().collect())
    }

    fn fail(&mut self, side: Side, slot: Slot) -> Result<(), String> {
        if self.is_linked(side, slot) {
            self.end_mut(side.other(), across(slot)).inbox.push(Message::Closed);
        }
        self.bsr(side).forgotten(slot);
        self.tell(side, |sessions| sessions.ended(slot, EndedBy::Failure));
        self.tell(side, |sessions| sessions.left(slot));
        self.relay(side).ends[slot.index()] = Rc::new(End::new(slot, self.rules));
        Ok(())
    }
}
