//! The supervisor of one resource: its four channels, its sessions, and who is let in.
//!
//! It restarts what ends. Two counters keep the ordinary apart from the broken: a lost link is
//! retried for ever; panics and broken invariants count, and too many of them within a window make the
//! resource `failed` until an operator acts.

mod lane;
mod operator;
mod report;
mod reservation;

use lane::{Lane, said};
pub(crate) use operator::{Held, SetCompression, StrikeIn, Want};
pub(crate) use report::ReportAll;
use reservation::Reservation;
pub(crate) use reservation::{SetSize, SizeInForce};

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message};
use drx_protocol::channel::{Channel, EndedBy, Place};
use drx_protocol::handshake::Refusal;
use drx_protocol::names::{Epoch, Role};
use drx_protocol::restart::Verdict;
use drx_protocol::rules::Rules;
use drx_protocol::session::{Order, Sessions, Slot, open_lane};
use drx_protocol::{Standing, State};
use slog::{Logger, debug, error, info, o};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::api::ResourceSettings;
use crate::budget::{Budget, META_BAB};
use crate::channel::{ChannelActor, Terms};
use crate::child::{Child, ChildExited, Exit, spawn};
use crate::handshake::refuse;
use crate::inside::{AtInside, Door, Inside};
use crate::messages::{BsrConnected, ChannelEvent, ChannelNews, ChannelOrder, DrxDialled, Hurry};
use crate::net::Net;
use crate::outside::ListenTrouble;
use crate::quiet::Quiet;
use crate::task::Task;

/// What a supervisor is made of; crosses to its arbiter.
pub(crate) struct Seed {
    pub(crate) settings: ResourceSettings,
    pub(crate) net: Arc<dyn Net>,
    pub(crate) epoch: Epoch,
    /// The relay's dials are numbered in one row, so that a supervisor that is restarted goes on.
    pub(crate) dials: Arc<AtomicU64>,
    pub(crate) log: Logger,
    pub(crate) up: bool,
}

pub(crate) struct Resource {
    terms: Rc<Terms>,
    log: Logger,
    sessions: Sessions,
    lanes: [Lane; 4],
    inside: Option<Child<Inside>>,
    listener: Door,
    insides: u64,
    inside_trouble: Option<String>,
    outside_trouble: Option<String>,
    reservation: Reservation,
    peer: Option<Epoch>,
    up: bool,
    restarting: bool,
    failed: bool,
    /// Who waits for the resource to be down, and to hear what was not flushed.
    waiters: Vec<oneshot::Sender<u64>>,
    unflushed: u64,
}

#[derive(Message)]
#[rtype(result = "()")]
struct ChannelExited {
    slot: Slot,
    exited: ChildExited,
}

impl Resource {
    pub(crate) fn new(seed: Seed) -> Resource {
        let log = seed.log.new(o!("resource" => seed.settings.name.clone()));
        let terms = Rc::new(Terms {
            data: Rc::new(Budget::backed(seed.settings.bab.size, &seed.settings.bab.backing)),
            meta: Rc::new(Budget::new(META_BAB)),
            net: seed.net,
            compression: Rc::new(Cell::new(seed.settings.link.compression)),
            epoch: seed.epoch,
            data_heard: Rc::default(),
            started: Instant::now(),
            dials: seed.dials,
            quiet: RefCell::new(Quiet::new()),
            settings: seed.settings,
        });
        let lanes = Slot::ALL.map(|slot| Lane::new(slot, terms.settings.restart, &log));
        Resource {
            terms,
            log,
            sessions: Sessions::new(),
            lanes,
            inside: None,
            listener: Door::default(),
            insides: 0,
            inside_trouble: None,
            outside_trouble: None,
            reservation: Reservation::default(),
            peer: None,
            up: seed.up,
            restarting: false,
            failed: false,
            waiters: Vec::new(),
            unflushed: 0,
        }
    }

    fn lane(&mut self, slot: Slot) -> &mut Lane {
        &mut self.lanes[slot.index()]
    }

    fn start_all(&mut self, ctx: &mut Context<Self>) {
        self.up = true;
        self.failed = false;
        for slot in Slot::ALL {
            let idle = self.lane(slot).child.is_none() && self.lane(slot).restart.is_none();
            if idle {
                self.start(slot, State::Allocating, ctx);
            }
        }
        self.reserve(ctx);
    }

