//! A link that is lost where nothing is resumed, to the letter: data is in `close_pending` until bsr has all
//! that was received, meta waits for it, and both begin anew.
#![allow(clippy::unwrap_used)]

use drx_integration::bsr::{end_of, is_open, until_read};
use drx_integration::forwarder::{End, Forwarder};
use drx_integration::pair::{Opening, Pair, Session, Site};
use drx_integration::pattern::{PIECE, Pattern};
use drx_integration::process::Process;
use drx_integration::wait::{LIMIT, until, until_ok};
use drx_protocol::State;
use drx_protocol::names::{Lane, Role};

#[test]
fn both_links_are_lost() {
    lost(|pair| vec![&pair.way_to_one, &pair.way_to_two], [BRIDGING, BRIDGING]);
}

#[test]
fn the_link_of_data_is_lost() {
    lost(|pair| vec![&pair.way_to_two], [BRIDGING, KEPT]);
}

#[test]
fn the_link_of_meta_is_lost() {
    lost(|pair| vec![&pair.way_to_one], [KEPT, BRIDGING]);
}

/// Cuts these ways while bytes wait at both sides; data and meta go through `stopped` to there.
fn lost(ways: impl Fn(&Pair<Process>) -> Vec<&Forwarder>, [data_goes, meta_goes]: [&[&str]; 2]) {
    let mut pair = Pair::of_processes(&["restart.max=200ms", "link.resume_timeout=0"]);
    pair.one.bsr.bound_receive_buffer(32 * 1024);
    let Session { data: [data_one, data_two], meta: [meta_one, meta_two] } =
        pair.establish(Opening::DataByTwo);
    let pattern = Pattern::new(3);
    pattern.send(&data_two, 0, SENT).unwrap();
    // The far side has what it granted, and bsr there does not read.
    until_read(&data_two);
    let (mut last, mut same) = (0, 0);
    until("nothing moves", LIMIT, || {
        let came = pair.one.channel(Role::Connector, Lane::Zero).unwrap().bytes_in;
        same = if came == last { same + 1 } else { 0 };
        last = came;
        (same >= LOOKS).then_some(())
    });
    ways(&pair).into_iter().for_each(|way| way.cut(End::Reset));
    let came = pair.one.until(Role::Connector, Lane::Zero, State::ClosePending).bytes_in - GREETED;
    assert!(came < SENT, "nothing is lost with the link");
    pair.one.until(Role::Acceptor, Lane::Zero, State::Stopping);
    assert!(is_open(&meta_one), "meta closed before the data was there");
    assert_eq!(pattern.check_to_end(&data_one, 0, PIECE), Ok(came));
    for end in [&data_two, &meta_one, &meta_two] {
        assert_eq!(end_of(end).1, 0);
    }
    drop((data_one, data_two, meta_one, meta_two));
    pair.until_quiet();

    for site in [&pair.one, &pair.two] {
        let (data, meta) = match site.places.node.as_str() {
            "node1" => (Role::Connector, Role::Acceptor),
            _ => (Role::Acceptor, Role::Connector),
        };
        let by_data = ["established -> close_pending", "close_pending -> stopping", "stopping -> stopped"];
        until_steps(site, data, &by_data, data_goes);
        until_steps(site, meta, &["established -> stopping", "stopping -> stopped"], meta_goes);
        let log = site.node.log();
        let at = |role, step: &str| {
            log.transitions().position(|t| t.role == role && t.lane == "0" && t.to_string() == step)
        };
        assert!(at(data, "close_pending -> stopping") < at(meta, "stopping -> stopped"), "{log}");
    }
}

/// Waits until the log has these steps of the session's end, and no other.
#[track_caller]
fn until_steps(site: &Site<Process>, role: Role, ends: &[&str], goes: &[&str]) {
    let idle = match role {
        Role::Acceptor => "waiting",
        Role::Connector => "connecting",
    };
    let goes = goes.iter().map(|step| step.replace("idle", idle));
    let expected: Vec<_> = ends.iter().map(ToString::to_string).chain(goes).collect();
    until_ok(LIMIT, || {
        let log = site.node.log();
        let steps = log.transitions().filter(|step| step.role == role && step.lane == "0");
        let steps: Vec<_> = steps.map(|step| step.to_string()).collect();
        let up = steps.iter().position(|step| step == "establishing -> established");
        let since = up.map_or(&[][..], |up| &steps[up + 1..]);
        (since == expected).then_some(()).ok_or_else(|| format!("{role}: {since:?}, not {expected:?}"))
    });
}

const BRIDGING: &[&str] = &["stopped -> bridging", "bridging -> bridged", "bridged -> idle"];
/// A link that stands carries the next session.
const KEPT: &[&str] = &["stopped -> idle"];
/// More than a window and all kernels on the way hold, less than the BAB does.
const SENT: u64 = 32 << 20;
/// Looks without a change, some 100 ms.
const LOOKS: u32 = 30;
/// What a session says when it is checked.
const GREETED: u64 = 8;
