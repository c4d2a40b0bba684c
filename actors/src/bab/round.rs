//! One round in the BAB: what was read and not acknowledged, what is granted, how far the goodbye is.

use std::rc::Rc;
use std::time::Duration;

use actix::{Addr, Context, Recipient};
use bytes::Bytes;
use drx_protocol::delivery::{Inbound, Outbound, Standstill, Violation};
use drx_protocol::ending::Ending;
use drx_protocol::frame::{Credit, Frame, HEADER_LEN, Payload};
use drx_protocol::names::{Attempt, ChannelType};
use tokio::time::Instant;

use super::pings::Holding;
use super::reading::Pace;
use super::store::Store;
use super::{Bab, BabEvent, Begin, GoOn};
use crate::budget::Budget;
use crate::counters::{Counters, add};
use crate::link::{LinkSocket, Say, SendData};
use crate::local::{LocalSocket, StopReading, ToBsr};
use crate::task::Task;

/// One round's buffer and accounts.
pub(super) struct Round {
    pub(super) attempt: Attempt,
    pub(super) channel_type: ChannelType,
    pub(super) local: Addr<LocalSocket>,
    /// None while it is broken.
    pub(super) link: Option<Addr<LinkSocket>>,
    pub(super) budget: Rc<Budget>,
    pub(super) store: Store,
    pub(super) out: Outbound,
    pub(super) inbound: Inbound,
    pub(super) holding: Option<Holding>,
    pub(super) pace: Pace,
    /// Bytes in the link's queue.
    pub(super) queued: usize,
    /// Of what is sent next, bytes that were sent on a link before.
    pub(super) again: u64,
    pub(super) relaying: bool,
    pub(super) reading: bool,
    pub(super) discarding: bool,
    pub(super) parted: bool,
    pub(super) finish: Option<Ending>,
    /// The last byte from bsr is in the BAB.
    pub(super) complete: bool,
    /// The unsent limit is lifted: the link is slow.
    pub(super) lifted: bool,
    pub(super) watch_timer: Option<Task>,
    pub(super) drip_timer: Option<Task>,
    pub(super) ack_timer: Option<Task>,
    pub(super) budget_timer: Option<Task>,
    pub(super) told_flushed: bool,
    pub(super) told_delivered: bool,
}

impl Round {
    /// Offsets count from 0, and nothing is relayed yet.
    pub(super) fn new(begin: Begin, budget: Rc<Budget>, channel: &Recipient<BabEvent>) -> Round {
        Round {
            attempt: begin.attempt,
            channel_type: begin.channel_type,
            local: begin.local,
            link: Some(begin.link),
            store: Store::new(budget.room()),
            budget,
            out: Outbound::new(begin.windows.1),
            inbound: Inbound::new(begin.windows.0),
            holding: (begin.hold_pings && begin.channel_type == ChannelType::Meta)
                .then(|| Holding::new(begin.attempt, channel.clone())),
            pace: Pace::new(begin.reserve),
            queued: 0,
            again: 0,
            relaying: false,
            reading: true,
            discarding: false,
            parted: false,
            finish: None,
            complete: false,
            lifted: false,
            watch_timer: None,
            drip_timer: None,
            ack_timer: None,
            budget_timer: None,
            told_flushed: false,
            told_delivered: false,
        }
    }

    pub(super) fn send(&mut self, counters: &Counters) {
        let Some(link) = self.link.clone().filter(|_| self.relaying && !self.parted) else { return };
        while self.queued < LINK_QUEUE {
            let (offset, sendable) = self.out.sendable();
            if sendable == 0 {
                break;
            }
            let payload = self.store.payload(offset, sendable);
            let length = payload.len() as u64;
            self.out.advance(length);
            self.queued += HEADER_LEN + payload.len();
            let again = length.min(self.again);
            self.again -= again;
            add(&counters.bytes_out, length - again);
            let credit = self.credit();
            link.do_send(SendData { attempt: self.attempt, credit, offset, payload });
        }
        if let (Some(offset), Some(ending)) = (self.out.fin_due(), self.finish) {
            self.out.fin_sent();
            let credit = self.credit();
            link.do_send(Say(Frame::Fin { attempt: self.attempt, credit, offset, ending }));
        }
    }

