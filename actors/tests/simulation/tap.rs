//! The network as one relay sees it, with everything that it reads and writes in the trace.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use drx_actors::net::{Detached, Listener, LocalBoxFuture, MemoryNet, Net, SocketOptions, Stream};
use drx_protocol::frame::{Decoder, Frame};
use drx_protocol::handshake::{Needed, needed};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::plan::OUTSIDE;
use super::trace::Trace;

/// Wraps the network for the relays of one run.
#[derive(Clone)]
pub struct Tap {
    net: Arc<MemoryNet>,
    trace: Trace,
    streams: Arc<AtomicU64>,
    written: Written,
    frames: Option<Frames>,
}

/// Frames that the relays have read, and those of them that carry bytes.
pub type Frames = Arc<(AtomicU64, AtomicU64)>;

/// Bytes that the relays have written to each connection, by its two ends (the relay's own first).
type Written = Arc<Mutex<HashMap<(SocketAddr, SocketAddr), Arc<AtomicU64>>>>;

impl Tap {
    pub fn new(net: Arc<MemoryNet>, trace: Trace) -> Tap {
        Tap { net, trace, streams: Arc::default(), written: Arc::default(), frames: None }
    }

    /// The same for a relay whose frames are counted, and that uses no checksums.
    pub fn counting(&self, frames: Frames) -> Tap {
        Tap { frames: Some(frames), ..self.clone() }
    }

    /// What a relay has written to the connection between these ends.
    pub fn written(&self, relay: SocketAddr, bsr: SocketAddr) -> u64 {
        let written = self.written.lock().expect("nobody panics in here");
        written.get(&(relay, bsr)).map_or(0, |bytes| bytes.load(Ordering::Relaxed))
    }

    fn on(&self, stream: Box<dyn Stream>) -> Box<dyn Stream> {
        let number = self.streams.fetch_add(1, Ordering::Relaxed);
        let written = Arc::new(AtomicU64::new(0));
        if let (Ok(here), Ok(there)) = (stream.local_addr(), stream.peer_addr()) {
            let mut all = self.written.lock().expect("nobody panics in here");
            all.insert((here, there), Arc::clone(&written));
        }
        let link = |end: io::Result<SocketAddr>| end.is_ok_and(|end| end.port() == OUTSIDE);
        let is_link = link(stream.local_addr()) || link(stream.peer_addr());
        let frames = self.frames.clone().filter(|_| is_link);
        let count =
            frames.map(|frames| Count { greeting: Some(Vec::new()), decoder: Decoder::new(false), frames });
        Box::new(Tapped { stream, number, trace: self.trace.clone(), written, count })
    }
}

impl Net for Tap {
    fn listen(
        &self,
        at: SocketAddr,
        backlog: u32,
        options: &SocketOptions,
    ) -> LocalBoxFuture<io::Result<Box<dyn Listener>>> {
        let (tap, listening) = (self.clone(), self.net.listen(at, backlog, options));
        Box::pin(async move { Ok(Box::new(Ear { tap, listener: listening.await? }) as Box<dyn Listener>) })
    }

    fn connect(
        &self,
        to: SocketAddr,
        from: Option<IpAddr>,
        options: &SocketOptions,
    ) -> LocalBoxFuture<io::Result<Box<dyn Stream>>> {
        let (tap, connecting) = (self.clone(), self.net.connect(to, from, options));
        Box::pin(async move { Ok(tap.on(connecting.await?)) })
    }
}

struct Ear {
    tap: Tap,
    listener: Box<dyn Listener>,
}

impl Listener for Ear {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Stream>, SocketAddr)>> {
        let (stream, from) = ready!(self.listener.poll_accept(cx))?;
        Poll::Ready(Ok((self.tap.on(stream), from)))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.listener.fmt(f)
    }
}

struct Tapped {
    stream: Box<dyn Stream>,
    number: u64,
    trace: Trace,
    written: Arc<AtomicU64>,
    count: Option<Count>,
}

/// Reads along.
struct Count {
    /// The handshake, until it is whole: the relay reads not one byte more of it.
    greeting: Option<Vec<u8>>,
    decoder: Decoder,
    frames: Frames,
}

impl Count {
    fn read(&mut self, bytes: &[u8]) {
        if let Some(greeting) = &mut self.greeting {
            greeting.extend_from_slice(bytes);
            if matches!(needed(greeting), Ok(Needed::Nothing)) {
                self.greeting = None;
            }
            return;
        }
        self.decoder.push(bytes.to_vec().into());
        while let Ok(Some(frame)) = self.decoder.next() {
            self.frames.0.fetch_add(1, Ordering::Relaxed);
            self.frames.1.fetch_add(u64::from(matches!(frame, Frame::Data { .. })), Ordering::Relaxed);
        }
    }
}

impl Stream for Tapped {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    fn abort(self: Box<Self>) {
        self.trace.bytes(self.number, b'a', &[]);
        self.stream.abort();
    }

    fn detach(self: Box<Self>) -> io::Result<Detached> {
        Ok(Detached::new(move || Ok(self)))
    }
}

impl fmt::Debug for Tapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.fmt(f)
    }
}

impl AsyncRead for Tapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.trace.bytes(self.number, b'r', &buf.filled()[before..]);
        let tapped = &mut *self;
        if let Some(count) = &mut tapped.count {
            count.read(&buf.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs))?;
        self.written.fetch_add(count as u64, Ordering::Relaxed);
        // What was written is what the other end reads, and is in the trace there.
        self.trace.bytes(self.number, b'w', &(count as u64).to_be_bytes());
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.trace.bytes(self.number, b's', &[]);
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
