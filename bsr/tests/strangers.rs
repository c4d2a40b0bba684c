//! A node and a peer that is none: whatever it sends, the connection ends with a reason, and the node lives on.
#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use drx_bsr::core::Order;
use drx_bsr::shell::node::{End, Handle, start};
use drx_bsr::shell::opening::{Opening, OpeningSettings};
use drx_bsr::shell::settings::Settings;
use drx_bsr::shell::{logging, store};
use drx_bsr::wire::encode::Encoder;
use drx_bsr::wire::{Features, Packet, Stream};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);
const FIRST_DATA: [u8; 8] = [0x83, 0x74, 0x02, 0x67, 0xff, 0xf2, 0, 0];
const FIRST_META: [u8; 8] = [0x83, 0x74, 0x02, 0x67, 0xff, 0xf1, 0, 0];

/// A node that dials a stranger.
struct Scene {
    node: Handle,
    address: SocketAddr,
    /// What the node dials.
    listener: TcpListener,
    _dir: TempDir,
    _flush: slog_async::AsyncGuard,
}

impl Scene {
    async fn new() -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let settings = Settings {
            name: "n".to_owned(),
            volume: dir.path().join("img"),
            metadata: dir.path().join("meta"),
            socket: None,
            network: OpeningSettings {
                address: free,
                peer: listener.local_addr().unwrap(),
                first: Opening::DataFirst,
                verify_ip: false,
                connect_int: Duration::from_millis(100),
                socket_check_timeout: Duration::from_millis(20),
                tcp_ack_timeout: Duration::ZERO,
                sndbuf: None,
                rcvbuf: None,
            },
            nbd: None,
            core: drx_bsr::core::Settings {
                socket_check_timeout: Duration::from_millis(100),
                ..drx_bsr::core::Settings::default()
            },
        };
        store::create(&settings.volume, &settings.metadata, Some(4 << 20), settings.core.al_extents, false)
            .unwrap();
        let (log, flush) = logging::open(None, slog::Level::Info).unwrap();
        let node = start(&settings, true, &log).await.unwrap();
        Scene { node, address: free, listener, _dir: dir, _flush: flush }
    }

    /// Both connections, as the stranger has them.
    async fn accept(&self) -> (TcpStream, TcpStream) {
        let accept = async {
            let (mut data, mut meta) = (None, None);
            while data.is_none() || meta.is_none() {
                let (mut stream, _) = self.listener.accept().await.unwrap();
                let mut first = [0; 8];
                match stream.read_exact(&mut first).await {
                    Ok(_) if first == FIRST_DATA => data = Some(stream),
                    Ok(_) if first == FIRST_META => meta = Some(stream),
                    _ => {} // given up by the node meanwhile
                }
            }
            (data.unwrap(), meta.unwrap())
        };
        timeout(LIMIT, accept).await.unwrap()
    }

    /// When the last of so many connections has ended, with this reason.
    async fn broken(&self, count: u64, expected: &str) {
        let met = self.node.until(|status| {
            // One attempt more than connections: the node looks for its peer again.
            status.attempts == count + 1
                && status.last_break.as_ref().is_some_and(|why| why.contains(expected))
        });
        let reached = timeout(LIMIT, met).await;
        assert_eq!(reached, Ok(true), "{expected}; {:?}", self.node.status());
    }

    async fn down(self) {
        assert_eq!(timeout(LIMIT, self.node.order(Order::Down)).await, Ok(Ok(())));
        assert_eq!(timeout(LIMIT, self.node.ended()).await, Ok(End::Down));
    }
}

/// Reads until the node has closed.
async fn closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    // It may reset what it has not read.
    let _ = timeout(LIMIT, stream.read_to_end(&mut rest)).await.unwrap();
}

fn features() -> Vec<u8> {
    let features = Packet::Features(Features { min: 86, max: 101, flags: 0 });
    Encoder::new().encode(Stream::Data, &features).head.to_vec()
}

#[tokio::test]
async fn garbage_ends_the_connection_with_a_reason() {
    let header = |command: u16, length: u32| {
        let mut bytes = vec![0x86, 0x20, 0xec, 0x20, 0, 0];
        bytes.extend_from_slice(&command.to_be_bytes());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes
    };
    // On data, after the features or instead of them; what the reason says.
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![0; 64], "ProtocolError"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "ProtocolError"),
        ([features(), vec![0xff; 64]].concat(), "ProtocolError"),
        ([features(), header(0x7777, 0)].concat(), "7777"),
        ([features(), header(0x00, u32::MAX)].concat(), "ProtocolError"),
        ([features(), header(0x0b, 5000)].concat(), "ProtocolError"),
        // A ping on data, and a write before anything is agreed.
        ([features(), header(0x13, 0)].concat(), "ProtocolError"),
        ([features(), header(0x00, 24 + 512), vec![0; 24 + 512]].concat(), "ProtocolError"),
        (features()[..40].to_vec(), "NetworkFailure"),
        (Vec::new(), "NetworkFailure"),
    ];
    // A node waits for a second after a handshake that failed: several wait at the same time.
    let mut scenes = JoinSet::new();
    for cases in cases.chunks(2).map(<[_]>::to_vec) {
        scenes.spawn(async move {
            let scene = Scene::new().await;
            for ((bytes, expected), count) in cases.into_iter().zip(1..) {
                let (mut data, meta) = scene.accept().await;
                data.write_all(&bytes).await.unwrap();
                closed(data).await;
                closed(meta).await;
                scene.broken(count, expected).await;
            }
            scene.down().await;
        });
    }
    while let Some(scene) = scenes.join_next().await {
        scene.unwrap();
    }
}

#[tokio::test]
async fn one_connection_lost_is_both_lost() {
    let scene = Scene::new().await;
    let (data, meta) = scene.accept().await;
    drop(meta);
    closed(data).await;
    let (data, meta) = scene.accept().await;
    drop(data);
    closed(meta).await;
    scene.down().await;
}

#[tokio::test]
async fn who_knocks_while_a_node_looks_for_its_peer_changes_nothing() {
    let scene = Scene::new().await;
    for bytes in [&b"SSH-2.0-x\r\n"[..], &[0; 3], &[0xff; 4096]] {
        // It listens only while it is not connected, which it is not now: nobody accepts what it dials.
        if let Ok(mut stream) = TcpStream::connect(scene.address).await {
            let _ = stream.write_all(bytes).await;
            closed(stream).await;
        }
    }
    let (data, _meta) = scene.accept().await;
    drop(data);
    scene.down().await;
}
