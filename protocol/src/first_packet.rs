//! bsr's first packet: the 8 bytes that say whether a connection is data or meta (bsr-wire A.2).
//!
//! They are an h80 header: magic `83740267`, the command, a length of 0. Nothing in them names the
//! resource, and BSR, DRBD 9 and DRBD 8.4 send the same ones.

use std::fmt;

use crate::names::ChannelType;

/// The 8 bytes that bsr sends first.
pub type FirstPacket = [u8; 8];

/// The channel type that these 8 bytes announce.
///
/// # Errors
/// [`StrangeFirstPacket`] for any other bytes: whoever connected is not a bsr.
pub fn parse(packet: FirstPacket) -> Result<ChannelType, StrangeFirstPacket> {
    match packet {
        DATA => Ok(ChannelType::Data),
        META => Ok(ChannelType::Meta),
        _ => Err(StrangeFirstPacket(Excerpt::of(&packet))),
    }
}

/// The 8 bytes that announce a channel of this type.
pub fn bytes(channel: ChannelType) -> FirstPacket {
    match channel {
        ChannelType::Data => DATA,
        ChannelType::Meta => META,
    }
}

/// Whether what has come so far can still become a first packet: a stranger is turned away at its
/// first wrong byte instead of after a timeout. Bytes after the eighth are not looked at.
///
/// # Errors
/// [`StrangeFirstPacket`] once the bytes differ from both first packets.
pub fn check_prefix(so_far: &[u8]) -> Result<(), StrangeFirstPacket> {
    let start = &so_far[..so_far.len().min(DATA.len())];
    if DATA.starts_with(start) || META.starts_with(start) {
        return Ok(());
    }
    Err(StrangeFirstPacket(Excerpt::of(so_far)))
}

/// A connection that did not begin with bsr's first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "bsr's first packet was expected, {data} (data) or {meta} (meta), but {0} came",
    data = Excerpt::of(&DATA),
    meta = Excerpt::of(&META)
)]
pub struct StrangeFirstPacket(pub Excerpt);

/// The beginning of what came instead of something known: at most 16 bytes, shown in hex, so that a
/// stranger can fill no log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Excerpt {
    bytes: [u8; EXCERPT],
    len: usize,
}

impl Excerpt {
    /// The first 16 of these bytes, or all if they are fewer.
    pub fn of(bytes: &[u8]) -> Excerpt {
        let len = bytes.len().min(EXCERPT);
        let mut excerpt = Excerpt { bytes: [0; EXCERPT], len };
        excerpt.bytes[..len].copy_from_slice(&bytes[..len]);
        excerpt
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.len == 0 {
            return f.write_str("nothing");
        }
        for (place, byte) in self.bytes[..self.len].iter().enumerate() {
            write!(f, "{}{byte:02x}", if place == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const EXCERPT: usize = 16;
const DATA: FirstPacket = [0x83, 0x74, 0x02, 0x67, 0xff, 0xf2, 0x00, 0x00];
const META: FirstPacket = [0x83, 0x74, 0x02, 0x67, 0xff, 0xf1, 0x00, 0x00];
