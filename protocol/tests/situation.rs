//! The situation table: the seed's rows word for word, and a sentence for every other pair.

use std::collections::BTreeSet;

use drx_protocol::State::*;
use drx_protocol::situation::{RemoteStanding, Situation};
use drx_protocol::{Role, Standing, State};

fn lone(acceptor: State, connector: State) -> Situation {
    Situation::of(acceptor.into(), connector.into(), false, None)
}

fn told(acceptor: State, connector: State) -> Option<RemoteStanding> {
    Some(RemoteStanding { acceptor: acceptor.into(), connector: connector.into() })
}

/// What the other DRX may have told: nothing, or any pair.
fn all_told() -> impl Iterator<Item = Option<RemoteStanding>> {
    let pairs = Standing::ALL.into_iter().flat_map(|a| Standing::ALL.map(|c| (a, c)));
    pairs.map(|(acceptor, connector)| Some(RemoteStanding { acceptor, connector })).chain([None])
}

#[test]
fn the_rows_of_the_seed() {
    let rows = [
        (Allocating, Allocating, "the BAB is very large, or in virtual memory, and is being allocated"),
        (Bridging, Bridging, "the remote DRX is off, or the two DRX cannot reach each other"),
        (Bridging, Connecting, "the remote DRX cannot reach the local DRX"),
        (Waiting, Bridging, "the local DRX cannot reach the remote DRX"),
        (Waiting, Connecting, "the local bsr is not connecting this resource, or cannot reach the local DRX"),
        (Establishing, Connecting, "the local bsr is connected; the remote DRX cannot reach the remote bsr"),
        (
            Established,
            Connecting,
            "local: the local bsr reaches the local DRX, but the local DRX cannot reach the local bsr; \
             or remote: the remote DRX reaches the remote bsr, but the remote bsr cannot reach the remote DRX",
        ),
        (
            Establishing,
            Established,
            "the remote bsr reaches the remote DRX, but the remote DRX cannot reach the remote bsr",
        ),
        (
            Waiting,
            Established,
            "the local DRX reaches the local bsr, but the local bsr cannot reach the local DRX",
        ),
        (Established, Established, "everything is connected"),
    ];
    for (acceptor, connector, sentence) in rows {
        assert_eq!(lone(acceptor, connector).sentence(), sentence, "{acceptor}/{connector}");
        if (acceptor, connector) == (Established, Connecting) {
            continue; // The one row that the other DRX decides.
        }
        for remote in all_told() {
            let situation = Situation::of(acceptor.into(), connector.into(), false, remote);
            assert_eq!(situation.sentence(), sentence, "{acceptor}/{connector} {remote:?}");
        }
    }
}

#[test]
fn the_other_drx_decides_the_row_that_the_seed_has_twice() {
    let local = "the local bsr reaches the local DRX, but the local DRX cannot reach the local bsr";
    let remote = "the remote DRX reaches the remote bsr, but the remote bsr cannot reach the remote DRX";
    for told in all_told() {
        let situation = Situation::of(Established.into(), Connecting.into(), false, told);
        let expected = match told.map(|told| told.acceptor) {
            Some(Standing::In(Waiting)) => remote.to_owned(),
            Some(Standing::In(Connected | Establishing)) => local.to_owned(),
            _ => format!("local: {local}; or remote: {remote}"),
        };
        assert_eq!(situation.sentence(), expected, "{told:?}");
    }
}

/// Both ends' words about one fault, each from its own side.
#[test]
fn the_two_ends_of_a_fault_agree() {
    // Our bsr is through from here to there; our DRX cannot dial our bsr, which their bsr waits for.
    let here = Situation::of(Established.into(), Connecting.into(), false, told(Establishing, Established));
    let there = Situation::of(Establishing.into(), Established.into(), false, told(Established, Connecting));
    assert_eq!(here, Situation::LocalBsrUnreachable);
    assert_eq!(there, Situation::RemoteBsrHalf);
    // Our bsr is through from here to there; their bsr does not come in.
    let here = Situation::of(Established.into(), Connecting.into(), false, told(Waiting, Established));
    let there = Situation::of(Waiting.into(), Established.into(), false, told(Established, Connecting));
    assert_eq!(here, Situation::RemoteBsrStaysOut);
    assert_eq!(there, Situation::LocalBsrStaysOut);
    // Their link to us is missing.
    assert_eq!(lone(Bridging, Connecting), Situation::RemoteDrxCannotReachLocalDrx);
    assert_eq!(lone(Waiting, Bridging), Situation::LocalDrxCannotReachRemoteDrx);
}

#[test]
fn a_whole_session_is_connected_on_whatever_lanes() {
    let running = || State::ALL.into_iter().map(Standing::from);
    for (acceptor, connector) in running().flat_map(|a| running().map(move |c| (a, c))) {
        let situation = Situation::of(acceptor, connector, true, None);
        assert_eq!(situation.sentence(), "everything is connected", "{acceptor}/{connector}");
    }
    // Both from this node, both from the other one.
    assert_eq!(
        Situation::of(Established.into(), Connecting.into(), true, told(Waiting, Established)),
        Situation::Connected
    );
    assert_eq!(
        Situation::of(Waiting.into(), Established.into(), true, told(Established, Connecting)),
        Situation::Connected
    );
    // A link that is being resumed is worth saying, and so is what only an operator changes.
    assert_eq!(Situation::of(Standing::Resuming, Established.into(), true, None), Situation::Resuming);
    assert_eq!(Situation::of(Standing::Failed, Established.into(), true, None), Situation::Failed);
}

