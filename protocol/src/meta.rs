//! bsr's packets on a meta connection: where each one begins and ends, and its command (bsr-wire B.1).
//!
//! A packet is a header, big endian, and as many bytes as the header says:
//!
//! | format | bytes | header | used |
//! | --- | --- | --- | --- |
//! | 80 | 8 | magic u32 `83740267`, command u16, length u16 | bsr agreed on a version below 100 |
//! | 95 | 8 | magic u16 `835a`, command u16, length u32 | likewise, for long packets |
//! | 100 | 16 | magic u32 `8620ec20`, volume u16, command u16, length u32, u32 0 | version 100 and above |
//!
//! The first packet (8 bytes of format 80, no body) is not part of what is followed here; all packets
//! behind it are of the version that the two bsr agreed on by then. Bodies are skipped unseen: nothing
//! is kept of them, and no length reserves anything.

use std::fmt;

/// Follows the packets of one direction from the byte behind the first packet. The caller's bytes
/// are looked at, never changed.
#[derive(Clone, Debug, Default)]
pub struct Parser {
    stage: Stage,
    /// Of the packets so far: bsr never goes over from one to the other.
    family: Option<Family>,
    followed: u64,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Header { bytes: [u8; LONGEST_HEADER], filled: usize },
    Body { left: u32 },
    Lost(Strange),
}

impl Parser {
    /// Takes bytes off the front of `bytes` until a header is complete or none are left; returns the
    /// header. The packet's body may still be to come.
    ///
    /// # Errors
    /// What is not understood, and from then on always the same: where the next packet begins is unknown.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Packet>, Strange> {
        loop {
            match &mut self.stage {
                Stage::Lost(strange) => return Err(*strange),
                Stage::Body { left: 0 } => self.stage = Stage::default(),
                _ if bytes.is_empty() => return Ok(None),
                Stage::Body { left } => {
                    let skip = bytes.len().min(*left as usize);
                    *bytes = &bytes[skip..];
                    *left -= skip as u32;
                    self.followed += skip as u64;
                }
                Stage::Header { bytes: header, filled } => {
                    header[*filled] = bytes[0];
                    *filled += 1;
                    *bytes = &bytes[1..];
                    self.followed += 1;
                    let at = self.followed - *filled as u64;
                    let packet = complete(&header[..*filled], self.family, at);
                    match packet {
                        Ok(None) => {}
                        Ok(Some(packet)) => {
                            self.family = Some(packet.family());
                            self.stage = Stage::Body { left: packet.length };
                            return Ok(Some(packet));
                        }
                        Err(strange) => self.stage = Stage::Lost(strange),
                    }
                }
            }
        }
    }

    /// Whether everything so far is whole packets.
    pub fn at_boundary(&self) -> bool {
        matches!(self.stage, Stage::Body { left: 0 } | Stage::Header { filled: 0, .. })
    }

    /// Whether a header has begun that is not complete.
    pub fn in_header(&self) -> bool {
        matches!(self.stage, Stage::Header { filled: 1.., .. })
    }

    /// The packets' family, once there was one.
    pub fn family(&self) -> Option<Family> {
        self.family
    }
}

/// The packet whose header this is, once it is whole.
fn complete(begun: &[u8], family: Option<Family>, at: u64) -> Result<Option<Packet>, Strange> {
    let format = Format::of(begun).ok_or(Strange::NoPacket { at })?;
    let Some(format) = format.filter(|format| begun.len() == format.header()) else { return Ok(None) };
    let packet = Packet::read(format, begun, at)?;
    match family {
        Some(family) if family != packet.family() => Err(Strange::Changed { at }),
        _ => Ok(Some(packet)),
    }
}

impl Default for Stage {
    fn default() -> Stage {
        Stage::Header { bytes: [0; LONGEST_HEADER], filled: 0 }
    }
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// How the header is written.
    pub format: Format,
    /// What the packet is.
    pub command: u16,
    /// Format 100: the volume; 0 or 0xffff where the packet is the whole connection's.
    pub volume: u16,
    /// Bytes of the body.
    pub length: u32,
}

impl Packet {
    /// P_PING: asks for a P_PING_ACK.
    pub const PING: u16 = 0x13;
    /// P_PING_ACK.
    pub const PING_ACK: u16 = 0x14;
    /// P_CONNECTION_FEATURES: on meta from BSR's protocol 117 on, and from nobody else.
    pub const FEATURES: u16 = 0xfffe;

    /// Whether it asks for a P_PING_ACK.
    pub fn is_ping(&self) -> bool {
        self.command == Packet::PING && self.length == 0
    }

