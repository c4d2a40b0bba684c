//! A channel's side towards the other DRX.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::Ordering;

use actix::{AsyncContext, Context, Handler};
use bytes::Bytes;
use drx_protocol::admission::{Dial, Verdict};
use drx_protocol::channel::{Event, Place};
use drx_protocol::ending::{EndReason, Ending};
use drx_protocol::frame::Frame;
use drx_protocol::handshake::{Hello, Name, Refusal, Versions, Welcome};
use drx_protocol::names::{Epoch, LinkId};
use drx_protocol::{Standing, State};
use slog::{info, warn};
use tokio::time::{Instant, timeout};

use super::{ChannelActor, Part, on_exit};
use crate::child::spawn;
use crate::handshake::{HandshakeFailure, greet, refuse};
use crate::link::{HangUp, LinkEvent, LinkNews, LinkSocket, LinkTerms};
use crate::messages::{ChannelNews, DrxDialled};
use crate::net::{LocalBoxFuture, SocketOptions, Stream};
use crate::packing::{self, Packing};
use crate::task::Task;

/// What a handshake said about a connection.
pub(super) struct Greeted {
    /// What is still to be sent of it.
    pub(super) preface: Bytes,
    pub(super) checksums: bool,
    /// Granted by the other DRX.
    pub(super) window: u32,
    /// The other DRX's.
    pub(super) epoch: Epoch,
    /// That the other DRX can unpack.
    pub(super) codecs: Vec<u8>,
}

impl Greeted {
    /// As the acceptor answered: everything of it is said.
    pub(super) fn by(welcome: &Welcome) -> Greeted {
        let Welcome { checksums, window, epoch, ref codecs, .. } = *welcome;
        Greeted { preface: Bytes::new(), checksums, window, epoch, codecs: codecs.clone() }
    }
}

impl ChannelActor {
    /// Connector: dials the other DRX, again and again, as the restart policy spaces it.
    pub(super) fn dial_drx(&mut self, ctx: &mut Context<Self>) {
        self.backing_off = false;
        let (link, number) = (LinkId(fastrand::u128(..)), self.next_dial());
        let Some(hello) = self.hello(Dial { link, epoch: self.terms.epoch, number, resume: None }, 0) else {
            return self.fail("a name that no handshake can carry".into(), ctx);
        };
        let (peer, patience) = (self.terms.settings.peer, self.terms.settings.link.connect_timeout);
        let connecting = self.connect_drx();
        let dialled = async move {
            let met = async {
                let mut stream = connecting.await?;
                let welcome = greet(&mut *stream, &hello).await?;
                Ok::<_, HandshakeFailure>((stream, welcome))
            };
            match timeout(patience, met).await {
                Ok(met) => met.map_err(|failure| failure.to_string()),
                Err(_) => Err(format!("no answer within {patience:.1?}")),
            }
        };
        let dial = Task::run(ctx, self, dialled, move |met, channel, ctx| {
            channel.dialling_drx = None;
            match met {
                Ok((stream, welcome)) => channel.welcomed(stream, &welcome, ctx),
                Err(error) => {
                    let delay = channel.back_off();
                    channel.complain(format!("the other DRX at {peer} cannot be reached: {error}"));
                    channel.backing_off = true;
                    channel.dialling_drx =
                        Some(Task::later(ctx, delay, |channel: &mut Self, ctx| channel.dial_drx(ctx)));
                }
            }
        });
        self.dialling_drx = Some(dial);
    }

    /// A connection to the other DRX.
    pub(super) fn connect_drx(&self) -> LocalBoxFuture<io::Result<Box<dyn Stream>>> {
        let settings = &self.terms.settings;
        let options = SocketOptions { congestion: settings.link.congestion.clone(), ..SocketOptions::link() };
        // From our own outside IP, so that the other side's firewall sees the address it knows.
        let from = Some(settings.outside.ip()).filter(|ip| !ip.is_unspecified());
        self.terms.net.connect(settings.peer, from, &options)
    }

