//! A far side that stalls until the BAB is full, against the clock in the kernel of the bsr that sends.
#![allow(clippy::unwrap_used)]

use std::io::ErrorKind;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use drx_integration::pair::{Node, Opening, Pair, Site};
use drx_integration::pattern::{PIECE, Pattern};
use drx_integration::process::Process;
use drx_integration::wait::{LIMIT, until, until_ok};
use drx_protocol::names::ChannelType;
use drx_protocol::report::BabReport;
use socket2::SockRef;

/// With the sizes that are given by default. It takes 40 s: that long bsr's own request timer waits.
#[test]
fn a_far_side_that_stalls_for_30_s_costs_bsr_no_connection() {
    let pair = Pair::of_processes(&[]);
    let session = pair.establish(Opening::DataByTwo);
    let [far, near] = &session.data;
    impatient(near);
    let pattern = Pattern::new(5);
    thread::scope(|scope| {
        let sender = scope.spawn(move || pattern.send(near, 0, VOLUME));
        until_ok(LIMIT, || {
            let bab = data_bab(&pair.two)?;
            bab.dripping.then_some(()).ok_or_else(|| format!("bsr is not read in drips: {bab:?}"))
        });
        let began = Instant::now();
        while began.elapsed() < STALL {
            assert!(!sender.is_finished(), "bsr's connection ended after {:.1?}", began.elapsed());
            let bab = data_bab(&pair.two).unwrap();
            assert!(bab.dripping && bab.used < bab.size, "{bab:?} after {:.1?}", began.elapsed());
            thread::sleep(Duration::from_secs(1));
        }
        let status = pair.two.node.ctl(&["status", "r0"]);
        let status = String::from_utf8(status.stdout).unwrap();
        assert!(
            status.contains("bsr is read in drips") && status.contains("the BAB is full in "),
            "{status}"
        );

        pattern.check(far, 0, VOLUME, PIECE).expect("everything arrives");
        sender.join().unwrap().expect("everything is taken");
    });
    session.check();
    let log = || pair.two.node.log();
    let says = |words: &'static str| log().lines().filter(|line| line.contains(words)).count();
    until("the log says that it is over", LIMIT, || (says("not read in drips any more") == 1).then_some(()));
    assert_eq!(says("bsr is read in drips,"), 1, "{}", log());
    assert_eq!(says("bsr is not read until there is room"), 0, "{}", log());
}

/// What the test above is for: the same stall without a reserve.
#[test]
fn without_a_reserve_bsr_loses_its_connection() {
    let pair = Pair::of_processes(&["bab.size=1MiB", "bab.reserve=0"]);
    let session = pair.establish(Opening::DataByTwo);
    let [_, near] = &session.data;
    impatient(near);
    let began = Instant::now();
    let error = Pattern::new(5).send(near, 0, VOLUME).expect_err("nobody reads");
    println!("without a reserve: {error} after {:.1?}", began.elapsed());
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

/// As BSR sets it up.
fn impatient(bsr: &TcpStream) {
    SockRef::from(bsr).set_tcp_user_timeout(Some(USER_TIMEOUT)).unwrap();
    bsr.set_write_timeout(None).unwrap();
}

fn data_bab(site: &Site<Process>) -> Result<BabReport, String> {
    let resources = site.node.report()?.resources;
    let mut channels = resources.into_iter().flat_map(|resource| resource.channels);
    let data = channels.find(|channel| channel.channel_type == Some(ChannelType::Data));
    data.map(|channel| channel.bab).ok_or_else(|| "no data channel".to_owned())
}

/// BSR's on its data socket, with a kernel of 250 ticks a second.
const USER_TIMEOUT: Duration = Duration::from_millis(1250);
/// After so long bsr gives up by itself: no acknowledgement of a request.
const STALL: Duration = Duration::from_secs(30);
/// More than the BAB and the kernels on the way take in that time: 48 MiB, 11 in drips, and about 10.
const VOLUME: u64 = 96 << 20;
