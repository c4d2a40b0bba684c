//! Every transition of a channel, made by two real `drxd` and seen in their logs.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::net::TcpStream;

use drx_integration::bsr::{End, closed_after, end_of, finish, is_open, reset};
use drx_integration::forwarder::{self, Halves};
use drx_integration::pair::{Opening, Pair, Session, join};
use drx_integration::process::Process;
use drx_protocol::names::{ChannelType, Lane, Role};
use drx_protocol::report::ChannelReport;
use drx_protocol::{Standing, State};

/// What an acceptor does (docs/channels.md 2).
const ACCEPTOR: &[&str] = &[
    "allocating -> bridging",
    "bridging -> bridged",
    "bridged -> waiting",
    "waiting -> connected",
    "connected -> establishing",
    "establishing -> established",
    // data, meta
    "established -> close_pending",
    "established -> stopping",
    "close_pending -> stopping",
    "stopping -> stopped",
    // the link is kept, is lost, and everything begins anew
    "stopped -> waiting",
    "stopped -> bridging",
    "stopped -> allocating",
    // given up on the way: the operator, the link or bsr
    "bridging -> stopping",
    "waiting -> stopping",
    "connected -> stopping",
    "establishing -> stopping",
    // a dial that overtakes the news of the old link's end
    "waiting -> bridged",
];

/// What a connector does.
const CONNECTOR: &[&str] = &[
    "allocating -> bridging",
    "bridging -> bridged",
    "bridged -> connecting",
    "connecting -> establishing",
    "establishing -> established",
    "established -> close_pending",
    "established -> stopping",
    "close_pending -> stopping",
    "stopping -> stopped",
    "stopped -> connecting",
    "stopped -> bridging",
    "stopped -> allocating",
    "bridging -> stopping",
    "connecting -> stopping",
];

/// What they both do besides when a broken link may be resumed.
const RESUMING: &[&str] = &[
    "established -> resuming",
    "resuming -> established",
    // bsr leaves meanwhile: data, meta
    "resuming -> close_pending",
    "resuming -> stopping",
];

#[test]
fn every_transition_is_made() {
    let mut pair = pair("0");
    every_story(&mut pair);
    a_link_is_lost_in_a_session(&pair);
    transitions_are(&pair, &[]);
}

#[test]
fn every_transition_is_made_where_links_are_resumed() {
    let mut pair = pair("10s");
    every_story(&mut pair);
    a_link_breaks_in_a_session(&pair);
    bsr_leaves_while_its_link_is_resumed(&pair);
    transitions_are(&pair, RESUMING);
}

fn pair(resume_timeout: &str) -> Pair<Process> {
    let resume_timeout = format!("link.resume_timeout={resume_timeout}");
    Pair::of_processes(&["restart.max=200ms", "link.keepalive_timeout=3s", &resume_timeout])
}

/// All that happens alike, whether links are resumed or not.
fn every_story(pair: &mut Pair<Process>) {
    for opening in Opening::ALL {
        bsr_ends_a_session(pair, opening);
    }
    the_newest_of_two_data_connections_counts(pair);
    a_crossing_is_resolved_by_the_two_bsr(pair);
    bsr_leaves_before_its_first_packet(pair);
    bsr_leaves_before_the_other_one_answers(pair);
    a_link_is_lost_before_a_session(pair);
    a_dial_overtakes_the_end_of_the_old_link(pair);
    an_operator_ends_a_session(pair);
    an_operator_takes_a_resource_down_that_has_no_link(pair);
}

/// Every one of them was made, and no other.
fn transitions_are(pair: &Pair<Process>, besides: &[&str]) {
    let logs = [&pair.one, &pair.two].map(|site| site.node.log());
    for (role, expected) in [(Role::Acceptor, ACCEPTOR), (Role::Connector, CONNECTOR)] {
        let seen: BTreeSet<_> = logs.iter().flat_map(|log| log.steps(role)).collect();
        let expected: BTreeSet<_> = expected.iter().chain(besides).map(ToString::to_string).collect();
        let list = |set: &BTreeSet<_>, other| set.difference(other).cloned().collect::<Vec<String>>();
        assert_eq!(list(&expected, &seen), [""; 0], "{role}: never seen");
        assert_eq!(list(&seen, &expected), [""; 0], "{role}: not in docs/channels.md");
    }
    for log in logs {
        assert!(!log.says(&["ERRO"]) && !log.says(&["CRIT"]), "nothing was a fault:\n{log}");
        assert!(!log.says(&["slog-async"]), "no line of the log was lost");
    }
}

