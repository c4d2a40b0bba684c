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
//! An option is u16 type, u16 length, value; unknown ones are skipped. Type 1: codecs, in HELLO those
//! offered, in WELCOME the one chosen.
//!
//! In every version these stay as they are: the 12 bytes before the body, the checksum, HELLO's two
//! version fields, the whole of REFUSED. So relays of versions that do not meet can say so. (Byte 9 of a
//! HELLO is therefore looked at after the versions.)

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut, TryGetError};

use crate::first_packet::Excerpt;
use crate::names::{Attempt, Epoch, Lane, LinkId, UnknownLane};

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
    /// Codecs offered, best first; at most [`MAX_CODECS`].
    pub codecs: Vec<u8>,
}

impl Hello {
    /// The message's bytes.
    ///
    /// # Panics
    /// With more than [`MAX_CODECS`] codecs or an attempt 0 to resume: the relay's own faults, which
    /// neither peer nor operator can cause.
    pub fn encode(&self) -> Bytes {
        assert!(self.codecs.len() <= MAX_CODECS, "{} codecs offered", self.codecs.len());
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
        let codecs = fields.option(CODECS)?.unwrap_or_default().to_vec();
        if codecs.len() > MAX_CODECS {
            return Err(HandshakeError::TooManyCodecs(codecs.len()));
        }
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
                put_text(body, &refused.sentence);
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
    /// The codec chosen among those offered.
    pub codec: Option<u8>,
}

impl Welcome {
    fn encode(&self) -> Bytes {
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
            if let Some(codec) = self.codec {
                put_codecs(body, &[codec]);
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
        let codec = match fields.option(CODECS)? {
            None => None,
            Some(&[codec]) => Some(codec),
            Some(other) => return Err(HandshakeError::CodecChoice(other.len())),
        };
        let checksums = flags & CHECKSUMS != 0;
        Ok(Welcome { version, lane, resumed, checksums, link, epoch, next_offset, window, codec })
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

/// The acceptor does not take the connection, and says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The reason.
    pub refusal: Refusal,
    sentence: String,
}

impl Refused {
    /// A refusal with a sentence for the other side's operator: cut to 255 bytes, control characters
    /// replaced; the reason's own words if nothing is left.
    pub fn new(refusal: Refusal, sentence: &str) -> Refused {
        let mut sentence = clean(sentence);
        while sentence.len() > MAX_TEXT {
            sentence.pop();
        }
        if sentence.is_empty() {
            sentence = refusal.to_string();
        }
        Refused { refusal, sentence }
    }

    /// The sentence, without control characters whoever sent it.
    pub fn sentence(&self) -> &str {
        &self.sentence
    }

    fn read(mut fields: Fields<'_>) -> Result<Refused, HandshakeError> {
        let refusal = Refusal::from(fields.u16()?);
        let text = match fields.text()? {
            Ok("") => Err(BadName::Empty),
            text => text,
        };
        let text = text.map_err(|wrong| HandshakeError::Text { field: "sentence", wrong })?;
        if !fields.0.is_empty() {
            return Err(HandshakeError::Trailing(fields.0.len()));
        }
        // Control characters are no reason to lose a refusal, as they are with a name.
        Ok(Refused::new(refusal, text))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused, {}: {}", self.refusal, self.sentence)
    }
}

/// Why the acceptor refuses. The words are those of both logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It has no such resource.
    UnknownResource,
    /// It has the resource, but between other nodes.
    NamesDoNotMatch,
    /// The versions do not meet.
    Version,
    /// The resume asked for cannot be.
    UnknownLink,
    /// Its channel is not ready for a new link yet.
    Busy,
    /// A code of a later version.
    Other(u16),
}

impl From<u16> for Refusal {
    fn from(code: u16) -> Refusal {
        match code {
            1 => Refusal::UnknownResource,
            2 => Refusal::NamesDoNotMatch,
            3 => Refusal::Version,
            4 => Refusal::UnknownLink,
            5 => Refusal::Busy,
            other => Refusal::Other(other),
        }
    }
}

impl From<Refusal> for u16 {
    fn from(refusal: Refusal) -> u16 {
        match refusal {
            Refusal::UnknownResource => 1,
            Refusal::NamesDoNotMatch => 2,
            Refusal::Version => 3,
            Refusal::UnknownLink => 4,
            Refusal::Busy => 5,
            Refusal::Other(code) => code,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::UnknownResource => "unknown resource",
            Refusal::NamesDoNotMatch => "names do not match",
            Refusal::Version => "version",
            Refusal::UnknownLink => "unknown link",
            Refusal::Busy => "busy",
            Refusal::Other(code) => return write!(f, "code {code}"),
        })
    }
}

/// A name as a handshake carries it: 1 to 255 bytes of UTF-8 without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<str>);

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// The rule it breaks.
    pub fn new(name: &str) -> Result<Name, BadName> {
        match name {
            "" => Err(BadName::Empty),
            _ if name.len() > MAX_TEXT => Err(BadName::TooLong(name.len())),
            _ if name.contains(char::is_control) => Err(BadName::Control),
            _ => Ok(Name(name.into())),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The rule that a name or sentence breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It has no byte.
    #[error("it is empty")]
    Empty,
    /// It has more than 255 bytes.
    #[error("it has {0} bytes, at most {MAX_TEXT} are allowed")]
    TooLong(usize),
    /// It would move the cursor or break the line of whoever shows it.
    #[error("it contains control characters")]
    Control,
    /// Its bytes are no text.
    #[error("it is not UTF-8")]
    NotUtf8,
}

/// A message's kind, with its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Message {
    /// From the connector.
    Hello = 1,
    /// The acceptor's yes.
    Welcome = 2,
    /// The acceptor's no.
    Refused = 3,
}

impl TryFrom<u8> for Message {
    type Error = HandshakeError;

