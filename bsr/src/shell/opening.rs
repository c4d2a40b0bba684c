//! Until both connections stand (bsr-wire A.1 to A.6).
//!
//! Each node listens and dials. Who dials says in 8 bytes which of the two connections this is; who accepts keeps the
//! newest of each. When both stand they are left alone for a moment: one that the other node has given up
//! meanwhile shows as closed.

mod sockets;

use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use drx_protocol::names::ChannelType;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout};

use crate::core::api::Severity;

/// How a node's connections come to be; names and defaults of bsr-wire A.4 and C.4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpeningSettings {
    /// Where it listens. Its dials come from this IP.
    pub address: SocketAddr,
    /// Where it dials: its relay, or the other node.
    pub peer: SocketAddr,
    /// What it dials first.
    pub first: Opening,
    /// Only connections from the IP that it dials are taken. BSR does so, DRBD 8.4 does not (bsr-wire A.5).
    pub verify_ip: bool,
    /// connect-int: for a dial, and, give or take a seventh, between two.
    pub connect_int: Duration,
    /// socket-check-timeout: both connections must have stood for so long; a quarter of the time that one who connected
    /// has for the first packet.
    pub socket_check_timeout: Duration,
    /// tcp-ack-timeout, on data: the other side's TCP takes nothing for so long. 0: as long as TCP likes.
    pub tcp_ack_timeout: Duration,
    /// sndbuf-size in bytes; none: as TCP likes.
    pub sndbuf: Option<u32>,
    /// rcvbuf-size in bytes; none: as TCP likes.
    pub rcvbuf: Option<u32>,
}

/// Which connection a node dials while it holds none (bsr-wire A.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// As BSR: of the two nodes the one with the higher number dials data, the other meta.
    NodeId {
        /// This node's.
        mine: u32,
        /// The other's.
        peer: u32,
    },
    /// As DRBD: data, then meta.
    DataFirst,
}

impl Opening {
    fn channel(self) -> ChannelType {
        match self {
            Opening::NodeId { mine, peer } if mine < peer => ChannelType::Meta,
            Opening::NodeId { .. } | Opening::DataFirst => ChannelType::Data,
        }
    }
}

/// Two connections that stand. On neither was anything sent or read but first packets.
#[derive(Debug)]
pub struct Connections {
    /// For what is replicated.
    pub data: TcpStream,
    /// For what must not wait behind it.
    pub meta: TcpStream,
    /// This node accepted meta: it breaks ties (bsr-wire A.3).
    pub resolve_conflicts: bool,
}

/// Opens both, for as long as it takes. The listener is there only meanwhile. Dropping the future gives up all.
///
/// `note` gets lines for the log; what repeats itself is told once.
pub async fn open(
    settings: &OpeningSettings,
    random: &mut fastrand::Rng,
    note: impl FnMut(Severity, String) + Send,
) -> Connections {
    let mut attempt = Attempt {
        settings,
        random,
        notes: Notes { note, last: String::new(), strangers: 0 },
        data: None,
        meta: None,
        arrivals: JoinSet::new(),
        arrived: 0,
        until: Instant::now(),
    };
    let listener = attempt.listen().await;
    attempt.until_both(&listener).await
}

/// A connection that is held.
struct Held {
    stream: TcpStream,
    /// Its number among those that were accepted; none if it was dialled.
    accepted: Option<u64>,
}

/// One that was accepted, as its first packet is there or will not come.
struct Arrival {
    number: u64,
    from: IpAddr,
    came: io::Result<(TcpStream, ChannelType)>,
}

type Dial<'a> = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send + 'a>>;

struct Attempt<'a, N> {
    settings: &'a OpeningSettings,
    random: &'a mut fastrand::Rng,
    notes: Notes<N>,
    data: Option<Held>,
    meta: Option<Held>,
    arrivals: JoinSet<Arrival>,
    arrived: u64,
    /// With both: when they have stood long enough. Otherwise: when the next one is dialled.
    until: Instant,
}

