//! Both connections, as packets: what comes in, what goes out, and that meta never waits behind data.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::core::Breakage;
use crate::wire::decode::Decoder;
use crate::wire::encode::{Encoded, Encoder};
use crate::wire::{Packet, Stream};

/// Two connections that are in use. Dropping them closes both at once; whatever was not sent is lost.
///
/// Memory: for each connection a packet that is not whole yet, and the rest of what one read brought; and what is to be
/// sent. Who does not take that gets nothing more to be answered: neither connection is read while too much is queued on
/// meta, and data is not while too much is queued on data. An idle connection holds nothing.
pub(super) struct Wires {
    data: Wire,
    meta: Wire,
    decoder: Decoder,
    encoder: Encoder,
    /// What was told of [`Wires::sent`].
    told: u64,
    /// Of data: so much may be queued while more is read from it.
    most: u64,
    broken: bool,
}

impl Wires {
    /// Two connections that stand. `bitmap` is how many bytes both nodes send each other at once, without waiting for
    /// what the other one says.
    pub(super) fn new(data: TcpStream, meta: TcpStream, bitmap: u64) -> Wires {
        Wires {
            most: DATA_QUEUE.saturating_add(bitmap),
            data: Wire::new(data, DATA_READ),
            meta: Wire::new(meta, META_READ),
            decoder: Decoder::new(),
            encoder: Encoder::new(),
            told: 0,
            broken: false,
        }
    }

    /// From the next packet on, both ways.
    pub(super) fn speak(&mut self, version: u32, features: u32) {
        self.decoder.speak(version, features);
        self.encoder.speak(version, features);
        // What came early was none of the version before.
        self.data.hungry = false;
        self.meta.hungry = false;
    }

    /// Sends of what is queued what TCP takes at once; [`Wires::progress`] sends the rest.
    pub(super) fn push(&mut self) {
        self.meta.push();
        self.data.push();
    }

    /// Queues a packet, for [`Wires::push`].
    pub(super) fn send(&mut self, stream: Stream, packet: &Packet) {
        let encoded = self.encoder.encode(stream, packet);
        let wire = self.wire(stream);
        wire.queued += cost(&encoded);
        wire.queue.push_back(encoded);
    }

    /// The next packet that has come, meta's first; none if nothing whole is there. With `data` false, only meta's.
    ///
    /// # Errors
    /// The connections are of no use any more. It is said once; afterwards nothing comes.
    pub(super) fn packet(&mut self, data: bool) -> Result<Option<(Stream, Packet)>, Breakage> {
        if self.broken {
            return Ok(None);
        }
        let (meta, data) = self.takes(data);
        for (stream, wanted) in [(Stream::Meta, meta), (Stream::Data, data)] {
            match self.packet_of(stream, wanted) {
                Ok(None) => {}
                Ok(Some(packet)) => return Ok(Some((stream, packet))),
                Err(breakage) => {
                    self.broken = true;
                    return Err(breakage);
                }
            }
        }
        Ok(None)
    }

    /// Whether meta, and data, are read.
    fn takes(&self, data: bool) -> (bool, bool) {
        let meta = self.meta.queued < META_QUEUE;
        (meta, data && meta && self.data.queued < self.most)
    }

    fn packet_of(&mut self, stream: Stream, wanted: bool) -> Result<Option<Packet>, Breakage> {
        let (decoder, wire) = match stream {
            Stream::Data => (&mut self.decoder, &mut self.data),
            Stream::Meta => (&mut self.decoder, &mut self.meta),
        };
        if wanted && !wire.hungry {
            match decoder.decode(stream, &mut wire.input) {
                Ok(Some(packet)) => return Ok(Some(packet)),
                Ok(None) => wire.starve(decoder.wanted()),
                Err(error) => return Err(Breakage::Undecodable { stream, what: error.to_string() }),
            }
        }
        match wire.ended.take() {
            Some(what) => Err(Breakage::Lost { stream, what }),
            None => Ok(None),
        }
    }

