//! Both connections: two nodes with each other, and one node with scripted peers and strangers.
#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used)]

#[path = "opening/crossing.rs"]
mod crossing;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drx_bsr::core::api::Severity;
use drx_bsr::shell::opening::{Connections, Opening, OpeningSettings, open};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

const DATA: [u8; 8] = [0x83, 0x74, 0x02, 0x67, 0xff, 0xf2, 0, 0];
const META: [u8; 8] = [0x83, 0x74, 0x02, 0x67, 0xff, 0xf1, 0, 0];
const CHECK: Duration = Duration::from_millis(60);
const LONG: Duration = Duration::from_secs(30);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A number that no other test of this process gets.
fn number() -> u32 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// An IP of this machine that no other process uses, and that seldom comes twice.
fn own_ip() -> IpAddr {
    let process = std::process::id();
    Ipv4Addr::new(127, 64 | (process >> 8) as u8 & 63, process as u8, number() as u8).into()
}

/// Two addresses, each on an IP of its own.
fn addresses() -> [SocketAddr; 2] {
    [(); 2].map(|()| SocketAddr::new(own_ip(), 7789 + (number() % 10_000) as u16))
}

fn settings(address: SocketAddr, peer: SocketAddr, first: Opening) -> OpeningSettings {
    OpeningSettings {
        address,
        peer,
        first,
        verify_ip: true,
        connect_int: Duration::from_millis(150),
        socket_check_timeout: CHECK,
        tcp_ack_timeout: Duration::from_millis(1250),
        sndbuf: None,
        rcvbuf: None,
    }
}

const LOWER: Opening = Opening::NodeId { mine: 0, peer: 1 };
const HIGHER: Opening = Opening::NodeId { mine: 1, peer: 0 };

type Log = Arc<Mutex<Vec<String>>>;

/// A node that opens, with its log.
fn start(settings: OpeningSettings, seed: u64) -> (JoinHandle<Connections>, Log) {
    let log = Log::default();
    let lines = Arc::clone(&log);
    let task = tokio::spawn(async move {
        let note = move |_: Severity, line: String| lines.lock().unwrap().push(line);
        open(&settings, &mut fastrand::Rng::with_seed(seed), note).await
    });
    (task, log)
}

fn told(log: &Log, what: &str) -> bool {
    log.lock().unwrap().iter().any(|line| line.contains(what))
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    timeout(LONG, what).await.expect("in time")
}