impl<N: FnMut(Severity, String) + Send> Attempt<'_, N> {
    async fn listen(&mut self) -> TcpListener {
        loop {
            match sockets::listen(self.settings) {
                Ok(listener) => return listener,
                Err(error) => {
                    self.notes.once(
                        Severity::Error,
                        format!("cannot listen on {}: {error}", self.settings.address),
                    );
                    // An address that is not there yet, or a port that another one still has.
                    sleep(self.settings.connect_int).await;
                }
            }
        }
    }

    async fn until_both(&mut self, listener: &TcpListener) -> Connections {
        let mut dial: Option<(ChannelType, Dial<'_>)> = None;
        loop {
            // What came in meanwhile is not dialled any more.
            if let Some((channel, _)) = &dial
                && self.held(*channel).is_some()
            {
                dial = None;
            }
            tokio::select! {
                biased;
                () = ended(&self.data) => self.lost(ChannelType::Data),
                () = ended(&self.meta) => self.lost(ChannelType::Meta),
                Some(Ok(arrival)) = self.arrivals.join_next() => self.arrived(arrival),
                accepted = listener.accept(), if self.arrivals.len() < ARRIVALS => self.accepted(accepted).await,
                (channel, dialled) = finished(&mut dial) => {
                    dial = None;
                    self.dialled(channel, dialled);
                }
                () = sleep_until(self.until), if dial.is_none() => match (self.data.take(), self.meta.take()) {
                    (Some(data), Some(meta)) => return self.opened(data, meta),
                    (data, meta) => {
                        (self.data, self.meta) = (data, meta);
                        let settings = self.settings;
                        let channel = self.missing();
                        dial = Some((channel, Box::pin(sockets::dial(settings, channel))));
                    }
                },
            }
        }
    }

    fn opened(&self, data: Held, meta: Held) -> Connections {
        sockets::watch_acks(&data.stream, self.settings.tcp_ack_timeout);
        Connections { data: data.stream, resolve_conflicts: meta.accepted.is_some(), meta: meta.stream }
    }

    /// What to dial when not both are held.
    fn missing(&self) -> ChannelType {
        match (&self.data, &self.meta) {
            (None, None) => self.settings.first.channel(),
            (None, Some(_)) => ChannelType::Data,
            (Some(_), _) => ChannelType::Meta,
        }
    }

    fn held(&mut self, channel: ChannelType) -> &mut Option<Held> {
        match channel {
            ChannelType::Data => &mut self.data,
            ChannelType::Meta => &mut self.meta,
        }
    }

    fn lost(&mut self, channel: ChannelType) {
        self.notes.once(Severity::Info, format!("{channel} was closed before both connections stood"));
        let now = Instant::now();
        self.until = match (&self.data, &self.meta) {
            // The other node may have lost the other end of the same crossing just now: not both at the same moment.
            (Some(_), Some(_)) => now + self.settings.socket_check_timeout.mul_f64(self.random.f64()),
            _ => self.until.min(now + self.jittered()),
        };
        *self.held(channel) = None;
    }

    async fn accepted(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        let (stream, from) = match accepted {
            Ok((stream, from)) => (stream, from.ip().to_canonical()),
            Err(error) => {
                self.notes.once(Severity::Warning, format!("cannot accept a connection: {error}"));
                return sleep(ACCEPT_AGAIN).await; // too few descriptors, probably
            }
        };
        if self.settings.verify_ip && from != self.settings.peer.ip().to_canonical() {
            return self.notes.stranger(format!("closing unexpected connection from {from}"));
        }
        let number = self.arrived;
        self.arrived += 1;
        let within = 4 * self.settings.socket_check_timeout;
        self.arrivals.spawn(async move {
            let came = match timeout(within, sockets::first_packet(stream)).await {
                Ok(came) => came,
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "it did not come in time")),
            };
            Arrival { number, from, came }
        });
    }

    /// The newest wins (bsr-wire A.3), unless its opener has given it up already.
    fn arrived(&mut self, Arrival { number, from, came }: Arrival) {
        let (stream, channel) = match came {
            Ok(came) => came,
            Err(error) => {
                return self.notes.stranger(format!("error receiving initial packet from {from}: {error}"));
            }
        };
        let crossed = match self.held(channel) {
            Some(held) if sockets::is_closed(&stream) || held.accepted > Some(number) => return,
            held => held.replace(Held { stream, accepted: Some(number) }).is_some(),
        };
        if crossed {
            self.notes.tell(Severity::Info, format!("initial packet {channel} crossed"));
        }
        self.until = match (&self.data, &self.meta) {
            (Some(_), Some(_)) => Instant::now() + self.settings.socket_check_timeout,
            // Both would go on crossing if both did the same thing.
            _ if crossed && self.random.bool() => Instant::now() + self.jittered(),
            _ => Instant::now(),
        };
    }

    fn dialled(&mut self, channel: ChannelType, dialled: io::Result<TcpStream>) {
        match dialled {
            Ok(stream) => *self.held(channel) = Some(Held { stream, accepted: None }),
            Err(error) => self
                .notes
                .once(Severity::Info, format!("cannot connect {channel} to {}: {error}", self.settings.peer)),
        }
        let wait = match (&self.data, &self.meta) {
            (Some(_), Some(_)) => self.settings.socket_check_timeout,
            _ => self.jittered(),
        };
        self.until = Instant::now() + wait;
    }

    /// connect-int, give or take a seventh.
    fn jittered(&mut self) -> Duration {
        self.settings.connect_int.mul_f64((6.0 + 2.0 * self.random.f64()) / 7.0)
    }
}

/// Completes when the connection has ended, though there may be bytes in it that nobody has read.
async fn ended(held: &Option<Held>) {
    match held {
        Some(held) => sockets::ended(&held.stream).await,
        None => pending().await,
    }
}

async fn finished(dial: &mut Option<(ChannelType, Dial<'_>)>) -> (ChannelType, io::Result<TcpStream>) {
    match dial {
        Some((channel, dial)) => (*channel, dial.await),
        None => pending().await,
    }
}

/// Lines for the log, no more of them than are of use.
struct Notes<N> {
    note: N,
    last: String,
    strangers: u32,
}

impl<N: FnMut(Severity, String)> Notes<N> {
    fn tell(&mut self, severity: Severity, line: String) {
        (self.note)(severity, line);
    }

    /// Tells it unless it was the last thing told.
    fn once(&mut self, severity: Severity, line: String) {
        if self.last != line {
            self.last.clone_from(&line);
            self.tell(severity, line);
        }
    }

    /// Whoever knocks must not be able to fill the log.
    fn stranger(&mut self, line: String) {
        self.strangers += 1;
        match self.strangers {
            ..STRANGERS_TOLD => self.tell(Severity::Warning, line),
            STRANGERS_TOLD => {
                self.tell(Severity::Warning, line);
                self.tell(Severity::Warning, "more like it are not told until the next attempt".to_owned());
            }
            _ => {}
        }
    }
}

/// Accepted connections that are waited for at a time: the other node has two at most that count, a relay some more.
const ARRIVALS: usize = 16;
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
const STRANGERS_TOLD: u32 = 10;
