//! The states of a channel (seed 000, "Connection states"), and what a channel shows of itself.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::Role;

/// Where a channel stands. The order is the way up, then the way down.
///
/// The numbers are what the two DRX tell each other over the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum State {
    /// Both roles, waiting to hear that the memory for the BAB is there; then bridging.
    Allocating = 1,
    /// Both roles, waiting to hear of a link to the other DRX with its handshake done; then bridged.
    Bridging = 2,
    /// Both roles, waiting for nothing; then waiting (acceptor) or connecting (connector), at once.
    Bridged = 3,
    /// Acceptor, waiting to hear bsr connect to `inside`; then connected.
    Waiting = 4,
    /// Connector, waiting to hear the channel type from the other DRX, then bsr accept our dial;
    /// then establishing.
    Connecting = 5,
    /// Acceptor, waiting to hear bsr's first 8 bytes, whose type goes to the other DRX; then
    /// establishing.
    Connected = 6,
    /// Connector, waiting for nothing: tells the other DRX `established`; then established.
    /// Acceptor, waiting to hear `established` from the other DRX; then established.
    Establishing = 7,
    /// Both roles, relaying bytes, waiting to hear that something ended; then close_pending (data)
    /// or stopping.
    Established = 8,
    /// Data, waiting to hear that the BAB is empty (everything acknowledged by the other DRX) or
    /// that `close_pending_timeout` is over; then stopping.
    ClosePending = 9,
    /// Both roles, waiting to hear that both ends of the local connection are closed; then stopped.
    Stopping = 10,
    /// Both roles, waiting for nothing; then, by what ended, waiting or connecting (the link was
    /// kept), bridging (it was lost) or allocating (the channel starts anew).
    Stopped = 11,
}

impl State {
    /// Every state, in order.
    pub const ALL: [State; 11] = [
        State::Allocating,
        State::Bridging,
        State::Bridged,
        State::Waiting,
        State::Connecting,
        State::Connected,
        State::Establishing,
        State::Established,
        State::ClosePending,
        State::Stopping,
        State::Stopped,
    ];

    /// The state's number on the link, 1 to 11.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The state of a number from the link; `None` for a number that no state has.
    pub fn from_code(code: u8) -> Option<State> {
        let index = code.checked_sub(1)?;
        State::ALL.get(usize::from(index)).copied()
    }

    /// Whether the channel is still occupied with its link: the states up to bridged.
    pub fn concerns_link(self) -> bool {
        self <= State::Bridged
    }

    /// Whether a channel of this role can be in this state.
    pub fn suits(self, role: Role) -> bool {
        match self {
            State::Waiting | State::Connected => role == Role::Acceptor,
            State::Connecting => role == Role::Connector,
            State::Allocating
            | State::Bridging
            | State::Bridged
            | State::Establishing
            | State::Established
            | State::ClosePending
            | State::Stopping
            | State::Stopped => true,
        }
    }

    /// The state's word, the same in tables, logs and JSON.
    pub fn word(self) -> &'static str {
        match self {
            State::Allocating => "allocating",
            State::Bridging => "bridging",
            State::Bridged => "bridged",
            State::Waiting => "waiting",
            State::Connecting => "connecting",
            State::Connected => "connected",
            State::Establishing => "establishing",
            State::Established => "established",
            State::ClosePending => "close_pending",
            State::Stopping => "stopping",
            State::Stopped => "stopped",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What a channel shows of itself: its state, or why no state says it well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Standing {
    /// The channel runs and is in this state.
    In(State),
    /// Established, but its link broke and is being resumed; bsr stays connected.
    Resuming,
    /// Given up after too many failures; only an operator starts it again.
    Failed,
    /// Taken down by an operator.
    Down,
}

impl Standing {
    /// Every standing: the states in order, then the others.
    pub const ALL: [Standing; 14] = {
        let mut all = [Standing::Down; 14];
        let mut index = 0;
        while index < State::ALL.len() {
            all[index] = Standing::In(State::ALL[index]);
            index += 1;
        }
        all[11] = Standing::Resuming;
        all[12] = Standing::Failed;
        all
    };

    /// The standing's number on the link: a state's own, then 12 to 14.
    pub fn code(self) -> u8 {
        match self {
            Standing::In(state) => state.code(),
            Standing::Resuming => 12,
            Standing::Failed => 13,
            Standing::Down => 14,
        }
    }

    /// The standing of a number from the link; `None` for a number that no standing has.
    pub fn from_code(code: u8) -> Option<Standing> {
        match code {
            12 => Some(Standing::Resuming),
            13 => Some(Standing::Failed),
            14 => Some(Standing::Down),
            _ => State::from_code(code).map(Standing::In),
        }
    }

    /// The standing's word, the same in tables, logs and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Standing::In(state) => state.word(),
            Standing::Resuming => "resuming",
            Standing::Failed => "failed",
            Standing::Down => "down",
        }
    }
}

