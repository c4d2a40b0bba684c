//! Until both connections stand.

use std::future::pending;
use std::io;
use std::net::SocketAddr;

use drx_protocol::first_packet;
use drx_protocol::names::ChannelType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout};

use super::{PeerSettings, Tally, Violation};

/// A session's connections.
#[derive(Debug)]
pub(super) struct Connections {
    pub(super) data: TcpStream,
    pub(super) meta: TcpStream,
}

/// Opens both, as long as it takes. The listener exists only meanwhile (bsr-wire A.4).
pub(super) async fn open(
    settings: &PeerSettings,
    tally: &watch::Sender<Tally>,
    random: &mut fastrand::Rng,
) -> Connections {
    let listener = listen(settings.bsr).await;
    let mut opening = Opening { settings, tally, random, data: None, meta: None, refused: false };
    opening.until_both(&listener).await
}

async fn listen(at: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(at).await {
            Ok(listener) => return listener,
            Err(_) => sleep(LISTEN_AGAIN).await,
        }
    }
}

struct Opening<'a> {
    settings: &'a PeerSettings,
    tally: &'a watch::Sender<Tally>,
    random: &'a mut fastrand::Rng,
    data: Option<TcpStream>,
    meta: Option<TcpStream>,
    /// The last dial failed.
    refused: bool,
}

/// What follows a wait.
enum Next {
    /// Dial what is missing, if anything is.
    Dial,
    /// Only wait on.
    Listen,
    /// Both stand, and have stood for a while.
    Ready,
}

impl Opening<'_> {
    async fn until_both(&mut self, listener: &TcpListener) -> Connections {
        let mut next = Next::Dial;
        loop {
            next = match next {
                Next::Dial => {
                    self.dial_missing().await;
                    self.wait(listener).await
                }
                Next::Listen => self.wait(listener).await,
                Next::Ready => match (self.data.take(), self.meta.take()) {
                    (Some(data), Some(meta)) => return Connections { data, meta },
                    (data, meta) => {
                        (self.data, self.meta) = (data, meta);
                        Next::Dial
                    }
                },
            };
        }
    }

    async fn dial_missing(&mut self) {
        let Some(channel_type) = self.missing() else { return };
        let dialled = self.dial(channel_type).await;
        self.refused = dialled.is_err();
        match dialled {
            Ok(stream) => *self.place(channel_type) = Some(stream),
            Err(_) => self.tally.send_modify(|tally| tally.dials_refused += 1),
        }
    }

    /// The stream to be opened next, if one is missing.
    fn missing(&self) -> Option<ChannelType> {
        match (&self.data, &self.meta) {
            (None, None) => Some(self.settings.first),
            (None, Some(_)) => Some(ChannelType::Data),
            (Some(_), None) => Some(ChannelType::Meta),
            (Some(_), Some(_)) => None,
        }
    }

    fn place(&mut self, channel_type: ChannelType) -> &mut Option<TcpStream> {
        match channel_type {
            ChannelType::Data => &mut self.data,
            ChannelType::Meta => &mut self.meta,
        }
    }

    /// One attempt, from its own IP; the first packet goes at once.
    async fn dial(&self, channel_type: ChannelType) -> io::Result<TcpStream> {
        let (bsr, inside) = (self.settings.bsr, self.settings.inside);
        let socket = if bsr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.bind(SocketAddr::new(bsr.ip(), 0))?;
        let mut stream = timeout(self.settings.pace.dial, socket.connect(inside)).await??;
        // The kernel may have picked the target as the source: then it is connected to itself.
        if stream.local_addr()? == stream.peer_addr()? {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        stream.set_nodelay(true)?;
        stream.write_all(&first_packet::bytes(channel_type)).await?;
        Ok(stream)
    }

    /// Waits on the listener until it is time to go round, or a connection came.
    async fn wait(&mut self, listener: &TcpListener) -> Next {
        let pace = self.settings.pace;
        let time = match (&self.data, &self.meta) {
            (Some(_), Some(_)) => pace.check,
            (None, None) => self.jittered(pace.dial),
            _ if self.refused => self.jittered(pace.dial),
            _ => self.jittered(pace.cross),
        };
        let mut until = Instant::now() + time;
        loop {
            tokio::select! {
                biased;
                () = ended(&self.data) => {
                    self.data = None;
                    until = until.min(Instant::now() + pace.dial);
                }
                () = ended(&self.meta) => {
                    self.meta = None;
                    until = until.min(Instant::now() + pace.dial);
                }
                accepted = listener.accept() => match accepted {
                    Ok((stream, from)) => return self.accepted(stream, from).await,
                    Err(_) => sleep(LISTEN_AGAIN).await,
                },
                () = sleep_until(until) => {
                    return if self.missing().is_none() { Next::Ready } else { Next::Dial };
                }
            }
        }
    }

    /// After a connection that was of no use, or that crossed an older one, a coin decides whether to dial
    /// or only to wait on (bsr-wire A.3).
    async fn accepted(&mut self, mut stream: TcpStream, from: SocketAddr) -> Next {
        let inside = self.settings.inside.ip();
        if from.ip() != inside {
            let violation = Violation::Source { from: from.ip(), inside };
            self.tally.send_modify(|tally| tally.violated(violation));
            return Next::Listen;
        }
        let mut packet = [0; 8];
        let came = timeout(self.settings.pace.first_packet, stream.read_exact(&mut packet)).await;
        let Ok(Ok(_)) = came else {
            self.tally.send_modify(|tally| tally.first_packets_missed += 1);
            return self.toss();
        };
        match first_packet::parse(packet) {
            Ok(channel_type) => {
                // Without it the socket would only be slower.
                let _ = stream.set_nodelay(true);
                // The newest wins.
                let crossed = self.place(channel_type).replace(stream).is_some();
                if crossed { self.toss() } else { Next::Dial }
            }
            Err(strange) => {
                let violation = Violation::FirstPacket(strange.to_string());
                self.tally.send_modify(|tally| tally.violated(violation));
                self.toss()
            }
        }
    }

    fn toss(&mut self) -> Next {
        if self.random.bool() { Next::Dial } else { Next::Listen }
    }

    /// Give or take a seventh.
    fn jittered(&mut self, time: Duration) -> Duration {
        let share = if self.random.bool() { 8.0 } else { 6.0 };
        time.mul_f64(share / 7.0)
    }
}

/// Completes when the connection has ended. One that has bytes to be read counts as alive.
async fn ended(connection: &Option<TcpStream>) {
    if let Some(stream) = connection {
        let mut byte = [0];
        if !matches!(stream.peek(&mut byte).await, Ok(1..)) {
            return;
        }
    }
    pending().await
}

/// An address that was used a moment ago, or a shortage of descriptors.
const LISTEN_AGAIN: Duration = Duration::from_millis(50);
