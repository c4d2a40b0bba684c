//! How a link packs its payloads: as it was told, or as it chooses itself.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use drx_protocol::codec::{Choice, Codec, Compression, Load, Packer};
use drx_protocol::frame::Payload;
use slog::{Logger, info, warn};
use tokio::time::Instant;

use crate::counters::Counters;

/// The packing of one link connection: it remembers nothing of the one before.
pub(crate) struct Packing {
    packer: Packer,
    /// What the operator wants; it may change at any time.
    wanted: Rc<Cell<Compression>>,
    choice: Choice,
    load: Load,
    since: Instant,
    /// Since when TCP takes nothing of what waits.
    blocked: Option<Instant>,
    /// The codec failed once, and that was said.
    failed: bool,
    counters: Rc<Counters>,
    log: Logger,
}

impl Packing {
    /// For the other relay of this link, which can unpack `theirs`.
    pub(crate) fn new(
        theirs: &[u8],
        wanted: Rc<Cell<Compression>>,
        counters: Rc<Counters>,
        log: Logger,
    ) -> Packing {
        Packing {
            packer: Packer::new(theirs),
            wanted,
            choice: Choice::default(),
            load: Load::default(),
            since: Instant::now(),
            blocked: None,
            failed: false,
            counters,
            log,
        }
    }

    fn compression(&self) -> Compression {
        match self.wanted.get() {
            Compression::Auto => self.choice.compression(),
            wanted => wanted,
        }
    }

    /// A DATA frame's body for this payload, and how it is packed.
    pub(crate) fn body(&mut self, payload: Payload) -> (Codec, Payload) {
        let (compression, length) = (self.compression(), payload.len());
        let begin = Instant::now();
        let (codec, body) = match self.packer.pack(&payload, compression) {
            Ok(Some((codec, body))) => (codec, body.into()),
            Ok(None) => (Codec::Raw, payload),
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    warn!(self.log, "a payload goes as it is"; "why" => %error);
                }
                (Codec::Raw, payload)
            }
        };
        if compression != Compression::None {
            self.load.packing += begin.elapsed();
        }
        self.load.payload += length as u64;
        self.load.wire += body.len() as u64;
        let mut report = self.counters.compression.get();
        report.with = compression;
        report.payload += length as u64;
        report.wire += body.len() as u64;
        self.counters.compression.set(report);
        (codec, body)
    }

    /// Whether bytes wait that TCP does not take.
    pub(crate) fn waits(&mut self, waits: bool) {
        match (waits, self.blocked) {
            (true, None) => self.blocked = Some(Instant::now()),
            (false, Some(since)) => {
                self.load.blocked += since.elapsed();
                self.blocked = None;
            }
            _ => {}
        }
    }

    /// Looks whether another codec is better by now.
    pub(crate) fn consider(&mut self) {
        if self.wanted.get() != Compression::Auto {
            return;
        }
        if self.blocked.is_some() {
            self.waits(false);
            self.waits(true);
        }
        let load = Load { time: self.since.elapsed(), ..std::mem::take(&mut self.load) };
        self.since = Instant::now();
        let before = self.choice.compression();
        if let Some((compression, why)) = self.choice.observe(load) {
            info!(self.log, "compression"; "from" => %before, "to" => %compression, "why" => why,
                "payload" => load.payload, "wire" => load.wire);
        }
    }
}

/// Of those that look at a link's load: long enough to see a resync's bursts as what they are.
pub(crate) const CONSIDER: Duration = Duration::from_secs(1);

/// What this relay can unpack, as a handshake says it.
pub(crate) fn offered() -> Vec<u8> {
    Codec::PACKING.map(|codec| codec as u8).to_vec()
}

/// A payload's pieces, behind its frame's header.
pub(crate) fn behind(header: Bytes, body: &Payload) -> impl Iterator<Item = Bytes> {
    std::iter::once(header).chain(body.pieces().iter().cloned())
}
