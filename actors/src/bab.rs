//! The BAB actor: the buffer between bsr and the link, in both directions of one channel.
//!
//! It keeps the accounts of delivery ([`Outbound`], [`Inbound`]) and the bytes that are not
//! acknowledged. Back-pressure to bsr comes from here alone: bsr's connection reads what the BAB has
//! granted, and the BAB grants what its budget holds.
//!
//! Two limits govern reading: *unacknowledged* bytes (the budget, the last part of it only in drips: see
//! `bab/reading.rs`), and *unsent* bytes, about 1 MiB while the link drains them: reading far ahead makes
//! data cold. When the link is slow the second limit is lifted, because taking a burst off bsr's hands is
//! what the relay is for.

pub(crate) mod backing;
mod kept;
pub(crate) mod mapping;
mod pings;
pub(crate) mod pool;
mod reading;
mod store;

use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, Recipient, SpawnHandle};
use bytes::Bytes;
use drx_protocol::channel::Finish;
use drx_protocol::delivery::{Inbound, Outbound, Standstill, Violation};
use drx_protocol::ending::Ending;
use drx_protocol::frame::{Credit, Frame, HEADER_LEN, Payload};
use drx_protocol::meta::Strange;
use drx_protocol::names::{Attempt, ChannelType};
use tokio::time::Instant;

use crate::api::Reserve;
use crate::budget::Budget;
use crate::counters::{Counters, add};
use crate::link::{LinkSocket, Say, SendData};
use crate::local::{LocalSocket, StopReading, Strike, ToBsr};
use pings::Holding;
pub(crate) use reading::DripNews;
use reading::Pace;
use store::Store;

/// What the BAB tells its channel.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct BabEvent {
    /// The round it speaks of.
    pub(crate) attempt: Attempt,
    pub(crate) what: BabNews,
}

#[derive(Clone, Debug)]
pub(crate) enum BabNews {
    /// Everything before our FIN is acknowledged.
    Flushed,
    /// Everything that will ever come is written to bsr.
    Delivered,
    /// The other DRX did what no relay does.
    Violated(Violation),
    /// A ping of bsr's was answered here, the first since they are held.
    PingHeld,
    /// Pings are held no longer; so many were answered.
    PingsHeld(u64),
    /// No ping of this round is held: its meta is not understood.
    PingsGivenUp(Strange),
    /// Nothing moves on the link any more: this is where a resume can begin.
    AtStandstill(Standstill),
    /// How bsr is read has changed.
    Drip(DripNews),
}

/// A round begins: offsets count from 0.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Begin {
    pub(crate) attempt: Attempt,
    pub(crate) local: Addr<LocalSocket>,
    pub(crate) link: Addr<LinkSocket>,
    /// Which budget is drawn on.
    pub(crate) channel_type: ChannelType,
    /// Granted by us, and by the other DRX.
    pub(crate) windows: (u32, u32),
    /// The share of the budget that bsr gets only in drips.
    pub(crate) reserve: Reserve,
    /// Whether pings may come to be held: then bsr's packets are followed.
    pub(crate) hold_pings: bool,
}

/// The round goes on, over another connection.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct GoOn {
    pub(crate) link: Addr<LinkSocket>,
    /// The next byte that the other DRX expects.
    pub(crate) next: u64,
    /// Granted by the other DRX.
    pub(crate) window: u32,
}

/// What the channel orders within a round.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) enum BabOrder {
    /// Both sides stand: bytes may go to the other DRX.
    Relay,
    /// Nothing more is read from bsr for the other DRX.
    StopReading,
    /// bsr is gone: what comes is thrown away and acknowledged as written.
    Discard,
    /// bsr's pings are held, for so long at most; or no longer.
    HoldPings(Option<Duration>),
    /// Send FIN.
    Finish(Finish, Ending),
    /// The link is broken: what is from bsr is held until [`GoOn`]; [`BabNews::AtStandstill`] follows.
    Hold,
    /// Nothing more is said to, or taken from, the other DRX; what was received is still written.
    Part,
    /// The budget may have become larger.
    Resized,
    /// The round is over: everything is let go.
    End,
}

/// Bytes from bsr.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct FromBsr(pub(crate) Bytes);

/// Nothing more will come from bsr.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AllFromBsr;

/// So many bytes were written to bsr.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Written(pub(crate) u64);

/// A frame about bytes.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct FromLink(pub(crate) Frame);

/// The link's queue is down to so many bytes.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Drained {
    pub(crate) queued: usize,
}

pub(crate) struct Bab {
    channel: Recipient<BabEvent>,
    counters: Rc<Counters>,
    /// For data, for meta.
    budgets: (Rc<Budget>, Rc<Budget>),
    round: Option<Round>,
}