/// Dials as a peer at this IP would, as soon as somebody listens.
async fn dial(from: IpAddr, to: SocketAddr) -> TcpStream {
    in_time(async {
        loop {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::new(from, 0)).unwrap();
            if let Ok(stream) = socket.connect(to).await {
                return stream;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
}

async fn dial_with(from: IpAddr, to: SocketAddr, first: &[u8]) -> TcpStream {
    let mut stream = dial(from, to).await;
    stream.write_all(first).await.unwrap();
    stream
}

/// Until the node has closed it; it must have sent nothing.
async fn closed(stream: &mut TcpStream) {
    let mut bytes = Vec::new();
    let _ = in_time(stream.read_to_end(&mut bytes)).await; // a reset is a close, too
    assert_eq!(bytes, b"");
}

fn same(one: &TcpStream, other: &TcpStream) -> bool {
    one.local_addr().unwrap() == other.peer_addr().unwrap()
        && one.peer_addr().unwrap() == other.local_addr().unwrap()
}

/// What one sends, past the first packet, the other one gets.
async fn carries(one: &mut TcpStream, other: &mut TcpStream) {
    one.write_all(b"there").await.unwrap();
    other.write_all(b"and back").await.unwrap();
    let (mut there, mut back) = ([0; 5], [0; 8]);
    in_time(other.read_exact(&mut there)).await.unwrap();
    in_time(one.read_exact(&mut back)).await.unwrap();
    assert_eq!((&there, &back), (b"there", b"and back"));
}

async fn skip_first_packet(stream: &mut TcpStream, expected: [u8; 8]) {
    let mut first = [0; 8];
    in_time(stream.read_exact(&mut first)).await.unwrap();
    assert_eq!(first, expected);
}

#[tokio::test]
async fn bsr_opens_by_node_id_each_one_of_the_two() {
    let [low, high] = addresses();
    let (lower, _) = start(settings(low, high, LOWER), 1);
    let (higher, _) = start(settings(high, low, HIGHER), 2);
    let (mut lower, mut higher) = (in_time(lower).await.unwrap(), in_time(higher).await.unwrap());
    assert!(same(&lower.data, &higher.data) && same(&lower.meta, &higher.meta));
    carries(&mut lower.data, &mut higher.data).await;
    carries(&mut lower.meta, &mut higher.meta).await;
    // Who starts first may open both, but who accepted meta resolves conflicts, and that is one of the two.
    assert_ne!(lower.resolve_conflicts, higher.resolve_conflicts);
    assert_eq!(higher.meta.local_addr().unwrap() == high, higher.resolve_conflicts);
}

#[tokio::test]
async fn the_first_connection_is_the_one_that_the_node_ids_say() {
    for (first, packet) in [(LOWER, META), (HIGHER, DATA), (Opening::DataFirst, DATA)] {
        let [mine, peer] = addresses();
        let listener = TcpListener::bind(peer).await.unwrap();
        let (node, _) = start(settings(mine, peer, first), 3);
        let (mut stream, from) = in_time(listener.accept()).await.unwrap();
        assert_eq!(from.ip(), mine.ip());
        skip_first_packet(&mut stream, packet).await;
        node.abort();
    }
}

#[tokio::test]
async fn one_side_opens_both_if_the_other_only_listens() {
    for first in [LOWER, HIGHER, Opening::DataFirst] {
        let [mine, peer] = addresses();
        let listener = TcpListener::bind(peer).await.unwrap();
        let begun = Instant::now();
        let (node, _) = start(settings(mine, peer, first), 4);
        let (mut one, _) = in_time(listener.accept()).await.unwrap();
        let (mut other, _) = in_time(listener.accept()).await.unwrap();
        // It leaves the other node time to open the other one.
        assert!(begun.elapsed() >= Duration::from_millis(150 * 6 / 7));
        let (one_first, other_first) = if first == LOWER { (META, DATA) } else { (DATA, META) };
        skip_first_packet(&mut one, one_first).await;
        skip_first_packet(&mut other, other_first).await;
        let node = in_time(node).await.unwrap();
        assert!(!node.resolve_conflicts);
        assert!(same(&node.data, if first == LOWER { &other } else { &one }));
    }
}

#[tokio::test]
async fn a_peer_may_open_both_and_only_then_is_the_node_done_after_the_socket_check() {
    let [mine, peer] = addresses();
    let (node, log) = start(settings(mine, peer, LOWER), 5); // its dials are refused
    let mut data = dial_with(peer.ip(), mine, &DATA).await;
    let mut meta = dial_with(peer.ip(), mine, &META).await;
    let both = Instant::now();
    let mut node = in_time(node).await.unwrap();
    assert!(both.elapsed() + Duration::from_millis(5) >= CHECK);
    assert!(node.resolve_conflicts);
    carries(&mut data, &mut node.data).await;
    carries(&mut meta, &mut node.meta).await;
    assert!(told(&log, &format!("cannot connect meta to {peer}")));
    // The listener has gone.
    TcpStream::connect(mine).await.unwrap_err();
}

#[tokio::test]
async fn what_the_peer_sends_at_once_is_not_lost() {
    let [mine, peer] = addresses();
    let (node, _) = start(settings(mine, peer, LOWER), 6);
    let mut data = dial_with(peer.ip(), mine, &DATA).await;
    data.write_all(b"features").await.unwrap();
    let _meta = dial_with(peer.ip(), mine, &META).await;
    let mut node = in_time(node).await.unwrap();
    let mut features = [0; 8];
    in_time(node.data.read_exact(&mut features)).await.unwrap();
    assert_eq!(&features, b"features");
}

#[tokio::test]
async fn one_that_ends_during_the_socket_check_is_opened_anew_even_with_bytes_in_it() {
    for waiting in [&b""[..], b"features"] {
        let [mine, peer] = addresses();
        let listener = TcpListener::bind(peer).await.unwrap();
        let slow = OpeningSettings {
            socket_check_timeout: Duration::from_millis(500),
            ..settings(mine, peer, LOWER)
        };
        let (node, log) = start(slow, 7);
        let (mut meta, _) = in_time(listener.accept()).await.unwrap();
        skip_first_packet(&mut meta, META).await;
        let mut data = dial_with(peer.ip(), mine, &DATA).await;
        data.write_all(waiting).await.unwrap();
        drop(data);
        // The node dials it itself.
        let (mut data, _) = in_time(listener.accept()).await.unwrap();
        skip_first_packet(&mut data, DATA).await;
        let mut node = in_time(node).await.unwrap();
        assert!(told(&log, "data was closed"));
        carries(&mut data, &mut node.data).await;
        carries(&mut meta, &mut node.meta).await;
    }
}

#[tokio::test]
async fn the_newest_wins() {
    let [mine, peer] = addresses();
    let patient = OpeningSettings { connect_int: LONG, ..settings(mine, peer, LOWER) };
    let (node, log) = start(patient, 8);
    let mut old = dial_with(peer.ip(), mine, &DATA).await;
    let mut new = dial_with(peer.ip(), mine, &DATA).await;
    closed(&mut old).await;
    assert!(told(&log, "initial packet data crossed"));
    let mut meta = dial_with(peer.ip(), mine, &META).await;
    let mut node = in_time(node).await.unwrap();
    carries(&mut new, &mut node.data).await;
    carries(&mut meta, &mut node.meta).await;
}

#[tokio::test]
async fn one_that_its_opener_has_given_up_does_not_win() {
    let [mine, peer] = addresses();
    let patient = OpeningSettings { connect_int: LONG, ..settings(mine, peer, LOWER) };
    let (node, log) = start(patient, 9);
    let mut data = dial_with(peer.ip(), mine, &DATA).await;
    for _ in 0..20 {
        // The node runs on this thread: it sees the packet and the close at once.
        dial_with(peer.ip(), mine, &DATA).await;
    }
    let mut meta = dial_with(peer.ip(), mine, &META).await;
    let mut node = in_time(node).await.unwrap();
    assert!(!told(&log, "crossed"));
    carries(&mut data, &mut node.data).await;
    carries(&mut meta, &mut node.meta).await;
}

#[tokio::test]
async fn strangers_are_turned_away_and_do_not_disturb() {
    let [mine, peer] = addresses();
    let (node, log) = start(settings(mine, peer, LOWER), 10);
    let mut silent = dial(peer.ip(), mine).await;
    let mut halting = dial_with(peer.ip(), mine, &DATA[..5]).await;
    let mut garbage = dial_with(peer.ip(), mine, b"GET / HTTP/1.1\r\n\r\n").await;
    let mut almost = dial_with(peer.ip(), mine, &[0x83, 0x74, 0x02, 0x67, 0xff, 0xf3, 0, 0]).await;
    let mut from_elsewhere = dial_with(own_ip(), mine, &DATA).await;
    drop(dial(peer.ip(), mine).await);
    closed(&mut garbage).await;
    closed(&mut almost).await;
    closed(&mut from_elsewhere).await;
    // Although the silent ones are still there.
    let mut data = dial_with(peer.ip(), mine, &DATA).await;
    closed(&mut silent).await;
    closed(&mut halting).await;
    let mut meta = dial_with(peer.ip(), mine, &META).await;
    let mut node = in_time(node).await.unwrap();
    carries(&mut data, &mut node.data).await;
    carries(&mut meta, &mut node.meta).await;
    for what in ["closing unexpected connection from 127.", "47 45 54", "did not come in time", "end of file"]
    {
        assert!(told(&log, what), "{what}: {:?}", log.lock().unwrap());
    }
}

#[tokio::test]
async fn drbd_looks_at_no_source_address() {
    let [mine, peer] = addresses();
    let lenient = OpeningSettings { verify_ip: false, ..settings(mine, peer, Opening::DataFirst) };
    let (node, _) = start(lenient, 11);
    let mut data = dial_with(own_ip(), mine, &DATA).await;
    let mut meta = dial_with(own_ip(), mine, &META).await;
    let mut node = in_time(node).await.unwrap();
    carries(&mut data, &mut node.data).await;
    carries(&mut meta, &mut node.meta).await;
}

#[tokio::test]
async fn many_strangers_do_not_fill_the_log() {
    let [mine, peer] = addresses();
    let (node, log) = start(settings(mine, peer, LOWER), 12);
    for _ in 0..50 {
        closed(&mut dial_with(peer.ip(), mine, b"garbage!").await).await;
    }
    assert!(told(&log, "more like it are not told"));
    let strangers = log.lock().unwrap().iter().filter(|line| line.contains("67 61 72")).count();
    assert_eq!(strangers, 10);
    assert!(log.lock().unwrap().len() < 40); // with what it says of its dials
    node.abort();
}

#[tokio::test]
async fn an_address_that_is_not_there_is_waited_for_and_told_once() {
    let [_, peer] = addresses();
    let missing = "192.0.2.77:7789".parse().unwrap(); // for documentation: nobody's
    let (node, log) = start(settings(missing, peer, LOWER), 13);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!node.is_finished());
    let lines = log.lock().unwrap().clone();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("cannot listen on 192.0.2.77:7789"), "{lines:?}");
    node.abort();
}

#[tokio::test]
async fn sockets_are_set_up_as_asked() {
    let [mine, peer] = addresses();
    let buffers =
        OpeningSettings { sndbuf: Some(96 * 1024), rcvbuf: Some(80 * 1024), ..settings(mine, peer, LOWER) };
    let (node, _) = start(buffers, 14);
    let listener = TcpListener::bind(peer).await.unwrap();
    let (_meta, _) = in_time(listener.accept()).await.unwrap();
    let _data = dial_with(peer.ip(), mine, &DATA).await;
    let node = in_time(node).await.unwrap();
    for stream in [&node.data, &node.meta] {
        let socket = SockRef::from(stream);
        assert!(socket.tcp_nodelay().unwrap());
        assert_eq!(socket.send_buffer_size().unwrap(), 2 * 96 * 1024); // Linux doubles it
        assert_eq!(socket.recv_buffer_size().unwrap(), 2 * 80 * 1024);
    }
    let (data, meta) = (SockRef::from(&node.data), SockRef::from(&node.meta));
    assert_eq!(data.tcp_user_timeout().unwrap(), Some(Duration::from_millis(1250)));
    assert!(data.keepalive().unwrap() && !meta.keepalive().unwrap());
}

#[tokio::test]
async fn dropped_it_leaves_nothing_behind() {
    let [mine, peer] = addresses();
    let listener = TcpListener::bind(peer).await.unwrap();
    let (node, _) = start(settings(mine, peer, LOWER), 15);
    let (mut meta, _) = in_time(listener.accept()).await.unwrap();
    skip_first_packet(&mut meta, META).await;
    let mut waiting = dial(peer.ip(), mine).await;
    node.abort();
    assert!(node.await.unwrap_err().is_cancelled());
    closed(&mut meta).await;
    closed(&mut waiting).await;
    TcpStream::connect(mine).await.unwrap_err();
    TcpListener::bind(mine).await.unwrap();
}
