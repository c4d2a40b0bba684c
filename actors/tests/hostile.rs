//! Another DRX that does what none should, or that is interrupted at the worst moment.
#![allow(clippy::disallowed_methods, reason = "tests play the world around the actors")]
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::by_hand::{Dialled, carried};
use common::{Site, resource, simulated, site};
use drx_actors::api::{Operate, Verb};
use drx_actors::net::{Listener, MemoryNet, Net, SocketOptions, Stream};
use drx_protocol::ending::{EndReason, Ending};
use drx_protocol::frame::{Credit, Frame, Payload, StateCode};
use drx_protocol::handshake::{Answer, Hello, Needed, VERSION, Welcome, needed};
use drx_protocol::names::ChannelType::Data;
use drx_protocol::names::{Epoch, Lane, Role};
use drx_protocol::{Standing, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

fn alone() -> Site {
    site(&Arc::new(MemoryNet::new()), "node1", vec![resource("r0", 1, 2, 7789)])
}

/// A link on which a round was aborted while the other DRX did not read: so it cannot be emptied.
async fn stuffed_link(one: &Site) -> Dialled {
    let (mut link, mut bsr, attempt) = carried(one).await;
    bsr.write_all(&vec![7; 400_000]).await.unwrap();
    let ending = Ending::new(EndReason::Failure);
    link.say(Frame::Abort { attempt, ending }).await;
    let mut rest = Vec::new();
    bsr.read_to_end(&mut rest).await.unwrap();
    drop(bsr);
    one.until(Role::Acceptor, Lane::Zero, State::Waiting).await;
    link
}

/// "What was already received is still written to the local bsr": received by the kernel, too.
#[test]
fn what_the_other_drx_sent_before_it_died_is_written_though_nothing_can_be_sent_to_it() {
    simulated(async {
        let one = alone();
        let mut link = Dialled::to(&one, 1).await;
        let mut bsr = one.open(Data).await;
        let attempt = link.offered().await;
        link.established(attempt).await;
        let established = StateCode(Standing::In(State::Established).code());
        link.hears("its state", |frame| matches!(frame, Frame::State { state, .. } if *state == established))
            .await;
        // All of this at one moment: nothing is unread at the other DRX, so it does not reset the link.
        bsr.write_all(&[1; 10_000]).await.unwrap();
        link.data(attempt, 0, &[2; 50_000]).await;
        drop(link);
        let mut got = vec![0; 50_000];
        bsr.read_exact(&mut got).await.unwrap();
        assert!(got.iter().all(|&byte| byte == 2));
    });
}

/// The first round of each link has the number 1.
#[test]
fn bytes_of_a_link_that_was_replaced_do_not_reach_the_next_bsr() {
    simulated(async {
        let one = alone();
        let mut old = stuffed_link(&one).await;
        let mut new = Dialled::to(&one, 2).await;
        let mut bsr = one.open(Data).await;
        let attempt = new.offered().await;
        assert_eq!(attempt, 1);
        old.data(attempt, 0, b"of the old link").await;
        new.established(attempt).await;
        one.until(Role::Acceptor, Lane::Zero, State::Established).await;
        new.data(attempt, 0, b"of the new link").await;
        let mut got = [0; 15];
        bsr.read_exact(&mut got).await.unwrap();
        assert_eq!(std::str::from_utf8(&got).unwrap(), "of the new link");
    });
}

/// The last words of a channel that is going down are given two seconds, whatever comes meanwhile.
#[test]
fn a_channel_goes_down_though_its_link_neither_drains_nor_keeps_to_the_protocol() {
    simulated(async {
        let one = alone();
        let mut link = stuffed_link(&one).await;
        let down = one.relay.send(Operate { verb: Verb::Down, name: "r0".into(), wait: true });
        let nonsense = async {
            one.until(Role::Acceptor, Lane::Zero, State::Stopped).await;
            link.stream.write_all(&[0xff; 100]).await.unwrap();
        };
        let both = async { tokio::join!(down, nonsense) };
        let (down, ()) = timeout(Duration::from_secs(70), both).await.expect("it never went down");
        down.unwrap().unwrap();
    });
}

/// Who acknowledges what was never sent is not to be trusted with what follows.
#[test]
fn nothing_is_taken_behind_a_violation() {
    simulated(async {
        let one = alone();
        let (mut link, mut bsr, attempt) = carried(&one).await;
        link.say(Frame::Ack { attempt, credit: Credit { acknowledged: 1, window: 0 } }).await;
        link.data(attempt, 0, b"forged").await;
        let mut got = Vec::new();
        bsr.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"");
    });
}

