//! A channel's side towards bsr.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use actix::{AsyncContext, Context, Handler};
use bytes::Bytes;
use drx_protocol::State;
use drx_protocol::channel::{Close, Event};
use drx_protocol::first_packet;
use drx_protocol::frame::{Credit, Frame};
use drx_protocol::names::{Attempt, ChannelType};
use slog::{debug, info, warn};
use tokio::time::timeout;

use super::{ChannelActor, CloseLocal, LONGEST_RETRY, Part, on_exit};
use crate::bab::{Begin, DripNews};
use crate::child::spawn;
use crate::counters::add;
use crate::local::{LocalEvent, LocalNews, LocalSocket, Strange};
use crate::messages::BsrConnected;
use crate::net::{SocketOptions, Stream};
use crate::task::Task;

impl ChannelActor {
    /// Acceptor: bsr is here, what does it open?
    pub(super) fn read_first_packet(&mut self, ctx: &mut Context<Self>) {
        let Some(stream) = self.arrived.take() else { return };
        let generation = self.part_number();
        let (channel, bab) = (ctx.address().recipient(), self.bab(ctx));
        self.local = Some(spawn(generation, on_exit(Part::Local, ctx), move |_| {
            LocalSocket::accepted(generation, stream, channel, bab)
        }));
    }

    /// Acceptor: a new round begins, and the other DRX hears of it.
    pub(super) fn offer(&mut self) {
        let Some(channel) = self.machine.channel_type() else { return };
        self.begin_round(channel);
        let credit = self.first_credit();
        self.say(Frame::Offer { attempt: self.machine.attempt(), credit, channel });
    }

    /// What is granted before anything was written.
    pub(super) fn first_credit(&self) -> Credit {
        Credit { acknowledged: 0, window: self.terms.settings.link.window }
    }

    fn begin_round(&mut self, channel_type: ChannelType) {
        if let (Some(bab), Some(local), Some(link)) = (&self.bab, &self.local, &self.link) {
            bab.addr().do_send(Begin {
                attempt: self.machine.attempt(),
                local: local.addr().clone(),
                link: link.addr().clone(),
                channel_type,
                windows: (self.terms.settings.link.window, self.peer_window),
                reserve: self.terms.settings.bab.reserve,
                hold_pings: self.terms.settings.link.hold_pings,
            });
        }
    }