    /// The header's bytes: the whole packet, if it has no body.
    pub fn header(&self) -> Header {
        let mut header = Header { bytes: [0; LONGEST_HEADER], len: self.format.header() };
        let (magic, rest) = header.bytes.split_at_mut(self.format.magic().len());
        magic.copy_from_slice(self.format.magic());
        match self.format {
            Format::H80 => {
                rest[..2].copy_from_slice(&self.command.to_be_bytes());
                rest[2..4].copy_from_slice(&(self.length as u16).to_be_bytes());
            }
            Format::H95 => {
                rest[..2].copy_from_slice(&self.command.to_be_bytes());
                rest[2..6].copy_from_slice(&self.length.to_be_bytes());
            }
            Format::H100 => {
                rest[..2].copy_from_slice(&self.volume.to_be_bytes());
                rest[2..4].copy_from_slice(&self.command.to_be_bytes());
                rest[4..8].copy_from_slice(&self.length.to_be_bytes());
            }
        }
        header
    }

    /// Which family of formats the header is of.
    pub fn family(&self) -> Family {
        match self.format {
            Format::H80 | Format::H95 => Family::Below100,
            Format::H100 => Family::From100,
        }
    }

    /// A whole header of that format, `at` so many bytes from the stream's beginning.
    fn read(format: Format, header: &[u8], at: u64) -> Result<Packet, Strange> {
        let u16_at = |place: usize| u16::from_be_bytes([header[place], header[place + 1]]);
        let u32_at = |place: usize| u32::from(u16_at(place)) << 16 | u32::from(u16_at(place + 2));
        let packet = match format {
            Format::H80 => Packet { format, command: u16_at(4), volume: 0, length: u16_at(6).into() },
            Format::H95 => Packet { format, command: u16_at(2), volume: 0, length: u32_at(4) },
            Format::H100 if u32_at(12) != 0 => return Err(Strange::Padding { at }),
            Format::H100 => Packet { format, command: u16_at(6), volume: u16_at(4), length: u32_at(8) },
        };
        if packet.length as usize > LONGEST_PACKET - format.header() {
            return Err(Strange::TooLong { at, length: packet.length });
        }
        if packet.command == Packet::PING && packet.length != 0 {
            return Err(Strange::LongPing { at });
        }
        Ok(packet)
    }
}

/// How a header is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 8 bytes, u16 length.
    H80,
    /// 8 bytes, u32 length.
    H95,
    /// 16 bytes, with a volume.
    H100,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 3] = [Format::H80, Format::H95, Format::H100];

    /// The format of what begins so: `Some(None)` while it can be several, `None` when it is none.
    fn of(begun: &[u8]) -> Option<Option<Format>> {
        let like = |format: &Format| {
            let known = begun.len().min(format.magic().len());
            begun[..known] == format.magic()[..known]
        };
        let mut formats = Format::ALL.into_iter().filter(like);
        let first = formats.next()?;
        Some(formats.next().is_none().then_some(first))
    }

    fn magic(self) -> &'static [u8] {
        match self {
            Format::H80 => &[0x83, 0x74, 0x02, 0x67],
            Format::H95 => &[0x83, 0x5a],
            Format::H100 => &[0x86, 0x20, 0xec, 0x20],
        }
    }

    fn header(self) -> usize {
        match self {
            Format::H80 | Format::H95 => 8,
            Format::H100 => LONGEST_HEADER,
        }
    }
}

/// The formats that may follow one another: which of two, is settled before the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Formats 80 and 95.
    Below100,
    /// Format 100.
    From100,
}

/// A header's bytes, or the first of them, kept in place.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Header {
    bytes: [u8; LONGEST_HEADER],
    len: usize,
}

impl Header {
    /// The caller knows that they are of one header.
    pub(crate) fn extend(&mut self, more: &[u8]) {
        self.bytes[self.len..self.len + more.len()].copy_from_slice(more);
        self.len += more.len();
    }
}

impl AsRef<[u8]> for Header {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Header").field(&self.as_ref()).finish()
    }
}

/// What is not understood. Places are counted from the byte behind the first packet; what came there
/// is not shown, because it may be somebody's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Strange {
    /// None of the magics.
    #[error("no packet that is known begins at byte {at}")]
    NoPacket {
        /// Where it begins.
        at: u64,
    },
    /// bsr went over to another family of formats.
    #[error("the packet at byte {at} has another format than those before it")]
    Changed {
        /// Where it begins.
        at: u64,
    },
    /// The last four bytes of a header of format 100 are not 0.
    #[error("the header of the packet at byte {at} is not padded with 0")]
    Padding {
        /// Where it begins.
        at: u64,
    },
    /// No packet on meta is as long.
    #[error("the packet at byte {at} claims a body of {length} bytes, longer than any on meta")]
    TooLong {
        /// Where it begins.
        at: u64,
        /// What it claims.
        length: u32,
    },
    /// A P_PING has no body.
    #[error("the P_PING at byte {at} claims a body")]
    LongPing {
        /// Where it begins.
        at: u64,
    },
    /// What bsr hears is of another family than what it says.
    #[error("the two directions have packets of different formats")]
    Mixed,
}

/// Format 100 has the longest header.
const LONGEST_HEADER: usize = 16;
/// Control packets fit into one send buffer page of bsr's, their header included (bsr-wire B.1).
const LONGEST_PACKET: usize = 4096;
