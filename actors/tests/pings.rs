//! bsr's pings are answered here while the other side cannot, if that was asked for (docs/link.md, "Holding pings").
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Session, Site, establish, resource, simulated, site};
use drx_actors::net::{MemoryNet, Stream, Wire};
use drx_protocol::names::{ChannelType, Lane, Role};
use drx_protocol::{Standing, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);
const PING: &[u8] = &[0x86, 0x20, 0xec, 0x20, 0xff, 0xff, 0, 0x13, 0, 0, 0, 0, 0, 0, 0, 0];
const PING_ACK: &[u8] = &[0x86, 0x20, 0xec, 0x20, 0xff, 0xff, 0, 0x14, 0, 0, 0, 0, 0, 0, 0, 0];

fn sites(hold_pings: bool) -> (Site, Site) {
    let net = Arc::new(MemoryNet::new());
    let settings = |here, there| {
        let mut settings = resource("r0", here, there, 7789);
        settings.link.resume_timeout = 60 * SECOND;
        settings.link.hold_pings = hold_pings;
        settings
    };
    (site(&net, "node1", vec![settings(1, 2)]), site(&net, "node2", vec![settings(2, 1)]))
}

/// P_CONNECTION_FEATURES, as a BSR's meta begins.
fn features() -> Vec<u8> {
    let mut features = vec![0x86, 0x20, 0xec, 0x20, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 72, 0, 0, 0, 0];
    features.resize(88, 7);
    features
}

/// P_WRITE_ACK of a volume.
fn write_ack() -> Vec<u8> {
    let mut ack = vec![0x86, 0x20, 0xec, 0x20, 0, 0, 0, 0x16, 0, 0, 0, 24, 0, 0, 0, 0];
    ack.resize(40, 9);
    ack
}

async fn passes(from: &mut Box<dyn Stream>, to: &mut Box<dyn Stream>, bytes: &[u8]) {
    from.write_all(bytes).await.unwrap();
    assert!(hears(to, bytes).await);
}

/// Whether exactly this is what comes within a second, and nothing more.
async fn hears(bsr: &mut Box<dyn Stream>, bytes: &[u8]) -> bool {
    let mut got = Vec::new();
    let ended = timeout(SECOND, bsr.read_to_end(&mut got)).await;
    assert!(ended.is_err(), "the connection ended");
    got == bytes
}

/// Both say what a BSR says first.
async fn begin(one: &Site, two: &Site) -> Session {
    let mut session = establish(one, two).await;
    let [meta_one, meta_two] = &mut session.meta;
    passes(meta_one, meta_two, &features()).await;
    passes(meta_two, meta_one, &features()).await;
    session
}

/// The line is away, and both relays know it.
async fn cut(one: &Site, two: &Site) {
    for site in [one, two] {
        site.net.take_down(outside(site));
    }
    one.net.wires().iter().filter(|wire| wire.to().port() == 7780).for_each(Wire::cut);
    for site in [one, two] {
        site.eventually("both channels are being resumed", async |site| {
            let channels = site.report().await.channels;
            channels.iter().filter(|channel| channel.standing == Standing::Resuming).count() == 2
        })
        .await;
    }
}

async fn restore(one: &Site, two: &Site) {
    for site in [one, two] {
        site.net.bring_up(outside(site));
    }
    for site in [one, two] {
        site.eventually("all is established", async |site| {
            let channels = site.report().await.channels;
            let standing = Standing::In(State::Established);
            channels.iter().filter(|channel| channel.standing == standing).count() == 2
        })
        .await;
    }
}

fn outside(site: &Site) -> std::net::SocketAddr {
    let node = site.node.trim_start_matches("node");
    format!("10.77.9.{node}:7780").parse().unwrap()
}

async fn held_pings(site: &Site) -> u64 {
    site.report().await.channels.iter().map(|channel| channel.held_pings).sum()
}

#[test]
fn pings_are_answered_while_the_link_is_being_resumed_and_not_passed_on() {
    simulated(async {
        let (one, two) = sites(true);
        let mut session = begin(&one, &two).await;
        cut(&one, &two).await;
        let [meta_one, meta_two] = &mut session.meta;
        for _ in 0..5 {
            sleep(3 * SECOND).await;
            for bsr in [&mut *meta_one, &mut *meta_two] {
                bsr.write_all(PING).await.unwrap();
                assert!(hears(bsr, PING_ACK).await);
            }
        }
        restore(&one, &two).await;
        passes(meta_one, meta_two, &write_ack()).await;
        passes(meta_two, meta_one, &write_ack()).await;
        // Whoever can answer does again.
        sleep(5 * SECOND).await;
        passes(meta_one, meta_two, PING).await;
        passes(meta_two, meta_one, PING_ACK).await;
        assert_eq!((held_pings(&one).await, held_pings(&two).await), (5, 5));
    });
}

