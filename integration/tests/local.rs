//! The side towards bsr, with two real `drxd`: who is let in and when, where dials come from, and how
//! an end is passed on.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use drx_integration::bsr::{End, closed_after, end_of, finish, is_open, reset, stands, until_taken};
use drx_integration::forwarder::Hole;
use drx_integration::pair::{Opening, Pair, Session, Site, check_both_ways, join};
use drx_integration::pattern::{PIECE, Pattern};
use drx_integration::process::Process;
use drx_integration::wait::{LIMIT, until, until_ok};
use drx_protocol::State;
use drx_protocol::first_packet;
use drx_protocol::names::{ChannelType, Lane, Role};

/// Refused means that nobody listens: not once, in as many dials as a hasty bsr makes. A dial that comes
/// in the moment in which the door closes may be reset instead.
#[track_caller]
fn refused(site: &Site<Process>, when: &str) {
    until(format_args!("{when}: inside is closed"), PROMPT, || site.bsr.is_refused().then_some(()));
    for _ in 0..20 {
        let dial = site.bsr.dial();
        let refused = dial.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused);
        assert!(refused, "{when}: {dial:?}");
    }
}

#[test]
fn bsr_is_refused_except_while_it_is_waited_for() {
    let mut pair = Pair::of_processes(&["restart.max=200ms"]);
    // With one lane taken the other one is open; with both, none.
    let session = pair.establish(Opening::BothByOne);
    refused(&pair.one, "both lanes are taken");
    let duplicate = join(&pair.two, &pair.one, ChannelType::Data);
    check_both_ways(&duplicate);
    drop(duplicate);
    drop(session);
    pair.until_quiet();

    // A bsr that has said nothing yet has taken its lane, too.
    let silent = [pair.one.bsr.dial().unwrap(), until_let_in(&pair.one)];
    pair.one.until(Role::Acceptor, Lane::Zero, State::Connected);
    pair.one.until(Role::Acceptor, Lane::One, State::Connected);
    refused(&pair.one, "both lanes wait for a first packet");
    drop(silent);
    pair.until_quiet();

    // The other bsr does not answer: only this lane is taken.
    pair.two.bsr.deafen();
    let early = pair.one.bsr.open(ChannelType::Meta);
    pair.one.until(Role::Acceptor, Lane::Zero, State::Establishing);
    let second = until_let_in(&pair.one);
    drop((early, second));
    pair.two.bsr.listen();
    pair.until_quiet();
    // The connector may have reached it just before the offer was withdrawn: nobody is to take that for new.
    pair.two.bsr.deafen();
    pair.two.bsr.listen();

    // Nobody can be reached behind the relay.
    pair.two.node.kill();
    for lane in [Lane::Zero, Lane::One] {
        pair.one.until(Role::Acceptor, lane, State::Bridging);
    }
    refused(&pair.one, "no link");
    pair.two.node.start();
    pair.until_quiet();

    // An operator wants it so.
    assert!(pair.one.node.ctl(&["down", "--wait", "r0"]).status.success());
    refused(&pair.one, "down");
    pair.two.until(Role::Acceptor, Lane::Zero, State::Bridging);
    refused(&pair.two, "the other relay is down");
    assert!(pair.one.node.ctl(&["up", "r0"]).status.success());
    pair.establish(Opening::DataByTwo);
}

fn until_let_in(site: &Site<Process>) -> TcpStream {
    until_ok(LIMIT, || site.bsr.dial().map_err(|error| error.to_string()))
}

