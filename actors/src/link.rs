//! The actor of one link connection to the other DRX, from the end of its handshake on.
//!
//! Its reader never stops: what the other side may send is bounded by the window it was granted, and
//! beyond that the link is ended (docs/link.md 3). Frames leave in the order they were given, but pings
//! overtake what waits.

use std::io::IoSlice;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as Wakeup, Poll, Waker};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, Recipient};
use bytes::Bytes;
use drx_protocol::frame::{Credit, Decoder, Frame, Payload, data_header};
use drx_protocol::names::Attempt;
use tokio::io::AsyncWrite;
use tokio::time::Instant;

use crate::bab::{Bab, Drained, FromLink};
use crate::counters::Counters;
use crate::frames::Frames;
use crate::local::Strike;
use crate::net::Stream;
use crate::packing::{CONSIDER, Packing, behind};
use crate::segment::Segment;

/// What a link tells its channel.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct LinkEvent {
    /// Which of the channel's links: reports of an older one are ignored.
    pub(crate) generation: u64,
    pub(crate) what: LinkNews,
}

#[derive(Debug)]
pub(crate) enum LinkNews {
    /// A frame that is not about bytes.
    Frame(Frame),
    /// What came was no frame, or a damaged one: nothing more is read. The other DRX is to be told, and hung
    /// up.
    Damaged(String),
    /// It is gone.
    Ended(String),
}

/// Sends a frame other than DATA.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Say(pub(crate) Frame);

/// Sends bytes.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct SendData {
    pub(crate) attempt: Attempt,
    pub(crate) credit: Credit,
    pub(crate) offset: u64,
    pub(crate) payload: Payload,
}

/// Send what was given, take nothing more, and close: within [`FAREWELL`].
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct HangUp;

/// How a link behaves.
pub(crate) struct LinkTerms {
    pub(crate) checksum: bool,
    pub(crate) keepalive_interval: Duration,
    pub(crate) keepalive_timeout: Duration,
    pub(crate) packing: Packing,
}

pub(crate) struct LinkSocket {
    generation: u64,
    stream: Box<dyn Stream>,
    channel: Recipient<LinkEvent>,
    bab: Addr<Bab>,
    counters: Rc<Counters>,
    terms: LinkTerms,
    segment: Segment,
    decoder: Decoder,
    /// The decoder may have more frames: nothing is read before they are taken.
    more: bool,
    queue: Frames,
    /// The handshake's answer is not out yet: nothing may overtake it.
    greeting: bool,
    heard: Instant,
    pinged: Option<(u64, Instant)>,
    pings: u64,
    /// Silent for too long, if there is nothing to be read right now either.
    suspect: bool,
    /// Wakes the pump: what a timer changes after the pump's turn it would not look at.
    pump: Option<Waker>,
    hanging_up: bool,
    /// Nothing more is sent.
    shut: bool,
    broken: bool,
    ended: bool,
}

impl LinkSocket {
    /// A link whose handshake is done, up to `preface`, which is still to be sent.
    pub(crate) fn new(
        generation: u64,
        stream: Box<dyn Stream>,
        preface: Bytes,
        channel: Recipient<LinkEvent>,
        bab: Addr<Bab>,
        counters: Rc<Counters>,
        terms: LinkTerms,
    ) -> LinkSocket {
        let (greeting, mut queue) = (!preface.is_empty(), Frames::default());
        queue.push([preface]);
        LinkSocket {
            generation,
            stream,
            channel,
            bab,
            counters,
            segment: Segment::new(),
            decoder: Decoder::new(terms.checksum),
            more: false,
            terms,
            greeting,
            queue,
            heard: Instant::now(),
            pinged: None,
            pings: 0,
            suspect: false,
            pump: None,
            hanging_up: false,
            shut: false,
            broken: false,
            ended: false,
        }
    }

    fn turn(&mut self, ctx: &mut Context<Self>, cx: &mut Wakeup<'_>) {
        if self.ended {
            return;
        }
        self.pump = Some(cx.waker().clone());
        let news = if self.hanging_up { self.part(cx) } else { self.go_on(cx) };
        if let Some(why) = news {
            self.end(why, ctx);
        }
    }

    fn go_on(&mut self, cx: &mut Wakeup<'_>) -> Option<String> {
        if self.queue.len() > MOST_WAITING {
            return Some(format!("the other DRX takes nothing: {} frames wait for it", self.queue.len()));
        }
        let unwritable = self.write(cx).err();
        if unwritable.is_some() {
            self.queue = Frames::default();
            self.greeting = false;
        }
        if self.broken {
            return unwritable;
        }
        // What came before the connection failed may still wait to be read: then reading tells the end.
        self.read(cx).err().map(|ended| unwritable.unwrap_or(ended))
    }