/// Either bsr, either connection, either way of closing: all four ends are closed, and the links stay.
fn bsr_ends_a_session(pair: &Pair<Process>, opening: Opening) {
    for leaving in 0..4 {
        let session = pair.establish(opening);
        let links = links(pair);
        let Session { data: [data_one, data_two], meta: [meta_one, meta_two] } = session;
        let mut ends = vec![data_one, data_two, meta_one, meta_two];
        let left = ends.remove(leaving);
        if leaving % 2 == 0 {
            finish(&left);
            assert_eq!(end_of(&left).0, End::Finished, "{opening:?}: the relay closes what bsr closed");
        } else {
            reset(left);
        }
        for end in &ends {
            assert_eq!(end_of(end).1, 0, "{opening:?}: nothing was under way");
        }
        drop(ends);
        pair.until_quiet();
        assert_eq!(links, self::links(pair), "{opening:?}: the links are kept");
    }
}

/// The names of the links that carry something, as both sites know them.
fn carrying(pair: &Pair<Process>) -> Vec<String> {
    names(pair, |channel| channel.channel_type.is_some())
}

/// The names of all links, as both sites know them.
fn links(pair: &Pair<Process>) -> Vec<String> {
    names(pair, |_| true)
}

fn names(pair: &Pair<Process>, which: impl Fn(&ChannelReport) -> bool) -> Vec<String> {
    let mut links: Vec<_> = [&pair.one, &pair.two]
        .iter()
        .flat_map(|site| site.resource().unwrap().channels)
        .filter(which)
        .map(|channel| format!("{:?}", channel.link))
        .collect();
    links.sort();
    links
}

fn the_newest_of_two_data_connections_counts(pair: &Pair<Process>) {
    for by_the_same in [true, false] {
        let Session { data, meta } = pair.establish(Opening::DataByTwo);
        let newest: [TcpStream; 2] = if by_the_same {
            let [two, one] = join(&pair.two, &pair.one, ChannelType::Data);
            [one, two]
        } else {
            join(&pair.one, &pair.two, ChannelType::Data)
        };
        // The bsr that accepted it closes its own older one, which may be known at the other site before
        // the newest stands there: that ends nothing else.
        let [older_one, older_two] = data;
        let [closing, other] = if by_the_same { [older_one, older_two] } else { [older_two, older_one] };
        finish(&closing);
        assert_eq!(end_of(&other).1, 0);
        drop((closing, other));
        pair.two.until(Role::Acceptor, Lane::Zero, State::Waiting);
        pair.one.until(Role::Connector, Lane::Zero, State::Connecting);
        // Which lane the newest has decides when it stands; nothing else is to end meanwhile.
        pair.until_session(true);
        let session = Session { data: newest, meta };
        session.check();
        end(pair, session);
    }
}

/// Both open data at once; each keeps what came in and closes its own, and one of them does so late.
fn a_crossing_is_resolved_by_the_two_bsr(pair: &Pair<Process>) {
    let by_one = pair.one.bsr.open(ChannelType::Data);
    let by_two = pair.two.bsr.open(ChannelType::Data);
    let (_, from_one) = pair.two.bsr.take();
    let (_, from_two) = pair.one.bsr.take();
    finish(&by_one);
    assert_eq!(end_of(&from_one).1, 0, "the crossed connection is closed at its other end");
    drop((by_one, from_one));
    assert!(is_open(&by_two) && is_open(&from_two), "the other one stands");
    pair.one.until(Role::Acceptor, Lane::Zero, State::Waiting);
    pair.two.until(Role::Connector, Lane::Zero, State::Connecting);
    let meta = join(&pair.one, &pair.two, ChannelType::Meta);
    pair.until_session(true);
    let session = Session { data: [from_two, by_two], meta };
    session.check();
    end(pair, session);
}

fn bsr_leaves_before_its_first_packet(pair: &Pair<Process>) {
    let silent = pair.one.bsr.dial().unwrap();
    pair.one.until(Role::Acceptor, Lane::Zero, State::Connected);
    finish(&silent);
    assert_eq!(end_of(&silent).1, 0);
    pair.until_quiet();
}

fn bsr_leaves_before_the_other_one_answers(pair: &mut Pair<Process>) {
    pair.two.bsr.deafen();
    let early = pair.one.bsr.open(ChannelType::Meta);
    pair.one.until(Role::Acceptor, Lane::Zero, State::Establishing);
    finish(&early);
    end_of(&early);
    pair.until_quiet();
    pair.two.bsr.listen();
    assert!(pair.two.bsr.is_left_alone(), "the offer was withdrawn");
}

fn a_link_is_lost_before_a_session(pair: &Pair<Process>) {
    let before = links(pair);
    pair.way_to_one.cut(forwarder::End::Finish);
    pair.way_to_two.cut(forwarder::End::Finish);
    pair.one.until_quiet();
    pair.until_quiet();
    let after = links(pair);
    assert!(before.iter().all(|link| !after.contains(link)), "all links are new");
}

