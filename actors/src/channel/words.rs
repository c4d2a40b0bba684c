//! What a channel says of its transitions, and remembers of its last stop.

use drx_protocol::{Standing, State};
use slog::info;
use tokio::time::Instant;

use super::ChannelActor;
use crate::messages::ChannelNews;

impl ChannelActor {
    /// Says where the channel stands now: in the log and to its supervisor.
    pub(super) fn moved(&mut self, from: State, stood: Standing, why: &str) {
        let (to, stands) = (self.machine.state(), self.standing());
        if stands == stood {
            return;
        }
        let cause = self.machine.cause().map(ToString::to_string).unwrap_or_default();
        let ending = matches!(to, State::ClosePending | State::Stopping | State::Stopped);
        let why = match (why, ending) {
            ("", true) => cause,
            ("", false) => next_why(to).to_owned(),
            (why, true) if !cause.is_empty() && cause != why => format!("{cause}: {why}"),
            (why, _) => why.to_owned(),
        };
        self.remember_stop(from, &why);
        info!(self.log, "transition"; "from" => %stood, "to" => %stands, "why" => why, "attempt" => self.machine.attempt());
        self.since = Instant::now();
        if to == from {
            return;
        }
        self.tell(ChannelNews::Moved { to, channel_type: self.machine.channel_type() });
        if to == State::Established
            && let (Some(channel_type), Some(round)) = (self.machine.channel_type(), self.machine.round())
        {
            self.tell(ChannelNews::Established { channel_type, round });
        }
    }

    /// Keeps why a round ends for those who ask later: what began it, and how a flush came out.
    fn remember_stop(&self, from: State, why: &str) {
        let mut last_stop = self.memory.last_stop.borrow_mut();
        match (from, self.machine.state()) {
            (State::ClosePending, State::Stopping) => {
                let cause = self.machine.cause().map(ToString::to_string).unwrap_or_default();
                let outcome = why.strip_prefix(&format!("{cause}: ")).unwrap_or(why);
                *last_stop = Some(joined(last_stop.take(), outcome));
            }
            (_, State::ClosePending | State::Stopping) => *last_stop = Some(why.to_owned()),
            _ => {}
        }
    }
}

/// What began the end of a round, and how its flush came out.
fn joined(began: Option<String>, outcome: &str) -> String {
    match began {
        Some(began) if !began.contains(outcome) => format!("{began}; {outcome}"),
        Some(began) => began,
        None => outcome.to_owned(),
    }
}

/// What is said when a state that waits for nothing is left.
fn next_why(to: State) -> &'static str {
    match to {
        State::Waiting => "bsr may connect now",
        State::Connecting => "waits for the other DRX's bsr",
        State::Established => "both bsr are connected",
        State::Bridging => "the link is to be made again",
        _ => "goes on",
    }
}
