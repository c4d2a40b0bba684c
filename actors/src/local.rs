//! The actor of one connection to bsr.
//!
//! It drives both halves of the socket from one future; its handlers only change fields. Bytes from
//! bsr go to the BAB as fast as the BAB grants; bytes for bsr come from the BAB, at most the window
//! that was granted to the other DRX.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context as Wakeup, Poll};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, Recipient};
use bytes::Bytes;
use drx_protocol::ChannelType;
use drx_protocol::channel::Close;
use drx_protocol::first_packet::{self, Excerpt};
use tokio::io::AsyncWrite;
use tokio::time::{Sleep, sleep};

use crate::bab::{AllFromBsr, Bab, FromBsr, Written};
use crate::net::Stream;
use crate::pieces::Pieces;
use crate::segment::Segment;

/// What a connection to bsr tells its channel.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct LocalEvent {
    /// Which of the channel's connections: reports of an older one are ignored.
    pub(crate) generation: u64,
    pub(crate) what: LocalNews,
}

#[derive(Debug)]
pub(crate) enum LocalNews {
    /// bsr's first packet.
    FirstPacket(ChannelType),
    /// No first packet, or a strange one.
    NoFirstPacket(Strange),
    /// bsr disconnected.
    Closed(String),
    /// Both directions are closed.
    Gone,
}

/// Why there is no first packet.
#[derive(Debug)]
pub(crate) enum Strange {
    /// bsr closed before it: ordinary, real kernels open such stray connections.
    Closed,
    /// It did not come in time; what did.
    TooLate(Excerpt),
    /// Something else came.
    NotBsr(String),
}

/// Bytes for bsr.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ToBsr(pub(crate) Bytes);

/// The BAB has room for so many bytes more.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct MayRead(pub(crate) usize);

/// Read nothing more that is meant for the other DRX.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopReading;

/// Close the connection; [`LocalNews::Gone`] follows.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct CloseLocal(pub(crate) Close);

/// Panic, for the demo and for tests.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Strike;

pub(crate) struct LocalSocket {
    generation: u64,
    stream: Option<Box<dyn Stream>>,
    channel: Recipient<LocalEvent>,
    bab: Addr<Bab>,
    segment: Segment,
    reading: Reading,
    queue: Pieces,
    /// Bytes at the front of the queue that are the relay's own first packet, not the stream's.
    preface: usize,
    granted: usize,
    closing: Option<Close>,
    /// How long bsr still has for its own close.
    linger: Option<Pin<Box<Sleep>>>,
    shut: bool,
    told_closed: bool,
    write_failed: bool,
    gone: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Reading {
    /// Collecting the first packet.
    FirstPacket(Vec<u8>),
    /// For the other DRX, as far as granted.
    Stream,
    /// Nobody wants it: thrown away until bsr closes, so that closing resets nothing.
    Drain,
    /// Not now.
    Paused,
    Ended,
}

impl LocalSocket {
    /// A connection that bsr opened: its first packet is read before anything else.
    pub(crate) fn accepted(
        generation: u64,
        stream: Box<dyn Stream>,
        channel: Recipient<LocalEvent>,
        bab: Addr<Bab>,
    ) -> LocalSocket {
        LocalSocket {
            reading: Reading::FirstPacket(Vec::with_capacity(8)),
            ..LocalSocket::dialled(generation, stream, Bytes::new(), channel, bab)
        }
    }

    /// A connection to bsr that was dialled: `first_packet` is written at once.
    pub(crate) fn dialled(
        generation: u64,
        stream: Box<dyn Stream>,
        first_packet: Bytes,
        channel: Recipient<LocalEvent>,
        bab: Addr<Bab>,
    ) -> LocalSocket {
        let preface = first_packet.len();
        let mut queue = Pieces::default();
        if preface > 0 {
            queue.push(first_packet);
        }
        LocalSocket {
            generation,
            stream: Some(stream),
            channel,
            bab,
            segment: Segment::new(),
            reading: Reading::Stream,
            preface,
            queue,
            granted: 0,
            closing: None,
            linger: None,
            shut: false,
            told_closed: false,
            write_failed: false,
            gone: false,
        }
    }

    fn tell(&self, what: LocalNews) {
        self.channel.do_send(LocalEvent { generation: self.generation, what });
    }

    fn closed(&mut self, why: String) {
        if !std::mem::replace(&mut self.told_closed, true) && self.closing.is_none() {
            self.tell(LocalNews::Closed(why));
        }
    }

