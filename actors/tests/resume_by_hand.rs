//! A resume that another DRX asks for, frame by frame (docs/link.md 5 and 6).
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::by_hand::{self, Dialled, hello};
use common::{Site, resource, simulated, site};
use drx_actors::net::{MemoryNet, Stream};
use drx_protocol::State;
use drx_protocol::ending::{EndReason, Ending};
use drx_protocol::frame::{Credit, Frame};
use drx_protocol::handshake::{Hello, Refusal};
use drx_protocol::names::ChannelType::Data;
use drx_protocol::names::{Attempt, Epoch, Lane, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

/// A channel of node1's acceptor that carries bytes for a DRX played by hand.
struct Carried {
    one: Site,
    bsr: Box<dyn Stream>,
    link: Dialled,
    attempt: Attempt,
}

async fn carried() -> Carried {
    let mut settings = resource("r0", 1, 2, 7789);
    settings.link.resume_timeout = Duration::from_secs(10);
    let one = site(&Arc::new(MemoryNet::new()), "node1", vec![settings]);
    let (link, bsr, attempt) = by_hand::carried(&one).await;
    Carried { one, bsr, link, attempt }
}

/// The HELLO that asks to go on with that link from `next_offset`.
fn resume(number: u64, attempt: Attempt, next_offset: u64) -> Hello {
    Hello { link: hello(1).link, resume: Some(attempt), next_offset, ..hello(number) }
}

async fn closed(bsr: &mut dyn Stream) {
    let mut rest = Vec::new();
    timeout(Duration::from_secs(1), bsr.read_to_end(&mut rest)).await.expect("bsr is closed").unwrap();
}

/// The payload of the DATA that comes next, up to so many bytes, and where it begins.
async fn data(link: &mut Dialled, length: usize) -> (u64, Vec<u8>) {
    let (mut start, mut got) = (None, Vec::new());
    while got.len() < length {
        let frame = link.hears("data", |frame| matches!(frame, Frame::Data { .. })).await;
        let Frame::Data { offset, payload, .. } = frame else { continue };
        assert_eq!(offset, *start.get_or_insert(offset) + got.len() as u64);
        got.extend_from_slice(&payload.into_bytes());
    }
    (start.unwrap(), got)
}

#[test]
fn each_side_sends_from_what_the_other_expects_and_nothing_reaches_bsr_twice() {
    simulated(async {
        let Carried { mut bsr, one, mut link, attempt } = carried().await;
        bsr.write_all(b"0123456789").await.unwrap();
        assert_eq!(data(&mut link, 10).await, (0, b"0123456789".to_vec()));
        link.data(attempt, 0, b"abcdef").await;
        let mut got = [0; 6];
        bsr.read_exact(&mut got).await.unwrap();
        drop(link);
        // It has taken four of the ten bytes, and does not know that all six of its own arrived.
        let mut link = Dialled::with(&one, resume(2, attempt, 4)).await.unwrap();
        assert_eq!((link.welcome.resumed, link.welcome.next_offset), (Some(attempt), 6));
        assert_eq!(data(&mut link, 6).await, (4, b"456789".to_vec()));
        link.data(attempt, 4, b"efgh").await;
        let mut got = [0; 2];
        bsr.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"gh");
        let report = one.channel(Role::Acceptor, Lane::Zero).await;
        assert_eq!((report.bytes_out, report.bytes_in, report.resumes), (10, 8, 1), "each byte counts once");
    });
}

/// The last acknowledgement before the break may be lost, and nothing else need ever come.
#[test]
fn what_is_written_is_acknowledged_anew_at_once() {
    simulated(async {
        let Carried { mut bsr, one, mut link, attempt } = carried().await;
        link.data(attempt, 0, b"abcdef").await;
        let mut got = [0; 6];
        bsr.read_exact(&mut got).await.unwrap();
        drop(link);
        let mut link = Dialled::with(&one, resume(2, attempt, 0)).await.unwrap();
        let ack = link.hears("an acknowledgement", |frame| matches!(frame, Frame::Ack { .. })).await;
        assert_eq!(ack.credit().unwrap().acknowledged, 6);
    });
}

