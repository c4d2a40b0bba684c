//! What becomes of a session when a relay dies or hangs, or the line is away for longer than a moment.
#![allow(clippy::unwrap_used)]

use std::thread;
use std::time::{Duration, Instant};

use drx_integration::bsr::{closed_after, end_of, finish, is_open, until_read};
use drx_integration::forwarder::End;
use drx_integration::pair::{Opening, Pair, Session, Site};
use drx_integration::pattern::{PIECE, Pattern};
use drx_integration::process::Process;
use drx_integration::wait::{LIMIT, until_ok};
use drx_protocol::names::{ChannelType, Lane, Role};
use drx_protocol::report::ChannelReport;
use drx_protocol::{Standing, State};

/// What it held is lost, so bsr has to know: the other side waits for it, hears of its new life, and ends.
#[test]
fn a_relay_that_was_killed_is_never_resumed() {
    let mut pair = Pair::of_processes(&["restart.max=200ms"]);
    for (victim, opening) in
        [(0, Opening::DataByTwo), (1, Opening::DataByTwo), (0, Opening::BothByOne), (1, Opening::BothByOne)]
    {
        let session = pair.establish(opening);
        let survivor = 1 - victim;
        let since = pair.site(survivor).node.log_lines();
        pair.site_mut(victim).node.kill();
        let ends = [&session.data, &session.meta];
        for ends in ends {
            assert_eq!(end_of(&ends[victim]).1, 0);
        }
        until_resuming(pair.site(survivor), &[ChannelType::Data, ChannelType::Meta]);
        assert!(ends.iter().all(|ends| is_open(&ends[survivor])), "nobody knows yet whether it comes back");

        pair.site_mut(victim).node.start();
        let began = Instant::now();
        for ends in ends {
            let took = closed_after(&ends[survivor], began);
            assert!(took < PROMPT, "{took:?}");
            finish(&ends[survivor]);
        }
        let log = pair.site(survivor).node.log().since(since);
        assert!(!log.says(&["from: resuming, to: established"]), "{log}");
        drop(session);
        pair.establish(opening);
        println!(
            "{opening:?}, relay {}: established again {:?} after its start",
            victim + 1,
            began.elapsed()
        );
        pair.until_quiet();
    }
}

#[test]
fn a_relay_that_was_killed_and_stays_away_is_waited_for_so_long() {
    let mut pair = Pair::of_processes(&["restart.max=200ms", "link.resume_timeout=2s"]);
    for opening in [Opening::DataByTwo, Opening::BothByTwo, Opening::BothByOne] {
        let Session { data: [data_one, data_two], meta: [meta_one, meta_two] } = pair.establish(opening);
        pair.two.node.kill();
        let began = Instant::now();
        for end in [&data_one, &meta_one] {
            let took = closed_after(end, began);
            assert!(took > RESUME_TIMEOUT - SLACK && took < RESUME_TIMEOUT + PROMPT, "{took:?}");
            finish(end);
        }
        drop((data_one, data_two, meta_one, meta_two));
        pair.two.node.start();
        pair.establish(opening);
        pair.until_quiet();
    }
}

/// Both at once, as when the power fails for all.
#[test]
fn two_relays_that_were_killed_find_each_other_again() {
    let mut pair = Pair::of_processes(&["restart.max=200ms"]);
    for opening in Opening::ALL {
        let session = pair.establish(opening);
        pair.one.node.kill();
        pair.two.node.kill();
        for end in session.ends() {
            assert_eq!(end_of(end).1, 0);
        }
        drop(session);
        pair.one.node.start();
        pair.two.node.start();
        pair.establish(opening);
        pair.until_quiet();
    }
}

/// For less than `keepalive_timeout`: nobody notices.
#[test]
fn a_relay_that_hangs_for_three_seconds_costs_a_pause() {
    let pair = Pair::of_processes(&[]);
    let session = pair.establish(Opening::DataByTwo);
    pair.one.node.hang();
    thread::sleep(Duration::from_secs(3));
    pair.one.node.go_on();
    session.check();
    assert!(session.ends().into_iter().all(is_open));
    for site in [&pair.one, &pair.two] {
        for channel in in_session(site).unwrap() {
            assert_eq!((channel.standing, channel.resumes), (Standing::In(State::Established), 0));
        }
    }
}