    /// One turn: at most one read, and as many writes as the socket takes.
    fn turn(&mut self, ctx: &mut Context<Self>, cx: &mut Wakeup<'_>) {
        // Not an actix timer: what one changes after this was polled nobody would look at.
        if self.linger.as_mut().is_some_and(|linger| linger.as_mut().poll(cx).is_ready()) {
            self.linger = None;
            if self.reading == Reading::Stream {
                self.read_no_more(Reading::Drain); // and now its close is waited for
            } else if self.shut && !self.write_failed {
                // Everything is written, acknowledged to the other DRX perhaps, and still on its way
                // to a bsr that is slow to read: a reset would take it back.
                self.stream = None;
            } else {
                self.closing = Some(Close::Hard);
            }
        }
        if self.closing == Some(Close::Hard) {
            if let Some(stream) = self.stream.take() {
                stream.abort();
            }
        } else {
            self.write(cx);
            self.read(cx);
            let written = self.queue.is_empty() || self.write_failed;
            if self.closing.is_some() && written && self.shut(cx) && self.reading == Reading::Ended {
                self.stream = None;
            }
        }
        // It may have been set anew since it was looked at, and nobody else would.
        if self.linger.as_mut().is_some_and(|linger| linger.as_mut().poll(cx).is_ready()) {
            cx.waker().wake_by_ref();
        }
        if self.closing.is_some() && self.stream.is_none() && !self.gone {
            self.gone = true;
            self.tell(LocalNews::Gone);
            ctx.stop();
        }
    }

    fn write(&mut self, cx: &mut Wakeup<'_>) {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.write_failed) else { return };
        let mut written = 0;
        while !self.queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.queue.slices(&mut slices);
            match Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..count]) {
                Poll::Ready(Ok(0)) => self.write_failed = true,
                Poll::Ready(Ok(bytes)) => {
                    written += bytes;
                    self.queue.consume(bytes);
                }
                Poll::Ready(Err(_)) => self.write_failed = true,
                Poll::Pending => break,
            }
            if self.write_failed {
                break;
            }
        }
        let preface = self.preface.min(written);
        self.preface -= preface;
        if written > preface {
            self.bab.do_send(Written((written - preface) as u64));
        }
        if self.write_failed {
            self.queue.clear();
            // What bsr sent before it closed may still wait to be read: then reading tells the end.
            if self.reading != Reading::Stream || self.granted == 0 {
                self.closed("bsr closed the connection".into());
            }
        }
    }

    fn read(&mut self, cx: &mut Wakeup<'_>) {
        let most = match &self.reading {
            Reading::FirstPacket(so_far) => 8 - so_far.len(),
            Reading::Stream => self.granted,
            Reading::Drain => usize::MAX,
            Reading::Paused | Reading::Ended => 0,
        };
        let Some(stream) = self.stream.as_mut().filter(|_| most > 0) else { return };
        let piece = match self.segment.poll_read(stream, most, cx) {
            Poll::Pending => return,
            Poll::Ready(Ok(piece)) if !piece.is_empty() => piece,
            Poll::Ready(Ok(_)) => return self.ended(None),
            Poll::Ready(Err(error)) => return self.ended(Some(error)),
        };
        // One read a turn, so that the writer sends while the data is warm: and then another turn.
        cx.waker().wake_by_ref();
        match &mut self.reading {
            Reading::Stream => {
                self.granted -= piece.len();
                self.bab.do_send(FromBsr(piece));
                self.wait_again();
            }
            Reading::FirstPacket(so_far) => {
                so_far.extend_from_slice(&piece);
                self.first_packet();
            }
            _ => {}
        }
    }

    fn first_packet(&mut self) {
        let Reading::FirstPacket(so_far) = &self.reading else { return };
        let news = match <[u8; 8]>::try_from(&so_far[..]) {
            Ok(whole) => match first_packet::parse(whole) {
                Ok(channel_type) => LocalNews::FirstPacket(channel_type),
                Err(strange) => LocalNews::NoFirstPacket(Strange::NotBsr(strange.to_string())),
            },
            Err(_) => match first_packet::check_prefix(so_far) {
                Ok(()) => return,
                Err(strange) => LocalNews::NoFirstPacket(Strange::NotBsr(strange.to_string())),
            },
        };
        self.reading = match news {
            LocalNews::FirstPacket(_) => Reading::Stream,
            _ => Reading::Paused,
        };
        self.tell(news);
    }

    fn ended(&mut self, error: Option<io::Error>) {
        match self.read_no_more(Reading::Ended) {
            Reading::FirstPacket(_) => {
                self.told_closed = true;
                self.tell(LocalNews::NoFirstPacket(Strange::Closed));
            }
            _ => self.closed(match error {
                None => "bsr closed the connection".into(),
                Some(error) => format!("the connection to bsr failed: {error}"),
            }),
        }
    }

    /// Goes over to a way of reading that gives the BAB nothing; returns the last one.
    fn read_no_more(&mut self, reading: Reading) -> Reading {
        if self.reading == Reading::Stream {
            self.bab.do_send(AllFromBsr);
            self.linger = self.closing.map(|_| Box::pin(sleep(LINGER)));
        }
        match self.reading {
            Reading::Ended => Reading::Ended,
            _ => std::mem::replace(&mut self.reading, reading),
        }
    }

    /// The last bytes from a bsr that leaves are coming in, or wait for room in the BAB: that is no
    /// reason to give up waiting for its close.
    fn wait_again(&mut self) {
        if self.closing.is_some() {
            self.linger = match self.granted {
                0 => None, // until there is room; the goodbye's own timer bounds that
                _ => Some(Box::pin(sleep(LAST_BYTES))),
            };
        }
    }

    /// Says that nothing more follows, once.
    fn shut(&mut self, cx: &mut Wakeup<'_>) -> bool {
        if !self.shut
            && let Some(stream) = &mut self.stream
        {
            self.shut = Pin::new(stream).poll_shutdown(cx).is_ready();
        }
        self.shut
    }
}