#[test]
fn what_is_not_held_any_more_cannot_be_asked_for() {
    simulated(async {
        for asked in [4, 11] {
            let Carried { mut bsr, one, mut link, attempt } = carried().await;
            bsr.write_all(b"0123456789").await.unwrap();
            data(&mut link, 10).await;
            link.say(Frame::Ack { attempt, credit: Credit { acknowledged: 5, window: 1 << 20 } }).await;
            one.eventually("five bytes are acknowledged", async |site| {
                site.channel(Role::Acceptor, Lane::Zero).await.bab.used == 5
            })
            .await;
            let refused = Dialled::with(&one, resume(2, attempt, asked)).await.err().unwrap();
            assert_eq!(refused.refusal, Refusal::UnknownLink, "{asked}");
            assert!(refused.sentence().contains(&format!("byte {asked}")), "{}", refused.sentence());
            closed(&mut *bsr).await;
        }
    });
}

#[test]
fn another_life_or_another_attempt_is_not_resumed_and_ends_the_round() {
    simulated(async {
        type Spoil = fn(&mut Hello);
        let spoils: [Spoil; 2] =
            [|hello| hello.epoch = Epoch { started: 2, counter: 0 }, |hello| hello.resume = Some(7)];
        for spoil in spoils {
            let Carried { mut bsr, one, link: _link, attempt } = carried().await;
            let mut hello = resume(2, attempt, 0);
            spoil(&mut hello);
            let refused = Dialled::with(&one, hello).await.err().unwrap();
            assert_eq!(refused.refusal, Refusal::UnknownLink);
            closed(&mut *bsr).await;
        }
    });
}

#[test]
fn another_link_or_a_late_dial_changes_nothing() {
    simulated(async {
        let Carried { mut bsr, one, mut link, attempt } = carried().await;
        let other = Hello { resume: Some(attempt), ..hello(2) };
        let late = resume(1, attempt, 0);
        for hello in [other, late] {
            let refused = Dialled::with(&one, hello).await.err().unwrap();
            assert_eq!(refused.refusal, Refusal::UnknownLink);
        }
        bsr.write_all(b"still").await.unwrap();
        assert_eq!(data(&mut link, 5).await, (0, b"still".to_vec()));
    });
}

#[test]
fn a_damaged_frame_costs_the_connection_once_and_the_session_if_it_is_damaged_again() {
    simulated(async {
        let Carried { mut bsr, one, mut link, attempt } = carried().await;
        link.stream.write_all(&[0xee; 40]).await.unwrap();
        let last = link.rest().await.pop();
        let Some(Frame::Abort { attempt: 0, ending }) = last else { panic!("it said {last:?}") };
        assert_eq!(ending.reason, EndReason::Protocol);
        // What follows is whole: the session goes on, and may meet another damage later.
        for number in 2..4 {
            let at = (number - 2) * 3;
            let mut link = Dialled::with(&one, resume(number, attempt, 0)).await.unwrap();
            assert_eq!(link.welcome.next_offset, at);
            link.data(attempt, at, b"new").await;
            let mut got = [0; 3];
            bsr.read_exact(&mut got).await.unwrap();
            link.stream.write_all(&[0xee; 40]).await.unwrap();
            link.rest().await;
        }
        let mut link = Dialled::with(&one, resume(4, attempt, 0)).await.unwrap();
        link.stream.write_all(&[0xee; 40]).await.unwrap();
        closed(&mut *bsr).await;
    });
}

#[test]
fn a_resume_is_not_told_to_come_again_by_a_relay_that_is_down() {
    simulated(async {
        let Carried { one, attempt, link, .. } = carried().await;
        drop(link);
        let down =
            drx_actors::api::Operate { verb: drx_actors::api::Verb::Down, name: "r0".into(), wait: true };
        one.relay.send(down).await.unwrap().unwrap();
        let refused = Dialled::with(&one, resume(2, attempt, 0)).await.err().unwrap();
        assert_eq!(refused.refusal, Refusal::UnknownLink);
    });
}