#[test]
fn unless_it_is_asked_for_a_ping_waits_for_the_other_bsr() {
    simulated(async {
        let (one, two) = sites(false);
        let mut session = begin(&one, &two).await;
        cut(&one, &two).await;
        let [meta_one, meta_two] = &mut session.meta;
        sleep(5 * SECOND).await;
        meta_one.write_all(PING).await.unwrap();
        assert!(hears(meta_one, b"").await);
        restore(&one, &two).await;
        assert!(hears(meta_two, PING).await);
        assert_eq!(held_pings(&one).await, 0);
    });
}

/// It may be one that orders what is said on two connections: only the other bsr can answer that.
#[test]
fn a_ping_that_does_not_come_after_silence_waits_for_the_other_bsr() {
    simulated(async {
        let (one, two) = sites(true);
        let mut session = begin(&one, &two).await;
        cut(&one, &two).await;
        let [meta_one, meta_two] = &mut session.meta;
        meta_one.write_all(&write_ack()).await.unwrap();
        sleep(SECOND / 2).await;
        meta_one.write_all(PING).await.unwrap();
        sleep(3 * SECOND).await;
        meta_one.write_all(&[write_ack(), PING.to_vec()].concat()).await.unwrap();
        assert!(hears(meta_one, b"").await);
        restore(&one, &two).await;
        assert!(hears(meta_two, &[write_ack(), PING.to_vec(), write_ack(), PING.to_vec()].concat()).await);
    });
}

#[test]
fn nothing_is_said_to_bsr_in_the_middle_of_a_packet() {
    simulated(async {
        let (one, two) = sites(true);
        let mut session = begin(&one, &two).await;
        let [meta_one, meta_two] = &mut session.meta;
        let ack = write_ack();
        passes(meta_two, meta_one, &ack[..21]).await;
        cut(&one, &two).await;
        sleep(5 * SECOND).await;
        meta_one.write_all(PING).await.unwrap();
        meta_two.write_all(&ack[21..]).await.unwrap();
        assert!(hears(meta_one, b"").await);
        restore(&one, &two).await;
        assert!(hears(meta_one, &ack[21..]).await);
        assert!(hears(meta_two, PING).await);
    });
}

#[test]
fn a_ping_in_pieces_is_answered_and_another_packet_in_pieces_is_whole() {
    simulated(async {
        let (one, two) = sites(true);
        let mut session = begin(&one, &two).await;
        cut(&one, &two).await;
        let [meta_one, meta_two] = &mut session.meta;
        sleep(3 * SECOND).await;
        for piece in PING.chunks(5) {
            assert!(hears(meta_one, b"").await);
            meta_one.write_all(piece).await.unwrap();
        }
        assert!(hears(meta_one, PING_ACK).await);
        sleep(3 * SECOND).await;
        let ack = write_ack();
        for piece in ack.chunks(5) {
            meta_one.write_all(piece).await.unwrap();
            sleep(SECOND).await;
        }
        // The first half of one more, which nothing follows before the line is back.
        sleep(3 * SECOND).await;
        meta_one.write_all(&ack[..9]).await.unwrap();
        assert!(hears(meta_one, b"").await);
        restore(&one, &two).await;
        assert!(hears(meta_two, &[&ack[..], &ack[..9]].concat()).await);
    });
}

#[test]
fn a_half_packet_is_not_lost_when_bsr_leaves() {
    simulated(async {
        let (one, two) = sites(true);
        let mut session = begin(&one, &two).await;
        cut(&one, &two).await;
        let [meta_one, meta_two] = &mut session.meta;
        sleep(5 * SECOND).await;
        meta_one.write_all(&PING[..9]).await.unwrap();
        meta_one.shutdown().await.unwrap();
        sleep(SECOND).await;
        for site in [&one, &two] {
            site.net.bring_up(outside(site));
        }
        let mut got = Vec::new();
        timeout(20 * SECOND, meta_two.read_to_end(&mut got)).await.unwrap().unwrap();
        assert_eq!(got, PING[..9]);
    });
}