struct Pump;

impl ActorFuture<LocalSocket> for Pump {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        socket: &mut LocalSocket,
        ctx: &mut Context<LocalSocket>,
        cx: &mut Wakeup<'_>,
    ) -> Poll<()> {
        socket.turn(ctx, cx);
        Poll::Pending
    }
}

impl Actor for LocalSocket {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        if matches!(self.reading, Reading::FirstPacket(_)) {
            ctx.run_later(FIRST_PACKET_TIME, |socket, _| {
                if let Reading::FirstPacket(so_far) = &socket.reading {
                    let came = Excerpt::of(so_far);
                    socket.reading = Reading::Paused;
                    socket.tell(LocalNews::NoFirstPacket(Strange::TooLate(came)));
                }
            });
        }
        ctx.spawn(Pump);
    }
}

impl Handler<ToBsr> for LocalSocket {
    type Result = ();

    fn handle(&mut self, ToBsr(bytes): ToBsr, _: &mut Context<Self>) {
        if !self.write_failed {
            self.queue.push(bytes);
        }
    }
}

impl Handler<MayRead> for LocalSocket {
    type Result = ();

    fn handle(&mut self, MayRead(bytes): MayRead, _: &mut Context<Self>) {
        self.granted += bytes;
        if self.closing == Some(Close::Gently) && self.reading == Reading::Stream {
            self.wait_again();
        }
    }
}

impl Handler<StopReading> for LocalSocket {
    type Result = ();

    fn handle(&mut self, _: StopReading, _: &mut Context<Self>) {
        self.read_no_more(Reading::Drain);
    }
}

impl Handler<CloseLocal> for LocalSocket {
    type Result = ();

    fn handle(&mut self, CloseLocal(close): CloseLocal, _: &mut Context<Self>) {
        // Closing gently, what bsr sent until now is still taken, unless StopReading came before.
        if close == Close::Hard || self.reading != Reading::Stream {
            self.read_no_more(Reading::Drain);
        }
        if self.closing.is_none() {
            self.linger = Some(Box::pin(sleep(LINGER)));
        }
        if self.closing != Some(Close::Hard) {
            self.closing = Some(close);
        }
        if self.reading == Reading::Stream {
            self.wait_again();
        }
    }
}

impl Handler<Strike> for LocalSocket {
    type Result = ();

    fn handle(&mut self, _: Strike, _: &mut Context<Self>) {
        panic!("struck: the connection to bsr");
    }
}

/// bsr sends its first packet at once after connecting; a stranger gets no longer (docs/channels.md 2).
const FIRST_PACKET_TIME: Duration = Duration::from_secs(5);
/// bsr answers our end of file with its own within milliseconds; one that is frozen is not waited for:
/// reset if not everything could be written, left to the kernel otherwise.
const LINGER: Duration = Duration::from_secs(5);
/// Who closes one of its connections closes the other within this: what it sent before is read until
/// then. Longer, and the other bsr would not hear promptly that this one has left.
const LAST_BYTES: Duration = Duration::from_millis(200);
/// Slices in one writev(2).
const SLICES: usize = 64;
