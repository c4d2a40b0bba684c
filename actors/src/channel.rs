//! The actor of a channel: an acceptor or a connector.
//!
//! The state machine ([`drx_protocol::channel`]) decides; this actor turns messages into events, logs
//! each transition and does its actions. It owns the channel's parts, which live and end with it: the
//! connection to bsr, the link, and the BAB. Another generation is another actor.

mod link_side;
mod local_side;
mod pings;
mod report;
mod resume;
mod terms;
mod words;

use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, Recipient};
use drx_protocol::channel::{Action, Channel, EndedBy, Event, Place};
use drx_protocol::frame::{Frame, StateCode};
use drx_protocol::names::{Epoch, Role, Round};
use drx_protocol::session::Slot;
use drx_protocol::{Standing, State};
use slog::{Logger, debug, error, warn};
use tokio::time::Instant;

use crate::api::Victim;
use crate::bab::{Bab, BabEvent, BabNews, BabOrder};
use crate::child::{Child, ChildExited, Exit, spawn};
use crate::counters::{Counters, add};
use crate::link::{HangUp, LinkSocket, Say};
use crate::local::{CloseLocal, LocalSocket, Strike};
use crate::messages::{ChannelEvent, ChannelNews, ChannelOrder, Hurry};
use crate::net::Stream;
use crate::task::Task;
use resume::Resuming;
pub(crate) use terms::{Memory, Terms};

pub(crate) struct ChannelActor {
    machine: Channel,
    slot: Slot,
    generation: u64,
    terms: Rc<Terms>,
    memory: Memory,
    resource: Recipient<ChannelEvent>,
    log: Logger,
    counters: Rc<Counters>,
    bab: Option<Child<Bab>>,
    local: Option<Child<LocalSocket>>,
    /// A connection to bsr that no actor drives yet.
    arrived: Option<Box<dyn Stream>>,
    link: Option<Child<LinkSocket>>,
    /// A link that is only still saying its last words.
    parting: Option<Child<LinkSocket>>,
    link_up_since: Option<Instant>,
    /// The link is broken, and being resumed.
    resuming: Option<Resuming>,
    /// The round, and what of it was received, when a frame was damaged last.
    damaged_at: Option<(Round, u64)>,
    /// How far the round had come when its link broke last, and from when `resume_timeout` counted then.
    stuck_at: Option<(Round, (u64, u64), Instant)>,
    /// When the link was resumed last.
    resumed_at: Option<Instant>,
    /// Why the other DRX closes the link, if it has said so.
    their_word: Option<String>,
    peer: Option<Epoch>,
    peer_window: u32,
    /// What the other DRX says of its channel on this lane.
    remote: Option<Standing>,
    /// bsr's pings are held, for so long at most.
    holding_pings: Option<Duration>,
    parts: u64,
    dialling_drx: Option<Task>,
    dialling_bsr: Option<Task>,
    /// The dial to the other DRX, or to bsr, waits for its next try.
    backing_off: bool,
    timer: Option<Task>,
    /// What was last complained about: said again only when it changes.
    trouble: Option<String>,
    since: Instant,
    leaving: Option<Place>,
    unflushed: u64,
    addresses: Addresses,
}

#[derive(Default)]
struct Addresses {
    bsr: Option<String>,
    local: Option<String>,
    remote: Option<String>,
}

/// One of the channel's parts ended.
#[derive(Message)]
#[rtype(result = "()")]
struct PartExited {
    part: Part,
    exited: ChildExited,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Local,
    Link,
    Bab,
}

impl ChannelActor {
    pub(crate) fn new(
        machine: Channel,
        slot: Slot,
        generation: u64,
        terms: Rc<Terms>,
        memory: Memory,
        resource: Recipient<ChannelEvent>,
        log: Logger,
    ) -> ChannelActor {
        ChannelActor {
            machine,
            slot,
            generation,
            terms,
            memory,
            resource,
            log,
            counters: Rc::default(),
            bab: None,
            local: None,
            arrived: None,
            link: None,
            parting: None,
            link_up_since: None,
            resuming: None,
            damaged_at: None,
            stuck_at: None,
            resumed_at: None,
            their_word: None,
            peer: None,
            peer_window: 0,
            remote: None,
            holding_pings: None,
            parts: 0,
            dialling_drx: None,
            dialling_bsr: None,
            backing_off: false,
            timer: None,
            trouble: None,
            since: Instant::now(),
            leaving: None,
            unflushed: 0,
            addresses: Addresses::default(),
        }
    }

