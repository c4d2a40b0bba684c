//! What holds for every channel that can be reached.

use drx_protocol::channel::{Action, Cause, Channel, Event, Place};
use drx_protocol::names::{ChannelType, Role};
use drx_protocol::state::State;

use crate::walk::Walk;

fn channels() -> impl Iterator<Item = &'static Channel> {
    Walk::both().iter().flat_map(|walk| &walk.channels)
}

#[test]
fn states_belong_to_their_role() {
    for walk in Walk::both() {
        for state in State::ALL {
            let reached = walk.channels.iter().any(|channel| channel.state() == state);
            assert_eq!(reached, state.suits(walk.role), "{} {state}", walk.role);
        }
    }
}

#[test]
fn the_type_is_known_from_the_first_packet_on() {
    for channel in channels() {
        let known = channel.channel_type().is_some();
        match channel.state() {
            State::Allocating | State::Bridging | State::Bridged | State::Waiting | State::Connected => {
                assert!(!known, "{channel:?}");
            }
            State::Establishing | State::Established => assert!(known, "{channel:?}"),
            State::ClosePending => assert_eq!(channel.channel_type(), Some(ChannelType::Data), "{channel:?}"),
            State::Connecting | State::Stopping | State::Stopped => {}
        }
    }
}

#[test]
fn whoever_serves_bsr_has_a_link_and_only_a_round_that_stands_waits_for_one() {
    use State::*;
    for channel in channels() {
        let state = channel.state();
        if matches!(state, Bridged | Waiting | Connecting | Connected | Establishing) {
            assert!(channel.link().is_up(), "{channel:?}");
        }
        if channel.link().is_suspended() {
            assert!(matches!(state, Established | ClosePending | Stopping), "{channel:?}");
        }
        if matches!(state, Establishing | Established) {
            assert!(channel.round().is_some(), "{channel:?}");
        }
    }
}

#[test]
fn stopping_always_has_a_cause_and_leads_as_far_as_it_says() {
    for channel in channels() {
        if matches!(channel.state(), State::ClosePending | State::Stopping | State::Stopped) {
            let cause = channel.cause().unwrap_or_else(|| panic!("{channel:?}"));
            assert!(channel.place() >= cause.place(), "{channel:?}");
        } else {
            assert_eq!(channel.place(), Place::SameLink, "{channel:?}");
        }
        if channel.link().id().is_none() && channel.state() == State::Stopped {
            assert!(channel.place() > Place::SameLink, "nothing to wait on: {channel:?}");
        }
    }
}

#[test]
fn whoever_waits_for_nothing_takes_next_and_nobody_else_does() {
    for channel in channels() {
        assert_eq!(channel.clone().step(Event::Next).is_some(), channel.passes(), "{channel:?}");
    }
}

/// An operator is never overheard, and neither is the loss of a link that stood.
#[test]
fn stop_and_a_lost_link_are_never_overheard() {
    for channel in channels() {
        let mut stopped = channel.clone();
        assert!(stopped.step(Event::Stop).is_some(), "{channel:?}");
        assert_eq!(stopped.place(), Place::Down, "{channel:?}");
        assert!(stopped.state() >= State::ClosePending, "{channel:?}");
        let mut lost = channel.clone();
        if channel.link().id().is_some() {
            assert!(lost.step(Event::LinkLost).is_some(), "{channel:?}");
            assert_eq!(lost.link().id(), None, "{channel:?}");
            assert!(lost.place() >= Place::Bridging, "{channel:?}");
        }
    }
}

/// docs/channels.md, rule 6: what speaks of another round changes no state and does nothing.
#[test]
fn frames_of_another_round_do_nothing() {
    for walk in Walk::both() {
        for ((state, row), cell) in &walk.cells {
            if row.ends_with("(other)") || *row == "Offered (known)" {
                for outcome in cell.values().flatten().flatten() {
                    assert_eq!(outcome.to, *state, "{} {state} {row}", walk.role);
                    assert!(outcome.actions.is_empty(), "{} {state} {row}: {outcome:?}", walk.role);
                }
            }
        }
    }
}

/// However far a goodbye has come: once the resource lets go, the time is over and bsr's connection
/// is closed, it ends, and it ends where it said.
#[test]
fn every_goodbye_comes_to_its_end() {
    let ending = |channel: &&Channel| matches!(channel.state(), State::ClosePending | State::Stopping);
    for start in channels().filter(ending) {
        let mut channel = start.clone();
        for event in [Event::Released, Event::TimedOut, Event::LocalGone, Event::Next] {
            channel.step(event);
        }
        assert_eq!(channel.state(), State::Stopped, "{start:?}");
        let place = channel.place();
        assert!(place >= start.place(), "{start:?}");
        let actions = channel.step(Event::Next).unwrap();
        let expected = match (place, channel.role()) {
            (Place::SameLink, Role::Acceptor) => State::Waiting,
            (Place::SameLink, Role::Connector) => State::Connecting,
            (Place::Bridging, _) => State::Bridging,
            (Place::Down, _) => State::Stopped,
        };
        assert_eq!(channel.state(), expected, "{start:?}");
        assert_eq!(actions.contains(&Action::Restart), place == Place::Bridging, "{start:?}");
        assert_eq!(actions.contains(&Action::Leave), place == Place::Down, "{start:?}");
    }
}

/// The far end of a lost link is told nothing: there is no way.
#[test]
fn nothing_is_said_over_a_link_that_does_not_stand() {
    for channel in channels() {
        for event in crate::walk::events() {
            let mut after = channel.clone();
            let says =
                |action: &Action| matches!(action, Action::Abort(_) | Action::Offer | Action::SayEstablished);
            if let Some(actions) = after.step(event)
                && actions.iter().any(says)
            {
                assert!(channel.link().is_up(), "{event:?} makes {channel:?} say {actions:?}");
            }
        }
    }
}

/// Causes tell themselves apart in a log.
#[test]
fn every_cause_was_met() {
    let met = |is: fn(&Cause) -> bool| channels().filter_map(Channel::cause).any(is);
    assert!(met(|cause| matches!(cause, Cause::LocalBsr)));
    assert!(met(|cause| matches!(cause, Cause::FirstPacket)));
    assert!(met(|cause| matches!(cause, Cause::RemoteFin(_))));
    assert!(met(|cause| matches!(cause, Cause::Remote(_))));
    assert!(met(|cause| matches!(cause, Cause::Partner(_))));
    assert!(met(|cause| matches!(cause, Cause::LinkLost)));
    assert!(met(|cause| matches!(cause, Cause::Operator)));
}
