//! The arrows of the tables: the way a connection was dialled, with the state written in.

use crate::names::Role;
use crate::report::ChannelReport;
use crate::state::{Standing, State};

/// Which way an arrow points; the local bsr is at the left, the other DRX at the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrow {
    Left,
    Right,
}

impl Arrow {
    /// The arrow with `word` in it, [`WIDTH`] characters. A word too long for the shaft takes its place.
    fn with(self, word: &str) -> String {
        let shaft = if word.len() + 2 <= WIDTH { "-" } else { "" };
        match self {
            Arrow::Left => format!("{:-<WIDTH$}", format!("<{shaft}{word}")),
            Arrow::Right => format!("{:->WIDTH$}", format!("{word}{shaft}>")),
        }
    }
}

/// The local bsr's side: bsr dials the acceptor, the connector dials bsr.
pub(super) fn local_side(channel: &ChannelReport) -> String {
    let arrow = match channel.role {
        Role::Acceptor => Arrow::Right,
        Role::Connector => Arrow::Left,
    };
    match channel.standing {
        Standing::In(state) if state.concerns_link() => nothing_yet(),
        // Bsr's own connection has not noticed.
        Standing::Resuming => arrow.with(State::Established.word()),
        standing => arrow.with(standing.word()),
    }
}

/// The link's side: the other DRX dials the acceptor, the connector dials the other DRX.
pub(super) fn link_side(channel: &ChannelReport) -> String {
    let arrow = match channel.role {
        Role::Acceptor => Arrow::Left,
        Role::Connector => Arrow::Right,
    };
    match channel.standing {
        Standing::Failed | Standing::Down => nothing_yet(),
        Standing::Resuming => arrow.with(channel.standing.word()),
        Standing::In(state) if state.concerns_link() => arrow.with(state.word()),
        // A flush goes on over a resumed link; "bridged" would promise one that is there.
        Standing::In(State::ClosePending) if !channel.link_up => arrow.with(Standing::Resuming.word()),
        Standing::In(State::Stopping | State::Stopped) if !channel.link_up => nothing_yet(),
        Standing::In(_) => arrow.with(State::Bridged.word()),
    }
}

/// The remote bsr's side, at the right end: the other DRX's connector dials it, its acceptor is dialled.
pub(super) fn remote_side(channel: &ChannelReport) -> String {
    let arrow = match channel.role.other() {
        Role::Acceptor => Arrow::Left,
        Role::Connector => Arrow::Right,
    };
    match channel.remote {
        None => format!("{:^WIDTH$}", "(not known)"),
        Some(Standing::In(state)) if state.concerns_link() => nothing_yet(),
        Some(Standing::Resuming) => arrow.with(State::Established.word()),
        Some(standing) => arrow.with(standing.word()),
    }
}

/// A line without a head: that side's turn has not come.
fn nothing_yet() -> String {
    "-".repeat(WIDTH)
}

/// `close_pending>`, the longest word with its head.
pub(super) const WIDTH: usize = 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_fits() {
        for standing in Standing::ALL {
            for arrow in [Arrow::Left, Arrow::Right] {
                let drawn = arrow.with(standing.word());
                assert_eq!(drawn.len(), WIDTH, "{drawn}");
                assert_eq!(drawn.trim_matches(['<', '-', '>']), standing.word());
            }
        }
    }

    #[test]
    fn words_stand_at_the_head() {
        let drawn = |word| [Arrow::Left.with(word), Arrow::Right.with(word)];
        assert_eq!(drawn("bridged"), ["<-bridged-----", "-----bridged->"]);
        assert_eq!(drawn("waiting"), ["<-waiting-----", "-----waiting->"]);
        assert_eq!(drawn("bridging"), ["<-bridging----", "----bridging->"]);
        assert_eq!(drawn("connecting"), ["<-connecting--", "--connecting->"]);
        assert_eq!(drawn("established"), ["<-established-", "-established->"]);
        assert_eq!(drawn("establishing"), ["<-establishing", "establishing->"]);
        assert_eq!(drawn("close_pending"), ["<close_pending", "close_pending>"]);
    }
}