    /// One event in, all its actions done, then what follows by itself.
    fn feed(&mut self, event: Event, why: &str, ctx: &mut Context<Self>) {
        if matches!(event, Event::LinkLost) {
            self.order_bab(BabOrder::Part);
            self.end_resume(ctx);
            self.link_down();
        }
        let (from, stood) = (self.machine.state(), self.standing());
        let Some(actions) = self.machine.step(event) else {
            if event.attempt().is_some() {
                add(&self.counters.stale_frames, 1);
            }
            debug!(self.log, "nothing to do"; "event" => ?event, "state" => %from, "attempt" => self.machine.attempt());
            return;
        };
        if self.resuming.is_some() && !self.machine.link().is_suspended() {
            self.order_bab(BabOrder::Part);
            self.end_resume(ctx);
        }
        self.moved(from, stood, why);
        self.mind_pings();
        for action in actions {
            self.act(action, ctx);
        }
        if self.machine.state() == State::Stopped && from != State::Stopped {
            self.round_over(ctx);
        }
        if self.machine.passes() && self.leaving.is_none() {
            // What let a state pass on is why it does.
            let why = if from == self.machine.state() { why } else { "" };
            self.feed(Event::Next, why, ctx);
        } else if stood != self.standing() {
            self.tell_state();
        }
    }

    fn act(&mut self, action: Action, ctx: &mut Context<Self>) {
        match action {
            Action::OpenLink if self.slot.role == Role::Connector => self.dial_drx(ctx),
            Action::OpenLink => {} // an acceptor waits for the other DRX's dial
            Action::Redial => self.begin_resume(ctx),
            Action::DropLink => {
                if let Some(link) = &self.link {
                    link.addr().do_send(HangUp);
                }
            }
            Action::ReadFirstPacket => self.read_first_packet(ctx),
            Action::Offer => self.offer(),
            Action::DialLocal(channel_type) => self.dial_bsr(channel_type, FIRST_RETRY, ctx),
            Action::CancelDial => {
                self.cancel_dial(ctx);
                self.untroubled();
            }
            Action::SayEstablished => {
                let credit = self.first_credit();
                self.say(Frame::Established { attempt: self.machine.attempt(), credit });
            }
            Action::Relay => self.order_bab(BabOrder::Relay),
            Action::StopReading => self.order_bab(BabOrder::StopReading),
            Action::Discard => self.order_bab(BabOrder::Discard),
            Action::Finish(finish, ending) => self.order_bab(BabOrder::Finish(finish, ending)),
            Action::Abort(ending) => {
                self.order_bab(BabOrder::Part);
                self.say(Frame::Abort { attempt: self.machine.attempt(), ending });
            }
            Action::CloseLocal(close) => self.close_local(close, ctx),
            Action::Tell(by) => self.tell(ChannelNews::Ended(by)),
            Action::StartTimer => {
                let time = self.terms.settings.link.close_pending_timeout;
                let timer = Task::later(ctx, time, move |channel: &mut Self, ctx| {
                    channel.timer = None;
                    channel.feed(Event::TimedOut, &format!("not done within {time:.1?}"), ctx);
                });
                self.timer = Some(timer);
            }
            Action::Restart => self.leave(Place::Bridging, ctx),
            Action::Leave => self.leave(Place::Down, ctx),
        }
    }

    fn order_bab(&self, order: BabOrder) {
        if let Some(bab) = &self.bab {
            bab.addr().do_send(order);
        }
    }

    fn say(&self, frame: Frame) {
        if let Some(link) = &self.link {
            link.addr().do_send(Say(frame));
        }
    }

