//! The control socket: how the program's commands reach the running node (docs/bsr.md).
//!
//! A request is a JSON object on one line, behind a write's line its bytes; an answer likewise. Requests of one client
//! are taken up while earlier ones are under way, and answered in their order: so a client that writes much need not
//! wait for each write.

use serde::{Deserialize, Serialize};

use crate::core::{Order, Refusal, RequestError};
use crate::shell::status::Report;

pub mod client;
mod line;
mod server;
mod socket;

pub use server::serve;
pub use socket::{ClaimError, ControlSocket};

/// What may be asked. Offsets and lengths are in bytes, whole sectors of 512.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// The status.
    Status {},
    /// The status as soon as it is as asked, or when the time is over.
    Wait {
        /// A connection's state.
        connection: Option<String>,
        /// `MINE` or `MINE/PEER`.
        role: Option<String>,
        /// `MINE` or `MINE/PEER`.
        disk: Option<String>,
        /// Whether an online verify is under way.
        verifying: Option<bool>,
        /// How long, in milliseconds; at most [`MAX_WAIT`].
        milliseconds: u64,
    },
    /// Become primary.
    Primary {
        /// Even if this makes an inconsistent disk count as up to date.
        #[serde(default)]
        force: bool,
    },
    /// Become secondary.
    Secondary {},
    /// Leave StandAlone.
    Connect {
        /// In a split brain, this side's changes are given up.
        #[serde(default)]
        discard_my_data: bool,
    },
    /// Go StandAlone.
    Disconnect {},
    /// Begin an online verify.
    Verify {},
    /// This disk is to be filled anew.
    Invalidate {},
    /// The other disk is to be filled anew.
    InvalidateRemote {},
    /// Save everything and end.
    Down {},
    /// Read so many bytes; they stand behind the answer.
    Read {
        /// From here.
        offset: u64,
        /// At most [`MAX_LENGTH`].
        length: u32,
    },
    /// Write the bytes that stand behind the request.
    Write {
        /// To here.
        offset: u64,
        /// At most [`MAX_LENGTH`].
        length: u32,
    },
    /// All that was written, to stable storage.
    Flush {},
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done.
    Done {},
    /// As asked.
    Status(Box<Report>),
    /// Whether what was waited for is so, and how it is.
    Waited {
        /// It is so.
        reached: bool,
        /// The status.
        status: Box<Report>,
    },
    /// So many bytes stand behind the answer.
    Data {
        /// Bytes.
        length: u32,
    },
    /// It is not done.
    Error(Problem),
}

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// For programs.
    pub kind: Kind,
    /// For people.
    pub reason: String,
}

/// Kinds of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Not a request; the connection is closed.
    BadRequest,
    /// The order was refused.
    Refused,
    /// The volume is not used on a node that is not primary.
    NotPrimary,
    /// The request failed.
    Failed,
    /// Too many clients; the connection is closed.
    Busy,
    /// The node goes down.
    Ending,
}

impl Request {
    /// The order that it is, if it is one.
    fn order(&self) -> Option<Order> {
        Some(match *self {
            Request::Primary { force } => Order::Primary { force },
            Request::Secondary {} => Order::Secondary,
            Request::Connect { discard_my_data } => Order::Connect { discard_my_data },
            Request::Disconnect {} => Order::Disconnect,
            Request::Verify {} => Order::Verify,
            Request::Invalidate {} => Order::Invalidate,
            Request::InvalidateRemote {} => Order::InvalidateRemote,
            Request::Down {} => Order::Down,
            _ => return None,
        })
    }
}

impl Problem {
    /// A request that is none.
    fn bad_request(reason: impl Into<String>) -> Problem {
        Problem { kind: Kind::BadRequest, reason: reason.into() }
    }

    /// The node has ended, or is about to.
    fn ending() -> Problem {
        Problem { kind: Kind::Ending, reason: "the node is going down".to_owned() }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        Problem { kind: Kind::Refused, reason: refusal.to_string() }
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Problem {
        let kind = match error {
            RequestError::NotPrimary => Kind::NotPrimary,
            RequestError::Down => Kind::Ending,
            _ => Kind::Failed,
        };
        Problem { kind, reason: error.to_string() }
    }
}

/// The most bytes of one read or write.
pub const MAX_LENGTH: u32 = 1 << 20;
/// The longest wait of one request, in milliseconds: a client that wants to wait longer asks again. So nobody who went
/// away keeps a place for long.
pub const MAX_WAIT: u64 = 1000;
/// Requests of one client that may be under way: as much as a line of 10 ms and 100 MB/s has on its way.
pub const IN_FLIGHT: usize = 8;
/// Bytes of a request's line.
const MAX_LINE: usize = 4 << 10;
/// Clients at a time: with all their writes under way they hold 128 MiB.
const MAX_CLIENTS: usize = 16;