/// One round's buffer and accounts.
struct Round {
    attempt: Attempt,
    local: Addr<LocalSocket>,
    /// None while it is broken.
    link: Option<Addr<LinkSocket>>,
    budget: Rc<Budget>,
    store: Store,
    out: Outbound,
    inbound: Inbound,
    holding: Option<Holding>,
    pace: Pace,
    /// Bytes in the link's queue.
    queued: usize,
    /// Of what is sent next, bytes that were sent on a link before.
    again: u64,
    relaying: bool,
    reading: bool,
    discarding: bool,
    parted: bool,
    finish: Option<Ending>,
    /// The last byte from bsr is in the BAB.
    complete: bool,
    /// The unsent limit is lifted: the link is slow.
    lifted: bool,
    watch_timer: Option<SpawnHandle>,
    drip_timer: Option<SpawnHandle>,
    ack_timer: Option<SpawnHandle>,
    budget_timer: Option<SpawnHandle>,
    told_flushed: bool,
    told_delivered: bool,
}

impl Bab {
    pub(crate) fn new(
        channel: Recipient<BabEvent>,
        counters: Rc<Counters>,
        budgets: (Rc<Budget>, Rc<Budget>),
    ) -> Bab {
        Bab { channel, counters, budgets, round: None }
    }

    /// What follows from any change: send, acknowledge, read on, notice.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        let Some(round) = &mut self.round else { return };
        round.send(&self.counters);
        round.acknowledge(ctx);
        round.read_on(ctx);
        self.counters.held.set(round.out.held());
        self.counters.oldest.set(round.store.oldest());
        self.counters.dripping.set(round.pace.is_dripping());
        self.counters.forecast.observe(round.budget.held());
        if !round.told_flushed && round.out.flushed() && !round.parted {
            round.told_flushed = true;
            self.channel.do_send(BabEvent { attempt: round.attempt, what: BabNews::Flushed });
        }
        let all_came = round.inbound.delivered() || round.parted;
        if !round.told_delivered && all_came && round.inbound.pending() == 0 {
            round.told_delivered = true;
            self.channel.do_send(BabEvent { attempt: round.attempt, what: BabNews::Delivered });
        }
    }

    fn end(&mut self, ctx: &mut Context<Self>) {
        if let Some(mut round) = self.round.take() {
            if let Some(news) = round.pace.end() {
                let what = BabNews::Drip(news);
                self.channel.do_send(BabEvent { attempt: round.attempt, what });
            }
            let timers = [round.watch_timer, round.drip_timer, round.ack_timer, round.budget_timer];
            for timer in timers.into_iter().flatten() {
                ctx.cancel_future(timer);
            }
        }
        self.counters.held.set(0);
        self.counters.oldest.set(None);
        self.counters.dripping.set(false);
        self.counters.forecast.forget();
    }
}

