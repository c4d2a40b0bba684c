#![allow(clippy::unwrap_used)]

use std::net::Ipv4Addr;

use drx_protocol::first_packet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use super::super::line::{Ends, Line};
use super::blocks::{HEADER, Writer};
use super::*;

/// Addresses that nobody else uses now. All `inside` are 127.0.0.1: that is where a [`Line`] dials from.
fn free(last: u8) -> SocketAddr {
    std::net::TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), 0)).unwrap().local_addr().unwrap()
}

fn settings(node_id: u32) -> PeerSettings {
    let bsr = free(node_id as u8 + 50);
    let rate = Some(32 << 20); // tests that run at the same time get their share
    PeerSettings {
        pace: Pace::BRISK,
        bytes_per_second: rate,
        ..PeerSettings::bsr(node_id, 3 - node_id, bsr, free(1))
    }
}

/// Two peers, to be joined by what leads from the one's inside to the other's bsr.
fn pair() -> ([PeerSettings; 2], [Ends; 2]) {
    let (one, two) = (settings(1), settings(2));
    let ends = [Ends { from: one.inside, to: two.bsr }, Ends { from: two.inside, to: one.bsr }];
    ([one, two], ends)
}

async fn within_time<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), what).await.unwrap()
}

async fn talks(peer: &Peer, session: u64) {
    let tally = within_time(peer.until(|tally| tally.sessions >= session && tally.connected)).await;
    let enough = tally.blocks_verified + 20;
    within_time(peer.until(|tally| tally.blocks_verified >= enough)).await;
}

/// Plays the relay of a peer by hand: takes its dial.
async fn take(inside: &TcpListener) -> (ChannelType, TcpStream) {
    let (mut stream, _) = within_time(inside.accept()).await.unwrap();
    let mut packet = [0; 8];
    within_time(stream.read_exact(&mut packet)).await.unwrap();
    (first_packet::parse(packet).unwrap(), stream)
}

