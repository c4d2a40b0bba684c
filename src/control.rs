//! The control socket: one JSON request a line, one JSON response a line (docs/control.md).
//!
//! What comes in is an operator's, or garbage: it is bounded in size, time and number, and only a
//! request that was understood reaches the relay.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

mod answer;
mod compression;
mod configuration;
mod connections;
mod level;
mod line;
mod names;
mod proxy;
mod server;
mod socket;

pub use configuration::{Configuration, Configured};
pub use connections::Additions;
pub use server::{Identity, Limits, Server};
pub use socket::{ClaimError, ControlSocket};

/// What can be asked. An unknown field is an error: an option that is not understood is not ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The state of the relay: answered with a [`RelayReport`](drx_protocol::report::RelayReport), its
    /// resources by name, then by remote node.
    Report {
        /// Only this resource or connection; `all` by default.
        #[serde(default = "all")]
        name: String,
    },
    /// Start, or clear `failed`: answered with [`Accepted`].
    Up(Target),
    /// Flush, then stop: answered with [`Accepted`].
    Down(Target),
    /// Down, then up: answered with [`Accepted`].
    Restart(Target),
    /// Change a setting of a resource while it runs: answered with [`Set`], once that is in force.
    Set {
        /// A resource's or connection's name, matched whole, or `all`. It must be there, as a [`Target`]'s.
        name: String,
        /// The setting, as the configuration calls it: `bab.size`.
        key: String,
        /// What it is to be, as the configuration would have it.
        value: String,
    },
    /// Add a connection, as `proxy-up` does: answered with [`Accepted`]. The same again changes nothing; with other
    /// addresses it is refused.
    AddConnection(Addition),
    /// Remove a connection, as `proxy-down` does: answered with [`Accepted`], also if there is none.
    RemoveConnection {
        /// The connection's name, matched whole.
        name: String,
    },
    /// What `proxy-up` has set: answered with [`ProxySettings`].
    ProxySettings {
        /// The connection's name, matched whole.
        name: String,
    },
    /// Set an option of a connection as `proxy-up` does: answered with [`Accepted`].
    SetOption {
        /// The connection's name, matched whole.
        name: String,
        /// `memlimit`, `sndbuf-size`, …
        option: String,
        /// As in a resource file.
        value: String,
    },
    /// Set a line of `plugin`: answered with [`Accepted`].
    SetPlugin {
        /// The connection's name, matched whole.
        name: String,
        /// Which line, from 0. At most as many as there are.
        position: usize,
        /// The line, such as `zstd level 4`; `END`: there are no lines from here on.
        line: String,
    },
    /// What every connection was told: answered with [`Configuration`].
    Configuration {},
    /// Answered with [`Version`]; the relay is not asked.
    Version {},
    /// Stop the daemon as SIGTERM does: answered with [`Accepted`], at once.
    Shutdown {},
}

impl Request {
    /// Reads a request's line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &[u8]) -> Result<Request, String> {
        // The parser would take `["down", …]` for a request, too.
        if !line.trim_ascii_start().starts_with(b"{") {
            return Err("a request is a JSON object".to_owned());
        }
        serde_json::from_slice(line).map_err(|error| error.to_string())
    }
}

/// What an operator's command is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// A resource's or connection's name, matched whole, or `all`. It must be there: a name that was
    /// forgotten must not take everything down.
    pub name: String,
    /// Answer when it is done, not at once.
    #[serde(default)]
    pub wait: bool,
}

/// A connection as `proxy-up` names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addition {
    /// `RESOURCE-REMOTE-LOCAL`.
    pub name: String,
    /// Where the local bsr connects.
    pub inside: SocketAddr,
    /// The other DRX's `outside`.
    pub peer: SocketAddr,
    /// Where the other DRX connects.
    pub outside: SocketAddr,
    /// Where the local bsr listens.
    pub bsr: SocketAddr,
    /// Options with their values, as [`Request::SetOption`] takes them.
    #[serde(default)]
    pub options: Vec<(String, String)>,
}

/// The response to [`Request::ProxySettings`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxySettings {
    /// The connection's name.
    pub name: String,
    /// Bytes of its data BAB.
    pub memlimit: u64,
    /// Further options and their values, as they were set.
    pub options: Vec<(String, String)>,
    /// The lines of `plugin`.
    pub plugins: Vec<String>,
}

/// The response to a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The request's `command`.
    pub command: String,
    /// The name that it was for, or `all`.
    pub name: String,
    /// Whether it is done; else it has begun.
    pub finished: bool,
}

/// The response to [`Request::Set`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// `set`.
    pub command: String,
    /// The name that it was for, or `all`.
    pub name: String,
    /// The setting.
    pub key: String,
    /// What is in force now, for each connection that it was for.
    pub in_force: Vec<InForce>,
}

/// A setting of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// The connection's name.
    pub connection: String,
    /// What it is.
    pub value: Setting,
    /// `bab.size`: bytes in its data BAB; where they are more than `value`, bsr is not read until they are fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
}

/// What a setting is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// Bytes.
    Bytes(u64),
    /// As the configuration has it.
    Word(String),
}