#[test]
fn a_late_dial_of_an_epoch_that_is_over_changes_nothing_on_the_other_lane() {
    simulated(async {
        let mut settings = resource("r0", 1, 2, 7789);
        settings.link.resume_timeout = Duration::from_secs(10);
        let one = site(&Arc::new(MemoryNet::new()), "node1", vec![settings]);
        let old = |number| Hello { lane: Lane::One, ..hello(number) };
        let new = |number| Hello { epoch: Epoch { started: 2, counter: 0 }, ..hello(number) };
        let first = Dialled::with(&one, old(1)).await.unwrap();
        drop(first);
        let mut link = Dialled::with(&one, new(1)).await.unwrap();
        let mut bsr = one.open(Data).await;
        let attempt = link.offered().await;
        link.established(attempt).await;
        one.until(Role::Acceptor, Lane::Zero, State::Established).await;
        one.until(Role::Acceptor, Lane::One, State::Bridging).await;
        let refused = Dialled::with(&one, old(2)).await.err().unwrap();
        assert_eq!(refused.refusal, Refusal::Busy);
        assert!(
            timeout(Duration::from_secs(1), bsr.read_u8()).await.is_err(),
            "a dial from before ended a session"
        );
    });
}

#[test]
fn a_word_about_one_connection_is_not_said_of_another() {
    simulated(async {
        let Carried { mut bsr, one, mut link, attempt } = carried().await;
        link.say(Frame::Abort { attempt: 0, ending: Ending::new(EndReason::Protocol) }).await;
        sleep(Duration::from_secs(1)).await;
        let mut link = Dialled::with(&one, resume(2, attempt, 0)).await.unwrap();
        link.say(Frame::Abort { attempt, ending: Ending::new(EndReason::Failure) }).await;
        let mut rest = Vec::new();
        bsr.read_to_end(&mut rest).await.unwrap();
        drop(bsr);
        one.until(Role::Acceptor, Lane::Zero, State::Waiting).await;
        drop(link);
        one.until(Role::Acceptor, Lane::Zero, State::Bridging).await;
        let last = one.channel(Role::Acceptor, Lane::Zero).await.last_stop.unwrap();
        assert!(!last.contains("the other DRX closed the link: "), "{last}");
    });
}

#[test]
fn two_damages_a_minute_apart_are_two() {
    simulated(async {
        let Carried { mut bsr, one, mut link, attempt } = carried().await;
        link.stream.write_all(&[0xee; 40]).await.unwrap();
        link.rest().await;
        let mut link = Dialled::with(&one, resume(2, attempt, 0)).await.unwrap();
        // This direction carries nothing but acknowledgements, for more than a minute.
        for n in 0..61u64 {
            bsr.write_all(b"x").await.unwrap();
            link.hears("data", |frame| matches!(frame, Frame::Data { .. })).await;
            link.say(Frame::Ack { attempt, credit: Credit { acknowledged: n + 1, window: 1 << 20 } }).await;
            sleep(Duration::from_secs(1)).await;
        }
        link.stream.write_all(&[0xee; 40]).await.unwrap();
        link.rest().await;
        Dialled::with(&one, resume(3, attempt, 61))
            .await
            .expect("another frame was damaged, not the same again");
    });
}

/// A box on the way may let handshakes through and reset on what follows.
#[test]
fn a_line_that_carries_nothing_but_handshakes_is_no_line() {
    simulated(async {
        for sends in [false, true] {
            let Carried { mut bsr, one, link, attempt } = carried().await;
            drop(link);
            if sends {
                bsr.write_all(b"0123456789").await.unwrap();
            }
            let (started, mut resumed) = (Instant::now(), 0);
            let mut number = 2;
            while let Ok(mut link) = Dialled::with(&one, resume(number, attempt, 0)).await {
                if sends {
                    link.hears("a state", |frame| matches!(frame, Frame::State { .. })).await;
                }
                (number, resumed) = (number + 1, resumed + 1);
            }
            closed(&mut *bsr).await;
            assert!(started.elapsed() < Duration::from_secs(11), "{:?}", started.elapsed());
            assert!((20..=110).contains(&resumed), "{resumed} resumes in 10 s");
        }
    });
}
