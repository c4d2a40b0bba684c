//! Who is neither bsr nor a relay: connects, and does what makes no sense there.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use drx_protocol::first_packet;
use drx_protocol::names::ChannelType;
use fastrand::Rng;

use crate::bsr::reset;
use crate::hello::connect_from;

/// Where a stranger comes in.
#[derive(Clone, Debug)]
pub enum Entrance {
    /// Where bsr connects.
    Inside,
    /// Where the other relay connects, with a handshake that would be taken there.
    Outside(Vec<u8>),
}

/// What a stranger does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonsense {
    /// Closes at once.
    Leave,
    /// Resets at once.
    Reset,
    /// Random bytes.
    Noise,
    /// The right beginning, then nothing.
    Half,
    /// The right beginning, then random bytes.
    HalfAndNoise,
    /// A length that nobody has.
    HugeLength,
    /// As many bytes as are taken.
    Flood,
    /// Nothing, and stays.
    Silence,
}

impl Nonsense {
    /// Every kind.
    pub const ALL: [Nonsense; 8] = [
        Nonsense::Leave,
        Nonsense::Reset,
        Nonsense::Noise,
        Nonsense::Half,
        Nonsense::HalfAndNoise,
        Nonsense::HugeLength,
        Nonsense::Flood,
        Nonsense::Silence,
    ];
}

/// Comes in, and does so. Returns the connection if the stranger stays; `None` if it has left, or was
/// thrown out.
///
/// # Errors
/// It was not let in.
pub fn intrude(
    from: IpAddr,
    at: SocketAddr,
    entrance: &Entrance,
    nonsense: Nonsense,
    chance: &mut Rng,
) -> io::Result<Option<TcpStream>> {
    let mut stream = connect_from(from, at)?;
    stream.set_read_timeout(Some(THROWN_OUT))?;
    stream.set_write_timeout(Some(THROWN_OUT))?;
    let right = match entrance {
        Entrance::Inside => first_packet::bytes(ChannelType::Data).to_vec(),
        Entrance::Outside(hello) => hello.clone(),
    };
    let half = &right[..chance.usize(1..right.len())];
    let mut noise: Vec<u8> = (0..chance.usize(1..2000)).map(|_| chance.u8(..)).collect();
    // By chance it might go on as it should: seven right bytes, and the eighth is 0 once in 256 times.
    noise[0] = !right[half.len()];
    let said = match nonsense {
        Nonsense::Leave => return Ok(None),
        Nonsense::Reset => {
            reset(stream);
            return Ok(None);
        }
        Nonsense::Silence => return Ok(Some(stream)),
        Nonsense::Half => return Ok(stream.write_all(half).ok().map(|()| stream)),
        Nonsense::Noise => stream.write_all(&noise),
        Nonsense::HalfAndNoise => stream.write_all(half).and_then(|()| stream.write_all(&noise)),
        Nonsense::HugeLength => stream.write_all(&huge_length(entrance, &right)),
        Nonsense::Flood => (0..FLOOD).try_for_each(|_| stream.write_all(&[chance.u8(..); 64 * 1024])),
    };
    // An error says that it was thrown out already; else it is thrown out now, or stays.
    let out = said.is_err() || !matches!(stream.read(&mut [0]), Err(error) if is_timeout(&error));
    Ok((!out).then_some(stream))
}

fn huge_length(entrance: &Entrance, right: &[u8]) -> Vec<u8> {
    let mut bytes = right.to_vec();
    match entrance {
        Entrance::Inside => bytes[6..8].copy_from_slice(&[0xff; 2]),
        Entrance::Outside(_) => bytes[10..12].copy_from_slice(&[0xff; 2]),
    }
    bytes
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// A relay that has seen nonsense closes at once; one that waits for more bytes has its own bound.
const THROWN_OUT: Duration = Duration::from_millis(50);
/// Pieces of a flood: 4 MiB.
const FLOOD: usize = 64;