#[test]
fn what_weighs_most_is_said_first() {
    use Standing::{Down, Failed, In, Resuming};
    let ranks: [(&[Standing], Situation); 5] = [
        (&[Failed], Situation::Failed),
        (&[Down], Situation::PartlyDown),
        (&[In(ClosePending)], Situation::Flushing),
        (&[Resuming], Situation::Resuming),
        (&[In(Stopping), In(Stopped)], Situation::Closing),
    ];
    for (rank, (standings, situation)) in ranks.iter().enumerate() {
        let weightier: Vec<_> = ranks[..rank].iter().flat_map(|(standings, _)| *standings).collect();
        for &standing in *standings {
            for other in Standing::ALL {
                if other == Down && standing == Down {
                    assert_eq!(Situation::of(other, standing, false, None), Situation::Down);
                    continue;
                }
                if weightier.contains(&&other) {
                    continue;
                }
                let fits = |role| !matches!(other, In(state) if !state.suits(role));
                if fits(Role::Connector) {
                    assert_eq!(Situation::of(standing, other, false, None), *situation, "{standing}/{other}");
                }
                if fits(Role::Acceptor) {
                    assert_eq!(Situation::of(other, standing, false, None), *situation, "{other}/{standing}");
                }
            }
        }
    }
}

#[test]
fn every_pair_has_a_sentence_whatever_the_other_drx_tells() {
    let mut seen = BTreeSet::new();
    for acceptor in Standing::ALL {
        for connector in Standing::ALL {
            for whole in [false, true] {
                for remote in all_told() {
                    let situation = Situation::of(acceptor, connector, whole, remote);
                    let sentence = situation.sentence();
                    assert!(sentence.len() > 20, "{acceptor}/{connector}: {sentence:?}");
                    assert_eq!(sentence.trim().trim_end_matches('.'), sentence);
                    assert!(!sentence.contains("  ") && !sentence.contains('\n'), "{sentence:?}");
                    assert_eq!(situation.to_string(), sentence);
                    seen.insert(sentence);
                }
            }
        }
    }
    assert_eq!(seen.len(), 24, "a situation that no pair leads to, or two with one sentence: {seen:#?}");
}

#[test]
fn only_states_of_the_wrong_role_are_impossible() {
    for acceptor in State::ALL {
        for connector in State::ALL {
            if acceptor == ClosePending || connector == ClosePending {
                continue; // A flush is said whatever stands beside it.
            }
            let possible = acceptor.suits(Role::Acceptor) && connector.suits(Role::Connector);
            let situation = lone(acceptor, connector);
            assert_eq!(situation != Situation::Impossible, possible, "{acceptor}/{connector}");
        }
    }
}

/// The whole table for the states that a channel goes through on its way up.
#[test]
fn the_way_up() {
    let mut table = String::new();
    for acceptor in [Allocating, Bridging, Bridged, Waiting, Connected, Establishing, Established] {
        for connector in [Allocating, Bridging, Bridged, Connecting, Establishing, Established] {
            table += &format!("{acceptor:<12} {connector:<12} {:?}\n", lone(acceptor, connector));
        }
    }
    insta::assert_snapshot!(table, @r"
    allocating   allocating   Allocating
    allocating   bridging     Allocating
    allocating   bridged      Allocating
    allocating   connecting   Allocating
    allocating   establishing Allocating
    allocating   established  Allocating
    bridging     allocating   Allocating
    bridging     bridging     RelaysApart
    bridging     bridged      RemoteDrxCannotReachLocalDrx
    bridging     connecting   RemoteDrxCannotReachLocalDrx
    bridging     establishing SecondLinkFromRemoteMissing
    bridging     established  SecondLinkFromRemoteMissing
    bridged      allocating   Allocating
    bridged      bridging     LocalDrxCannotReachRemoteDrx
    bridged      bridged      JustBridged
    bridged      connecting   JustBridged
    bridged      establishing JustBridged
    bridged      established  JustBridged
    waiting      allocating   Allocating
    waiting      bridging     LocalDrxCannotReachRemoteDrx
    waiting      bridged      JustBridged
    waiting      connecting   LocalBsrAbsent
    waiting      establishing Finishing
    waiting      established  LocalBsrStaysOut
    connected    allocating   Allocating
    connected    bridging     SecondLinkToRemoteMissing
    connected    bridged      JustBridged
    connected    connecting   FirstPacketAwaited
    connected    establishing FirstPacketAwaited
    connected    established  FirstPacketAwaited
    establishing allocating   Allocating
    establishing bridging     SecondLinkToRemoteMissing
    establishing bridged      JustBridged
    establishing connecting   RemoteBsrUnreachable
    establishing establishing Finishing
    establishing established  RemoteBsrHalf
    established  allocating   Allocating
    established  bridging     SecondLinkToRemoteMissing
    established  bridged      JustBridged
    established  connecting   EitherBsrHalf
    established  establishing Finishing
    established  established  Connected
    ");
}