    fn try_from(number: u8) -> Result<Message, HandshakeError> {
        match number {
            1 => Ok(Message::Hello),
            2 => Ok(Message::Welcome),
            3 => Ok(Message::Refused),
            other => Err(HandshakeError::UnknownMessage(other)),
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Message::Hello => "HELLO",
            Message::Welcome => "WELCOME",
            Message::Refused => "REFUSED",
        })
    }
}

/// Why bytes are not the handshake message that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Whoever connected does not speak this protocol.
    #[error("this is no DRX: it began with {0}, where {magic} was expected", magic = Excerpt::of(&MAGIC))]
    NotDrx(Excerpt),
    /// A message that this version does not know.
    #[error("the handshake has the unknown message {0}")]
    UnknownMessage(u8),
    /// A known message where it does not belong: perhaps both relays dialled, or both accepted.
    #[error("{expected} was expected, but a {got} came")]
    Unexpected {
        /// What belongs here.
        expected: &'static str,
        /// What came.
        got: Message,
    },
    /// The length leaves no room for the checksum.
    #[error("the handshake claims {0} bytes after its length, fewer than its checksum has")]
    NoChecksum(usize),
    /// The message would be longer than [`MAX_MESSAGE`].
    #[error("the handshake claims {0} bytes, at most {MAX_MESSAGE} are allowed")]
    TooLong(usize),
    /// The message is not whole.
    #[error("the handshake was cut off: at least {0} bytes are missing")]
    CutOff(usize),
    /// There are bytes behind the message.
    #[error("{0} bytes follow the handshake that do not belong to it")]
    Excess(usize),
    /// Bytes changed on the way.
    #[error(
        "the handshake was damaged on the way: its checksum is {carried:08x}, its bytes give {computed:08x}"
    )]
    Checksum {
        /// What the message says.
        carried: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// The versions do not meet: to be answered with [`Refusal::Version`].
    #[error("the other DRX speaks {0}, this one {ours}", ours = Versions::OURS)]
    Version(Versions),
    /// The acceptor chose a version that was not offered.
    #[error("the other DRX chose version {0}, this one offered {ours}", ours = Versions::OURS)]
    ChosenVersion(u16),
    /// A reserved place is not 0.
    #[error("the {0} has reserved bits set")]
    Reserved(Message),
    /// No such lane.
    #[error(transparent)]
    Lane(UnknownLane),
    /// A flag that this version does not know.
    #[error("the handshake has unknown flags: {0:#04x}")]
    UnknownFlag(u8),
    /// A resume of attempt 0, which is none.
    #[error("the {0} is about a resume, but of no attempt")]
    ResumeWithoutAttempt(Message),
    /// An attempt without the flag that says what for.
    #[error("the {message} names attempt {attempt}, but is not about a resume")]
    AttemptWithoutResume {
        /// Of this kind.
        message: Message,
        /// The one it names.
        attempt: Attempt,
    },
    /// The body ends within a field.
    #[error("the handshake's body is too short: a field needs {needed} bytes where {left} are left")]
    BodyCut {
        /// What the field has, bytes.
        needed: usize,
        /// What the body still has, bytes.
        left: usize,
    },
    /// The body goes on where nothing is defined.
    #[error("the handshake's body has {0} bytes too many")]
    Trailing(usize),
    /// A name or sentence breaks a rule.
    #[error("the {field} in the handshake is not usable: {wrong}")]
    Text {
        /// What it is of.
        field: &'static str,
        /// The rule.
        wrong: BadName,
    },
    /// A known option came twice.
    #[error("the handshake has option {0} more than once")]
    RepeatedOption(u16),
    /// More codecs than there can be.
    #[error("the HELLO offers {0} codecs, at most {MAX_CODECS} are allowed")]
    TooManyCodecs(usize),
    /// The codec chosen is not exactly one.
    #[error("the WELCOME's choice of a codec has {0} bytes, 1 was expected")]
    CodecChoice(usize),
}