/// While what bsr left behind is flushed the other bsr still has its old connection: bsr is not let in
/// again. Meta closes at the other side only when all of the data has arrived.
#[test]
fn a_flush_keeps_the_doors_shut_and_meta_open() {
    let mut pair = Pair::of_processes(&[]);
    // What waits is to wait in the relays.
    pair.one.bsr.bound_receive_buffer(32 * 1024);
    pair.until_quiet();
    for leave in [finish as fn(&TcpStream), |stream| reset(stream.try_clone().unwrap())] {
        let Session { data: [data_one, data_two], meta: [meta_one, meta_two] } =
            pair.establish(Opening::DataByTwo);
        let pattern = Pattern::new(9);
        pattern.send(&data_two, 0, FLUSHED).unwrap();
        until_taken(&data_two);
        let left = Instant::now();
        leave(&data_two);
        leave(&meta_two);
        drop((data_two, meta_two));
        let pending = pair.two.until(Role::Acceptor, Lane::Zero, State::ClosePending);
        assert!(pending.bab.used > 0, "{:?}", pending.bab);
        refused(&pair.two, "what it left behind is being flushed");
        assert!(is_open(&meta_one), "meta closed before the data was there");

        pattern.check(&data_one, 0, FLUSHED / 2, PIECE).unwrap();
        assert!(is_open(&meta_one), "half of the data is on its way yet");
        assert_eq!(pattern.check_to_end(&data_one, FLUSHED / 2, PIECE), Ok(FLUSHED));
        // A bsr that sees the end of meta drops what it has not read: so its own end says that it has read it all.
        assert!(is_open(&meta_one), "bsr has not said that it has the data");
        let data_ended = Instant::now();
        finish(&data_one);
        assert!(closed_after(&meta_one, data_ended) < PROMPT);
        println!("flushed in {:?}", data_ended - left);
        drop((data_one, meta_one));
        pair.until_quiet();
    }
}

#[test]
fn the_relay_dials_bsr_from_its_inside_address() {
    let pair = Pair::of_processes(&[]);
    let session = pair.establish(Opening::BothByTwo);
    for stream in [&session.data[0], &session.meta[0]] {
        assert_eq!(stream.peer_addr().unwrap().ip(), pair.one.places.inside.ip());
    }
    drop(session);
    pair.until_quiet();
    let session = pair.establish(Opening::BothByOne);
    for stream in [&session.data[1], &session.meta[1]] {
        assert_eq!(stream.peer_addr().unwrap().ip(), pair.two.places.inside.ip());
    }
}

/// The other bsr never hears of who does not say what it opens.
#[test]
fn a_first_packet_is_due_within_five_seconds() {
    let pair = Pair::of_processes(&[]);
    let log = |words: &[&str]| pair.one.node.until_logged(0, words);

    // Both wait for their five seconds side by side, each on its lane.
    let began = Instant::now();
    let silent = pair.one.bsr.dial().unwrap();
    let mut half = until_let_in(&pair.one);
    half.write_all(&first_packet::bytes(ChannelType::Data)[..7]).unwrap();
    for (stream, name) in [(&silent, "silent"), (&half, "half")] {
        let waited = closed_after(stream, began);
        assert!(waited > FIRST_PACKET - SLACK && waited < FIRST_PACKET + SLACK, "{name}: {waited:?}");
    }
    log(&["WARN refused: no first packet in time", "came: nothing", "expected: 83 74 02 67 ff f1|f2 00 00"]);
    log(&["WARN refused: no first packet in time", "came: 83 74 02 67 ff f2 00"]);
    pair.until_quiet();

    // What cannot become one is not waited for.
    let began = Instant::now();
    let mut strange = pair.one.bsr.dial().unwrap();
    strange.write_all(b"\x83\x74\x02\x67\xff\xf3").unwrap();
    assert!(closed_after(&strange, began) < PROMPT);
    log(&["WARN refused: not a bsr", "83 74 02 67 ff f3"]);
    pair.until_quiet();

    // Who leaves before has done nothing wrong.
    let lines = pair.one.node.log_lines();
    drop(pair.one.bsr.dial().unwrap());
    pair.one.node.until_logged(lines, &["DEBG closed before its first packet"]);
    assert!(!pair.one.node.log().since(lines).says(&["WARN"]));
    pair.until_quiet();

    assert!(pair.two.bsr.is_left_alone());
    assert!(!pair.two.node.log().says(&["channel: connector", "to: establishing"]));

    // One byte at a time is still a first packet, and what follows it is not lost.
    let mut slow = pair.one.bsr.dial().unwrap();
    for byte in first_packet::bytes(ChannelType::Meta) {
        slow.write_all(&[byte]).unwrap();
        until_taken(&slow);
    }
    slow.write_all(b"at once").unwrap();
    let (opened, taken) = pair.two.bsr.take();
    assert_eq!(opened, ChannelType::Meta);
    let mut came = [0; 7];
    std::io::Read::read_exact(&mut &taken, &mut came).unwrap();
    assert_eq!(&came, b"at once");
}

