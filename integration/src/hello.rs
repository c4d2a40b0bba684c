//! The other relay's handshake, played by hand.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use drx_protocol::handshake::{Answer, Hello, Name, Needed, Versions, needed};
use drx_protocol::names::{Epoch, Lane, LinkId};
use socket2::{Domain, Socket, Type};

use crate::pair::Places;
use crate::wait::LIMIT;

/// What the relay at the other side of `places` would say, of a life before any real one.
pub fn hello_to(places: &Places) -> Hello {
    Hello {
        versions: Versions::OURS,
        lane: Lane::Zero,
        resume: None,
        checksums: true,
        link: LinkId(fastrand::u128(..)),
        epoch: Epoch { started: 1, counter: 0 },
        dial: 1,
        next_offset: 0,
        window: 1 << 20,
        resource: name(&places.resource),
        from: name(&places.remote),
        to: name(&places.node),
        codecs: Vec::new(),
    }
}

/// A name that a handshake can carry.
pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// The handshake with one byte changed, and a checksum that is right for it.
pub fn with_byte(hello: &Hello, at: usize, byte: u8) -> Vec<u8> {
    let mut bytes = hello.encode().to_vec();
    bytes[at] = byte;
    let end = bytes.len() - 4;
    let checksum = crc32c::crc32c(&bytes[..end]);
    bytes[end..].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// Where the lane stands in a HELLO.
pub const LANE: usize = 16;

/// Connects to `to` from `from`, with every read bounded.
pub fn connect_from(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect_timeout(&to.into(), LIMIT)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    Ok(stream)
}

/// Says these bytes, and hears the answer: `None` if the connection is closed without one.
#[track_caller]
pub fn answer_to(mut stream: &TcpStream, bytes: &[u8]) -> Option<Answer> {
    stream.write_all(bytes).expect("a handshake's bytes fit into the socket");
    let message = message(stream)?;
    Some(Answer::decode(&message).expect("an answer"))
}

/// Reads one handshake message: `None` if the connection is closed before its first byte.
#[track_caller]
pub fn message(mut stream: &TcpStream) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    while let Needed::More(more) = needed(&message).expect("a handshake message") {
        let start = message.len();
        message.resize(start + more, 0);
        let count = match stream.read(&mut message[start..]) {
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("no answer: {error}"),
        };
        message.truncate(start + count);
        if count == 0 {
            assert!(message.is_empty(), "an answer that is cut off");
            return None;
        }
    }
    Some(message)
}

/// The whole handshake's time (docs/link.md 2).
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
