//! The words of the relay, as types: each has one meaning everywhere.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which of a resource's two kinds of channel this is (seed 000, "Structure").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Receives: the other DRX on `outside`, bsr on `inside`.
    Acceptor,
    /// Dials: the other DRX's `outside`, and bsr's own address.
    Connector,
}

impl Role {
    /// Both roles, acceptor first, as the tables show them.
    pub const ALL: [Role; 2] = [Role::Acceptor, Role::Connector];

    /// The role of the channel at the other end of the link.
    pub fn other(self) -> Role {
        match self {
            Role::Acceptor => Role::Connector,
            Role::Connector => Role::Acceptor,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Acceptor => "acceptor",
            Role::Connector => "connector",
        })
    }
}

/// A direction's first or second channel: lane 1 is used when lane 0 is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum Lane {
    /// Always shown.
    Zero,
    /// Shown only while in use, or with `-v`.
    One,
}

impl Lane {
    /// Both lanes, in order.
    pub const ALL: [Lane; 2] = [Lane::Zero, Lane::One];
}

impl From<Lane> for u8 {
    fn from(lane: Lane) -> u8 {
        lane as u8
    }
}

impl TryFrom<u8> for Lane {
    type Error = UnknownLane;

    fn try_from(number: u8) -> Result<Lane, UnknownLane> {
        match number {
            0 => Ok(Lane::Zero),
            1 => Ok(Lane::One),
            other => Err(UnknownLane(other)),
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        u8::from(*self).fmt(f)
    }
}

/// A lane number that is neither 0 nor 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("lane {0} does not exist, there are lanes 0 and 1")]
pub struct UnknownLane(pub u8);

/// What bsr's connection carries; unknown until its first packet (bsr-wire A.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelType {
    /// Writes, resync and most of the handshake: bulk.
    Data,
    /// Acknowledgements and pings: small and urgent.
    Meta,
}

impl fmt::Display for ChannelType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChannelType::Data => "data",
            ChannelType::Meta => "meta",
        })
    }
}

/// A link's name: 128 random bits, made by the connector, new for every dial that does not resume.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LinkId(pub u128);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Eight hex digits tell links apart in a log; all 32 would hide the rest of the line.
        write!(f, "{:08x}", self.0 >> 96)
    }
}

impl fmt::Debug for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One life of a relay process: ordered by when it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Epoch {
    /// Microseconds since 1970-01-01 UTC at the process's start.
    pub started: u64,
    /// Tells relays apart that one process started within one microsecond.
    pub counter: u32,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.started, self.counter)
    }
}

/// Numbers the rounds of one channel on one link: made by the acceptor, counted from 1, carried in
/// every frame that belongs to a round. 0 is "no attempt".
pub type Attempt = u32;

/// Names one round of one channel to the other relay: its link and its attempt there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Round {
    /// The channel's link.
    pub link: LinkId,
    /// The attempt on that link.
    pub attempt: Attempt,
}
