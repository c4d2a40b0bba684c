//! What two relays say before the first frame: HELLO from the connector, WELCOME or REFUSED from the
//! acceptor (docs/link.md, "Handshake"). Big endian, at most 4096 bytes a message:
//!
//! | at | field |
//! | --- | --- |
//! | 0 | magic, 8 bytes: `DRXLINK\n` |
//! | 8 | u8 message: 1 HELLO, 2 WELCOME, 3 REFUSED |
//! | 9 | u8 reserved, 0 |
//! | 10 | u16 length of all that follows, the checksum included |
//! | 12 | body |
//! | last 4 | CRC-32C over everything before |
//!
//! - HELLO: u16 lowest version, u16 highest version, u8 lane, u8 flags (bit 0 asks to resume, bit 1 wants
//!   frame checksums), u16 reserved 0, u128 link id, u64 + u32 epoch, u64 dial number, u32 attempt of a
//!   resume or 0, u64 next stream offset expected, u32 receive window, the names of resource, dialling
//!   node and dialled node (each u8 length + UTF-8), options.
//! - WELCOME: u16 version, u8 lane, u8 flags (bit 0 resumed, bit 1 frames carry checksums), u128 link id,
//!   u64 + u32 epoch, u32 attempt of a resume or 0, u64 next stream offset expected, u32 window, options.
//! - REFUSED: u16 code, u8 length + UTF-8 sentence.
//!
//! An option is u16 type, u16 length, value; unknown ones are skipped. Type 1: the codecs that the sender can
//! unpack ([`Codec`](crate::codec::Codec)), a byte each.
//!
//! In every version these stay as they are: the 12 bytes before the body, the checksum, HELLO's two
//! version fields, the whole of REFUSED. So relays of versions that do not meet can say so. (Byte 9 of a
//! HELLO is therefore looked at after the versions.)

mod error;
mod fields;
mod name;
mod refusal;

use std::fmt;

use bytes::{BufMut, Bytes};

use fields::{Fields, codecs, flags, open, put_codecs, put_text, resume, seal};

pub use error::{HandshakeError, Message};
pub use name::{BadName, Name};
pub use refusal::{Refusal, Refused};

use crate::first_packet::Excerpt;
use crate::names::{Attempt, Epoch, Lane, LinkId};

/// The version that this relay speaks.
pub const VERSION: u16 = 1;

/// Bytes of a handshake message at most: what a stranger can cost.
pub const MAX_MESSAGE: usize = 4096;

/// Codecs in an offer at most; their numbers are a byte.
pub const MAX_CODECS: usize = 255;

/// How to go on reading a handshake message of which `read` has come.
///
/// A caller that reads exactly what is asked for takes not one byte of the frames behind the message.
///
/// # Errors
/// As soon as it is known that this is no handshake: a stranger at its first wrong byte, a length at the
/// twelfth.
pub fn needed(read: &[u8]) -> Result<Needed, HandshakeError> {
    let start = &read[..read.len().min(MAGIC.len())];
    if !MAGIC.starts_with(start) {
        return Err(HandshakeError::NotDrx(Excerpt::of(read)));
    }
    let Some(head) = read.first_chunk::<HEAD>() else {
        return Ok(Needed::More(HEAD - read.len()));
    };
    let [.., kind, _, high, low] = *head;
    Message::try_from(kind)?;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let whole = HEAD + length;
    if length < CHECKSUM {
        return Err(HandshakeError::NoChecksum(length));
    }
    if whole > MAX_MESSAGE {
        return Err(HandshakeError::TooLong(whole));
    }
    match whole.checked_sub(read.len()) {
        Some(0) => Ok(Needed::Nothing),
        Some(more) => Ok(Needed::More(more)),
        None => Err(HandshakeError::Excess(read.len() - whole)),
    }
}

/// What [`needed`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// This many bytes, at least 1, belong to the message for certain. They may not be all of it: ask
    /// again with them.
    More(usize),
    /// The message is whole.
    Nothing,
}