/// The response to [`Request::Version`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The daemon's version.
    pub version: String,
    /// The node's name.
    pub node: String,
}

/// What comes back for a request, whatever it was.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// It was done: what each [`Request`] says.
    Result(Box<RawValue>),
    /// It was not.
    Error(Problem),
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}")]
pub struct Problem {
    /// For programs.
    pub kind: Kind,
    /// For people: a sentence without capital and full stop.
    pub reason: String,
}

/// The kinds of [`Problem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The request is not one of ours, or came too slowly.
    BadRequest,
    /// No such resource or connection.
    UnknownName,
    /// What is to be set is no key, or not what the key takes.
    BadValue,
    /// A key that cannot be set yet.
    NotAvailable,
    /// The relay cannot do it now; nothing was changed of the connections that the reason names.
    Refused,
    /// The relay is shutting down.
    ShuttingDown,
    /// Too many clients.
    Busy,
    /// The relay did not answer in time.
    NoAnswer,
    /// The relay has ended, or a fault of ours.
    Failed,
    /// One that a newer daemon knows.
    #[serde(other)]
    Other,
}

/// The name that stands for every resource.
pub const ALL: &str = "all";

/// How long `drx-ctl` waits for an answer. The daemon waits less for the relay ([`Limits::answer`]), so
/// that there is an answer: that the relay has none.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(5);

fn all() -> String {
    ALL.to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn requests_look_as_documented() {
        let target = |wait| Target { name: "r0".to_owned(), wait };
        let cases = [
            (Request::Report { name: all() }, r#"{"command":"report","name":"all"}"#),
            (Request::Up(target(false)), r#"{"command":"up","name":"r0","wait":false}"#),
            (Request::Down(target(true)), r#"{"command":"down","name":"r0","wait":true}"#),
            (Request::Restart(target(true)), r#"{"command":"restart","name":"r0","wait":true}"#),
            (
                Request::Set { name: "r0".to_owned(), key: "bab.size".to_owned(), value: "1GiB".to_owned() },
                r#"{"command":"set","name":"r0","key":"bab.size","value":"1GiB"}"#,
            ),
            (
                Request::AddConnection(Addition {
                    name: "r0-node2-node1".to_owned(),
                    inside: ([10, 77, 1, 1], 7788).into(),
                    peer: ([10, 77, 9, 2], 7780).into(),
                    outside: ([10, 77, 9, 1], 7780).into(),
                    bsr: ([10, 77, 1, 2], 7789).into(),
                    options: vec![("memlimit".to_owned(), "500M".to_owned())],
                }),
                concat!(
                    r#"{"command":"add_connection","name":"r0-node2-node1","inside":"10.77.1.1:7788","#,
                    r#""peer":"10.77.9.2:7780","outside":"10.77.9.1:7780","bsr":"10.77.1.2:7789","#,
                    r#""options":[["memlimit","500M"]]}"#
                ),
            ),
            (
                Request::SetPlugin { name: "r0".to_owned(), position: 1, line: "END".to_owned() },
                r#"{"command":"set_plugin","name":"r0","position":1,"line":"END"}"#,
            ),
            (Request::Version {}, r#"{"command":"version"}"#),
            (Request::Shutdown {}, r#"{"command":"shutdown"}"#),
        ];
        for (request, text) in cases {
            assert_eq!(serde_json::to_string(&request).unwrap(), text);
            assert_eq!(Request::parse(text.as_bytes()).unwrap(), request);
        }
        let short = |text: &str| Request::parse(text.as_bytes()).unwrap();
        assert_eq!(short(r#" {"command":"report"} "#), Request::Report { name: all() });
        assert_eq!(short(r#"{"name":"r0","command":"up"}"#), Request::Up(target(false)));
    }

    #[test]
    fn nothing_in_a_request_is_ignored() {
        for text in [
            r#"{"command":"down","name":"r0","force":true}"#,
            r#"{"command":"report","name":"r0","verbose":true}"#,
            r#"{"command":"shutdown","name":"r0"}"#,
            r#"{"command":"version","x":1}"#,
            r#"{"command":"watch"}"#,
            r#"{"command":"down"}"#,
            r#"{"command":"up","name":null}"#,
            r#"{"command":"set","name":"r0","key":"bab.size"}"#,
            r#"{"command":"set","name":"r0","key":"bab.size","value":7}"#,
            r#"{"command":"set","key":"bab.size","value":"1GiB"}"#,
            r#"{"command":"set_plugin","name":"r0","position":-1,"line":"lz4"}"#,
            r#"{"command":"remove_connection","name":"r0","wait":true}"#,
            r#"{"command":"add_connection","name":"r0","inside":"x","peer":"x","outside":"x","bsr":"x"}"#,
            r#"{"command":"up","name":7}"#,
            r#"{"command":"up","name":"r0","wait":"yes"}"#,
            r#"{"command":"up","name":"r0","command":"down"}"#,
            r#"{"command":"up","name":"r0","name":"r1"}"#,
            r#"{"command":"up","name":"r0"} {}"#,
            r#"{"name":"r0"}"#,
            r#"["up",{"name":"r0"}]"#,
            r#"["shutdown"]"#,
            "null",
            "",
        ] {
            assert!(Request::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
