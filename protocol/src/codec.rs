//! Codecs: a DATA frame's payload made smaller, each frame by itself (docs/link.md, "Compression").
//!
//! A frame names its codec, so that the sender may change it with every frame, and a link that is resumed starts with
//! nothing to remember. What a packed payload says of itself is not believed: its size is limited and reserved once,
//! and its bytes have to be those that were packed.
//!
//! | at | field | |
//! | --- | --- | --- |
//! | 0 | u32 | bytes of the payload before: 1 to [`MAX_PAYLOAD`](crate::frame::MAX_PAYLOAD) |
//! | 4 | u32 | CRC-32C of them |
//! | 8 | … | an lz4 block, or a zstd frame |

mod choice;
mod pack;
mod unpack;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use choice::{Choice, Load};
pub use pack::{PackError, Packer};
pub use unpack::{UnpackError, Unpacker};

/// How a payload is packed, with its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Codec {
    /// Not at all.
    Raw = 0,
    /// An lz4 block.
    Lz4 = 1,
    /// A zstd frame (RFC 8878).
    Zstd = 2,
}

impl Codec {
    /// Those that pack, the strongest first: what a HELLO and a WELCOME say that this relay can unpack.
    pub const PACKING: [Codec; 2] = [Codec::Zstd, Codec::Lz4];

    /// The codec of a number; none: it is another relay's invention.
    pub fn of(number: u8) -> Option<Codec> {
        [Codec::Raw, Codec::Lz4, Codec::Zstd].into_iter().find(|codec| *codec as u8 == number)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Codec::Raw => "none",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        })
    }
}

/// `link.compression`: what an operator wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Compression {
    /// Every payload as it is.
    #[default]
    None,
    /// lz4.
    Lz4,
    /// zstd, with a level from 1 to [`MAX_LEVEL`].
    Zstd(u8),
    /// Whatever the line and the core allow just then ([`Choice`]).
    Auto,
}

/// zstd's highest level. What it would take of memory for large data it does not for a payload.
pub const MAX_LEVEL: u8 = 22;

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(text: &str) -> Result<Compression, UnknownCompression> {
        Ok(match text {
            "none" => Compression::None,
            "lz4" => Compression::Lz4,
            "zstd" => Compression::Zstd(DEFAULT_LEVEL),
            "auto" => Compression::Auto,
            _ => {
                let digits =
                    text.strip_prefix("zstd:").filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
                let level = digits.and_then(|digits| digits.parse().ok());
                let level = level.filter(|level| (1..=MAX_LEVEL).contains(level));
                Compression::Zstd(level.ok_or_else(|| UnknownCompression(text.to_owned()))?)
            }
        })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Compression::None => f.write_str("none"),
            Compression::Lz4 => f.write_str("lz4"),
            Compression::Zstd(level) => write!(f, "zstd:{level}"),
            Compression::Auto => f.write_str("auto"),
        }
    }
}

impl From<Compression> for String {
    fn from(compression: Compression) -> String {
        compression.to_string()
    }
}

impl TryFrom<String> for Compression {
    type Error = UnknownCompression;

    fn try_from(text: String) -> Result<Compression, UnknownCompression> {
        text.parse()
    }
}

/// A word that is no compression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no compression; write none, lz4, zstd, zstd:LEVEL with a level from 1 to 22, or auto")]
pub struct UnknownCompression(String);

/// What `zstd` without a level means: a disk image a fifth smaller than with lz4, at half its speed (docs/performance.md).
const DEFAULT_LEVEL: u8 = 3;
/// Bytes before the packed ones.
const PREFIX: usize = 8;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn words_are_read_as_they_are_shown() {
        for text in ["none", "lz4", "zstd:1", "zstd:22", "auto"] {
            assert_eq!(text.parse::<Compression>().unwrap().to_string(), text);
        }
        assert_eq!("zstd".parse(), Ok(Compression::Zstd(3)));
        for text in ["", "zstd:0", "zstd:23", "zstd:+3", "zstd:", "zstd:x", "LZ4", "gzip", "zstd:256"] {
            assert_eq!(text.parse::<Compression>(), Err(UnknownCompression(text.to_owned())));
        }
    }
}
