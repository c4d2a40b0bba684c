//! What may be wrong with bytes that ought to be a packet.

use std::fmt;

use super::command::Command;
use super::packet::Stream;

/// Why bytes are no packet, or none that may be here. The connection is of no use after it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No header begins like this.
    #[error("no packet header of version {version}: {found}; expected {expected}")]
    Magic {
        /// The agreed version.
        version: u32,
        /// What is there.
        found: Hex,
        /// The beginnings that are right.
        expected: &'static str,
    },
    /// The header's last four bytes are not 0.
    #[error("packet header with a pad: {found}; expected four zeros at its end")]
    Pad {
        /// The header.
        found: Hex,
    },
    /// Nobody ever heard of it, or not in the versions of here.
    #[error("unknown command {0:#06x}")]
    Unknown(u16),
    /// It belongs on the other connection.
    #[error("{command} does not belong on the {} connection", name(*stream))]
    Misplaced {
        /// What.
        command: Command,
        /// Where it came.
        stream: Stream,
    },
    /// The version or the features that were agreed upon do not have it.
    #[error("{command} is not spoken with version {version} and features {features:#x}")]
    NotSpoken {
        /// What.
        command: Command,
        /// The agreed version; [`NOT_AGREED`](super::command::NOT_AGREED) before that.
        version: u32,
        /// The agreed features.
        features: u32,
    },
    /// There is only volume 0.
    #[error("{command} for volume {volume}; expected volume 0")]
    NotOurVolume {
        /// What.
        command: Command,
        /// For which.
        volume: u16,
    },
    /// A body of that length makes no sense.
    #[error("{command} of {length} bytes; expected {least} to {most}")]
    Length {
        /// What.
        command: Command,
        /// Bytes after the header.
        length: u32,
        /// The fewest that make sense.
        least: usize,
        /// The most.
        most: usize,
    },
    /// A field's value makes no sense.
    #[error("{command} with {field} {value}; expected {expected}")]
    Value {
        /// In what.
        command: Command,
        /// Which field.
        field: &'static str,
        /// Its value.
        value: u64,
        /// What would have been right.
        expected: &'static str,
    },
    /// A name is not as names are.
    #[error("{command} with the name {found}; expected UTF-8 that ends with a NUL")]
    Name {
        /// In what.
        command: Command,
        /// What is there.
        found: Hex,
    },
    /// More came on meta than a peer that was a little faster could have sent.
    #[error("{0} bytes on the meta connection before any version was agreed upon")]
    TooEarly(usize),
}

/// The beginning of some bytes, for people: at most 16 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hex {
    bytes: [u8; 16],
    length: usize,
}

impl Hex {
    /// Of these.
    pub fn of(bytes: &[u8]) -> Hex {
        let mut hex = Hex { bytes: [0; 16], length: bytes.len() };
        hex.bytes.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        hex
    }
}

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, byte) in self.bytes.iter().take(self.length).enumerate() {
            write!(f, "{}{byte:02x}", if n == 0 { "" } else { " " })?;
        }
        match self.length {
            0 => write!(f, "nothing"),
            1..=16 => Ok(()),
            more => write!(f, " ... ({more} bytes)"),
        }
    }
}

fn name(stream: Stream) -> &'static str {
    match stream {
        Stream::Data => "data",
        Stream::Meta => "meta",
    }
}
