//! A broken link is carried on over another connection: bsr sees a pause (docs/link.md 5).
//!
//! The connector dials at once, and then again and again without waiting for the dial before: on a line that
//! has just come back, the first handshake that gets through counts. The acceptor waits for that dial, which
//! may also come while it still takes the old connection for alive.

use std::collections::BTreeMap;
use std::time::Duration;

use actix::Context;
use drx_protocol::State;
use drx_protocol::admission::Dial;
use drx_protocol::channel::Event;
use drx_protocol::delivery::Standstill;
use drx_protocol::handshake::{Answer, Refusal, VERSION, Welcome};
use drx_protocol::names::{LinkId, Role, Round};
use slog::{debug, info};
use tokio::time::{Instant, timeout};

use super::ChannelActor;
use super::link_side::Greeted;
use crate::bab::{BabOrder, GoOn};
use crate::counters::add;
use crate::handshake::{HandshakeFailure, greet};
use crate::messages::DrxDialled;
use crate::net::Stream;
use crate::packing;
use crate::task::Task;

/// The wait for another connection of the same link.
pub(super) struct Resuming {
    since: Instant,
    timer: Task,
    /// From when `resume_timeout` counts: from before `since`, if nothing got through meanwhile.
    clock: Instant,
    /// Where the BAB stands, once it has said so.
    standstill: Option<Standstill>,
    /// The link ended because a frame on it was damaged.
    damaged: bool,
    /// That the other DRX cannot be reached was said: once, however the dials fail.
    complained: bool,
    /// Acceptor: the dial that waits for the BAB's word.
    arrived: Option<DrxDialled>,
    dials: Dials,
}

/// Connector: the dials under way.
///
/// *The newest HELLO counts.* The acceptor gives its round to each dial that it hears of, so an older one's
/// WELCOME is worth nothing once a newer HELLO is out; and once a WELCOME was heard the line carries both
/// ways, so no further HELLO goes out for a while: otherwise, on a line whose round trip is longer than the
/// interval of the dials, each would take the round from the one before. Not for long: the newest may be on a
/// connection that is dead.
#[derive(Default)]
struct Dials {
    under_way: BTreeMap<u64, Task>,
    /// The next dial; for an acceptor: when the one that arrived is taken.
    next: Option<Task>,
    /// The newest dial whose HELLO is out.
    greeted: u64,
    /// A WELCOME came for an older one, so the newest one's is waited for until then.
    patient_until: Option<Instant>,
}

impl ChannelActor {
    /// The link's transport is gone: it is resumed if it can be, or lost.
    pub(super) fn link_broke(&mut self, damaged: bool, why: &str, ctx: &mut Context<Self>) {
        if self.leaving.is_some() || !self.resumes() || !self.machine.resumable() {
            return self.feed(Event::LinkLost, why, ctx);
        }
        self.feed(Event::LinkBroken, why, ctx);
        if let Some(resuming) = &mut self.resuming {
            resuming.damaged = damaged;
        }
        if self.machine.state() != State::Established {
            info!(self.log, "the link is broken and being resumed"; "why" => why, "state" => %self.machine.state(),
                "attempt" => self.machine.attempt());
        }
    }

    /// Whether this relay resumes at all.
    fn resumes(&self) -> bool {
        !self.terms.settings.link.resume_timeout.is_zero()
    }

    /// The round waits for another connection, for `resume_timeout` at most.
    pub(super) fn begin_resume(&mut self, ctx: &mut Context<Self>) {
        self.order_bab(BabOrder::Hold);
        self.link = None; // of a link that hangs, too: the other DRX has given it up
        self.remote = None;
        self.counters.rtt.set(None);
        self.addresses.remote = None;
        let patience = self.terms.settings.link.resume_timeout;
        let now = Instant::now();
        self.resuming = Some(Resuming {
            since: now,
            timer: give_up_after(patience, patience, ctx),
            clock: now,
            standstill: None,
            damaged: false,
            complained: false,
            arrived: None,
            dials: Dials::default(),
        });
    }

