//! The BAB actor: the buffer between bsr and the link, in both directions of one channel.
//!
//! It keeps the accounts of delivery ([`drx_protocol::delivery`]) and the bytes that are not
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
mod round;
mod store;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, Addr, Context, Handler, Message, Recipient};
use bytes::Bytes;
use drx_protocol::channel::Finish;
use drx_protocol::delivery::{Standstill, Violation};
use drx_protocol::ending::Ending;
use drx_protocol::frame::Frame;
use drx_protocol::meta::Strange;
use drx_protocol::names::{Attempt, ChannelType};
use tokio::time::Instant;

use crate::api::Reserve;
use crate::budget::Budget;
use crate::counters::{Counters, add};
use crate::link::LinkSocket;
use crate::local::{LocalSocket, Strike};
pub(crate) use reading::DripNews;
use round::Round;

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
    /// bsr's `ping-int` is this, as its pings show.
    PingInt(Duration),
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
    /// When bsr last heard something on data, on any of the resource's channels.
    data_heard: Rc<Cell<Option<Instant>>>,
    round: Option<Round>,
}

impl Bab {
    pub(crate) fn new(
        channel: Recipient<BabEvent>,
        counters: Rc<Counters>,
        budgets: (Rc<Budget>, Rc<Budget>),
        data_heard: Rc<Cell<Option<Instant>>>,
    ) -> Bab {
        Bab { channel, counters, budgets, data_heard, round: None }
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
            let Round { watch_timer, drip_timer, ack_timer, budget_timer, .. } = &mut round;
            for timer in [watch_timer, drip_timer, ack_timer, budget_timer] {
                timer.take().into_iter().for_each(|timer| timer.call_off(ctx));
            }
        }
        self.counters.held.set(0);
        self.counters.oldest.set(None);
        self.counters.dripping.set(false);
        self.counters.forecast.forget();
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
        self.round = Some(Round::new(begin, budget, &self.channel));
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
        round.sift(bytes, self.data_heard.get(), &self.counters);
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
        if round.channel_type == ChannelType::Data {
            self.data_heard.set(Some(Instant::now()));
        }
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