    /// A new generation of a channel, on the same memory.
    fn start(&mut self, slot: Slot, from: State, ctx: &mut Context<Self>) {
        let machine = match from {
            State::Bridging => Channel::bridging(slot.role),
            _ => Channel::new(slot.role),
        };
        let terms = Rc::clone(&self.terms);
        let (supervisor, reports) = (ctx.address(), ctx.address().recipient());
        let lane = self.lane(slot);
        lane.generation += 1;
        lane.restart = None;
        lane.since = Instant::now();
        match (machine.state(), lane.generation) {
            // It was never in another state, or went there itself.
            (state @ State::Allocating, 1) | (state @ State::Bridging, _) => lane.state = state,
            (state, _) => lane.moved(state, "it begins anew"),
        }
        let (generation, memory, log) = (lane.generation, lane.memory.clone(), lane.log.clone());
        lane.child = Some(spawn(
            generation,
            move |exited| supervisor.do_send(ChannelExited { slot, exited }),
            move |_| ChannelActor::new(machine, slot, generation, terms, memory, reports, log),
        ));
        self.open_or_close_the_door(ctx);
    }

    fn start_later(&mut self, slot: Slot, from: State, delay: Duration, ctx: &mut Context<Self>) {
        let restart =
            Task::later(ctx, delay, move |resource: &mut Self, ctx| resource.start(slot, from, ctx));
        self.lane(slot).restart = Some(restart);
    }

    /// Stops every channel, flushing; [`Resource::settled`] says when that is done.
    fn stop_all(&mut self, ctx: &mut Context<Self>) {
        self.up = false;
        for lane in &mut self.lanes {
            if let Some(restart) = lane.restart.take() {
                restart.call_off(ctx);
                lane.moved(State::Stopping, "the operator stopped it");
                lane.moved(State::Stopped, "it was not running");
            }
            if let Some(child) = &lane.child {
                child.addr().do_send(ChannelOrder::Stop);
            }
        }
        self.open_or_close_the_door(ctx);
        self.settled(ctx);
    }

    fn settled(&mut self, ctx: &mut Context<Self>) {
        if self.up || self.lanes.iter().any(|lane| lane.child.is_some()) {
            return;
        }
        self.give_memory_back(ctx);
        for waiter in self.waiters.drain(..) {
            let _ = waiter.send(self.unflushed); // who waited may have gone away
        }
        self.unflushed = 0;
        if std::mem::take(&mut self.restarting) {
            self.start_all(ctx);
        }
    }

    /// A generation is over: ended in order, or broken.
    fn over(&mut self, slot: Slot) {
        let orders = self.sessions.left(slot);
        self.carry_out(orders);
        let lane = self.lane(slot);
        lane.child = None;
        if lane.state != State::Bridging {
            lane.state = State::Stopped;
        }
    }

    fn ended(
        &mut self,
        slot: Slot,
        place: Place,
        why: &str,
        held: Option<Duration>,
        ctx: &mut Context<Self>,
    ) {
        self.over(slot);
        if place == Place::Down || !self.up {
            return self.settled(ctx);
        }
        let now = self.terms.started.elapsed();
        let mut restarts = self.lane(slot).memory.restarts.borrow_mut();
        restarts.stable(held.unwrap_or_default());
        // An acceptor waits for a dial, which costs nobody anything: it is back at once.
        let delay = match slot.role {
            Role::Acceptor => Duration::ZERO,
            Role::Connector => restarts.lost(now, fastrand::f64()),
        };
        drop(restarts);
        let lane = self.lane(slot);
        info!(lane.log, "restarting"; "failed" => why, "restart" => lane.generation, "delay" => said(delay));
        self.start_later(slot, State::Bridging, delay, ctx);
    }

    fn broke(&mut self, slot: Slot, what: &str, ctx: &mut Context<Self>) {
        let orders = self.sessions.ended(slot, EndedBy::Failure);
        self.carry_out(orders);
        let lane = self.lane(slot);
        lane.moved(State::Stopping, what);
        lane.moved(State::Stopped, "nothing of it is left");
        *lane.memory.last_stop.borrow_mut() = Some(what.to_owned());
        self.over(slot);
        self.open_or_close_the_door(ctx);
        if !self.up {
            return self.settled(ctx);
        }
        let now = self.terms.started.elapsed();
        let verdict = self.lane(slot).memory.restarts.borrow_mut().failed(now, fastrand::f64());
        match verdict {
            Verdict::After(delay) => {
                let lane = self.lane(slot);
                error!(lane.log, "restarting"; "failed" => what, "restart" => lane.generation, "delay" => said(delay));
                self.start_later(slot, State::Allocating, delay, ctx);
            }
            Verdict::GiveUp => {
                error!(self.lane(slot).log, "failed too often, waiting for an operator"; "failed" => what);
                self.failed = true;
                self.stop_all(ctx);
            }
        }
    }