    /// The BAB has said where it stands: now the other DRX can be told.
    pub(super) fn at_standstill(&mut self, standstill: Standstill, ctx: &mut Context<Self>) {
        let (received, progress, waits) = (standstill.received(), standstill.progress(), standstill.waits());
        let (Some(round), Some(resuming)) = (self.machine.round(), &mut self.resuming) else { return };
        resuming.standstill = Some(standstill);
        if resuming.damaged {
            let here = (round, received);
            let at_once = self.resumed_at.is_some_and(|resumed| resuming.since - resumed < SENT_AGAIN);
            if self.damaged_at.replace(here) == Some(here) && at_once {
                // What is sent again is damaged again: the line, or the other DRX, does so every time.
                return self.feed(Event::LinkLost, "the same frame was damaged again", ctx);
            }
        }
        let in_vain = waits || !self.counters.heard.get();
        let pause = self.pause_before_resuming(round, progress, in_vain, ctx);
        if self.slot.role == Role::Connector && pause.is_zero() {
            self.dial_again(ctx);
        } else if self.slot.role == Role::Connector {
            let first = Task::later(ctx, pause, |channel: &mut Self, ctx| channel.dial_again(ctx));
            if let Some(Resuming { dials, .. }) = &mut self.resuming {
                dials.next = Some(first);
            }
        } else if let Some(dialled) = self.resuming.as_mut().and_then(|resuming| resuming.arrived.take()) {
            self.resume_with(dialled, ctx);
        }
    }

    /// A line may let handshakes through and break on whatever follows. So the time runs on while nothing gets
    /// through that was to, and a connection that carried nothing and did not live for long is not replaced at
    /// once.
    fn pause_before_resuming(
        &mut self,
        round: Round,
        progress: (u64, u64),
        in_vain: bool,
        ctx: &mut Context<Self>,
    ) -> Duration {
        let patience = self.terms.settings.link.resume_timeout;
        let short = self.terms.settings.link.keepalive_timeout;
        let Some(resuming) = &mut self.resuming else { return Duration::ZERO };
        let lived = self.resumed_at.map(|resumed| resuming.since - resumed);
        let stuck = self.stuck_at.filter(|(known, at, _)| (*known, *at) == (round, progress));
        if let Some((_, _, clock)) = stuck
            && in_vain
            && lived.is_some_and(|lived| lived < short)
        {
            resuming.clock = clock;
            let left = patience.saturating_sub(clock.elapsed());
            let timer = std::mem::replace(&mut resuming.timer, give_up_after(left, patience, ctx));
            timer.call_off(ctx);
        }
        self.stuck_at = Some((round, progress, resuming.clock));
        // What carried something was worth its dial, however short it lived.
        let lived = lived.filter(|_| stuck.is_some());
        lived.map_or(Duration::ZERO, |lived| DIAL_AGAIN.saturating_sub(lived))
    }

    /// Nothing is waited for any more: it was resumed, or is lost.
    pub(super) fn end_resume(&mut self, ctx: &mut Context<Self>) {
        let Some(Resuming { timer, dials, arrived, .. }) = self.resuming.take() else { return };
        if let Some(dialled) = arrived {
            self.refused(dialled, Refusal::UnknownLink, "the link has just been given up");
        }
        for task in dials.under_way.into_values().chain(dials.next).chain([timer]) {
            task.call_off(ctx);
        }
    }

    /// The round goes on over this connection, whose handshake is done up to `preface`.
    fn carry_on(&mut self, stream: Box<dyn Stream>, resumed: Resumed, ctx: &mut Context<Self>) {
        let Some(resuming) = &self.resuming else { return };
        let pause = resuming.since.elapsed();
        self.end_resume(ctx);
        let peer = stream.peer_addr().map_or_else(|_| String::new(), |address| address.to_string());
        let Resumed { greeted, next } = resumed;
        let (window, since) = (greeted.window, self.link_up_since);
        self.linked(stream, greeted, ctx);
        self.link_up_since = since; // it is the same link
        self.resumed_at = Some(Instant::now());
        if let (Some(bab), Some(link)) = (&self.bab, &self.link) {
            bab.addr().do_send(GoOn { link: link.addr().clone(), next, window });
        }
        add(&self.memory.resumes, 1);
        let why = format!("the link was resumed with {peer} after {pause:.1?}");
        let flushing = self.machine.state() != State::Established;
        if flushing {
            info!(self.log, "the link is resumed"; "why" => &why, "state" => %self.machine.state(),
                "attempt" => self.machine.attempt());
        }
        self.feed(Event::LinkResumed, &why, ctx);
        if flushing {
            self.tell_state(); // it has not changed, but nobody may know of it
        }
    }
}

fn give_up_after(left: Duration, patience: Duration, ctx: &mut Context<ChannelActor>) -> Task {
    Task::later(ctx, left, move |channel: &mut ChannelActor, ctx| {
        channel.feed(Event::LinkLost, &format!("the link was not resumed within {patience:.1?}"), ctx);
    })
}

/// What the other DRX said about a connection that carries a round on.
struct Resumed {
    greeted: Greeted,
    /// The next byte that the other DRX expects.
    next: u64,
}