/// The connector's side of a new connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The versions the connector speaks; [`Versions::OURS`] in one that is to be sent.
    pub versions: Versions,
    /// The lane this connection is for.
    pub lane: Lane,
    /// The attempt to go on with, if the connector asks to resume.
    pub resume: Option<Attempt>,
    /// Whether the connector wants frames to carry checksums.
    pub checksums: bool,
    /// The link's id: new with every dial that does not ask to resume.
    pub link: LinkId,
    /// The connector's process.
    pub epoch: Epoch,
    /// This dial's number, rising per lane and epoch.
    pub dial: u64,
    /// The stream offset of the next byte that the connector has not received.
    pub next_offset: u64,
    /// Bytes that the acceptor may send beyond what the connector acknowledged.
    pub window: u32,
    /// The resource.
    pub resource: Name,
    /// The dialling node.
    pub from: Name,
    /// The dialled node.
    pub to: Name,
    /// The codecs that the connector can unpack; at most [`MAX_CODECS`].
    pub codecs: Vec<u8>,
}

impl Hello {
    /// The message's bytes.
    ///
    /// # Panics
    /// With more than [`MAX_CODECS`] codecs or an attempt 0 to resume: the relay's own faults, which
    /// neither peer nor operator can cause.
    pub fn encode(&self) -> Bytes {
        assert!(self.codecs.len() <= MAX_CODECS, "{} codecs", self.codecs.len());
        assert_ne!(self.resume, Some(0), "attempt 0 is no attempt");
        seal(Message::Hello, |body| {
            body.put_u16(self.versions.min);
            body.put_u16(self.versions.max);
            body.put_u8(self.lane.into());
            body.put_u8(flags(self.resume, self.checksums));
            body.put_u16(0);
            body.put_u128(self.link.0);
            body.put_u64(self.epoch.started);
            body.put_u32(self.epoch.counter);
            body.put_u64(self.dial);
            body.put_u32(self.resume.unwrap_or(0));
            body.put_u64(self.next_offset);
            body.put_u32(self.window);
            for name in [&self.resource, &self.from, &self.to] {
                put_text(body, name.as_str());
            }
            if !self.codecs.is_empty() {
                put_codecs(body, &self.codecs);
            }
        })
    }

    /// The HELLO that these bytes are, exactly.
    ///
    /// # Errors
    /// What is wrong. [`HandshakeError::Version`] is to be answered with [`Refusal::Version`]: that
    /// message is whole, but of another version, so nothing else of it was looked at.
    pub fn decode(message: &[u8]) -> Result<Hello, HandshakeError> {
        let (kind, reserved, mut fields) = open(message)?;
        if kind != Message::Hello {
            return Err(HandshakeError::Unexpected { expected: "a HELLO", got: kind });
        }
        let versions = Versions { min: fields.u16()?, max: fields.u16()? };
        if !versions.contain(VERSION) {
            return Err(HandshakeError::Version(versions));
        }
        if reserved != 0 {
            return Err(HandshakeError::Reserved(kind));
        }
        let lane = Lane::try_from(fields.u8()?).map_err(HandshakeError::Lane)?;
        let flags = fields.flags()?;
        if fields.u16()? != 0 {
            return Err(HandshakeError::Reserved(kind));
        }
        let link = LinkId(fields.u128()?);
        let epoch = Epoch { started: fields.u64()?, counter: fields.u32()? };
        let dial = fields.u64()?;
        let resume = resume(kind, flags, fields.u32()?)?;
        let next_offset = fields.u64()?;
        let window = fields.u32()?;
        let resource = fields.name("resource")?;
        let from = fields.name("dialling node")?;
        let to = fields.name("dialled node")?;
        let codecs = codecs(fields, Message::Hello)?;
        let checksums = flags & CHECKSUMS != 0;
        Ok(Hello {
            versions,
            lane,
            resume,
            checksums,
            link,
            epoch,
            dial,
            next_offset,
            window,
            resource,
            from,
            to,
            codecs,
        })
    }
}

/// What the acceptor says to a HELLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Frames follow, in both directions.
    Welcome(Welcome),
    /// The acceptor closes the connection.
    Refused(Refused),
}

impl Answer {
    /// The message's bytes.
    ///
    /// # Panics
    /// With an attempt 0 resumed: the relay's own fault, which neither peer nor operator can cause.
    pub fn encode(&self) -> Bytes {
        match self {
            Answer::Welcome(welcome) => welcome.encode(),
            Answer::Refused(refused) => seal(Message::Refused, |body| {
                body.put_u16(refused.refusal.into());
                put_text(body, refused.sentence());
            }),
        }
    }