    fn carry_out(&mut self, orders: Vec<Order>) {
        for order in orders {
            self.order(order.slot, ChannelOrder::Session(order));
        }
    }

    fn order(&self, slot: Slot, order: ChannelOrder) {
        if let Some(child) = &self.lanes[slot.index()].child {
            child.addr().do_send(order);
        }
    }

    /// Who has just connected to us can be reached: connectors do not sit out their back-off.
    fn hurry(&mut self, whom: Hurry, ctx: &mut Context<Self>) {
        for slot in Slot::ALL.into_iter().filter(|slot| slot.role == Role::Connector) {
            self.order(slot, ChannelOrder::Hurry(whom));
            let waits = self.lane(slot).state == State::Bridging && self.lane(slot).child.is_none();
            if whom == Hurry::Drx
                && waits
                && let Some(restart) = self.lane(slot).restart.take()
            {
                restart.call_off(ctx);
                self.start(slot, State::Bridging, ctx);
            }
        }
    }

    /// bsr is let in only while an acceptor waits for it: there is no listening socket otherwise.
    fn open_or_close_the_door(&mut self, ctx: &mut Context<Self>) {
        let open = self.up && self.door().is_some();
        if !open {
            self.listener.close();
            self.inside = None;
            self.inside_trouble = None;
        } else if self.inside.is_none() {
            self.insides += 1;
            let generation = self.insides;
            let (at, net, log) = (self.terms.settings.inside, Arc::clone(&self.terms.net), self.log.clone());
            self.listener = Door::open(&*net, at);
            let listener = self.listener.clone();
            let (supervisor, arrivals, owner) =
                (ctx.address(), ctx.address().recipient(), ctx.address().recipient());
            self.inside = Some(spawn(
                generation,
                move |exited| supervisor.do_send(InsideExited(exited)),
                move |_| Inside::new(generation, at, net, log, arrivals, owner, listener),
            ));
        }
    }

    fn door(&self) -> Option<Slot> {
        let channels: Vec<_> = self.lanes.iter().map(|lane| (lane.slot, lane.state, false)).collect();
        let lane = open_lane(&channels, Rules::ALL)?;
        Some(Slot { role: Role::Acceptor, lane })
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct InsideExited(ChildExited);

impl Actor for Resource {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        if self.up {
            self.start_all(ctx);
        }
    }
}

impl Handler<ChannelEvent> for Resource {
    type Result = ();

    fn handle(&mut self, event: ChannelEvent, ctx: &mut Context<Self>) {
        let ChannelEvent { slot, generation, what } = event;
        let lane = self.lane(slot);
        if lane.child.as_ref().map(Child::generation) != Some(generation) {
            return; // of an older generation
        }
        match what {
            ChannelNews::Moved { to, channel_type } => {
                let from = std::mem::replace(&mut lane.state, to);
                lane.since = Instant::now();
                if to == State::Bridged && from == State::Bridging {
                    // What an earlier generation of it complained about, and could not take back.
                    lane.trouble = None;
                }
                let bsr_came = match slot.role {
                    Role::Acceptor => to == State::Connected,
                    Role::Connector => to == State::Establishing,
                };
                if bsr_came {
                    self.sessions.connected(slot);
                }
                if let Some(channel_type) = channel_type.filter(|_| to == State::Establishing) {
                    self.sessions.coming(slot, channel_type);
                }
                match (slot.role, to) {
                    (Role::Acceptor, State::Bridged) => self.hurry(Hurry::Drx, ctx),
                    (Role::Acceptor, State::Connected) => self.hurry(Hurry::Bsr, ctx),
                    _ => {}
                }
                // Not when data is flushed: what is in bsr's socket bsr has not read yet, and it throws that
                // away when it sees the end of meta.
                if to == State::Stopped {
                    let orders = self.sessions.left(slot);
                    self.carry_out(orders);
                }
                self.open_or_close_the_door(ctx);
            }
            ChannelNews::Established { channel_type, round } => {
                self.sessions.established(slot, channel_type, round);
                if let Some((data, meta)) = self.sessions.newest() {
                    debug!(self.log, "a whole session stands"; "data" => ?data, "meta" => ?meta);
                }
            }
            ChannelNews::Ended(by) => {
                let orders = self.sessions.ended(slot, by);
                self.carry_out(orders);
            }
            ChannelNews::Peer(epoch) => {
                if self.peer.replace(epoch) != Some(epoch) {
                    for slot in Slot::ALL {
                        self.lane(slot).memory.admission.borrow_mut().lives(epoch);
                        self.order(slot, ChannelOrder::PeerIs(epoch));
                    }
                }
            }
            ChannelNews::Trouble(trouble) => lane.trouble = trouble,
            ChannelNews::Over { place, why, held_link, unflushed } => {
                // A link that was lost took its bytes along long ago: that is no word about this goodbye.
                if place == Place::Down || !self.up {
                    self.unflushed += unflushed;
                }
                self.ended(slot, place, &why, held_link, ctx);
            }
            ChannelNews::Failed(what) => self.broke(slot, &what, ctx),
        }
    }
}

impl Handler<ChannelExited> for Resource {
    type Result = ();