#[test]
fn what_is_not_understood_passes_as_it_is() {
    simulated(async {
        let (one, two) = sites(true);
        let mut session = begin(&one, &two).await;
        let [meta_one, meta_two] = &mut session.meta;
        let strange: Vec<u8> = (0..=255).cycle().take(20_000).collect();
        passes(meta_one, meta_two, &strange).await;
        cut(&one, &two).await;
        sleep(5 * SECOND).await;
        meta_one.write_all(PING).await.unwrap();
        assert!(hears(meta_one, b"").await);
        meta_one.write_all(&strange).await.unwrap();
        restore(&one, &two).await;
        assert!(hears(meta_two, &[PING, &strange].concat()).await);
        passes(meta_two, meta_one, &strange).await;
        assert_eq!(held_pings(&one).await, 0);
    });
}

/// What bsr two left is a long time on its way to bsr one: in the BAB of two, and then in the hands of relay
/// one, because of a window as large as that.
#[test]
fn pings_are_answered_while_data_of_a_bsr_that_is_gone_is_flushed() {
    for window in [64 << 10, 16 << 20] {
        simulated(async move {
            let net = Arc::new(MemoryNet::new());
            let settings = |here, there| {
                let mut settings = resource("r0", here, there, 7789);
                settings.link.window = window;
                settings.link.hold_pings = true;
                settings
            };
            let one = site(&net, "node1", vec![settings(1, 2)]);
            let two = site(&net, "node2", vec![settings(2, 1)]);
            let mut session = begin(&one, &two).await;
            let data: Vec<u8> = (0..1_000_000u32).flat_map(|number| number.to_be_bytes()).collect();
            session.data[1].write_all(&data).await.unwrap();
            session.data[1].shutdown().await.unwrap();
            session.meta[1].shutdown().await.unwrap();
            let meta = &mut session.meta[0];
            for round in 0..5 {
                sleep(3 * SECOND).await;
                // What else it says is for nobody.
                if round == 2 {
                    meta.write_all(&write_ack()).await.unwrap();
                    sleep(3 * SECOND).await;
                }
                meta.write_all(PING).await.unwrap();
                assert!(hears(meta, PING_ACK).await, "window {window}, round {round}");
            }
            let mut got = Vec::new();
            session.data[0].read_to_end(&mut got).await.unwrap();
            assert!(got == data, "all of it arrives");
            got.clear();
            timeout(10 * SECOND, meta.read_to_end(&mut got)).await.unwrap().unwrap();
            assert!(got.is_empty(), "and then meta ends");
            drop(session);
            one.until(Role::Acceptor, Lane::Zero, State::Waiting).await;
            two.until(Role::Acceptor, Lane::Zero, State::Waiting).await;
            assert_eq!(held_pings(&one).await, 5);
            let mut session = begin(&one, &two).await;
            let [meta_one, meta_two] = &mut session.meta;
            passes(meta_one, meta_two, PING).await;
        });
    }
}

/// Data is never looked at, whatever it looks like.
#[test]
fn pings_are_not_looked_for_on_data() {
    simulated(async {
        let (one, two) = sites(true);
        let mut session = begin(&one, &two).await;
        cut(&one, &two).await;
        let [data_one, data_two] = &mut session.data;
        sleep(5 * SECOND).await;
        data_one.write_all(PING).await.unwrap();
        assert!(hears(data_one, b"").await);
        restore(&one, &two).await;
        assert!(hears(data_two, PING).await);
        let channels = one.report().await.channels;
        let data = channels.iter().find(|channel| channel.channel_type == Some(ChannelType::Data)).unwrap();
        assert_eq!(data.held_pings, 0);
    });
}

#[test]
fn a_ping_is_not_idle_while_data_comes() {
    simulated(async {
        let (one, two) = sites(true);
        let mut session = begin(&one, &two).await;
        // Meta's line alone is away: node2 dials node1 for it.
        one.net.take_down(outside(&one));
        one.net.wires().iter().filter(|wire| wire.to() == outside(&one)).for_each(Wire::cut);
        one.eventually("meta alone is being resumed", async |site| {
            let channels = site.report().await.channels;
            channels.iter().filter(|channel| channel.standing == Standing::Resuming).count() == 1
        })
        .await;
        let [data_one, data_two] = &mut session.data;
        let meta_one = &mut session.meta[0];
        for _ in 0..5 {
            sleep(SECOND).await;
            passes(data_two, data_one, b"what is replicated").await;
        }
        meta_one.write_all(PING).await.unwrap();
        assert!(hears(meta_one, b"").await);
    });
}