/// What a future does when it ends is done even if it was cancelled in the same turn.
#[test]
fn a_dial_to_bsr_that_ends_while_its_offer_is_withdrawn_leaves_no_connection() {
    simulated(async {
        let net = Arc::new(MemoryNet::new());
        let outside = "10.77.9.2:7780".parse().unwrap();
        let mut outside = net.listen(outside, 8, &SocketOptions::link()).await.unwrap();
        let one = site(&net, "node1", vec![resource("r0", 1, 2, 7789)]);
        let mut bsr = one.listen().await;
        let mut link = dialled_by(&mut outside).await;
        let _other_lane = dialled_by(&mut outside).await;
        let credit = Credit { acknowledged: 0, window: 1 << 20 };
        let offer = Frame::Offer { attempt: 1, credit, channel: Data };
        let withdrawn = Frame::Abort { attempt: 1, ending: Ending::new(EndReason::BsrClosed) };
        link.write_all(&[&offer.head(true)[..], &withdrawn.head(true)[..]].concat()).await.unwrap();
        let (mut taken, _) =
            timeout(Duration::from_secs(1), bsr.accept()).await.expect("it is dialled").unwrap();
        let closed = timeout(Duration::from_secs(1), taken.read_to_end(&mut Vec::new())).await;
        assert!(closed.is_ok(), "bsr has a connection that nobody knows of");
    });
}

/// The newest dial may be on a connection that is dead: then it is not waited for as long as it lives.
#[test]
fn a_resume_does_not_wait_for_a_dial_that_nobody_answers() {
    simulated(async {
        let net = Arc::new(MemoryNet::new());
        let outside = "10.77.9.2:7780".parse().unwrap();
        let mut outside = net.listen(outside, 8, &SocketOptions::link()).await.unwrap();
        let mut settings = resource("r0", 1, 2, 7789);
        settings.link.resume_timeout = Duration::from_secs(10);
        let one = site(&net, "node1", vec![settings]);
        let mut bsr = one.listen().await;
        let lanes = [dialled_by(&mut outside).await, dialled_by(&mut outside).await];
        let [mut link, _other_lane] = lanes;
        let credit = Credit { acknowledged: 0, window: 1 << 20 };
        link.write_all(&Frame::Offer { attempt: 1, credit, channel: Data }.head(true)).await.unwrap();
        let (_bsr, _) = bsr.accept().await.unwrap();
        one.until(Role::Connector, Lane::Zero, State::Established).await;
        drop(link);
        let (mut first, hello) = hears(&mut outside).await;
        let (_second, newer) = hears(&mut outside).await;
        assert!(newer.dial > hello.dial && hello.resume == Some(1));
        first.write_all(&welcome(&hello)).await.unwrap();
        let third = async {
            loop {
                let (mut stream, _) = outside.accept().await.unwrap();
                let mut byte = [0];
                if matches!(timeout(Duration::from_millis(100), stream.read(&mut byte)).await, Ok(Ok(1))) {
                    return;
                }
            }
        };
        timeout(Duration::from_secs(3), third).await.expect("no other HELLO came");
    });
}

/// The other DRX takes a dial.
async fn dialled_by(outside: &mut Box<dyn Listener>) -> Box<dyn Stream> {
    let (mut stream, hello) = hears(outside).await;
    stream.write_all(&welcome(&hello)).await.unwrap();
    stream
}

async fn hears(outside: &mut Box<dyn Listener>) -> (Box<dyn Stream>, Hello) {
    let (mut stream, _) = outside.accept().await.unwrap();
    let mut hello = Vec::new();
    while let Needed::More(more) = needed(&hello).unwrap() {
        let start = hello.len();
        hello.resize(start + more, 0);
        stream.read_exact(&mut hello[start..]).await.unwrap();
    }
    (stream, Hello::decode(&hello).unwrap())
}

fn welcome(hello: &Hello) -> Vec<u8> {
    let Hello { lane, link, resume, .. } = *hello;
    let welcome = Welcome {
        version: VERSION,
        lane,
        resumed: resume,
        checksums: true,
        link,
        epoch: Epoch { started: 1, counter: 0 },
        next_offset: 0,
        window: 1 << 20,
        codecs: Vec::new(),
    };
    Answer::Welcome(welcome).encode().to_vec()
}

/// Each byte that is written to bsr is acknowledged; who reads none of that must not fill the memory.
#[test]
fn a_peer_that_makes_work_and_reads_nothing_loses_its_link() {
    simulated(async {
        let one = alone();
        let (mut link, mut bsr, attempt) = carried(&one).await;
        let mut byte = [0];
        for offset in 0..100_000 {
            let mut payload = Payload::default();
            payload.push((&b"x"[..]).into());
            let credit = Credit { acknowledged: 0, window: 1 << 20 };
            if link.try_say(Frame::Data { attempt, credit, offset, payload }).await.is_err() {
                assert!(offset > 60_000, "after {offset} bytes");
                return;
            }
            bsr.read_exact(&mut byte).await.unwrap();
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
        panic!("it may go on for ever");
    });
}

/// Strangers that connect and say nothing, more of them than there is room for, and again as soon as they are closed.
#[test]
fn who_connects_and_says_nothing_keeps_no_relay_out() {
    simulated(async {
        let one = alone();
        let outside = "10.77.9.1:7780".parse().unwrap();
        one.eventually("it listens", async |site| site.net.is_listening(outside)).await;
        let mut silent = Vec::new();
        for _ in 0..600 {
            silent.push(one.net.connect(outside, None, &SocketOptions::link()).await.unwrap());
        }
        let link = timeout(Duration::from_secs(1), Dialled::to(&one, 1)).await;
        link.expect("a relay's handshake is through at once");
    });
}