    /// The number of the next dial: they rise.
    pub(super) fn next_dial(&self) -> u64 {
        self.terms.dials.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What is said first on a connection. None: the names, which were checked when the configuration was
    /// read, cannot be said.
    pub(super) fn hello(&self, dial: Dial, next_offset: u64) -> Option<Hello> {
        let settings = &self.terms.settings;
        Some(Hello {
            versions: Versions::OURS,
            lane: self.slot.lane,
            resume: dial.resume,
            checksums: settings.link.checksum,
            link: dial.link,
            epoch: dial.epoch,
            dial: dial.number,
            next_offset,
            window: settings.link.window,
            resource: Name::new(&settings.name).ok()?,
            from: Name::new(&settings.local).ok()?,
            to: Name::new(&settings.remote).ok()?,
            codecs: packing::offered(),
        })
    }

    fn back_off(&self) -> std::time::Duration {
        self.memory.restarts.borrow_mut().lost(self.terms.started.elapsed(), fastrand::f64())
    }

    fn welcomed(&mut self, stream: Box<dyn Stream>, welcome: &Welcome, ctx: &mut Context<Self>) {
        self.content();
        let peer = stream.peer_addr().map_or_else(|_| String::new(), |address| address.to_string());
        let why = format!("linked with {peer}, link {}", welcome.link);
        self.linked(stream, Greeted::by(welcome), ctx);
        self.feed(Event::LinkUp(welcome.link), &why, ctx);
    }

    pub(super) fn linked(&mut self, stream: Box<dyn Stream>, greeted: Greeted, ctx: &mut Context<Self>) {
        let Greeted { preface, checksums, window, epoch, codecs } = greeted;
        let generation = self.part_number();
        let settings = &self.terms.settings.link;
        let wanted = Rc::clone(&self.terms.compression);
        let terms = LinkTerms {
            checksum: checksums,
            keepalive_interval: settings.keepalive_interval,
            keepalive_timeout: settings.keepalive_timeout,
            packing: Packing::new(&codecs, wanted, Rc::clone(&self.counters), self.log.clone()),
        };
        self.addresses.remote = stream.peer_addr().ok().map(|address| address.to_string());
        let (channel, bab) = (ctx.address().recipient(), self.bab(ctx));
        let counters = Rc::clone(&self.counters);
        self.link = Some(spawn(generation, on_exit(Part::Link, ctx), move |_| {
            LinkSocket::new(generation, stream, preface, channel, bab, counters, terms)
        }));
        self.link_up_since = Some(Instant::now());
        self.their_word = None;
        self.counters.heard.set(false);
        self.peer_window = window;
        self.peer = Some(epoch);
        self.tell(ChannelNews::Peer(epoch));
    }

    /// The link is not used any more; what it was told to say is still said.
    pub(super) fn link_down(&mut self) {
        self.remote = None;
        self.counters.rtt.set(None);
        self.addresses.remote = None;
        self.peer = None;
        if let Some(link) = self.link.take() {
            link.addr().do_send(HangUp);
            self.parting = Some(link);
        }
    }

    /// A frame was damaged on its way, or was none: both sides say so, and this connection is closed. What
    /// it carried is sent again on the next one.
    fn damaged(&mut self, error: &str, ctx: &mut Context<Self>) {
        warn!(self.log, "protocol error on the link"; "error" => error, "attempt" => self.machine.attempt());
        self.say(Frame::Abort { attempt: 0, ending: Ending::new(EndReason::Protocol) });
        if let Some(link) = self.link.take() {
            link.addr().do_send(HangUp);
            self.parting = Some(link);
        }
        self.link_broke(true, &format!("protocol error: {error}"), ctx);
    }

    /// The other DRX broke the link's protocol: both sides say so, and the link is made again.
    pub(super) fn protocol_error(&mut self, error: &str, ctx: &mut Context<Self>) {
        warn!(self.log, "protocol error on the link"; "error" => error, "attempt" => self.machine.attempt());
        if self.machine.attempt() != 0 {
            self.say(Frame::Abort {
                attempt: self.machine.attempt(),
                ending: Ending::new(EndReason::Protocol),
            });
        }
        self.feed(Event::LinkLost, &format!("protocol error: {error}"), ctx);
    }

    pub(super) fn refused(&mut self, dialled: DrxDialled, refusal: Refusal, sentence: &str) {
        let peer =
            dialled.from.parse::<SocketAddr>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |from| from.ip());
        if let Some(unsaid) = self.terms.quiet.borrow_mut().may_say(peer) {
            info!(self.log, "refused a dial of the other DRX"; "from" => &dialled.from, "why" => %refusal,
                "sentence" => sentence, "dial" => dialled.hello.dial, "state" => %self.machine.state(),
                "unsaid" => unsaid);
        }
        if let Ok(stream) = dialled.stream.attach() {
            refuse(stream, refusal, sentence);
        }
    }
}

