//! The sockets of an opening, and what TCP is told about them.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::time::Duration;

use drx_protocol::first_packet::{self, FirstPacket};
use drx_protocol::names::ChannelType;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use super::OpeningSettings;

/// What it accepts inherits the buffers' sizes.
pub(super) fn listen(settings: &OpeningSettings) -> io::Result<TcpListener> {
    let socket = socket(settings)?;
    // Connections of the last listener may linger on the port for a minute.
    socket.set_reuseaddr(true)?;
    socket.bind(settings.address)?;
    socket.listen(BACKLOG)
}

/// One attempt. The first packet goes at once.
pub(super) async fn dial(settings: &OpeningSettings, channel: ChannelType) -> io::Result<TcpStream> {
    let dial = async {
        let socket = socket(settings)?;
        let mut from = settings.address;
        from.set_port(0);
        socket.bind(from)?;
        let mut stream = socket.connect(settings.peer).await?;
        // The kernel may have picked the target's port as the source: then it is connected to itself.
        if stream.local_addr()? == stream.peer_addr()? {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        stream.set_nodelay(true)?;
        stream.write_all(&first_packet::bytes(channel)).await?;
        Ok(stream)
    };
    match timeout(settings.connect_int, dial).await {
        Ok(dialled) => dialled,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Waits for the first packet, which says of which channel the connection is.
pub(super) async fn first_packet(mut stream: TcpStream) -> io::Result<(TcpStream, ChannelType)> {
    let mut packet: FirstPacket = [0; 8];
    let mut so_far = 0;
    while so_far < packet.len() {
        match stream.read(&mut packet[so_far..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => so_far += more,
        }
        first_packet::check_prefix(&packet[..so_far]).map_err(strange)?;
    }
    let channel = first_packet::parse(packet).map_err(strange)?;
    stream.set_nodelay(true)?;
    Ok((stream, channel))
}

/// Whether the other side has closed it, as far as the system knows at this moment, and nothing is to be read any more.
pub(super) fn is_closed(stream: &TcpStream) -> bool {
    match SockRef::from(stream).peek(&mut [MaybeUninit::uninit()]) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

fn strange(packet: first_packet::StrangeFirstPacket) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, packet)
}

/// Completes when the connection has ended, though there may be bytes in it that nobody has read.
pub(super) async fn ended(stream: &TcpStream) {
    loop {
        match stream.ready(Interest::READABLE | Interest::ERROR).await {
            Ok(ready) if ready.is_read_closed() || ready.is_error() => return,
            Ok(_) => {}
            Err(_) => return,
        }
        match stream.peek(&mut [0]).await {
            // They stay there, so nothing wakes us for what follows them.
            Ok(1..) => sleep(LOOK_AGAIN).await,
            _ => return,
        }
    }
}

/// SO_KEEPALIVE and TCP_USER_TIMEOUT, on data only (bsr-wire A.6). Without them a loss would only be noticed later.
pub(super) fn watch_acks(data: &TcpStream, within: Duration) {
    if !within.is_zero() {
        let socket = SockRef::from(data);
        let _ = socket.set_keepalive(true);
        let _ = socket.set_tcp_user_timeout(Some(within));
    }
}

fn socket(settings: &OpeningSettings) -> io::Result<TcpSocket> {
    let socket = match settings.address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(bytes) = settings.sndbuf {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = settings.rcvbuf {
        socket.set_recv_buffer_size(bytes)?;
    }
    Ok(socket)
}

const BACKLOG: u32 = 64; // twice the peers that BSR can have
const LOOK_AGAIN: Duration = Duration::from_millis(10);