/// For longer than `keepalive_timeout` and `resume_timeout` together: the other side ends the session,
/// and so does the one that hung once it can.
#[test]
fn a_relay_that_hangs_for_twenty_seconds_costs_the_session() {
    let pair = Pair::of_processes(&[]);
    let Session { data: [data_one, data_two], meta: [meta_one, meta_two] } =
        pair.establish(Opening::DataByTwo);
    let began = Instant::now();
    pair.one.node.hang();
    for end in [&data_two, &meta_two] {
        let took = closed_after(end, began);
        println!("the other side waited for {took:.1?}");
        assert!(took > KEEPALIVE + RESUME - SLACK && took < NOTICED + RESUME + PROMPT, "{took:?}");
        finish(end);
    }
    thread::sleep(Duration::from_secs(20).saturating_sub(began.elapsed()));
    let began = Instant::now();
    pair.one.node.go_on();
    for end in [&data_one, &meta_one] {
        let took = closed_after(end, began);
        assert!(took < PROMPT, "{took:?}");
        finish(end);
    }
    drop((data_one, data_two, meta_one, meta_two));
    pair.until_quiet();
    pair.establish(Opening::DataByTwo);
    println!("established again {:.1?} after it went on", began.elapsed());
}

/// bsr leaves, and the line is away for three seconds while what it left behind is flushed: all of it
/// arrives, and only then meta ends.
#[test]
fn a_flush_goes_on_over_a_resumed_link() {
    let mut pair = Pair::of_processes(&[]);
    pair.one.bsr.bound_receive_buffer(32 * 1024);
    for leaves_first in [true, false] {
        let Session { data: [data_one, data_two], meta: [meta_one, meta_two] } =
            pair.establish(Opening::DataByTwo);
        let pattern = Pattern::new(7);
        pattern.send(&data_two, 0, FLUSHED).unwrap();
        until_read(&data_two);
        let leave = || {
            finish(&data_two);
            finish(&meta_two);
            pair.two.until(Role::Acceptor, Lane::Zero, State::ClosePending);
        };
        let cut = || {
            pair.way_to_one.close();
            pair.way_to_two.close();
        };
        if leaves_first {
            leave();
            cut();
        } else {
            cut();
            until_resuming(&pair.two, &[ChannelType::Data, ChannelType::Meta]);
            leave();
        }
        // Nobody has told this side yet: the word is behind the data.
        until_resuming(&pair.one, &[ChannelType::Data, ChannelType::Meta]);
        let pending = pair.two.channel(Role::Acceptor, Lane::Zero).unwrap();
        assert!(pending.bab.used > 0 && !pending.link_up, "{pending:?}");
        let table = ctl(&pair.two, &["connections"]);
        assert!(table.contains("close_pending>") && table.contains("<-resuming-"), "{table}");

        thread::sleep(Duration::from_secs(3));
        assert!(is_open(&meta_one), "meta closed before the data was there");
        pair.way_to_one.open();
        pair.way_to_two.open();
        assert_eq!(pattern.check_to_end(&data_one, 0, PIECE), Ok(FLUSHED));
        let ended = Instant::now();
        finish(&data_one);
        let took = closed_after(&meta_one, ended);
        assert!(took < PROMPT, "{took:?}");
        drop((data_one, data_two, meta_one, meta_two));
        pair.until_quiet();
    }
}

/// Data and meta are resumed together or not at all: it is enough that one of them is not.
#[test]
fn a_line_that_is_away_for_too_long_costs_the_session() {
    let pair = Pair::of_processes(&["restart.max=200ms", "link.resume_timeout=2s"]);
    let (to_one, to_two) = (&pair.way_to_one, &pair.way_to_two);
    for ways in [vec![to_one, to_two], vec![to_one], vec![to_two]] {
        let session = pair.establish(Opening::DataByTwo);
        ways.iter().for_each(|way| way.close());
        let began = Instant::now();
        for end in session.ends() {
            let took = closed_after(end, began);
            assert!(took > RESUME_TIMEOUT - SLACK && took < RESUME_TIMEOUT + PROMPT, "{took:?}");
            finish(end);
        }
        drop(session);
        ways.iter().for_each(|way| way.open());
        pair.until_quiet();
    }
}

/// Who dials does not wait for the other side to notice; who is dialled has to, and the keepalive does.
#[test]
fn a_link_that_only_one_side_knows_to_be_cut_is_resumed() {
    let pair = Pair::of_processes(&[]);
    let session = pair.establish(Opening::DataByTwo);
    let cut = |ends, number| {
        let began = Instant::now();
        let halves = pair.way_to_two.cut_towards(ends);
        for site in [&pair.one, &pair.two] {
            until_resumed(site, &[ChannelType::Data], number);
        }
        let took = began.elapsed();
        session.check();
        drop(halves); // what is left of the old connection changes nothing
        session.check();
        took
    };
    let took = cut([End::Finish, End::Silence], 1);
    assert!(took < PROMPT, "{took:?}");
    pair.two.node.until_logged(0, &["to: resuming", "the other DRX resumes the link on a new connection"]);
    let took = cut([End::Silence, End::Reset], 2);
    assert!(took < NOTICED + PROMPT, "{took:?}");
    pair.one.node.until_logged(0, &["to: resuming", "the other DRX was silent"]);
    for channel in in_session(&pair.one).unwrap().into_iter().chain(in_session(&pair.two).unwrap()) {
        let times = if channel.channel_type == Some(ChannelType::Data) { 2 } else { 0 };
        assert_eq!(channel.resumes, times, "{channel:?}");
    }
}

