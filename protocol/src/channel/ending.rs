//! How a channel ends: `close_pending`, `stopping`, and what each of them waits for.
//!
//! Two directions end separately. *Ours* is over when FIN was sent and everything before it was
//! acknowledged; *theirs* when their FIN came and everything before it was written to bsr, or was
//! discarded because bsr is gone. Only a lost link or an ABORT shortens that.

use super::words::{Action, Cause, Close, EndedBy, Event, Finish, Kept, Place};
use super::{Channel, LinkState};
use crate::ending::{EndReason, Ending};
use crate::names::{ChannelType, Role};
use crate::state::State;

/// How far the goodbye of the present round has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Farewell {
    /// Our FIN was ordered: how, once the resource lets it go.
    pub(super) finish: Option<(Finish, Ending)>,
    /// Our FIN was handed to the BAB.
    pub(super) ordered: bool,
    /// Everything before our FIN is acknowledged.
    pub(super) flushed: bool,
    /// Their FIN is here.
    pub(super) heard: bool,
    /// Everything before their FIN is written to bsr.
    pub(super) delivered: bool,
    /// bsr is gone: theirs is thrown away.
    pub(super) discarding: bool,
    /// An ABORT was said or heard: neither side waits for the other any more.
    pub(super) aborted: bool,
    /// Meta: waits for the data channel's flush (docs/channels.md 2, rule 5).
    pub(super) held: bool,
}

impl Channel {
    /// Leaves `established`: data by way of `close_pending`, meta held until the data is through.
    pub(super) fn end(&mut self, cause: Cause) -> Vec<Action> {
        let link_dies = matches!(cause, Cause::LinkLost);
        let mut actions = vec![Action::Tell(ended_by(&cause))];
        self.blame(cause);
        if link_dies {
            self.lose_link();
        }
        let own = |reason| Ending::new(reason);
        match cause {
            Cause::LocalBsr => {
                self.discard(&mut actions);
                actions.push(Action::CloseLocal(Close::Gently));
                self.farewell.finish = Some((Finish::Flush, own(EndReason::BsrClosed)));
            }
            Cause::Operator => {
                actions.push(Action::StopReading);
                self.farewell.finish = Some((Finish::Flush, own(EndReason::Operator)));
            }
            Cause::RemoteFin(_) => {
                actions.push(Action::StopReading);
                self.farewell.heard = true;
                // Theirs first: our FIN says that everything before their own is written.
            }
            Cause::Partner(partner) => {
                let ending = Ending::because_of(partner.round);
                match partner.kept {
                    Kept::Outbound => {
                        self.discard(&mut actions);
                        actions.push(Action::CloseLocal(Close::Gently));
                        self.farewell.finish = Some((Finish::Flush, ending));
                    }
                    Kept::Inbound => {
                        actions.push(Action::StopReading);
                        self.farewell.finish = Some((Finish::Cut, ending));
                    }
                    Kept::Received => {
                        actions.push(Action::StopReading);
                        self.abort(Ending { reason: EndReason::LinkLost, ..ending }, &mut actions);
                    }
                }
            }
            Cause::Remote(_) => {
                self.farewell.aborted = true;
                actions.push(Action::StopReading);
            }
            Cause::LinkLost | Cause::FirstPacket | Cause::TimedOut => actions.push(Action::StopReading),
        }
        if self.channel_type == Some(ChannelType::Meta) {
            self.farewell.held = true;
            self.state = State::Stopping;
            return actions; // its timer starts when it is released
        }
        actions.push(Action::StartTimer);
        if matches!(cause, Cause::Remote(ending) if !leaves_bytes(ending)) {
            self.state = State::Stopping;
            self.close_local(Close::Gently, &mut actions);
        } else {
            self.state = State::ClosePending;
            self.order_fin(&mut actions);
        }
        actions
    }

    /// An event while saying goodbye.
    pub(super) fn part(&mut self, event: Event) -> Option<Vec<Action>> {
        let mut actions = Vec::new();
        match event {
            Event::LocalGone if self.local => self.local = false,
            Event::LocalClosed if self.local && !self.farewell.discarding => {
                // Nobody is left to write to, so what still comes is thrown away.
                self.discard(&mut actions);
                self.close_local(Close::Gently, &mut actions);
            }
            Event::Flushed if self.farewell.ordered => self.farewell.flushed = true,
            Event::Delivered => self.farewell.delivered = true,
            Event::PeerFin { .. } => self.farewell.heard = true,
            Event::PeerAbort { ending, .. } => {
                self.farewell.aborted = true;
                // What came before it may still be on its way to bsr.
                if self.state == State::ClosePending && !leaves_bytes(ending) {
                    self.stop(&mut actions);
                }
            }
            Event::Released if self.farewell.held => {
                self.farewell.held = false;
                actions.push(Action::StartTimer);
                self.stop(&mut actions);
            }
            Event::LinkLost | Event::LinkBroken if self.link != LinkState::Down => {
                self.blame(Cause::LinkLost);
                self.lose_link();
            }
            Event::TimedOut => self.time_out(&mut actions),
            Event::Stop => self.place = Place::Down,
            Event::PartnerEnded(_) => {} // it is ending already
            Event::Next if self.state == State::ClosePending && self.flushed() => self.stop(&mut actions),
            Event::Next if self.state == State::Stopping && self.parted() => self.state = State::Stopped,
            _ => return None,
        }
        Some(actions)
    }