/// The connector dials.
impl ChannelActor {
    fn dial_again(&mut self, ctx: &mut Context<Self>) {
        let settings = &self.terms.settings;
        let (connecting, patience) = (self.connect_drx(), settings.link.connect_timeout);
        let deadline = Instant::now() + patience;
        let dialled = async move {
            match timeout(patience, connecting).await {
                Ok(connected) => connected.map_err(|error| error.to_string()),
                Err(_) => Err(format!("no answer within {patience:.1?}")),
            }
        };
        let number = self.next_dial();
        let dial = Task::run(ctx, self, dialled, move |dialled, channel, ctx| {
            channel.dial_is_over(number);
            match dialled {
                Ok(stream) => channel.greet_again(number, stream, deadline, ctx),
                Err(error) => channel.in_vain(number, &error),
            }
        });
        let next = Task::later(ctx, DIAL_AGAIN, |channel: &mut Self, ctx| channel.dial_again(ctx));
        if let Some(Resuming { dials, .. }) = &mut self.resuming {
            dials.under_way.insert(number, dial);
            dials.next = Some(next);
        }
    }

    fn greet_again(
        &mut self,
        number: u64,
        mut stream: Box<dyn Stream>,
        deadline: Instant,
        ctx: &mut Context<Self>,
    ) {
        let (Some(round), Some(resuming)) = (self.machine.round(), &mut self.resuming) else { return };
        let Some(standstill) = resuming.standstill.clone() else { return };
        let patient = resuming.dials.patient_until.is_some_and(|until| Instant::now() < until);
        if patient || number < resuming.dials.greeted {
            return; // a newer one is further
        }
        let dial = Dial { link: round.link, epoch: self.terms.epoch, number, resume: Some(round.attempt) };
        (resuming.dials.greeted, resuming.dials.patient_until) = (number, None);
        let Some(hello) = self.hello(dial, standstill.received()) else { return };
        let since = Instant::now();
        let greeted = async move {
            match tokio::time::timeout_at(deadline, greet(&mut *stream, &hello)).await {
                Ok(welcome) => welcome.map(|welcome| (stream, welcome)),
                Err(_) => Err(HandshakeFailure::TooLate),
            }
        };
        let greeting = Task::run(ctx, self, greeted, move |met, channel, ctx| {
            channel.dial_is_over(number);
            match met {
                Ok((stream, welcome)) => {
                    if !channel.is_newest(number) {
                        return channel.wait_for_the_newest(since.elapsed());
                    }
                    channel.welcomed_back(stream, &welcome, &standstill, ctx);
                }
                Err(HandshakeFailure::Refused(refused)) if channel.is_newest(number) => {
                    let why = format!("the other DRX does not resume the link: {refused}");
                    channel.feed(Event::LinkLost, &why, ctx);
                }
                Err(failure) => channel.in_vain(number, &failure.to_string()),
            }
        });
        if let Some(Resuming { dials, .. }) = &mut self.resuming {
            dials.under_way.insert(number, greeting);
        }
    }

    fn welcomed_back(
        &mut self,
        stream: Box<dyn Stream>,
        welcome: &Welcome,
        standstill: &Standstill,
        ctx: &mut Context<Self>,
    ) {
        let same = welcome.resumed == Some(self.machine.attempt()) && Some(welcome.epoch) == self.peer;
        if !same {
            return self.feed(Event::LinkLost, "the other DRX resumes something else", ctx);
        }
        if let Err(violation) = standstill.can_resume(welcome.next_offset) {
            return self.feed(Event::LinkLost, &format!("the link cannot be resumed: {violation}"), ctx);
        }
        self.content();
        self.carry_on(stream, Resumed { greeted: Greeted::by(welcome), next: welcome.next_offset }, ctx);
    }

    /// An older dial's WELCOME took so long: the newest one's is given twice that.
    fn wait_for_the_newest(&mut self, round_trip: Duration) {
        if let Some(Resuming { dials, .. }) = &mut self.resuming
            && dials.under_way.contains_key(&dials.greeted)
        {
            dials.patient_until = Some(Instant::now() + 2 * round_trip.max(DIAL_AGAIN));
        }
    }

    fn dial_is_over(&mut self, number: u64) {
        if let Some(Resuming { dials, .. }) = &mut self.resuming {
            dials.under_way.remove(&number);
        }
    }

    fn is_newest(&self, number: u64) -> bool {
        self.resuming.as_ref().is_some_and(|resuming| resuming.dials.greeted == number)
    }