/// Acceptor: a dial of the other DRX.
impl Handler<DrxDialled> for ChannelActor {
    type Result = ();

    fn handle(&mut self, dialled: DrxDialled, ctx: &mut Context<Self>) {
        let hello = &dialled.hello;
        let dial = Dial { link: hello.link, epoch: hello.epoch, number: hello.dial, resume: hello.resume };
        let verdict = self.memory.admission.borrow_mut().admit(&dial, &self.machine);
        match verdict {
            Verdict::Fresh => {
                let (from, hello) = (dialled.from, dialled.hello);
                let Ok(stream) = dialled.stream.attach() else { return };
                let checksums = hello.checksums || self.terms.settings.link.checksum;
                let welcome = self.welcome(hello.link, None, checksums, 0, &hello.codecs);
                let (preface, why) = (welcome.encode(), format!("linked with {from}, link {}", hello.link));
                let (window, epoch, codecs) = (hello.window, hello.epoch, hello.codecs);
                self.link_down();
                self.linked(stream, Greeted { preface, checksums, window, epoch, codecs }, ctx);
                self.feed(Event::LinkUp(hello.link), &why, ctx);
            }
            Verdict::Busy => {
                self.tell(ChannelNews::Peer(hello.epoch));
                let sentence = match self.machine.state() {
                    State::Allocating => "the BAB's memory is not there yet, dial again",
                    _ => "the old link is being given up, dial again",
                };
                self.refused(dialled, Refusal::Busy, sentence);
                if self.machine.link().id().is_some() {
                    self.feed(Event::LinkLost, "the other DRX has given it up and dials afresh", ctx);
                }
            }
            Verdict::Resume => self.take_over(dialled, ctx),
            Verdict::Ended => {
                self.refused(dialled, Refusal::UnknownLink, "this round cannot be resumed");
                self.feed(Event::LinkLost, "the other DRX could not resume the round", ctx);
            }
            Verdict::Unknown => {
                self.refused(dialled, Refusal::UnknownLink, "the link to be resumed is not known here");
            }
            Verdict::Overtaken => {
                let refusal = if hello.resume.is_some() { Refusal::UnknownLink } else { Refusal::Busy };
                self.refused(dialled, refusal, "a later dial came first");
            }
        }
    }
}

impl Handler<LinkEvent> for ChannelActor {
    type Result = ();

    fn handle(&mut self, event: LinkEvent, ctx: &mut Context<Self>) {
        if self.parting.as_ref().is_some_and(|link| link.generation() == event.generation) {
            if matches!(event.what, LinkNews::Ended(_)) {
                self.parting = None;
                if self.leaving == Some(Place::Down) && self.link.is_none() {
                    self.over(ctx);
                }
            }
            return;
        }
        if self.link.as_ref().is_none_or(|link| link.generation() != event.generation) {
            return;
        }
        match event.what {
            LinkNews::Frame(frame) => self.heard(frame, ctx),
            LinkNews::Damaged(error) => self.damaged(&error, ctx),
            LinkNews::Ended(why) => {
                self.link = None;
                if self.leaving.is_some() {
                    self.over(ctx);
                } else {
                    let why = self.their_word.take().unwrap_or(why);
                    self.link_broke(false, &why, ctx);
                }
            }
        }
    }
}

impl ChannelActor {
    fn heard(&mut self, frame: Frame, ctx: &mut Context<Self>) {
        match frame {
            Frame::Offer { attempt, channel, .. } => {
                let why = format!("the other side's bsr opened {channel}");
                self.feed(Event::Offered { attempt, channel_type: channel }, &why, ctx);
            }
            Frame::Established { attempt, .. } => {
                self.feed(Event::PeerEstablished(attempt), "the other side's bsr is connected", ctx);
            }
            Frame::Fin { attempt, ending, .. } => {
                self.feed(Event::PeerFin { attempt, ending }, "", ctx);
            }
            Frame::Abort { attempt: 0, ending } => {
                self.their_word = Some(format!("the other DRX closed the link: {ending}"));
            }
            Frame::Abort { attempt, ending } => {
                self.feed(Event::PeerAbort { attempt, ending }, "", ctx);
            }
            Frame::State { state, channel: _ } => {
                self.remote = Standing::from_code(state.0); // none: a state of a later version
                self.mind_pings();
            }
            // The link actor keeps these for the BAB or for itself.
            Frame::Data { .. } | Frame::Ack { .. } | Frame::Ping { .. } | Frame::Pong { .. } => {}
        }
    }
}