    /// Whether `close_pending` has nothing left to wait for.
    pub(super) fn flushed(&self) -> bool {
        let farewell = &self.farewell;
        let theirs = farewell.discarding || farewell.delivered;
        let ours = !farewell.ordered || farewell.flushed || farewell.aborted || self.link == LinkState::Down;
        theirs && ours && !self.link.is_suspended()
    }

    /// Whether `stopping` has nothing left to wait for: the connection to bsr is gone, and both
    /// relays have said and heard everything.
    pub(super) fn parted(&self) -> bool {
        let farewell = &self.farewell;
        let said = self.link == LinkState::Down || farewell.aborted || (farewell.flushed && farewell.heard);
        !self.local && !farewell.held && said
    }

    /// Stops before anything was relayed: there is nothing to flush, and at most one word to say.
    pub(super) fn give_up(&mut self, cause: Cause, ending: Option<Ending>) -> Vec<Action> {
        let mut actions = Vec::new();
        let dialling = self.role == Role::Connector && self.state == State::Connecting;
        if dialling && self.channel_type.is_some() {
            actions.push(Action::CancelDial);
        }
        if matches!(cause, Cause::LinkLost) {
            self.lose_link();
        }
        if let Some(ending) = ending {
            self.abort(ending, &mut actions);
        }
        self.farewell.aborted = true;
        self.blame(cause);
        self.state = State::Stopping;
        self.close_local(Close::Hard, &mut actions);
        actions
    }

    /// The other DRX has gone on to another round: nothing of this one is worth waiting for.
    pub(super) fn leave_at_once(&mut self, cause: Cause) -> Vec<Action> {
        let mut actions = vec![Action::Tell(ended_by(&cause)), Action::StopReading];
        self.blame(cause);
        self.farewell.aborted = true;
        self.state = State::Stopping;
        self.close_local(Close::Gently, &mut actions);
        actions
    }

    /// Forgets the link; the channel will look for another one.
    pub(super) fn lose_link(&mut self) {
        self.link = LinkState::Down;
        self.place = self.place.max(Place::Bridging);
    }

    /// Enters `stopping`: bsr's connection is closed, and what is left to say is said.
    fn stop(&mut self, actions: &mut Vec<Action>) {
        self.state = State::Stopping;
        self.close_local(Close::Gently, actions);
        if self.channel_type == Some(ChannelType::Meta) {
            self.discard(actions);
        }
        if self.farewell.finish.is_none() {
            self.farewell.finish = Some((Finish::Cut, Ending::new(EndReason::BsrClosed)));
        }
        self.order_fin(actions);
    }

    fn time_out(&mut self, actions: &mut Vec<Action>) {
        self.blame(Cause::TimedOut);
        self.abort(Ending::new(EndReason::FlushTimeout), actions);
        self.farewell.held = false;
        self.state = State::Stopping;
        self.close_local(Close::Hard, actions);
    }

    fn order_fin(&mut self, actions: &mut Vec<Action>) {
        if self.link != LinkState::Down
            && !self.farewell.aborted
            && !self.farewell.ordered
            && let Some((finish, ending)) = self.farewell.finish
        {
            self.farewell.ordered = true;
            actions.push(Action::Finish(finish, ending));
        }
    }

    fn abort(&mut self, ending: Ending, actions: &mut Vec<Action>) {
        if self.link.is_up() && !self.farewell.aborted {
            actions.push(Action::Abort(ending));
        } else if self.link.is_suspended() {
            self.lose_link(); // the word cannot be passed on: the resume that is refused says it
        }
        self.farewell.aborted = true;
    }

    fn discard(&mut self, actions: &mut Vec<Action>) {
        if self.rules.gone_ends_discard && !self.farewell.discarding {
            self.farewell.discarding = true;
            actions.push(Action::Discard);
        }
    }

    fn close_local(&mut self, close: Close, actions: &mut Vec<Action>) {
        if self.local {
            actions.push(Action::CloseLocal(close));
        }
    }

    /// The first cause is the one that is told; the farthest place is where it goes.
    fn blame(&mut self, cause: Cause) {
        self.place = self.place.max(cause.place());
        if self.cause.is_none() || !self.is_ending() {
            self.cause = Some(cause);
        }
    }

    fn is_ending(&self) -> bool {
        matches!(self.state, State::ClosePending | State::Stopping | State::Stopped)
    }
}

/// Whether an ABORT leaves bytes behind that bsr can still be given. Not when they could not be
/// written before, or are not to be trusted.
fn leaves_bytes(ending: Ending) -> bool {
    match ending.reason {
        EndReason::Partner | EndReason::Operator | EndReason::LinkLost => true,
        // bsr closes with an ABORT only before anything was relayed.
        EndReason::BsrClosed | EndReason::FlushTimeout | EndReason::Failure | EndReason::Protocol => false,
    }
}

fn ended_by(cause: &Cause) -> EndedBy {
    match *cause {
        Cause::LocalBsr | Cause::FirstPacket | Cause::TimedOut => EndedBy::Local,
        Cause::RemoteFin(ending) | Cause::Remote(ending) => EndedBy::Remote(ending),
        Cause::Partner(_) => EndedBy::Partner,
        Cause::LinkLost => EndedBy::LinkLost,
        Cause::Operator => EndedBy::Operator,
    }
}