    fn handle(&mut self, ChannelExited { slot, exited }: ChannelExited, ctx: &mut Context<Self>) {
        let current = self.lane(slot).child.as_ref().map(Child::generation);
        if current != Some(exited.generation) {
            return; // it said so itself before
        }
        let what = format!("the {} {}", slot.role, exited.exit);
        let lane = self.lane(slot);
        error!(lane.log, "failed"; "what" => &what, "state" => %lane.state);
        self.broke(slot, &what, ctx);
    }
}

impl Handler<InsideExited> for Resource {
    type Result = ();

    fn handle(&mut self, InsideExited(exited): InsideExited, ctx: &mut Context<Self>) {
        if self.inside.as_ref().map(Child::generation) != Some(exited.generation) {
            return;
        }
        if let Exit::Panicked(what) | Exit::ConstructorPanicked(what) = &exited.exit {
            error!(self.log, "the listener for bsr panicked"; "what" => what);
        }
        self.inside = None;
        self.open_or_close_the_door(ctx);
    }
}

impl Handler<AtInside> for Resource {
    type Result = ();

    fn handle(&mut self, arrival: AtInside, ctx: &mut Context<Self>) {
        let current = self.inside.as_ref().map(Child::generation) == Some(arrival.generation);
        let Some(slot) = self.door().filter(|_| current && self.up) else {
            return arrival.stream.abort(); // refused, before any byte
        };
        let lane = self.lane(slot);
        if let Some(child) = &lane.child {
            child.addr().do_send(BsrConnected(arrival.stream));
            // Taken from now on: the channel's own word for it is under way.
            lane.state = State::Connected;
        }
        self.open_or_close_the_door(ctx);
    }
}

impl Handler<ListenTrouble> for Resource {
    type Result = ();

    fn handle(&mut self, ListenTrouble { at, trouble }: ListenTrouble, _: &mut Context<Self>) {
        let known = if at == self.terms.settings.inside {
            &mut self.inside_trouble
        } else {
            &mut self.outside_trouble
        };
        if at == self.terms.settings.inside
            && *known != trouble
            && let Some(trouble) = &trouble
        {
            slog::warn!(self.log, "bsr cannot connect"; "trouble" => trouble);
        }
        *known = trouble;
    }
}

impl Handler<DrxDialled> for Resource {
    type Result = ();

    fn handle(&mut self, dialled: DrxDialled, _: &mut Context<Self>) {
        let slot = Slot { role: Role::Acceptor, lane: dialled.hello.lane };
        match &self.lanes[slot.index()].child {
            Some(child) => child.addr().do_send(dialled),
            // A resume is never told to come again: what it wants to carry on is not here.
            None if dialled.hello.resume.is_some() => {
                if let Ok(stream) = dialled.stream.attach() {
                    refuse(stream, Refusal::UnknownLink, "the channel is not running here");
                }
            }
            None => {
                let sentence = match self.off_standing() {
                    Some(Standing::Down) => "the resource is down here",
                    Some(_) => "the resource has failed here and waits for an operator",
                    None => "the channel is being restarted, dial again",
                };
                debug!(self.log, "refused a dial of the other DRX"; "from" => &dialled.from, "sentence" => sentence);
                if let Ok(stream) = dialled.stream.attach() {
                    refuse(stream, Refusal::Busy, sentence);
                }
            }
        }
    }
}
