//! The situation table as the docs show it.

use std::collections::BTreeSet;

use drx_protocol::names::Role;
use drx_protocol::situation::{RemoteStanding, Situation};
use drx_protocol::state::{Standing, State};

type Pair = (Standing, Standing);

/// Every pair of standings that two channels can have, each in the row of its situation. The rows are
/// read from the top: `any` means any that no row above has.
pub fn table() -> String {
    let mut left: BTreeSet<Pair> = standings(Role::Acceptor)
        .flat_map(|acceptor| standings(Role::Connector).map(move |connector| (acceptor, connector)))
        .collect();
    let mut text = "| acceptor | connector | situation |\n| --- | --- | --- |\n".to_owned();
    for situation in ORDER {
        let pairs: BTreeSet<Pair> =
            left.iter().copied().filter(|&(a, c)| Situation::of(a, c, false, None) == situation).collect();
        assert!(!pairs.is_empty(), "no pair is left for {situation:?}");
        let mut todo = pairs.clone();
        for acceptor in standings(Role::Acceptor) {
            let row = |pair: &&Pair| pair.0 == acceptor;
            if todo.iter().any(|pair| pair.0 == acceptor)
                && left.iter().filter(row).eq(pairs.iter().filter(row))
                && left.iter().filter(row).count() > 1
            {
                text += &line(acceptor.word(), "any", situation.sentence());
                todo.retain(|pair| pair.0 != acceptor);
            }
        }
        for connector in standings(Role::Connector) {
            let column = |pair: &&Pair| pair.1 == connector;
            if todo.iter().any(|pair| pair.1 == connector)
                && left.iter().filter(column).eq(pairs.iter().filter(column))
                && left.iter().filter(column).count() > 1
            {
                text += &line("any", connector.word(), situation.sentence());
                todo.retain(|pair| pair.1 != connector);
            }
        }
        for acceptor in standings(Role::Acceptor) {
            let connectors: Vec<&str> =
                todo.iter().filter(|pair| pair.0 == acceptor).map(|pair| pair.1.word()).collect();
            if !connectors.is_empty() {
                text += &line(acceptor.word(), &connectors.join(", "), situation.sentence());
            }
        }
        left = &left - &pairs;
    }
    assert!(left.is_empty(), "in no row: {left:?}");
    text + &decided()
}

/// The row that the other DRX decides by what it tells of its own acceptor.
fn decided() -> String {
    let told = |acceptor: State| {
        let remote = RemoteStanding { acceptor: acceptor.into(), connector: State::Established.into() };
        Situation::of(State::Established.into(), State::Connecting.into(), false, Some(remote)).sentence()
    };
    format!(
        "\nThe other DRX decides established / connecting, if it says how its own acceptor stands:\n\n\
         | its acceptor | situation |\n| --- | --- |\n| waiting | {} |\n| connected, establishing | {} |\n",
        told(State::Waiting),
        told(State::Establishing)
    )
}

fn standings(role: Role) -> impl Iterator<Item = Standing> {
    Standing::ALL.into_iter().filter(move |one| !matches!(one, Standing::In(state) if !state.suits(role)))
}

fn line(acceptor: &str, connector: &str, sentence: &str) -> String {
    format!("| {acceptor} | {connector} | {sentence} |\n")
}

/// What weighs more stands first; then the way up.
const ORDER: [Situation; 21] = [
    Situation::Failed,
    Situation::Down,
    Situation::PartlyDown,
    Situation::Flushing,
    Situation::Resuming,
    Situation::Closing,
    Situation::Allocating,
    Situation::RelaysApart,
    Situation::RemoteDrxCannotReachLocalDrx,
    Situation::SecondLinkFromRemoteMissing,
    Situation::LocalDrxCannotReachRemoteDrx,
    Situation::SecondLinkToRemoteMissing,
    Situation::JustBridged,
    Situation::LocalBsrAbsent,
    Situation::FirstPacketAwaited,
    Situation::RemoteBsrUnreachable,
    Situation::EitherBsrHalf,
    Situation::RemoteBsrHalf,
    Situation::LocalBsrStaysOut,
    Situation::Finishing,
    Situation::Connected,
];