    /// Sends what is left, then waits for the other DRX to close: who closes with bytes unread resets
    /// the connection, and its last words may be lost. What still comes is thrown away, not even
    /// looked at: it belongs to a round that is over, and whose number may be in use on the next link.
    fn part(&mut self, cx: &mut Wakeup<'_>) -> Option<String> {
        if let Err(why) = self.write(cx) {
            return Some(why);
        }
        if self.queue.is_empty() && !self.shut {
            self.shut = Pin::new(&mut self.stream).poll_shutdown(cx).is_ready();
        }
        match self.segment.poll_read(&mut self.stream, usize::MAX, cx) {
            Poll::Pending => None,
            Poll::Ready(Ok(piece)) if !piece.is_empty() => {
                cx.waker().wake_by_ref();
                None
            }
            Poll::Ready(_) => Some("closed by this DRX".into()),
        }
    }

    fn end(&mut self, why: String, ctx: &mut Context<Self>) {
        self.ended = true;
        self.channel.do_send(LinkEvent { generation: self.generation, what: LinkNews::Ended(why) });
        ctx.stop();
    }

    fn write(&mut self, cx: &mut Wakeup<'_>) -> Result<(), String> {
        let mut written = 0;
        while !self.queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.queue.slices(&mut slices);
            match Pin::new(&mut self.stream).poll_write_vectored(cx, &slices[..count]) {
                Poll::Pending => {
                    self.terms.packing.waits(true);
                    break;
                }
                Poll::Ready(Ok(0)) => return Err("the other DRX closed the link".into()),
                Poll::Ready(Ok(bytes)) => {
                    written += bytes;
                    self.queue.consume(bytes);
                    self.greeting &= !self.queue.is_empty();
                }
                Poll::Ready(Err(error)) => return Err(format!("the link failed: {error}")),
            }
        }
        if self.queue.is_empty() {
            self.terms.packing.waits(false);
        }
        if written > 0 && !self.hanging_up {
            self.bab.do_send(Drained { queued: self.queue.bytes() });
        }
        Ok(())
    }

    fn read(&mut self, cx: &mut Wakeup<'_>) -> Result<(), String> {
        if !self.more && !self.read_on(cx)? {
            return Ok(());
        }
        // One read a turn, so that the writer to bsr sends while the data is warm.
        cx.waker().wake_by_ref();
        self.take_frames();
        Ok(())
    }

    /// Whether something came.
    fn read_on(&mut self, cx: &mut Wakeup<'_>) -> Result<bool, String> {
        let piece = match self.segment.poll_read(&mut self.stream, usize::MAX, cx) {
            Poll::Pending if self.suspect && self.silence() >= self.terms.keepalive_timeout => {
                return Err(format!("the other DRX was silent for {:.1?}", self.silence()));
            }
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(piece)) => piece,
            Poll::Ready(Err(error)) => return Err(format!("the link failed: {error}")),
        };
        if piece.is_empty() {
            let cut = if self.decoder.held() > 0 { " in the middle of a frame" } else { "" };
            return Err(format!("the other DRX closed the link{cut}"));
        }
        self.heard = Instant::now();
        self.suspect = false;
        self.decoder.push(piece);
        Ok(true)
    }

    /// Takes what is whole of what was read, up to [`UNPACKED`].
    fn take_frames(&mut self) {
        let mut unpacked = 0;
        self.more = true;
        while unpacked < UNPACKED {
            match self.decoder.next() {
                Ok(Some(frame)) => {
                    if let Frame::Data { payload, .. } = &frame {
                        unpacked += payload.len();
                    }
                    self.take(frame);
                }
                Ok(None) => {
                    self.more = false;
                    return;
                }
                Err(error) => {
                    self.broken = true;
                    let what = LinkNews::Damaged(error.to_string());
                    self.channel.do_send(LinkEvent { generation: self.generation, what });
                    return;
                }
            }
        }
    }

    fn take(&mut self, frame: Frame) {
        self.counters.heard.set(true);
        match frame {
            Frame::Ping { number } => self.urge(Frame::Pong { number }),
            Frame::Pong { number } => {
                if let Some((_, since)) = self.pinged.filter(|(sent, _)| *sent == number) {
                    self.counters.rtt.set(Some(since.elapsed()));
                    self.pinged = None;
                }
            }
            Frame::Data { .. } | Frame::Ack { .. } => self.bab.do_send(FromLink(frame)),
            Frame::Abort { attempt: 0, .. } => self.tell(frame),
            Frame::Fin { .. } | Frame::Abort { .. } => {
                // Bytes first: the BAB knows where they end before the channel hears that they do.
                self.bab.do_send(FromLink(frame.clone()));
                self.tell(frame);
            }
            Frame::Offer { .. } | Frame::Established { .. } | Frame::State { .. } => self.tell(frame),
        }
    }

    fn tell(&self, frame: Frame) {
        self.channel.do_send(LinkEvent { generation: self.generation, what: LinkNews::Frame(frame) });
    }

    fn silence(&self) -> Duration {
        self.heard.elapsed()
    }

    fn urge(&mut self, frame: Frame) {
        if self.queue.len() >= MOST_FRAMES {
            return;
        }
        let frame = Bytes::copy_from_slice(&frame.head(self.terms.checksum));
        if self.greeting {
            self.queue.push([frame]);
        } else {
            self.queue.push_next(frame);
        }
    }

    /// Looks when the other DRX has been silent for long enough, and not a tick later.
    fn watch_over_silence(&mut self, ctx: &mut Context<Self>) {
        let left = self.terms.keepalive_timeout.saturating_sub(self.silence());
        ctx.run_later(left.max(SHORTEST), |link, ctx| {
            if link.hanging_up {
                return;
            }
            if link.silence() >= link.terms.keepalive_timeout {
                link.suspect = true;
                link.wake_pump();
            }
            link.watch_over_silence(ctx);
        });
    }

    fn wake_pump(&self) {
        if let Some(pump) = &self.pump {
            pump.wake_by_ref();
        }
    }

    fn tick(&mut self) {
        if self.hanging_up {
            return;
        }
        // A ping that is not answered yet stays the one that is timed.
        let due = self.pinged.is_none_or(|(_, since)| since.elapsed() >= self.terms.keepalive_interval);
        if due {
            self.pings += 1;
            if self.pinged.is_none() {
                self.pinged = Some((self.pings, Instant::now()));
            }
            self.urge(Frame::Ping { number: self.pings });
            self.wake_pump();
        }
    }
}