/// Whoever closes, whatever and however: the other ends of it close at once, and of its partner, too.
#[test]
fn an_end_is_passed_on_at_once() {
    let pair = Pair::of_processes(&[]);
    for opening in [Opening::DataByTwo, Opening::BothByOne] {
        for leaving in 0..4 {
            for hard in [false, true] {
                let Session { data: [a, b], meta: [c, d] } = pair.establish(opening);
                let mut ends = vec![a, b, c, d];
                let left = ends.remove(leaving);
                let began = Instant::now();
                if hard {
                    reset(left)
                } else {
                    drop(left)
                }
                // Each bsr closes what the relay closes, as it comes.
                thread::scope(|scope| {
                    for end in ends {
                        scope.spawn(move || {
                            let took = closed_after(&end, began);
                            assert!(took < PROMPT, "{opening:?}, {leaving} left, {hard}: {took:?}");
                        });
                    }
                });
                pair.until_quiet();
            }
        }
    }
}

/// Half a close is a close: what the other side sends afterwards is not waited for.
#[test]
fn an_end_of_file_in_one_direction_ends_both() {
    let pair = Pair::of_processes(&[]);
    let session = pair.establish(Opening::DataByTwo);
    let began = Instant::now();
    finish(&session.data[0]);
    for end in session.ends() {
        assert!(closed_after(end, began) < PROMPT);
        finish(end);
    }
}

/// Whatever bsr had sent before it closed arrives, in both directions of closing.
#[test]
fn what_was_sent_before_a_close_arrives() {
    let pair = Pair::of_processes(&[]);
    let pattern = Pattern::new(4);
    for volume in [1, 4096, 3_000_000, 40 << 20] {
        for hard in [false, true] {
            let Session { data: [data_one, data_two], meta } = pair.establish(Opening::DataByTwo);
            let reading = thread::spawn(move || pattern.check_to_end(&data_one, 0, PIECE));
            pattern.send(&data_two, 0, volume).unwrap();
            // A reset takes along what is still in bsr's own kernel: that is bsr's loss.
            until_taken(&data_two);
            if hard {
                reset(data_two)
            } else {
                drop(data_two)
            }
            assert_eq!(reading.join().unwrap(), Ok(volume), "hard: {hard}");
            for end in &meta {
                assert_eq!(end_of(end).1, 0);
            }
            drop(meta);
            pair.until_quiet();
        }
    }
}

/// A relay dies: without a resume to wait for the other one tells its bsr at once, and comes back with it.
#[test]
fn a_relay_that_dies_takes_its_sessions_along() {
    let mut pair = Pair::of_processes(&["restart.max=200ms", "link.resume_timeout=0"]);
    for (victim, opening) in [(0, Opening::DataByTwo), (1, Opening::BothByOne), (1, Opening::DataByOne)] {
        let session = pair.establish(opening);
        let began = Instant::now();
        let dead = if victim == 0 { &mut pair.one.node } else { &mut pair.two.node };
        dead.kill();
        let Session { data, meta } = session;
        thread::scope(|scope| {
            for end in data.into_iter().chain(meta) {
                scope.spawn(move || {
                    let took = closed_after(&end, began);
                    assert!(took < PROMPT, "{took:?}");
                });
            }
        });
        let began = Instant::now();
        dead.start();
        pair.establish(opening);
        println!("established again {:?} after its start", began.elapsed());
        pair.until_quiet();
    }
}