/// A body that is being read; every step can find its end.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn u8(&mut self) -> Result<u8, HandshakeError> {
        self.0.try_get_u8().map_err(cut)
    }

    fn u16(&mut self) -> Result<u16, HandshakeError> {
        self.0.try_get_u16().map_err(cut)
    }

    fn u32(&mut self) -> Result<u32, HandshakeError> {
        self.0.try_get_u32().map_err(cut)
    }

    fn u64(&mut self) -> Result<u64, HandshakeError> {
        self.0.try_get_u64().map_err(cut)
    }

    fn u128(&mut self) -> Result<u128, HandshakeError> {
        self.0.try_get_u128().map_err(cut)
    }

    fn bytes(&mut self, needed: usize) -> Result<&'a [u8], HandshakeError> {
        let left = self.0.len();
        self.0.split_off(..needed).ok_or(HandshakeError::BodyCut { needed, left })
    }

    fn flags(&mut self) -> Result<u8, HandshakeError> {
        match self.u8()? {
            flags if flags & !(RESUME | CHECKSUMS) == 0 => Ok(flags),
            flags => Err(HandshakeError::UnknownFlag(flags)),
        }
    }

    fn text(&mut self) -> Result<Result<&'a str, BadName>, HandshakeError> {
        let length = self.u8()?;
        let bytes = self.bytes(length.into())?;
        Ok(str::from_utf8(bytes).map_err(|_| BadName::NotUtf8))
    }

    fn name(&mut self, field: &'static str) -> Result<Name, HandshakeError> {
        self.text()?.and_then(Name::new).map_err(|wrong| HandshakeError::Text { field, wrong })
    }

    /// Reads all options to the end of the body; the value of the one wanted.
    fn option(mut self, wanted: u16) -> Result<Option<&'a [u8]>, HandshakeError> {
        let mut found = None;
        while !self.0.is_empty() {
            let kind = self.u16()?;
            let length = self.u16()?;
            let value = self.bytes(length.into())?;
            if kind == wanted && found.replace(value).is_some() {
                return Err(HandshakeError::RepeatedOption(kind));
            }
        }
        Ok(found)
    }
}

fn cut(short: TryGetError) -> HandshakeError {
    HandshakeError::BodyCut { needed: short.requested, left: short.available }
}

/// A whole message's kind, its reserved byte and its body, once the checksum is right.
fn open(message: &[u8]) -> Result<(Message, u8, Fields<'_>), HandshakeError> {
    if let Needed::More(missing) = needed(message)? {
        return Err(HandshakeError::CutOff(missing));
    }
    // `needed` saw that head and checksum are there.
    let (covered, mut checksum) = message.split_at(message.len() - CHECKSUM);
    let (carried, computed) = (checksum.get_u32(), crc32c::crc32c(covered));
    if carried != computed {
        return Err(HandshakeError::Checksum { carried, computed });
    }
    let (head, body) = covered.split_at(HEAD);
    Ok((Message::try_from(head[8])?, head[9], Fields(body)))
}

/// A message around a body, which its writers keep far below [`MAX_MESSAGE`]: the largest HELLO has 12 +
/// 60 + 3 × 256 + 4 + 255 + 4 bytes.
fn seal(kind: Message, body: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut message = BytesMut::with_capacity(256);
    message.put_slice(&MAGIC);
    message.put_u8(kind as u8);
    message.put_u8(0);
    message.put_u16(0);
    body(&mut message);
    let length = (message.len() - HEAD + CHECKSUM) as u16;
    message[HEAD - 2..HEAD].copy_from_slice(&length.to_be_bytes());
    let checksum = crc32c::crc32c(&message);
    message.put_u32(checksum);
    message.freeze()
}

/// A string's length is a byte: [`Name`] and [`Refused`] see to it.
fn put_text(body: &mut BytesMut, text: &str) {
    body.put_u8(text.len() as u8);
    body.put_slice(text.as_bytes());
}

fn put_codecs(body: &mut BytesMut, codecs: &[u8]) {
    body.put_u16(CODECS);
    body.put_u16(codecs.len() as u16);
    body.put_slice(codecs);
}

/// A sentence that breaks no line and moves no cursor.
fn clean(sentence: &str) -> String {
    sentence.replace(char::is_control, "?")
}

fn flags(resume: Option<Attempt>, checksums: bool) -> u8 {
    let resume = if resume.is_some() { RESUME } else { 0 };
    let checksums = if checksums { CHECKSUMS } else { 0 };
    resume | checksums
}

/// The flag and the attempt must say the same.
fn resume(message: Message, flags: u8, attempt: Attempt) -> Result<Option<Attempt>, HandshakeError> {
    match (flags & RESUME != 0, attempt) {
        (false, 0) => Ok(None),
        (true, 0) => Err(HandshakeError::ResumeWithoutAttempt(message)),
        (true, attempt) => Ok(Some(attempt)),
        (false, attempt) => Err(HandshakeError::AttemptWithoutResume { message, attempt }),
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