    fn tell(&self, what: ChannelNews) {
        self.resource.do_send(ChannelEvent { slot: self.slot, generation: self.generation, what });
    }

    fn tell_state(&self) {
        let state = StateCode(self.standing().code());
        self.say(Frame::State { state, channel: self.machine.channel_type() });
    }

    fn standing(&self) -> Standing {
        match self.machine.state() {
            State::Established if self.machine.link().is_suspended() => Standing::Resuming,
            state => Standing::In(state),
        }
    }

    /// Nothing of a round outlives it.
    fn round_over(&mut self, ctx: &mut Context<Self>) {
        self.unflushed = self.counters.held.get();
        if self.unflushed > 0 {
            warn!(self.log, "bytes of bsr's are lost with the session: the other DRX has not acknowledged them";
                "bytes" => self.unflushed, "attempt" => self.machine.attempt());
        }
        self.order_bab(BabOrder::End);
        self.local = None;
        self.arrived = None;
        self.addresses.bsr = None;
        self.addresses.local = None;
        if let Some(timer) = self.timer.take() {
            timer.call_off(ctx);
        }
    }

    /// This generation is over, once the link has said its last words.
    fn leave(&mut self, place: Place, ctx: &mut Context<Self>) {
        self.leaving = Some(place);
        if place == Place::Bridging || self.link.is_none() {
            self.over(ctx);
        }
    }

    fn over(&mut self, ctx: &mut Context<Self>) {
        let Some(place) = self.leaving else { return };
        let why = self.memory.last_stop.borrow().clone().unwrap_or_default();
        let held_link = self.link_up_since.map(|since| since.elapsed());
        self.tell(ChannelNews::Over { place, why, held_link, unflushed: self.unflushed });
        ctx.stop();
    }

    /// Something in this channel is broken: it ends at once, and its parts with it.
    fn fail(&mut self, what: String, ctx: &mut Context<Self>) {
        error!(self.log, "failed"; "what" => &what, "state" => %self.machine.state(), "attempt" => self.machine.attempt());
        if self.machine.state() == State::Established {
            self.tell(ChannelNews::Ended(EndedBy::Failure));
        }
        self.tell(ChannelNews::Failed(what));
        ctx.stop();
    }

    /// A dial that waits for its next try is tried now.
    fn hurry(&mut self, whom: Hurry, ctx: &mut Context<Self>) {
        if !self.backing_off {
            return;
        }
        match (whom, self.machine.state(), self.machine.channel_type()) {
            (Hurry::Drx, State::Bridging, _) => {
                if let Some(waiting) = self.dialling_drx.take() {
                    waiting.call_off(ctx);
                    self.dial_drx(ctx);
                }
            }
            (Hurry::Bsr, State::Connecting, Some(channel_type)) => {
                self.cancel_dial(ctx);
                self.dial_bsr(channel_type, FIRST_RETRY, ctx);
            }
            _ => {}
        }
    }

    /// Goes on if the memory is there; else the supervisor says when it is.
    fn allocated(&mut self, ctx: &mut Context<Self>) {
        if self.machine.state() == State::Allocating && self.terms.data.stands() {
            self.feed(Event::Allocated, "the BAB is there", ctx);
        }
    }

    fn part_number(&mut self) -> u64 {
        self.parts += 1;
        self.parts
    }

    fn bab(&mut self, ctx: &mut Context<Self>) -> Addr<Bab> {
        let generation = self.part_number();
        let (channel, counters) = (ctx.address().recipient(), Rc::clone(&self.counters));
        let budgets = (Rc::clone(&self.terms.data), Rc::clone(&self.terms.meta));
        let data_heard = Rc::clone(&self.terms.data_heard);
        let bab = self.bab.get_or_insert_with(|| {
            spawn(generation, on_exit(Part::Bab, ctx), |_| Bab::new(channel, counters, budgets, data_heard))
        });
        bab.addr().clone()
    }
}

/// How the end of a part comes back to its channel.
fn on_exit(part: Part, ctx: &Context<ChannelActor>) -> impl FnOnce(ChildExited) + 'static {
    let channel = ctx.address();
    move |exited| channel.do_send(PartExited { part, exited })
}

