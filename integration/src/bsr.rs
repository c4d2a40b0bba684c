//! bsr, played by hand: it opens connections at `inside`, and takes those that the relay dials.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use drx_protocol::first_packet;
use drx_protocol::names::ChannelType;
use socket2::{Domain, SockRef, Socket, Type};

use crate::wait::{LIMIT, until, until_ok};

/// One site's bsr.
#[derive(Debug)]
pub struct Bsr {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it connects.
    pub inside: SocketAddr,
    listener: Option<TcpListener>,
    receive_buffer: Option<usize>,
}

impl Bsr {
    /// A bsr that listens.
    pub fn new(address: SocketAddr, inside: SocketAddr) -> Bsr {
        let mut bsr = Bsr { address, inside, listener: None, receive_buffer: None };
        bsr.listen();
        bsr
    }

    /// Bounds what the kernel takes in its place on connections from now on.
    pub fn bound_receive_buffer(&mut self, bytes: usize) {
        self.receive_buffer = Some(bytes);
        self.deafen();
        self.listen();
    }

    /// Takes connections from now on.
    pub fn listen(&mut self) {
        let socket = self.socket();
        // The connections of the listener before may linger on the port.
        socket.set_reuse_address(true).unwrap();
        // A process that another test begins may have the listener before, until it runs its own program.
        until_ok(LIMIT, || socket.bind(&self.address.into()).map_err(|error| error.to_string()));
        socket.listen(16).unwrap();
        // What listens forever in a test that went wrong would hang it.
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        self.listener = Some(socket.into());
    }

    /// Refuses connections from now on.
    pub fn deafen(&mut self) {
        self.listener = None;
    }

    /// Connects to `inside` once, from bsr's own address, and says nothing.
    pub fn dial(&self) -> io::Result<TcpStream> {
        let socket = self.socket();
        socket.bind(&SocketAddr::new(self.address.ip(), 0).into())?;
        socket.connect_timeout(&self.inside.into(), LIMIT)?;
        Ok(bounded(socket.into()))
    }

    /// Connects to `inside` as soon as it is let in, and says what it opens.
    ///
    /// As the real one it tries again when it is reset before its first byte.
    #[track_caller]
    pub fn open(&self, channel_type: ChannelType) -> TcpStream {
        until_ok(LIMIT, || {
            let mut stream = self.dial().map_err(|error| format!("inside does not let bsr in: {error}"))?;
            let said = stream.write_all(&first_packet::bytes(channel_type));
            said.map(|()| stream).map_err(|error| format!("inside takes no first packet: {error}"))
        })
    }

    /// Takes the next connection of the relay, and its first packet.
    #[track_caller]
    pub fn take(&self) -> (ChannelType, TcpStream) {
        let mut stream = self.accept();
        let mut packet = [0; 8];
        stream.read_exact(&mut packet).expect("the first packet comes at once");
        (first_packet::parse(packet).expect("a first packet"), stream)
    }

    /// Takes the next connection of the relay.
    #[track_caller]
    pub fn accept(&self) -> TcpStream {
        let listener = self.listener.as_ref().expect("bsr listens");
        let (stream, _) = listener.accept().expect("the relay dials bsr");
        bounded(stream)
    }

    /// Takes a connection of the relay, and its first packet, if one is there. One that has ended by then
    /// is none.
    pub fn try_take(&self) -> Option<(ChannelType, TcpStream)> {
        let listener = self.listener.as_ref().expect("bsr listens");
        listener.set_nonblocking(true).unwrap();
        let accepted = listener.accept();
        listener.set_nonblocking(false).unwrap();
        let mut stream = bounded(accepted.ok()?.0);
        stream.set_nonblocking(false).unwrap();
        let mut packet = [0; 8];
        stream.read_exact(&mut packet).ok()?;
        Some((first_packet::parse(packet).ok()?, stream))
    }

    /// Whether no connection of the relay waits to be taken.
    pub fn is_left_alone(&self) -> bool {
        let listener = self.listener.as_ref().expect("bsr listens");
        listener.set_nonblocking(true).unwrap();
        let nobody = listener.accept().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        listener.set_nonblocking(false).unwrap();
        nobody
    }

    /// Whether a dial to `inside` is refused, as it is where nobody listens.
    pub fn is_refused(&self) -> bool {
        self.dial().is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    }

    fn socket(&self) -> Socket {
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, None).unwrap();
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        socket
    }
}

/// How a connection ended, as its other side sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// End of file.
    Finished,
    /// A reset.
    Reset,
}

/// Reads, and throws away, to the end of a connection: how it ended, after how many bytes, and when.
#[track_caller]
pub fn end_of(stream: &TcpStream) -> (End, u64, Instant) {
    let (mut stream, mut piece, mut bytes) = (stream, vec![0; 64 * 1024], 0);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return (End::Finished, bytes, Instant::now()),
            Ok(count) => bytes += count as u64,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                return (End::Reset, bytes, Instant::now());
            }
            Err(error) => panic!("the connection does not end: {error}"),
        }
    }
}

/// How long after `since` the connection ended, without a byte before.
#[track_caller]
pub fn closed_after(stream: &TcpStream, since: Instant) -> Duration {
    let (_, bytes, at) = end_of(stream);
    assert_eq!(bytes, 0, "bytes that nobody sent");
    at.duration_since(since)
}

/// Whether the connection stands, with nothing to be read.
pub fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let open = stream.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
    open
}

/// Whether the connection stands, whatever there is to be read.
pub fn stands(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let stands = match stream.peek(&mut [0]) {
        Ok(count) => count > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    };
    stream.set_nonblocking(false).unwrap();
    stands
}

/// Closes in order: FIN once everything was sent.
pub fn finish(stream: &TcpStream) {
    // A connection that the relay has closed already is closed.
    let _ = stream.shutdown(Shutdown::Write);
}

/// Closes at once: RST, and what was not sent is lost.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Waits until the other side has all that was written to the connection.
#[track_caller]
pub fn until_taken(stream: &TcpStream) {
    // Behind the last byte nothing waits in the kernel. SIOCOUTQ needs unsafe code, /proc does not.
    let ports = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    until("the kernel has sent everything", LIMIT, || (queues(ports)?.0 == 0).then_some(()));
}

/// Waits until the relay has read all that was written to the connection.
#[track_caller]
pub fn until_read(stream: &TcpStream) {
    until_taken(stream);
    let ports = (stream.peer_addr().unwrap(), stream.local_addr().unwrap());
    until("the relay has read everything", LIMIT, || (queues(ports)?.1 == 0).then_some(()));
}

/// What waits in a socket of this machine: to be acknowledged, to be read.
fn queues((local, peer): (SocketAddr, SocketAddr)) -> Option<(u64, u64)> {
    let hex = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port()),
        IpAddr::V6(_) => panic!("bsr is played over IPv4"),
    };
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let line = table.lines().find(|line| line.contains(&format!(" {} {} ", hex(local), hex(peer))))?;
    let (unsent, unread) = line.split_whitespace().nth(4)?.split_once(':')?;
    Some((u64::from_str_radix(unsent, 16).ok()?, u64::from_str_radix(unread, 16).ok()?))
}

/// No read or write of a test waits for ever.
fn bounded(stream: TcpStream) -> TcpStream {
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}