    /// Connector: dials bsr until it answers or the offer is withdrawn.
    pub(super) fn dial_bsr(&mut self, channel_type: ChannelType, retry: Duration, ctx: &mut Context<Self>) {
        self.backing_off = false;
        let settings = &self.terms.settings;
        // From the inside address: BSR and DRBD 9 close connections from another one (bsr-wire A.5).
        let (bsr, inside) = (settings.bsr, settings.inside.ip());
        let dial = self.terms.net.connect(bsr, Some(inside), &SocketOptions::local());
        let attempt = self.machine.attempt();
        let dialled = async move {
            match timeout(BSR_ANSWERS, dial).await {
                Ok(Ok(stream)) => Ok(stream),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!("no answer within {} s", BSR_ANSWERS.as_secs())),
            }
        };
        let dial = Task::run(ctx, self, dialled, move |dialled, channel, ctx| {
            channel.dialling_bsr = None;
            if !channel.is_offered(attempt, channel_type) {
                return; // the offer it was for is withdrawn
            }
            match dialled {
                Ok(stream) => channel.bsr_answered(stream, channel_type, ctx),
                Err(error) => {
                    channel.complain(format!("bsr at {bsr} does not take our connection: {error}"));
                    let again = Task::later(ctx, retry, move |channel: &mut Self, ctx| {
                        channel.dial_bsr(channel_type, (retry * 2).min(LONGEST_RETRY), ctx);
                    });
                    channel.backing_off = true;
                    channel.dialling_bsr = Some(again);
                }
            }
        });
        self.dialling_bsr = Some(dial);
    }

    fn is_offered(&self, attempt: Attempt, channel_type: ChannelType) -> bool {
        let offered = (self.machine.attempt(), self.machine.channel_type());
        offered == (attempt, Some(channel_type)) && self.machine.state() == State::Connecting
    }

    pub(super) fn cancel_dial(&mut self, ctx: &mut Context<Self>) {
        if let Some(dial) = self.dialling_bsr.take() {
            dial.call_off(ctx);
        }
    }

    fn bsr_answered(&mut self, stream: Box<dyn Stream>, channel_type: ChannelType, ctx: &mut Context<Self>) {
        self.content();
        self.note_addresses(&*stream);
        let generation = self.part_number();
        let (channel, bab) = (ctx.address().recipient(), self.bab(ctx));
        // A bsr that accepted wants the first packet within 2 s: it is the first thing written.
        let first = Bytes::copy_from_slice(&first_packet::bytes(channel_type));
        self.local = Some(spawn(generation, on_exit(Part::Local, ctx), move |_| {
            LocalSocket::dialled(generation, stream, first, channel, bab)
        }));
        self.begin_round(channel_type);
        self.feed(Event::Dialled, "bsr took our connection", ctx);
    }

    pub(super) fn close_local(&mut self, close: Close, ctx: &mut Context<Self>) {
        match &self.local {
            Some(local) => local.addr().do_send(CloseLocal(close)),
            // Its actor never came to be: nothing is left to be closed.
            None => ctx.notify(LocalEvent { generation: 0, what: LocalNews::Gone }),
        }
    }

    fn note_addresses(&mut self, stream: &dyn Stream) {
        let text = |address: std::io::Result<SocketAddr>| address.ok().map(|address| address.to_string());
        self.addresses.bsr = text(stream.peer_addr());
        self.addresses.local = text(stream.local_addr());
    }

    /// A far side that stalls, or a line that is too slow for what bsr writes.
    pub(super) fn log_drips(&self, news: DripNews, attempt: Attempt) {
        let (held, channel_type) = (self.counters.held.get(), self.machine.channel_type());
        let kind = channel_type.map(|channel_type| channel_type.to_string()).unwrap_or_default();
        match news {
            DripNews::Began => {
                info!(self.log, "the BAB is full up to its reserve: bsr is read in drips"; "type" => kind,
                    "held" => held, "attempt" => attempt);
            }
            DripNews::UsedUp => {
                warn!(self.log, "the BAB is full: bsr is not read until there is room"; "type" => kind,
                    "held" => held, "attempt" => attempt);
            }
            DripNews::Ended { bytes, lasted } => {
                info!(self.log, "bsr is not read in drips any more"; "type" => kind, "held" => held,
                    "bytes" => bytes, "lasted" => format!("{lasted:.1?}"), "attempt" => attempt);
            }
        }
    }

    /// Says what is wrong, unless that was the last thing said.
    pub(super) fn complain(&mut self, trouble: String) {
        // Also what was said before: nothing may have been tried since, and then nothing was wrong.
        self.tell(crate::messages::ChannelNews::Trouble(Some(trouble.clone())));
        if self.trouble.as_ref() == Some(&trouble) {
            debug!(self.log, "still"; "trouble" => trouble, "attempt" => self.machine.attempt());
            return;
        }
        info!(self.log, "trying again and again"; "trouble" => &trouble, "attempt" => self.machine.attempt());
        self.trouble = Some(trouble);
    }

    /// What was tried in vain is not tried any more, so nothing is wrong now. It is no news for the log if it is wrong
    /// the next time, too: an offer that is withdrawn is often made again.
    pub(super) fn untroubled(&self) {
        if self.trouble.is_some() {
            self.tell(crate::messages::ChannelNews::Trouble(None));
        }
    }

    /// What was complained about is over.
    pub(super) fn content(&mut self) {
        if self.trouble.take().is_some() {
            self.tell(crate::messages::ChannelNews::Trouble(None));
        }
    }

    fn no_first_packet(&mut self, strange: &Strange, ctx: &mut Context<Self>) {
        add(&self.memory.strays, 1);
        let from = self.addresses.bsr.clone().unwrap_or_default();
        let attempt: Attempt = self.machine.attempt();
        let stranger = from.parse::<SocketAddr>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |from| from.ip());
        let unsaid = match strange {
            Strange::Closed => None, // said at debug
            _ => self.terms.quiet.borrow_mut().may_say(stranger),
        };
        let why = match strange {
            Strange::Closed => {
                debug!(self.log, "closed before its first packet"; "from" => from, "attempt" => attempt);
                "it closed before its first packet".to_owned()
            }
            Strange::TooLate(came) => {
                if let Some(unsaid) = unsaid {
                    warn!(self.log, "refused: no first packet in time"; "from" => from, "came" => %came,
                        "expected" => "83 74 02 67 ff f1|f2 00 00", "attempt" => attempt, "unsaid" => unsaid);
                }
                "no first packet in time".to_owned()
            }
            Strange::NotBsr(why) => {
                if let Some(unsaid) = unsaid {
                    warn!(self.log, "refused: not a bsr"; "from" => from, "why" => why, "attempt" => attempt,
                        "unsaid" => unsaid);
                }
                "a strange first packet".to_owned()
            }
        };
        self.feed(Event::NoFirstPacket, &why, ctx);
    }
}

impl Handler<BsrConnected> for ChannelActor {
    type Result = ();

    fn handle(&mut self, BsrConnected(stream): BsrConnected, ctx: &mut Context<Self>) {
        if self.machine.state() != State::Waiting {
            // The state changed while the connection was on its way here: reset before any byte.
            debug!(self.log, "bsr came too late"; "state" => %self.machine.state());
            stream.abort();
            return;
        }
        self.note_addresses(&*stream);
        self.arrived = Some(stream);
        let from = self.addresses.bsr.clone().unwrap_or_default();
        self.feed(Event::Accepted, &format!("bsr connected from {from}"), ctx);
    }
}

impl Handler<LocalEvent> for ChannelActor {
    type Result = ();

    fn handle(&mut self, event: LocalEvent, ctx: &mut Context<Self>) {
        let current = self.local.as_ref().map_or(0, |local| local.generation());
        if event.generation != current {
            return;
        }
        match event.what {
            LocalNews::FirstPacket(channel_type) => {
                self.feed(Event::FirstPacket(channel_type), &format!("bsr opened {channel_type}"), ctx);
            }
            LocalNews::NoFirstPacket(strange) => self.no_first_packet(&strange, ctx),
            LocalNews::Closed(why) => self.feed(Event::LocalClosed, &why, ctx),
            LocalNews::Gone => {
                self.local = None;
                self.feed(Event::LocalGone, "", ctx);
            }
        }
    }
}

/// bsr is on the same host or LAN: it answers at once, or it is not there.
const BSR_ANSWERS: Duration = Duration::from_secs(3);