impl From<State> for Standing {
    fn from(state: State) -> Standing {
        Standing::In(state)
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Standing {
    type Err = UnknownStanding;

    fn from_str(word: &str) -> Result<Standing, UnknownStanding> {
        let known = Standing::ALL.into_iter().find(|standing| standing.word() == word);
        known.ok_or_else(|| UnknownStanding(word.to_owned()))
    }
}

impl From<Standing> for String {
    fn from(standing: Standing) -> String {
        standing.word().to_owned()
    }
}

impl TryFrom<String> for Standing {
    type Error = UnknownStanding;

    fn try_from(word: String) -> Result<Standing, UnknownStanding> {
        word.parse()
    }
}

/// A word that names no standing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no channel can be `{0}`")]
pub struct UnknownStanding(pub String);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn words_are_those_of_the_seed() {
        let words: Vec<_> = Standing::ALL.iter().map(Standing::to_string).collect();
        assert_eq!(
            words.join(" "),
            "allocating bridging bridged waiting connecting connected establishing established \
             close_pending stopping stopped resuming failed down"
        );
    }

    #[test]
    fn codes_name_one_state_each_and_nothing_else() {
        for code in 0..=u8::MAX {
            let state = State::from_code(code);
            assert_eq!(state.is_some(), (1..=11).contains(&code), "{code}");
            assert!(state.is_none_or(|state| state.code() == code), "{code}");
            let standing = Standing::from_code(code);
            assert_eq!(standing.is_some(), (1..=14).contains(&code), "{code}");
            assert!(standing.is_none_or(|standing| standing.code() == code), "{code}");
        }
    }

    #[test]
    fn json_is_the_word() {
        for state in State::ALL {
            let json = serde_json::to_string(&state).unwrap();
            assert_eq!(json, format!("\"{state}\""));
            assert_eq!(serde_json::from_str::<State>(&json).unwrap(), state);
        }
        for standing in Standing::ALL {
            let json = serde_json::to_string(&standing).unwrap();
            assert_eq!(json, format!("\"{standing}\""));
            assert_eq!(serde_json::from_str::<Standing>(&json).unwrap(), standing);
        }
        let strange = serde_json::from_str::<Standing>("\"upside_down\"").unwrap_err();
        assert!(strange.to_string().contains("no channel can be `upside_down`"), "{strange}");
    }

    #[test]
    fn only_acceptors_wait_and_only_connectors_connect() {
        let foreign = |role| State::ALL.into_iter().filter(|s| !s.suits(role)).collect::<Vec<_>>();
        assert_eq!(foreign(Role::Acceptor), [State::Connecting]);
        assert_eq!(foreign(Role::Connector), [State::Waiting, State::Connected]);
    }

    #[test]
    fn padding_works_on_words() {
        assert_eq!(format!("{:>9}|", State::Waiting), "  waiting|");
        assert_eq!(format!("{:<9}|", Standing::Down), "down     |");
    }
}