    /// Packets of data that are in TCP's hands, if that has changed since it was last asked.
    pub(super) fn sent(&mut self) -> Option<u64> {
        let changed = self.data.sent != self.told;
        self.told = self.data.sent;
        changed.then_some(self.told)
    }

    /// Completes when there is something for [`Wires::packet`] or [`Wires::sent`]; sends meanwhile. With `data` false,
    /// nothing is read from data. Nothing is lost if it is dropped.
    pub(super) async fn progress(&mut self, data: bool) {
        poll_fn(|context| {
            let mut progress = false;
            let (meta, data) = self.takes(data);
            for (wire, read) in [(&mut self.meta, meta), (&mut self.data, data)] {
                progress |= wire.write(context);
                progress |= !self.broken && (wire.ended.is_some() || read && wire.read(context));
            }
            if progress { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Sends what is queued, then closes data, and meta a little later; after `limit` at the latest. A kernel that sees
    /// the end of meta before it has taken down data calls it a fault, and does so loudly.
    pub(super) async fn finish(mut self, limit: Duration) {
        let gone = async {
            self.meta.flush().await;
            self.data.finish().await;
            // When it ends sooner all is well.
            let _ = timeout(META_LATER, self.meta.drain()).await;
            self.meta.finish().await;
        };
        // Too late is what it is: they are closed now.
        let _ = timeout(limit, gone).await;
    }

    fn wire(&mut self, stream: Stream) -> &mut Wire {
        match stream {
            Stream::Data => &mut self.data,
            Stream::Meta => &mut self.meta,
        }
    }
}

/// One connection.
struct Wire {
    stream: TcpStream,
    input: BytesMut,
    /// Bytes that one read is given room for.
    room: usize,
    /// There is no whole packet in `input`, and this many bytes more are known to be needed.
    hungry: bool,
    wanted: usize,
    /// Why nothing more comes, or goes.
    ended: Option<String>,
    queue: VecDeque<Encoded>,
    /// What the queue costs.
    queued: u64,
    /// Bytes of the queue's first packet that are out.
    out: usize,
    /// Packets that are out.
    sent: u64,
    /// Nothing more is to be sent, and the other side knows.
    shut: bool,
}

impl Wire {
    fn new(stream: TcpStream, room: usize) -> Wire {
        Wire {
            stream,
            input: BytesMut::new(),
            room,
            hungry: true,
            wanted: 0,
            ended: None,
            queue: VecDeque::new(),
            queued: 0,
            out: 0,
            sent: 0,
            shut: false,
        }
    }

    /// No whole packet is there.
    fn starve(&mut self, wanted: usize) {
        self.hungry = true;
        self.wanted = wanted;
        if self.input.is_empty() {
            self.input = BytesMut::new(); // what it had room in is the packets' now, or nobody's
        }
    }

    /// Whether there is something to be looked at.
    fn read(&mut self, context: &mut Context<'_>) -> bool {
        if !self.hungry {
            return true;
        }
        match self.fill(context) {
            Poll::Ready(()) => {
                self.hungry = false;
                true
            }
            Poll::Pending => false,
        }
    }

    /// Reads once, as far as there is something to be read.
    fn fill(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let readable = ready!(self.stream.poll_read_ready(context));
            // Only now: a connection on which nothing comes needs no room.
            self.input.reserve(self.wanted.max(self.room));
            match readable.and_then(|()| self.stream.try_read_buf(&mut self.input)) {
                Ok(0) => self.ended = Some("the other side has closed it".to_owned()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => self.ended = Some(error.to_string()),
            }
            return Poll::Ready(());
        }
    }

    /// Sends what is queued, then ends, until the other side has ended, too.
    async fn finish(&mut self) {
        poll_fn(|context| {
            while self.write(context) {}
            if self.queue.is_empty() && !self.shut {
                self.shut = true;
                // Where it fails there is nothing left to be shut.
                let _ = SockRef::from(&self.stream).shutdown(Shutdown::Write);
            }
            self.poll_drain(context)
        })
        .await;
    }

    /// Sends what is queued.
    async fn flush(&mut self) {
        poll_fn(|context| {
            while self.write(context) {}
            if self.queue.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Sends what is queued, and reads until the other side has ended.
    async fn drain(&mut self) {
        poll_fn(|context| {
            while self.write(context) {}
            self.poll_drain(context)
        })
        .await;
    }

    /// What was received and not read would turn the close into a reset, and that could overtake what was sent.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.ended.is_none() {
            ready!(self.fill(context));
            self.input.clear();
        }
        Poll::Ready(())
    }

    /// Writes as much as TCP takes, but not for ever. Whether something went out, or nothing will any more.
    fn write(&mut self, context: &mut Context<'_>) -> bool {
        let (mut bytes, sent) = (0, self.sent);
        while !self.queue.is_empty() && bytes < WRITE_AT_A_TIME {
            match self.write_once() {
                Ok(more) => bytes += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.stream.poll_write_ready(context) {
                        Poll::Ready(_) => {}
                        Poll::Pending => return self.sent != sent,
                    }
                }
                Err(error) => {
                    self.cannot_write(&error);
                    return true;
                }
            }
        }
        bytes > 0
    }

    /// Writes what TCP takes at once.
    fn push(&mut self) {
        let mut bytes = 0;
        while !self.queue.is_empty() && bytes < WRITE_AT_A_TIME {
            match self.write_once() {
                Ok(more) => bytes += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => self.cannot_write(&error),
            }
        }
    }

    /// What cannot go is of no use. What has come may be.
    fn cannot_write(&mut self, error: &io::Error) {
        self.queue.clear();
        (self.queued, self.out) = (0, 0);
        self.ended.get_or_insert(error.to_string());
    }

    fn write_once(&mut self) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut used = 0;
        let mut skip = self.out;
        for piece in self.queue.iter().flat_map(|encoded| [&encoded.head, &encoded.payload]) {
            let rest = piece.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(piece.len());
            if rest.is_empty() {
                continue;
            }
            let Some(slice) = slices.get_mut(used) else { break };
            *slice = IoSlice::new(rest);
            used += 1;
        }
        let bytes = self.stream.try_write_vectored(&slices[..used])?;
        if bytes == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.advance(bytes);
        Ok(bytes)
    }

    fn advance(&mut self, bytes: usize) {
        self.out += bytes;
        while self.queue.front().is_some_and(|first| first.len() <= self.out)
            && let Some(first) = self.queue.pop_front()
        {
            self.out -= first.len();
            self.queued -= cost(&first);
            self.sent += 1;
        }
        if self.queue.is_empty() {
            self.queue.shrink_to(QUEUE_KEPT);
        }
    }
}

/// Bytes of memory that a packet in a queue stands for.
fn cost(encoded: &Encoded) -> u64 {
    encoded.len() as u64 + PACKET_COST
}

/// A packet's head is an allocation of its own.
const PACKET_COST: u64 = 192;
/// Twice what applications may have under way (64 MiB), and a peer's resync is less: only who asks for ever and takes
/// nothing gets there.
const DATA_QUEUE: u64 = 128 << 20;
/// Acknowledgements of 64 MiB in writes of 512 bytes, twice.
const META_QUEUE: u64 = 64 << 20;
/// So much later than data meta is closed: as a DRBD does it.
const META_LATER: Duration = Duration::from_millis(20);
/// A read of data: some dozen small writes, or part of a large one, for which there is more room when its header is there.
const DATA_READ: usize = 64 << 10;
/// A read of meta: hundreds of packets.
const META_READ: usize = 4 << 10;
/// After so much the node looks at what else there is.
const WRITE_AT_A_TIME: usize = 1 << 20;
/// Two for each packet.
const SLICES: usize = 64;
/// Room for packets that an empty queue keeps.
const QUEUE_KEPT: usize = 64;

#[cfg(test)]
mod tests;