/// bsr, the tables and the JSON say the same of a link that is being resumed.
#[test]
fn a_resume_is_shown() {
    let pair = Pair::of_processes(&[]);
    let session = pair.establish(Opening::DataByTwo);
    pair.way_to_two.close(); // data's
    for site in [&pair.one, &pair.two] {
        until_resuming(site, &[ChannelType::Data]);
        let table = ctl(site, &["connections"]);
        let rows = |word: &str| table.lines().filter(|line| line.contains(word)).count();
        assert_eq!((rows("resuming"), rows("established"), rows("bridged")), (1, 2, 1), "{table}");
        assert!(table.contains("Established : 2"), "{table}");
        let status = ctl(site, &["status", "r0"]);
        assert!(status.contains("is being resumed; bsr stays connected meanwhile"), "{status}");
        assert!(status.contains("resuming"), "{status}");
        let json = ctl(site, &["--json", "connections"]);
        assert!(json.contains("\"resuming\""), "{json}");
    }
    pair.way_to_two.open();
    for site in [&pair.one, &pair.two] {
        until_resumed(site, &[ChannelType::Data], 1);
        let status = ctl(site, &["status", "r0"]);
        assert!(status.contains("everything is connected"), "{status}");
    }
    session.check();
}

/// A round trip takes longer than a dial waits for the one before.
#[test]
fn a_long_line_is_resumed() {
    let pair = Pair::new(|places| Process::start_new(places, &["restart.max=200ms"]));
    for way in [&pair.way_to_one, &pair.way_to_two] {
        way.set_delay(DELAY);
        way.cut(End::Finish); // those that came before
    }
    pair.until_quiet();
    let session = pair.establish(Opening::DataByTwo);
    for number in 1..=3 {
        let dials = pair.way_to_two.dials();
        let began = Instant::now();
        pair.way_to_two.cut(End::Reset);
        for site in [&pair.one, &pair.two] {
            until_resumed(site, &[ChannelType::Data], number);
        }
        let (took, dials) = (began.elapsed(), pair.way_to_two.dials() - dials);
        println!("resumed after {took:.1?}, with {dials} dials");
        assert!(took < 4 * DELAY + PROMPT, "{took:?}");
        session.check();
    }
}

/// Waits until these channels of the session have lost their links, and no other has.
#[track_caller]
fn until_resuming(site: &Site<Process>, types: &[ChannelType]) {
    until_ok(LIMIT, || {
        let channels = in_session(site)?;
        let resuming = |c: &ChannelReport| c.standing == Standing::Resuming && !c.link_up;
        let right = |c: &ChannelReport| types.contains(&c.channel_type.unwrap()) == resuming(c);
        channels.iter().all(right).then_some(()).ok_or_else(|| format!("{channels:?}"))
    });
}

/// Waits until these channels were resumed so often, at least.
#[track_caller]
fn until_resumed(site: &Site<Process>, types: &[ChannelType], times: u64) {
    until_ok(LIMIT, || {
        let channels = in_session(site)?;
        let resumed = |c: &ChannelReport| c.link_up && c.is_established() && c.resumes >= times;
        let right = |c: &ChannelReport| !types.contains(&c.channel_type.unwrap()) || resumed(c);
        channels.iter().all(right).then_some(()).ok_or_else(|| format!("{channels:?}"))
    });
}

fn in_session(site: &Site<Process>) -> Result<Vec<ChannelReport>, String> {
    let channels = site.resource()?.channels;
    Ok(channels.into_iter().filter(|channel| channel.channel_type.is_some()).collect())
}

fn ctl(site: &Site<Process>, arguments: &[&str]) -> String {
    let done = site.node.ctl(arguments);
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap()
}

/// `keepalive_timeout` as it is given by default.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// With the `keepalive_interval` in which it is looked at.
const NOTICED: Duration = Duration::from_secs(5 + 1);
/// `resume_timeout` as it is given by default, and as it is set.
const RESUME: Duration = Duration::from_secs(10);
const RESUME_TIMEOUT: Duration = Duration::from_secs(2);
const DELAY: Duration = Duration::from_millis(400);
/// More than all kernels and windows on the way hold.
const FLUSHED: u64 = 32 << 20;
/// The break is noticed at both sides at once, not at the moment of the test.
const SLACK: Duration = Duration::from_millis(50);
const PROMPT: Duration = Duration::from_secs(2);