    fn in_vain(&mut self, number: u64, error: &str) {
        let newest = self.is_newest(number);
        let Some(Resuming { dials, complained, .. }) = &mut self.resuming else { return };
        if newest {
            dials.patient_until = None;
        }
        if std::mem::replace(complained, true) {
            debug!(self.log, "a dial to resume the link failed"; "error" => error, "dial" => number,
                "attempt" => self.machine.attempt());
        } else {
            self.complain(format!(
                "the other DRX at {} cannot be reached: {error}",
                self.terms.settings.peer
            ));
        }
    }
}

/// The acceptor is dialled.
impl ChannelActor {
    /// A dial that may resume the round: its link, its attempt, from the same life of the other relay.
    pub(super) fn take_over(&mut self, dialled: DrxDialled, ctx: &mut Context<Self>) {
        if !self.resumes() {
            self.refused(dialled, Refusal::UnknownLink, "this relay resumes nothing (resume_timeout is 0)");
            return self.feed(Event::LinkLost, "the other DRX wants to resume the link", ctx);
        }
        if self.machine.link().is_up() {
            self.link_broke(false, "the other DRX resumes the link on a new connection", ctx);
        }
        let Some(resuming) = &mut self.resuming else { return };
        if resuming.standstill.is_some() {
            self.resume_with(dialled, ctx);
        } else {
            resuming.arrived = Some(dialled); // an earlier one is closed: it was overtaken
        }
    }

    fn resume_with(&mut self, dialled: DrxDialled, ctx: &mut Context<Self>) {
        let standstill = self.resuming.as_ref().and_then(|resuming| resuming.standstill.as_ref());
        let (Some(standstill), Some(round)) = (standstill, self.machine.round()) else { return };
        let received = standstill.received();
        if let Err(violation) = standstill.can_resume(dialled.hello.next_offset) {
            let sentence = violation.to_string();
            self.refused(dialled, Refusal::UnknownLink, &sentence);
            return self.feed(Event::LinkLost, &format!("the link cannot be resumed: {sentence}"), ctx);
        }
        let lived = self.resumed_at.map_or(SHORTEST_LIFE, |resumed| resumed.elapsed());
        if lived < SHORTEST_LIFE {
            return self.resume_later(dialled, SHORTEST_LIFE - lived, ctx);
        }
        let DrxDialled { stream, hello, .. } = dialled;
        let Ok(stream) = stream.attach() else { return };
        let checksums = hello.checksums || self.terms.settings.link.checksum;
        let welcome = self.welcome(round.link, Some(round.attempt), checksums, received, &hello.codecs);
        let (preface, next) = (welcome.encode(), hello.next_offset);
        let (window, epoch, codecs) = (hello.window, hello.epoch, hello.codecs);
        let greeted = Greeted { preface, checksums, window, epoch, codecs };
        self.carry_on(stream, Resumed { greeted, next }, ctx);
    }

    /// Who dials again and again is served some times a second, and no more.
    fn resume_later(&mut self, dialled: DrxDialled, pause: Duration, ctx: &mut Context<Self>) {
        let later = Task::later(ctx, pause, |channel: &mut Self, ctx| {
            let arrived = channel.resuming.as_mut().and_then(|resuming| resuming.arrived.take());
            if let Some(dialled) = arrived {
                channel.resume_with(dialled, ctx);
            }
        });
        let Some(Resuming { arrived, dials, .. }) = &mut self.resuming else { return };
        *arrived = Some(dialled);
        if let Some(earlier) = dials.next.replace(later) {
            earlier.call_off(ctx);
        }
    }

    /// What is said to a dial that is taken.
    pub(super) fn welcome(
        &self,
        link: LinkId,
        resumed: Option<u32>,
        checksums: bool,
        next_offset: u64,
        theirs: &[u8],
    ) -> Answer {
        Answer::Welcome(Welcome {
            version: VERSION,
            lane: self.slot.lane,
            resumed,
            checksums,
            link,
            epoch: self.terms.epoch,
            next_offset,
            window: self.terms.settings.link.window,
            // A relay that names none does not know them.
            codecs: if theirs.is_empty() { Vec::new() } else { packing::offered() },
        })
    }
}

/// Between two connections that an acceptor resumes one link on.
const SHORTEST_LIFE: Duration = Duration::from_millis(100);
/// Between two dials to resume a link.
const DIAL_AGAIN: Duration = Duration::from_millis(500);
/// What is sent again comes first on the new connection. A frame that is damaged later than this is another
/// one, also where nothing but acknowledgements came meanwhile.
const SENT_AGAIN: Duration = Duration::from_secs(60);
