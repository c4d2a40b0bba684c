//! A channel's side towards the other DRX.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::Ordering;

use actix::{ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use bytes::Bytes;
use drx_protocol::Standing;
use drx_protocol::admission::{Dial, Verdict};
use drx_protocol::channel::{Event, Place};
use drx_protocol::ending::{EndReason, Ending};
use drx_protocol::frame::Frame;
use drx_protocol::handshake::{Answer, Hello, Name, Refusal, VERSION, Versions, Welcome};
use drx_protocol::names::{Epoch, LinkId};
use slog::{info, warn};
use tokio::time::{Instant, timeout};

use super::{ChannelActor, Part, on_exit};
use crate::child::spawn;
use crate::handshake::{HandshakeFailure, greet, refuse};
use crate::link::{HangUp, LinkEvent, LinkNews, LinkSocket, LinkTerms};
use crate::messages::{ChannelNews, DrxDialled};
use crate::net::{SocketOptions, Stream};

impl ChannelActor {
    /// Connector: dials the other DRX, again and again, as the restart policy spaces it.
    pub(super) fn dial_drx(&mut self, ctx: &mut Context<Self>) {
        let settings = &self.terms.settings;
        self.backing_off = false;
        let dial = self.terms.dials.fetch_add(1, Ordering::Relaxed) + 1;
        // Names were checked when the configuration was read.
        let (Ok(resource), Ok(from), Ok(to)) =
            (Name::new(&settings.name), Name::new(&self.terms.node), Name::new(&settings.remote))
        else {
            return self.fail("a name that no handshake can carry".into(), ctx);
        };
        let hello = Hello {
            versions: Versions::OURS,
            lane: self.slot.lane,
            resume: None,
            checksums: settings.link.checksum,
            link: LinkId(fastrand::u128(..)),
            epoch: self.terms.epoch,
            dial,
            next_offset: 0,
            window: settings.link.window,
            resource,
            from,
            to,
            codecs: Vec::new(),
        };
        let options = SocketOptions { congestion: settings.link.congestion.clone(), ..SocketOptions::link() };
        let (peer, patience) = (settings.peer, settings.link.connect_timeout);
        // From our own outside IP, so that the other side's firewall sees the address it knows.
        let from = Some(settings.outside.ip()).filter(|ip| !ip.is_unspecified());
        let connecting = self.terms.net.connect(peer, from, &options);
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
        let handle = ctx.spawn(dialled.into_actor(self).map(move |met, channel, ctx| {
            channel.dialling_drx = None;
            match met {
                Ok((stream, welcome)) => channel.welcomed(stream, &welcome, ctx),
                Err(error) => {
                    let delay = channel.back_off();
                    channel.complain(format!("the other DRX at {peer} cannot be reached: {error}"));
                    channel.backing_off = true;
                    channel.dialling_drx = Some(ctx.run_later(delay, |channel, ctx| channel.dial_drx(ctx)));
                }
            }
        }));
        self.dialling_drx = Some(handle);
    }

    fn back_off(&self) -> std::time::Duration {
        self.memory.restarts.borrow_mut().lost(self.terms.started.elapsed(), fastrand::f64())
    }

    fn welcomed(&mut self, stream: Box<dyn Stream>, welcome: &Welcome, ctx: &mut Context<Self>) {
        self.content();
        let peer = stream.peer_addr().map_or_else(|_| String::new(), |address| address.to_string());
        let why = format!("linked with {peer}, link {}", welcome.link);
        self.linked(stream, Bytes::new(), welcome.checksums, welcome.window, welcome.epoch, ctx);
        self.feed(Event::LinkUp(welcome.link), &why, ctx);
    }

    fn linked(
        &mut self,
        stream: Box<dyn Stream>,
        preface: Bytes,
        checksum: bool,
        peer_window: u32,
        peer: Epoch,
        ctx: &mut Context<Self>,
    ) {
        let generation = self.part_number();
        let settings = &self.terms.settings.link;
        let terms = LinkTerms {
            checksum,
            keepalive_interval: settings.keepalive_interval,
            keepalive_timeout: settings.keepalive_timeout,
        };
        self.addresses.remote = stream.peer_addr().ok().map(|address| address.to_string());
        let (channel, bab) = (ctx.address().recipient(), self.bab(ctx));
        let counters = Rc::clone(&self.counters);
        self.link = Some(spawn(generation, on_exit(Part::Link, ctx), move |_| {
            LinkSocket::new(generation, stream, preface, channel, bab, counters, terms)
        }));
        self.link_up_since = Some(Instant::now());
        self.peer_window = peer_window;
        self.peer = Some(peer);
        self.tell(ChannelNews::Peer(peer));
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

    fn refused(&mut self, dialled: DrxDialled, refusal: Refusal, sentence: &str) {
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
                let welcome = Answer::Welcome(Welcome {
                    version: VERSION,
                    lane: self.slot.lane,
                    resumed: None,
                    checksums,
                    link: hello.link,
                    epoch: self.terms.epoch,
                    next_offset: 0,
                    window: self.terms.settings.link.window,
                    codec: None,
                });
                self.link_down();
                self.linked(stream, welcome.encode(), checksums, hello.window, hello.epoch, ctx);
                self.feed(
                    Event::LinkUp(hello.link),
                    &format!("linked with {from}, link {}", hello.link),
                    ctx,
                );
            }
            Verdict::Busy => {
                self.tell(ChannelNews::Peer(hello.epoch));
                self.refused(dialled, Refusal::Busy, "the old link is being given up, dial again");
                if self.machine.link().id().is_some() {
                    self.feed(Event::LinkLost, "the other DRX has given it up and dials afresh", ctx);
                }
            }
            // A round is carried on only while it waits for that; this relay does not wait.
            Verdict::Ended | Verdict::Resume => {
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
            LinkNews::Broken(error) => self.protocol_error(&error, ctx),
            LinkNews::Ended(why) => {
                self.link = None;
                if self.leaving.is_some() {
                    self.over(ctx);
                } else {
                    self.feed(Event::LinkLost, &why, ctx);
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