    /// The answer that these bytes are, exactly.
    ///
    /// # Errors
    /// What is wrong.
    pub fn decode(message: &[u8]) -> Result<Answer, HandshakeError> {
        let (kind, reserved, fields) = open(message)?;
        if kind == Message::Hello {
            return Err(HandshakeError::Unexpected { expected: "a WELCOME or REFUSED", got: kind });
        }
        if reserved != 0 {
            return Err(HandshakeError::Reserved(kind));
        }
        match kind {
            Message::Refused => Refused::read(fields).map(Answer::Refused),
            _ => Welcome::read(fields).map(Answer::Welcome),
        }
    }
}

/// The acceptor's side of a new connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The version both will speak: [`VERSION`].
    pub version: u16,
    /// The lane this connection is for.
    pub lane: Lane,
    /// The attempt that goes on, if the acceptor resumed.
    pub resumed: Option<Attempt>,
    /// Whether every frame on this link carries a checksum, in both directions.
    pub checksums: bool,
    /// The link's id.
    pub link: LinkId,
    /// The acceptor's process.
    pub epoch: Epoch,
    /// The stream offset of the next byte that the acceptor has not received.
    pub next_offset: u64,
    /// Bytes that the connector may send beyond what the acceptor acknowledged.
    pub window: u32,
    /// The codecs that the acceptor can unpack; at most [`MAX_CODECS`].
    pub codecs: Vec<u8>,
}

impl Welcome {
    fn encode(&self) -> Bytes {
        assert!(self.codecs.len() <= MAX_CODECS, "{} codecs", self.codecs.len());
        assert_ne!(self.resumed, Some(0), "attempt 0 is no attempt");
        seal(Message::Welcome, |body| {
            body.put_u16(self.version);
            body.put_u8(self.lane.into());
            body.put_u8(flags(self.resumed, self.checksums));
            body.put_u128(self.link.0);
            body.put_u64(self.epoch.started);
            body.put_u32(self.epoch.counter);
            body.put_u32(self.resumed.unwrap_or(0));
            body.put_u64(self.next_offset);
            body.put_u32(self.window);
            if !self.codecs.is_empty() {
                put_codecs(body, &self.codecs);
            }
        })
    }

    fn read(mut fields: Fields<'_>) -> Result<Welcome, HandshakeError> {
        let version = fields.u16()?;
        if version != VERSION {
            return Err(HandshakeError::ChosenVersion(version));
        }
        let lane = Lane::try_from(fields.u8()?).map_err(HandshakeError::Lane)?;
        let flags = fields.flags()?;
        let link = LinkId(fields.u128()?);
        let epoch = Epoch { started: fields.u64()?, counter: fields.u32()? };
        let resumed = resume(Message::Welcome, flags, fields.u32()?)?;
        let next_offset = fields.u64()?;
        let window = fields.u32()?;
        let codecs = codecs(fields, Message::Welcome)?;
        let checksums = flags & CHECKSUMS != 0;
        Ok(Welcome { version, lane, resumed, checksums, link, epoch, next_offset, window, codecs })
    }
}

/// A range of versions, both ends included. One that a peer sent may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Versions {
    /// The lowest.
    pub min: u16,
    /// The highest.
    pub max: u16,
}

impl Versions {
    /// What this relay speaks.
    pub const OURS: Versions = Versions { min: VERSION, max: VERSION };

    /// Whether this version is in the range.
    pub fn contain(self, version: u16) -> bool {
        self.min <= version && version <= self.max
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Versions { min, max } if min == max => write!(f, "version {min}"),
            Versions { min, max } => write!(f, "versions {min} to {max}"),
        }
    }
}

const MAGIC: [u8; 8] = *b"DRXLINK\n";
/// Bytes before the body: magic, message, reserved, length.
const HEAD: usize = 8 + 1 + 1 + 2;
const CHECKSUM: usize = 4;
const MAX_TEXT: usize = 255;
const RESUME: u8 = 1;
const CHECKSUMS: u8 = 1 << 1;
const CODECS: u16 = 1;