impl Round {
    fn send(&mut self, counters: &Counters) {
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
    fn acknowledge(&mut self, ctx: &mut Context<Bab>) {
        if self.inbound.untold() == 0 {
            return;
        }
        if self.inbound.untold() >= ACK_BYTES || self.inbound.delivered() {
            self.say_credit();
        } else if self.ack_timer.is_none() {
            self.ack_timer = Some(ctx.run_later(ACK_TIME, |bab, _| {
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
    fn hold(&mut self) -> Standstill {
        self.link = None;
        self.queued = 0;
        self.lifted = true; // nothing drains, so bsr's bytes are taken as far as there is room
        Standstill::of(&self.out, &self.inbound)
    }

    /// The other DRX is told at once what is written: the last word of it may be lost, and nothing else
    /// need ever come to carry it.
    fn go_on_over(&mut self, GoOn { link, next, window }: GoOn) -> Result<(), Violation> {
        self.again += self.out.resume(next, window)?;
        self.store.rewind();
        self.link = Some(link);
        self.say_credit();
        Ok(())
    }

    fn stop_reading(&mut self) {
        self.reading = false;
        self.local.do_send(StopReading);
    }

    fn part(&mut self) {
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
    fn keep(&mut self, bytes: Bytes) {
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
    fn refuse(&mut self, bytes: u64) {
        self.pace.came(bytes);
        self.budget.take_back(bytes);
    }

    fn frame(&mut self, frame: Frame, counters: &Counters) -> Result<(), Violation> {
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

impl Actor for Bab {
    type Context = Context<Self>;
}

impl Handler<Begin> for Bab {
    type Result = ();

    fn handle(&mut self, begin: Begin, ctx: &mut Context<Self>) {
        self.end(ctx);
        let budget = Rc::clone(match begin.channel_type {
            ChannelType::Data => &self.budgets.0,
            ChannelType::Meta => &self.budgets.1,
        });
        self.round = Some(Round {
            attempt: begin.attempt,
            local: begin.local,
            link: Some(begin.link),
            store: Store::new(budget.room()),
            budget,
            out: Outbound::new(begin.windows.1),
            inbound: Inbound::new(begin.windows.0),
            holding: (begin.hold_pings && begin.channel_type == ChannelType::Meta)
                .then(|| Holding::new(begin.attempt, self.channel.clone())),
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
        });
        self.go_on(ctx);
    }
}

impl Handler<BabOrder> for Bab {
    type Result = ();

    fn handle(&mut self, order: BabOrder, ctx: &mut Context<Self>) {
        let Some(round) = &mut self.round else { return };
        match order {
            BabOrder::Relay => round.relaying = true,
            BabOrder::StopReading => round.need_not_read(),
            BabOrder::Discard => {
                round.discarding = true;
                let pending = round.inbound.pending();
                round.inbound.wrote(pending);
            }
            BabOrder::HoldPings(most) => round.hold_pings(most),
            BabOrder::Finish(finish, ending) => {
                round.finish = Some(ending);
                match finish {
                    Finish::Flush if round.complete => round.out.finish(),
                    Finish::Flush => {} // what bsr sent before it left is still on its way here
                    Finish::Cut => {
                        round.stop_reading();
                        round.complete = true;
                        let dropped = round.out.cut();
                        round.store.truncate(round.out.tail());
                        round.budget.release(dropped);
                    }
                }
            }
            BabOrder::Hold => {
                let what = BabNews::AtStandstill(round.hold());
                self.channel.do_send(BabEvent { attempt: round.attempt, what });
            }
            BabOrder::Part => round.part(),
            BabOrder::Resized => {}
            BabOrder::End => return self.end(ctx),
        }
        self.go_on(ctx);
    }
}

impl Handler<GoOn> for Bab {
    type Result = ();

    fn handle(&mut self, order: GoOn, ctx: &mut Context<Self>) {
        let Some(round) = self.round.as_mut().filter(|round| !round.parted) else { return };
        if let Err(violation) = round.go_on_over(order) {
            round.part();
            let what = BabNews::Violated(violation);
            self.channel.do_send(BabEvent { attempt: round.attempt, what });
        }
        self.go_on(ctx);
    }
}

impl Handler<FromBsr> for Bab {
    type Result = ();

    fn handle(&mut self, FromBsr(bytes): FromBsr, ctx: &mut Context<Self>) {
        let Some(round) = &mut self.round else { return };
        round.sift(bytes, &self.counters);
        self.go_on(ctx);
    }
}

impl Handler<AllFromBsr> for Bab {
    type Result = ();

    fn handle(&mut self, _: AllFromBsr, ctx: &mut Context<Self>) {
        let Some(round) = &mut self.round else { return };
        round.hold_pings(None);
        round.reading = false;
        round.complete = true;
        if round.finish.is_some() {
            round.out.finish();
        }
        self.go_on(ctx);
    }
}

impl Handler<Written> for Bab {
    type Result = ();

    fn handle(&mut self, Written(bytes): Written, ctx: &mut Context<Self>) {
        let Some(round) = &mut self.round else { return };
        let bytes = round.written(bytes);
        // What was thrown away is accounted for already.
        round.inbound.wrote(bytes.min(round.inbound.pending()));
        self.go_on(ctx);
    }
}

impl Handler<FromLink> for Bab {
    type Result = ();

    fn handle(&mut self, FromLink(frame): FromLink, ctx: &mut Context<Self>) {
        let Some(round) = self.round.as_mut().filter(|round| frame.attempt() == Some(round.attempt)) else {
            return add(&self.counters.stale_frames, 1);
        };
        if round.parted {
            return;
        }
        if matches!(frame, Frame::Abort { .. }) {
            round.part();
        } else if let Err(violation) = round.frame(frame, &self.counters) {
            // Told once, and nothing more is taken: the channel ends the link as soon as it hears of it.
            round.part();
            let what = BabNews::Violated(violation);
            self.channel.do_send(BabEvent { attempt: round.attempt, what });
        }
        self.go_on(ctx);
    }
}

impl Handler<Drained> for Bab {
    type Result = ();

    fn handle(&mut self, Drained { queued }: Drained, ctx: &mut Context<Self>) {
        if let Some(round) = &mut self.round {
            round.queued = queued;
        }
        self.go_on(ctx);
    }
}

impl Handler<Strike> for Bab {
    type Result = ();

    fn handle(&mut self, _: Strike, _: &mut Context<Self>) {
        panic!("struck: the BAB");
    }
}

/// What the link is given at a time: two frames are on their way while the next is made.
const LINK_QUEUE: usize = 512 * 1024;
/// Bytes written to bsr after which an acknowledgement does not wait for company.
const ACK_BYTES: u64 = 256 * 1024;
/// How long an acknowledgement waits for a frame to ride on.
const ACK_TIME: Duration = Duration::from_millis(3);