impl Actor for ChannelActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        match self.machine.state() {
            State::Allocating => self.allocated(ctx),
            _ => {
                self.tell(ChannelNews::Moved { to: self.machine.state(), channel_type: None });
                self.act(Action::OpenLink, ctx);
            }
        }
    }
}

impl Handler<ChannelOrder> for ChannelActor {
    type Result = ();

    fn handle(&mut self, order: ChannelOrder, ctx: &mut Context<Self>) {
        match order {
            ChannelOrder::PeerIs(epoch) => {
                if self.peer.is_some_and(|peer| peer != epoch) && self.machine.link().id().is_some() {
                    self.feed(Event::LinkLost, "the other DRX was restarted", ctx);
                }
            }
            ChannelOrder::Session(order) => {
                if let Some(event) = order.event(&self.machine) {
                    self.feed(event, "", ctx);
                }
            }
            ChannelOrder::Hurry(whom) => self.hurry(whom, ctx),
            ChannelOrder::Allocated => self.allocated(ctx),
            ChannelOrder::Resized => self.order_bab(BabOrder::Resized),
            ChannelOrder::Stop => self.feed(Event::Stop, "", ctx),
        }
    }
}

impl Handler<BabEvent> for ChannelActor {
    type Result = ();

    fn handle(&mut self, event: BabEvent, ctx: &mut Context<Self>) {
        let over = event.attempt != self.machine.attempt();
        match event.what {
            BabNews::Drip(news) => self.log_drips(news, event.attempt), // how long it lasted is told at its end
            _ if over => {}
            BabNews::Flushed => self.feed(Event::Flushed, "the BAB is empty", ctx),
            BabNews::Delivered => self.feed(Event::Delivered, "everything is written to bsr", ctx),
            BabNews::PingHeld => self.ping_held(),
            BabNews::PingsHeld(answered) => self.pings_held(answered),
            BabNews::PingInt(ping_int) => {
                debug!(self.log, "bsr's ping-int is known"; "ping_int" => ?ping_int);
            }
            BabNews::PingsGivenUp(strange) => self.pings_given_up(strange),
            BabNews::Violated(violation) => self.protocol_error(&violation.to_string(), ctx),
            BabNews::AtStandstill(standstill) => self.at_standstill(standstill, ctx),
        }
    }
}

impl Handler<PartExited> for ChannelActor {
    type Result = ();

    fn handle(&mut self, PartExited { part, exited }: PartExited, ctx: &mut Context<Self>) {
        let current = match part {
            Part::Local => self.local.as_ref().map(Child::generation),
            Part::Link => self.link.as_ref().map(Child::generation),
            Part::Bab => self.bab.as_ref().map(Child::generation),
        };
        let (Exit::Panicked(what) | Exit::ConstructorPanicked(what)) = &exited.exit else { return };
        if current == Some(exited.generation) {
            let part = match part {
                Part::Local => "the connection to bsr",
                Part::Link => "the link",
                Part::Bab => "the BAB",
            };
            self.fail(format!("{part} panicked: {what}"), ctx);
        }
    }
}

/// Panic in one of the channel's actors, for the demo and for tests.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StrikeAt(pub(crate) Victim);

impl Handler<StrikeAt> for ChannelActor {
    type Result = ();

    fn handle(&mut self, StrikeAt(victim): StrikeAt, _: &mut Context<Self>) {
        match victim {
            Victim::Local(_) => self.local.iter().for_each(|local| local.addr().do_send(Strike)),
            Victim::Link(_) => self.link.iter().for_each(|link| link.addr().do_send(Strike)),
            Victim::Bab(_) => self.bab.iter().for_each(|bab| bab.addr().do_send(Strike)),
            Victim::Channel(_) | Victim::Resource => panic!("struck: the {}", self.slot.role),
        }
    }
}

/// A bsr that refuses is dialled again after this, then twice it, up to [`LONGEST_RETRY`]
/// (docs/channels.md 2).
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(2);
