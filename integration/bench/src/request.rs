//! What the near end asks of the far end: 24 bytes, on a connection of its own.

use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use drx_protocol::ChannelType;
use drx_protocol::first_packet;

/// What the far end is to do on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Check so many bytes of the stream with this seed, then answer with one byte.
    Check { bytes: u64, seed: u32 },
    /// Send back whatever comes, in pieces of so many bytes.
    Echo { size: u32 },
}

impl Request {
    fn encode(self) -> [u8; LENGTH] {
        let (word, bytes, number) = match self {
            Request::Check { bytes, seed } => (CHECK, bytes, seed),
            Request::Echo { size } => (ECHO, 0, size),
        };
        let mut encoded = [0; LENGTH];
        encoded[..8].copy_from_slice(word);
        encoded[8..16].copy_from_slice(&bytes.to_be_bytes());
        encoded[16..20].copy_from_slice(&number.to_be_bytes());
        encoded
    }

    pub(crate) fn read(from: &mut impl Read) -> io::Result<Request> {
        let (mut word, mut bytes, mut number, mut reserved) = ([0; 8], [0; 8], [0; 4], [0; 4]);
        for field in [&mut word[..], &mut bytes, &mut number, &mut reserved] {
            from.read_exact(field)?;
        }
        let (bytes, number) = (u64::from_be_bytes(bytes), u32::from_be_bytes(number));
        match &word {
            CHECK => Ok(Request::Check { bytes, seed: number }),
            ECHO if (1..=MOST_ECHO).contains(&number) => Ok(Request::Echo { size: number }),
            _ => Err(Error::new(ErrorKind::InvalidData, "no request")),
        }
    }
}

/// Where the load goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// Begin with bsr's first packet.
    pub(crate) bsr: Option<ChannelType>,
    pub(crate) port_step: u16,
}

impl Target {
    /// The connection of stream `index`, with the request sent. Dials again while it is refused: a relay
    /// may still be ending the connection before.
    pub(crate) fn open(&self, index: u16, request: Request) -> io::Result<TcpStream> {
        let port = self.address.port().checked_add(index * self.port_step);
        let port = port.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "no such port"))?;
        let to = SocketAddr::new(self.address.ip(), port);
        let deadline = Instant::now() + REFUSED_FOR;
        let mut stream = loop {
            match TcpStream::connect(to) {
                Ok(stream) => break stream,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused && Instant::now() < deadline => {
                    thread::sleep(AGAIN);
                }
                Err(error) => return Err(Error::new(error.kind(), format!("{to}: {error}"))),
            }
        };
        stream.set_nodelay(true)?;
        if let Some(channel_type) = self.bsr {
            stream.write_all(&first_packet::bytes(channel_type))?;
        }
        stream.write_all(&request.encode())?;
        Ok(stream)
    }
}

/// The largest echo.
pub(crate) const MOST_ECHO: u32 = 64 * 1024;
const LENGTH: usize = 24;
const CHECK: &[u8; 8] = b"DRXCHECK";
const ECHO: &[u8; 8] = b"DRX-ECHO";
const REFUSED_FOR: Duration = Duration::from_secs(15);
const AGAIN: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_sent() {
        for request in [Request::Check { bytes: u64::MAX, seed: 7 }, Request::Echo { size: MOST_ECHO }] {
            assert_eq!(Request::read(&mut &request.encode()[..]).unwrap(), request);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for size in [0, MOST_ECHO + 1] {
            let error = Request::read(&mut &Request::Echo { size }.encode()[..]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
        }
        assert_eq!(Request::read(&mut &[0; LENGTH][..]).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(Request::read(&mut &[0; 5][..]).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
}