/// Plays the relay of a peer by hand: dials it, once it listens.
async fn dial(bsr: SocketAddr, from: Ipv4Addr) -> TcpStream {
    loop {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        match socket.connect(bsr).await {
            Ok(stream) => return stream,
            Err(_) => sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Waits for the end of a connection, whatever still comes.
async fn ends(mut stream: TcpStream) {
    let mut buffer = vec![0; 65536];
    while !matches!(within_time(stream.read(&mut buffer)).await, Ok(0) | Err(_)) {}
}

#[tokio::test]
async fn two_peers_talk_until_they_are_cut_and_again_when_that_is_healed() {
    let ([one, two], ends) = pair();
    let line = Line::start(ends);
    let peers = [Peer::start(one), Peer::start(two)];
    for session in 1..=3 {
        talks(&peers[0], session).await;
        talks(&peers[1], session).await;
        assert!(line.cut() >= 2, "a connection from each at least");
        for peer in &peers {
            within_time(peer.until(|tally| !tally.connected)).await;
        }
        line.heal();
    }
    talks(&peers[0], 4).await;
    talks(&peers[1], 4).await;
    // Quiet: everything sent is acknowledged.
    for peer in &peers {
        peer.hold(true);
        within_time(peer.until(|tally| tally.connected && tally.blocks_under_way == 0)).await;
    }
    let [one, two] = peers;
    for tally in [one.kill().await, two.kill().await] {
        assert_eq!(tally.violations, []);
        assert!(tally.blocks_acknowledged > 0 && tally.blocks_acknowledged <= tally.blocks_sent, "{tally:?}");
    }
}

#[tokio::test]
async fn one_flipped_bit_on_the_way_is_a_violation() {
    let ([one, two], [to_two, to_one]) = pair();
    let _line = Line::start([to_two]);
    // What two opens is data. Byte 30,000 of it is within the first blocks.
    let inside = TcpListener::bind(to_one.from).await.unwrap();
    let peers = [Peer::start(one), Peer::start(two)];
    let flipping = async {
        loop {
            let (near, _) = inside.accept().await.unwrap();
            let Ok(far) = TcpStream::connect(to_one.to).await else { continue };
            tokio::spawn(async move {
                let ((mut near_in, mut near_out), (mut far_in, mut far_out)) =
                    (near.into_split(), far.into_split());
                let forth = async {
                    let mut first = vec![0; 30_001];
                    near_in.read_exact(&mut first).await?;
                    first[30_000] ^= 0x10;
                    far_out.write_all(&first).await?;
                    tokio::io::copy(&mut near_in, &mut far_out).await
                };
                tokio::join!(forth, tokio::io::copy(&mut far_in, &mut near_out))
            });
        }
    };
    let found = tokio::select! {
        found = within_time(peers[0].until(|tally| tally.violation_count > 0)) => found,
        () = flipping => unreachable!("it goes on for ever"),
    };
    assert!(matches!(found.violations[0], Violation::Block { .. }), "{:?}", found.violations);
    assert_eq!(peers[1].tally().violations, []);
}

#[tokio::test]
async fn losing_either_connection_drops_both_and_it_starts_over() {
    let settings = settings(1);
    let inside = TcpListener::bind(settings.inside).await.unwrap();
    let bsr = settings.bsr;
    let peer = Peer::start(settings);
    for lost in [ChannelType::Data, ChannelType::Meta] {
        // The lower number opens meta (bsr-wire A.1); data comes from the other one.
        let (opened, meta) = take(&inside).await;
        assert_eq!(opened, ChannelType::Meta);
        let mut data = within_time(dial(bsr, Ipv4Addr::LOCALHOST)).await;
        data.write_all(&first_packet::bytes(ChannelType::Data)).await.unwrap();
        data.write_all(Writer::new(2, 1000, fastrand::Rng::new()).next_block()).await.unwrap();
        within_time(peer.until(|tally| tally.connected)).await;
        // Connected, it listens no more: a dial is refused.
        let refused = TcpStream::connect(bsr).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        match lost {
            ChannelType::Data => {
                drop(data);
                ends(meta).await;
            }
            ChannelType::Meta => {
                drop(meta);
                ends(data).await;
            }
        }
        within_time(peer.until(|tally| !tally.connected)).await;
    }
    assert_eq!((peer.tally().sessions, peer.tally().violations), (2, vec![]));
}

#[tokio::test]
async fn the_higher_number_opens_data() {
    let settings = settings(2);
    let inside = TcpListener::bind(settings.inside).await.unwrap();
    let _peer = Peer::start(settings);
    assert_eq!(take(&inside).await.0, ChannelType::Data);
}

#[tokio::test]
async fn only_inside_may_connect_and_only_with_a_first_packet() {
    let settings = settings(1);
    let bsr = settings.bsr;
    let peer = Peer::start(settings);
    let elsewhere = Ipv4Addr::new(127, 0, 0, 77);
    ends(within_time(dial(bsr, elsewhere)).await).await;
    let mut strange = within_time(dial(bsr, Ipv4Addr::LOCALHOST)).await;
    strange.write_all(b"GET / HT").await.unwrap();
    ends(strange).await;
    drop(within_time(dial(bsr, Ipv4Addr::LOCALHOST)).await);
    let tally = within_time(peer.until(|tally| tally.first_packets_missed == 1)).await;
    assert_eq!(
        tally.violations[0],
        Violation::Source { from: elsewhere.into(), inside: Ipv4Addr::LOCALHOST.into() }
    );
    assert!(matches!(&tally.violations[1], Violation::FirstPacket(_)), "{:?}", tally.violations);
    assert_eq!(tally.violation_count, 2);
}

#[tokio::test]
async fn an_acknowledgement_of_what_was_never_sent_is_a_violation() {
    let settings = settings(1);
    let inside = TcpListener::bind(settings.inside).await.unwrap();
    let bsr = settings.bsr;
    let peer = Peer::start(settings);
    let (_, mut meta) = take(&inside).await;
    let mut data = within_time(dial(bsr, Ipv4Addr::LOCALHOST)).await;
    data.write_all(&first_packet::bytes(ChannelType::Data)).await.unwrap();
    data.write_all(Writer::new(2, 1000, fastrand::Rng::new()).next_block()).await.unwrap();
    let mut header = [0; HEADER];
    within_time(data.read_exact(&mut header)).await.unwrap();
    let session = u64::from_be_bytes(header[8..16].try_into().unwrap());
    let lie = blocks::Acknowledgement { sender: 2, session, blocks: u64::MAX, bytes: 0 };
    meta.write_all(&lie.encode()).await.unwrap();
    let tally = within_time(peer.until(|tally| tally.violation_count > 0)).await;
    assert!(matches!(&tally.violations[0], Violation::Acknowledgement { .. }), "{:?}", tally.violations);
}