struct Pump;

impl ActorFuture<LinkSocket> for Pump {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        link: &mut LinkSocket,
        ctx: &mut Context<LinkSocket>,
        cx: &mut Wakeup<'_>,
    ) -> Poll<()> {
        link.turn(ctx, cx);
        Poll::Pending
    }
}

impl Actor for LinkSocket {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let tick = self.terms.keepalive_interval.min(self.terms.keepalive_timeout / 4);
        ctx.run_interval(tick.max(SHORTEST), |link, _| link.tick());
        self.watch_over_silence(ctx);
        ctx.run_interval(CONSIDER, |link, _| link.terms.packing.consider());
        ctx.spawn(Pump);
    }
}

impl Handler<Say> for LinkSocket {
    type Result = ();

    fn handle(&mut self, Say(frame): Say, _: &mut Context<Self>) {
        if !self.shut {
            self.queue.push([Bytes::copy_from_slice(&frame.head(self.terms.checksum))]);
        }
    }
}

impl Handler<SendData> for LinkSocket {
    type Result = ();

    fn handle(&mut self, data: SendData, _: &mut Context<Self>) {
        if self.shut {
            return;
        }
        let SendData { attempt, credit, offset, payload } = data;
        let (codec, body) = self.terms.packing.body(payload);
        let header = data_header(attempt, credit, offset, codec, body.pieces(), self.terms.checksum);
        self.queue.push(behind(Bytes::copy_from_slice(&header), &body));
    }
}

impl Handler<HangUp> for LinkSocket {
    type Result = ();

    fn handle(&mut self, _: HangUp, ctx: &mut Context<Self>) {
        self.hanging_up = true;
        ctx.run_later(FAREWELL, |link, ctx| link.end("closed by this DRX".into(), ctx));
    }
}

impl Handler<Strike> for LinkSocket {
    type Result = ();

    fn handle(&mut self, _: Strike, _: &mut Context<Self>) {
        panic!("struck: the link");
    }
}

/// Of the clocks that are looked at.
const SHORTEST: Duration = Duration::from_millis(1);
/// Bytes of payloads that are taken in one turn, and a payload more. What one read brings may unpack to a thousand times
/// its length, and nothing is known yet of windows and rounds: so the BAB has its turn in between, and so do others.
const UNPACKED: usize = 1 << 20;
/// Slices in one writev(2).
const SLICES: usize = 64;
/// The last words on a link that is closed in order are a few frames; who does not take them in this
/// time has lost them.
const FAREWELL: Duration = Duration::from_secs(2);
/// DATA that waits is bounded in bytes, by the BAB: at most some 14,000 frames. Acknowledgements are not: a
/// peer that sends bytes one by one, and reads none of the answers, has its link ended.
const MOST_WAITING: usize = 65_536;
/// With so many frames waiting, pings are neither sent nor answered: a peer that asks without reading
/// gets no more.
const MOST_FRAMES: usize = 4096;