fn a_link_is_lost_in_a_session(pair: &Pair<Process>) {
    let session = pair.establish(Opening::DataByTwo);
    pair.way_to_one.cut(forwarder::End::Finish);
    for end in session.ends() {
        assert_eq!(end_of(end).1, 0);
    }
    drop(session);
    pair.until_quiet();
}

/// bsr sees nothing of it, and the links are the same.
fn a_link_breaks_in_a_session(pair: &Pair<Process>) {
    for opening in Opening::ALL {
        let session = pair.establish(opening);
        let links = carrying(pair);
        let since = [&pair.one, &pair.two].map(|site| site.node.log_lines());
        pair.way_to_one.cut(forwarder::End::Reset);
        pair.way_to_two.cut(forwarder::End::Finish);
        for (site, since) in [&pair.one, &pair.two].into_iter().zip(since) {
            for channel in site.resource().unwrap().channels.iter().filter(|c| c.channel_type.is_some()) {
                let channel = format!("channel: {}, lane: {}", channel.role, u8::from(channel.lane));
                site.node.until_logged(since, &[&channel, "from: established, to: resuming"]);
                site.node.until_logged(since, &[&channel, "from: resuming, to: established"]);
            }
        }
        session.check();
        assert_eq!(links, carrying(pair), "{opening:?}: the links are the same");
        end(pair, session);
    }
}

/// Data waits for the link with what is left to say, and meta for data.
fn bsr_leaves_while_its_link_is_resumed(pair: &Pair<Process>) {
    for opening in [Opening::DataByTwo, Opening::DataByOne] {
        let Session { data: [data_one, data_two], meta: [meta_one, meta_two] } = pair.establish(opening);
        pair.way_to_one.close();
        pair.way_to_two.close();
        let (data, meta) = match opening.data_by_one() {
            true => (Role::Acceptor, Role::Connector),
            false => (Role::Connector, Role::Acceptor),
        };
        pair.one.until_standing(data, Lane::Zero, Standing::Resuming);
        pair.one.until_standing(meta, Lane::Zero, Standing::Resuming);
        finish(&data_one);
        finish(&meta_one);
        pair.one.until(data, Lane::Zero, State::ClosePending);
        pair.one.until(meta, Lane::Zero, State::Stopping);
        assert!(is_open(&data_two) && is_open(&meta_two), "nobody can have told the other bsr");
        pair.way_to_one.open();
        pair.way_to_two.open();
        for end in [&data_two, &meta_two] {
            assert_eq!(end_of(end).1, 0);
        }
        drop((data_one, data_two, meta_one, meta_two));
        pair.until_quiet();
    }
}

fn a_dial_overtakes_the_end_of_the_old_link(pair: &Pair<Process>) {
    let since = pair.two.node.log_lines();
    let _halves: Halves = pair.way_to_two.cut_towards([forwarder::End::Finish, forwarder::End::Silence]);
    pair.one.until_quiet();
    pair.two.node.until_logged(since, &["channel: acceptor", "from: waiting, to: bridged"]);
    pair.until_quiet();
}

fn an_operator_ends_a_session(pair: &Pair<Process>) {
    let session = pair.establish(Opening::DataByOne);
    let restart = pair.one.node.ctl_begin(&["restart", "--wait", "r0"]);
    for end in session.ends() {
        assert_eq!(end_of(end).1, 0);
    }
    drop(session); // bsr closes what the relay closed
    let restarted = restart.wait_with_output().unwrap();
    assert!(restarted.status.success(), "{restarted:?}");
    pair.until_quiet();
}

fn an_operator_takes_a_resource_down_that_has_no_link(pair: &Pair<Process>) {
    pair.way_to_one.close();
    pair.way_to_two.close();
    pair.one.until(Role::Acceptor, Lane::Zero, State::Bridging);
    pair.one.until(Role::Connector, Lane::Zero, State::Bridging);
    for command in ["down", "up"] {
        let done = pair.one.node.ctl(&[command, "--wait", "r0"]);
        assert!(done.status.success(), "{done:?}");
    }
    pair.way_to_one.open();
    pair.way_to_two.open();
    pair.until_quiet();
    end(pair, pair.establish(Opening::BothByTwo));
}

/// bsr at site one leaves.
fn end(pair: &Pair<Process>, session: Session) {
    let Session { data: [data_one, data_two], meta: [meta_one, meta_two] } = session;
    let now = std::time::Instant::now();
    finish(&data_one);
    finish(&meta_one);
    for end in [&data_two, &meta_two] {
        closed_after(end, now);
    }
    drop((data_one, data_two, meta_one, meta_two));
    pair.until_quiet();
}