/// A line that goes silent is noticed by the keepalive alone.
#[test]
fn a_silent_line_ends_the_session() {
    let pair = Pair::of_processes(&[
        "link.keepalive_interval=200ms",
        "link.keepalive_timeout=1s",
        "link.resume_timeout=0",
        "restart.max=200ms",
    ]);
    let session = pair.establish(Opening::DataByTwo);
    pair.way_to_one.block(Hole::WHOLE);
    pair.way_to_two.block(Hole::WHOLE);
    let began = Instant::now();
    for end in session.ends() {
        let took = closed_after(end, began);
        assert!(took < Duration::from_secs(1) + SLACK, "{took:?}");
        finish(end);
    }
    drop(session);
    pair.way_to_one.unblock();
    pair.way_to_two.unblock();
    pair.establish(Opening::DataByTwo);
}

/// An address that somebody else has is said to be so, and had as soon as it is free.
#[test]
fn a_taken_address_is_tried_again() {
    let mut taken = Vec::new();
    let pair = Pair::new(|places| {
        if places.node == "node2" {
            for address in [places.inside, places.outside] {
                taken.push(std::net::TcpListener::bind(address).unwrap());
            }
        }
        Process::start_new(places, &["restart.max=200ms"])
    });
    let troubles = |part: &str| {
        until(format_args!("trouble with {part}"), LIMIT, || {
            let resource = pair.two.resource().ok()?;
            resource.trouble.iter().any(|trouble| trouble.contains(part)).then_some(())
        });
    };
    troubles("cannot listen on outside");
    let outside = taken.pop().unwrap();
    drop(outside);
    pair.two.until(Role::Acceptor, Lane::Zero, State::Waiting);
    troubles("cannot listen on inside");
    taken.clear();
    pair.establish(Opening::DataByTwo);
    until_ok(LIMIT, || {
        let trouble = pair.two.resource()?.trouble;
        trouble.is_empty().then_some(()).ok_or_else(|| format!("{trouble:?}"))
    });
}

/// Data that nobody reads fills the relays and no more, and is not lost.
#[test]
fn a_full_relay_stops_reading_and_nothing_else() {
    let mut pair = Pair::of_processes(&["bab.size=1MiB", "link.window=128KiB"]);
    pair.one.bsr.bound_receive_buffer(32 * 1024);
    let Session { data: [data_one, data_two], meta } = pair.establish(Opening::DataByTwo);
    let pattern = Pattern::new(6);
    let writing = thread::spawn(move || {
        pattern.send(&data_two, 0, FLUSHED).unwrap();
        finish(&data_two);
        data_two
    });
    until_ok(LIMIT, || {
        let bab = pair.two.channel(Role::Acceptor, Lane::Zero)?.bab;
        (bab.used == bab.size).then_some(()).ok_or_else(|| format!("{bab:?}"))
    });
    check_both_ways(&meta);
    assert!(stands(&data_one));
    assert_eq!(pattern.check_to_end(&data_one, 0, PIECE), Ok(FLUSHED));
    assert_eq!(end_of(&writing.join().unwrap()).0, End::Finished);
}

/// "Promptly" (docs/channels.md 2, rule 7).
const PROMPT: Duration = Duration::from_secs(1);
/// What bsr has for its first packet.
const FIRST_PACKET: Duration = Duration::from_secs(5);
/// How late a timer may be on a machine that has other work.
const SLACK: Duration = Duration::from_millis(1500);
/// More than all kernels on the way hold.
const FLUSHED: u64 = 32 << 20;