    fn credit(&mut self) -> Credit {
        let (acknowledged, window) = self.inbound.tell();
        Credit { acknowledged, window }
    }

    /// Acknowledgements ride along with data; on their own they go after 256 KiB, at the end, or after
    /// a few milliseconds.
    pub(super) fn acknowledge(&mut self, ctx: &mut Context<Bab>) {
        if self.inbound.untold() == 0 {
            return;
        }
        if self.inbound.untold() >= ACK_BYTES || self.inbound.delivered() {
            self.say_credit();
        } else if self.ack_timer.is_none() {
            self.ack_timer = Some(Task::later(ctx, ACK_TIME, |bab: &mut Bab, _| {
                let Some(round) = &mut bab.round else { return };
                round.ack_timer = None;
                if round.inbound.untold() > 0 {
                    round.say_credit();
                }
            }));
        }
    }

    fn say_credit(&mut self) {
        if let Some(link) = self.link.clone().filter(|_| !self.parted) {
            let credit = self.credit();
            link.do_send(Say(Frame::Ack { attempt: self.attempt, credit }));
        }
    }

    /// The link is broken. Everything that came over it is here: it spoke before the channel did.
    pub(super) fn hold(&mut self) -> Standstill {
        self.link = None;
        self.queued = 0;
        self.lifted = true; // nothing drains, so bsr's bytes are taken as far as there is room
        Standstill::of(&self.out, &self.inbound)
    }

    /// The other DRX is told at once what is written: the last word of it may be lost, and nothing else
    /// need ever come to carry it.
    pub(super) fn go_on_over(&mut self, GoOn { link, next, window }: GoOn) -> Result<(), Violation> {
        self.again += self.out.resume(next, window)?;
        self.store.rewind();
        self.link = Some(link);
        self.say_credit();
        Ok(())
    }

    pub(super) fn stop_reading(&mut self) {
        self.reading = false;
        self.local.do_send(StopReading);
    }

    pub(super) fn part(&mut self) {
        self.stop_reading();
        self.parted = true;
    }

    fn took(&mut self, offset: u64, payload: Payload, counters: &Counters) -> Result<(), Violation> {
        let take = self.inbound.data(offset, payload.len() as u64)?;
        add(&counters.bytes_in, take.new);
        if self.discarding {
            self.inbound.wrote(take.new);
            return Ok(());
        }
        let mut known = take.known as usize;
        for piece in payload.pieces() {
            let skip = known.min(piece.len());
            known -= skip;
            if skip < piece.len() {
                self.hear(&piece[skip..]);
                self.local.do_send(ToBsr(piece.slice(skip..)));
            }
        }
        Ok(())
    }

    /// Bytes from bsr for the other DRX.
    pub(super) fn keep(&mut self, bytes: Bytes) {
        let length = bytes.len() as u64;
        if self.complete || self.parted {
            return self.refuse(length); // it came behind the end
        }
        self.pace.came(length);
        self.budget.hold(length);
        self.out.append(length);
        self.store.append(bytes, Instant::now());
    }

    /// Bytes from bsr that nobody is to have.
    pub(super) fn refuse(&mut self, bytes: u64) {
        self.pace.came(bytes);
        self.budget.take_back(bytes);
    }

    pub(super) fn frame(&mut self, frame: Frame, counters: &Counters) -> Result<(), Violation> {
        if let Some(credit) = frame.credit() {
            let freed = self.out.acknowledged(credit.acknowledged, credit.window)?;
            if freed > 0 {
                self.store.release(self.out.head());
                self.budget.release(freed);
            }
        }
        match frame {
            Frame::Data { offset, payload, .. } => self.took(offset, payload, counters),
            Frame::Fin { offset, .. } => self.inbound.fin(offset),
            _ => Ok(()),
        }
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        self.budget.release(self.out.held());
        self.budget.take_back(self.pace.granted());
    }
}

/// What the link is given at a time: two frames are on their way while the next is made.
const LINK_QUEUE: usize = 512 * 1024;
/// Bytes written to bsr after which an acknowledgement does not wait for company.
const ACK_BYTES: u64 = 256 * 1024;
/// How long an acknowledgement waits for a frame to ride on.
const ACK_TIME: Duration = Duration::from_millis(3);
