//! Two nodes in this process, over loopback.
#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used)]

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use drx_bsr::core::{Order, Protocol, Refusal, Request, RequestError, Status};
use drx_bsr::digest::Algorithm;
use drx_bsr::shell::nbd::Address;
use drx_bsr::shell::node::{End, Handle, start};
use drx_bsr::shell::opening::{Opening, OpeningSettings};
use drx_bsr::shell::settings::Settings;
use drx_bsr::shell::{logging, pattern, store};
use drx_bsr::wire::{Connection, Disk, Role};
use slog::Logger;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);
const SIZE: u64 = 16 << 20;

/// Two nodes' settings, each of which dials the other one.
struct Pair {
    dir: TempDir,
    settings: [Settings; 2],
    log: Logger,
    _flush: slog_async::AsyncGuard,
}

impl Pair {
    fn new(change: impl Fn(&mut Settings)) -> Pair {
        let dir = tempfile::tempdir().unwrap();
        // Ports that were free a moment ago; nobody else gets them as long as everybody asks for new ones.
        let ports = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let [one, two] = ports.map(|listener| listener.local_addr().unwrap());
        let settings = |name: &str, mine: u32, address, peer| {
            let mut settings = Settings {
                name: name.to_owned(),
                volume: dir.path().join(format!("{name}.img")),
                metadata: dir.path().join(format!("{name}.meta")),
                socket: None,
                network: OpeningSettings {
                    address,
                    peer,
                    first: Opening::NodeId { mine, peer: 1 - mine },
                    verify_ip: true,
                    connect_int: Duration::from_millis(300),
                    socket_check_timeout: Duration::from_millis(50),
                    tcp_ack_timeout: Duration::from_secs(5),
                    sndbuf: None,
                    rcvbuf: None,
                },
                nbd: None,
                core: drx_bsr::core::Settings {
                    verify: Some(Algorithm::Crc32c),
                    resync_rate: 0,
                    ..drx_bsr::core::Settings::default()
                },
            };
            change(&mut settings);
            let al = settings.core.al_extents;
            store::create(&settings.volume, &settings.metadata, Some(SIZE), al, false).unwrap();
            settings
        };
        let settings = [settings("n0", 0, one, two), settings("n1", 1, two, one)];
        let (log, flush) = logging::open(None, slog::Level::Info).unwrap();
        Pair { dir, settings, log, _flush: flush }
    }

    async fn start(&self, which: usize) -> Handle {
        // A port may still be the killed predecessor's for a moment: opening waits for it.
        start(&self.settings[which], true, &self.log).await.unwrap()
    }

    async fn both(&self) -> (Handle, Handle) {
        (self.start(0).await, self.start(1).await)
    }

    /// Both volumes, when nobody has them any more.
    fn volumes(&self) -> [Vec<u8>; 2] {
        self.settings.each_ref().map(|settings| std::fs::read(&settings.volume).unwrap())
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        Path::new(self.dir.path()).join(name)
    }
}

async fn until(node: &Handle, what: &str, met: impl Fn(&Status) -> bool) {
    let reached = timeout(LIMIT, node.until(met)).await;
    assert_eq!(reached, Ok(true), "{what}; it is {:?}", node.status());
}

async fn connected(node: &Handle) {
    until(node, "connected", |status| status.state.connection == Connection::Connected).await;
}

async fn up_to_date(node: &Handle) {
    until(node, "both up to date", |status| {
        let state = &status.state;
        state.connection == Connection::Connected
            && (state.disk, state.peer_disk) == (Disk::UpToDate, Disk::UpToDate)
    })
    .await;
}

async fn order(node: &Handle, order: Order) -> Result<(), Refusal> {
    timeout(LIMIT, node.order(order)).await.unwrap()
}

async fn request(node: &Handle, request: Request) -> Result<Bytes, RequestError> {
    timeout(LIMIT, node.request(request)).await.unwrap()
}

async fn fill(node: &Handle, seed: u64, offset: u64, length: u64) {
    for at in (offset..offset + length).step_by(1 << 20) {
        let mut data = vec![0; (offset + length - at).min(1 << 20) as usize];
        pattern::fill(seed, at, &mut data);
        let write = Request::Write { offset: at, data: data.into(), fua: false };
        assert_eq!(request(node, write).await, Ok(Bytes::new()));
    }
}

#[tokio::test]
async fn two_nodes_become_one_volume() {
    let pair = Pair::new(|_| {});
    let (one, two) = pair.both().await;
    connected(&one).await;
    connected(&two).await;
    assert_eq!(order(&one, Order::Primary { force: false }).await, Err(Refusal::NoUpToDateDisk));
    assert_eq!(order(&one, Order::Primary { force: true }).await, Ok(()));
    up_to_date(&one).await;
    up_to_date(&two).await;
    assert_eq!(order(&two, Order::Primary { force: false }).await, Err(Refusal::TwoPrimaries));
    fill(&one, 7, 0, SIZE).await;
    let read = request(&one, Request::Read { offset: 4096, length: 8192 }).await.unwrap();
    assert_eq!(pattern::difference(7, 4096, &read), None);
    let read = request(&two, Request::Read { offset: 0, length: 512 }).await;
    assert_eq!(read, Err(RequestError::NotPrimary));

    // The other way round.
    order(&one, Order::Secondary).await.unwrap();
    until(&two, "one is secondary", |status| status.state.peer == Role::Secondary).await;
    order(&two, Order::Primary { force: false }).await.unwrap();
    fill(&two, 8, 1 << 20, 1 << 20).await;
    order(&two, Order::Verify).await.unwrap();
    until(&two, "verified", |status| {
        status.counters.verify_done == SIZE / 4096 && status.state.connection == Connection::Connected
    })
    .await;
    assert_eq!(two.status().counters.verify_different, 0);

    assert_eq!(order(&two, Order::Down).await, Ok(()));
    assert_eq!(timeout(LIMIT, two.ended()).await, Ok(End::Down));
    assert_eq!(order(&one, Order::Down).await, Ok(()));
    assert_eq!(timeout(LIMIT, one.ended()).await, Ok(End::Down));
    let [first, second] = pair.volumes();
    assert!(first == second);
    assert_eq!(pattern::difference(8, 1 << 20, &first[1 << 20..2 << 20]), None);
    assert_eq!(request(&one, Request::Flush).await, Err(RequestError::Down));
    assert!(matches!(order(&one, Order::Secondary).await, Err(Refusal::Interrupted(_))));
    assert_eq!(timeout(LIMIT, one.kill()).await, Ok(End::Down), "it had ended before");
    assert!(!pair.path("n0.sock").exists());
}

#[tokio::test]
async fn a_primary_that_is_killed_comes_back() {
    for protocol in [Protocol::C, Protocol::A] {
        let pair = Pair::new(|settings| settings.core.protocol = protocol);
        let (one, two) = pair.both().await;
        order(&one, Order::Primary { force: true }).await.ok();
        connected(&one).await;
        if one.status().state.role != Role::Primary {
            order(&one, Order::Primary { force: true }).await.unwrap();
        }
        up_to_date(&one).await;
        fill(&one, 1, 0, 4 << 20).await;
        let writing = {
            let one = one.clone();
            tokio::spawn(async move {
                for number in 0_u64.. {
                    let offset = number * 37 % 4096 * 4096;
                    let write = Request::Write { offset, data: vec![number as u8; 4096].into(), fua: false };
                    if one.request(write).await.is_err() {
                        return;
                    }
                }
            })
        };
        until(&two, "some writes", |status| status.counters.peer_writes > 100).await;
        assert_eq!(timeout(LIMIT, one.kill()).await, Ok(End::Killed));
        timeout(LIMIT, writing).await.unwrap().unwrap();
        until(&two, "it has lost the other one", |status| {
            status.state.connection == Connection::WFConnection
        })
        .await;

        let one = pair.start(0).await;
        up_to_date(&one).await;
        up_to_date(&two).await;
        assert!(one.status().counters.resyncs + two.status().counters.resyncs > 0);
        order(&one, Order::Down).await.unwrap();
        order(&two, Order::Down).await.unwrap();
        let [first, second] = pair.volumes();
        assert!(first == second, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_volume_in_use_stays_primary() {
    let pair = Pair::new(|settings| {
        let path = settings.volume.with_extension("nbd");
        settings.nbd = Some(Address::Unix(path));
    });
    let one = start(&pair.settings[0], false, &pair.log).await.unwrap();
    let Some(Address::Unix(path)) = one.nbd() else { panic!() };
    assert!(nbd_client(path).await.is_none(), "nothing to be had from a secondary");
    order(&one, Order::Primary { force: true }).await.unwrap();
    let client = nbd_client(path).await.unwrap();
    assert_eq!(one.report().nbd_clients, 1);
    assert_eq!(order(&one, Order::Secondary).await, Err(Refusal::InUse));
    drop(client);
    // The server notices in its own time.
    let demoted = async {
        while order(&one, Order::Secondary).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, demoted).await.unwrap();
    assert!(nbd_client(path).await.is_none());
    // And going down waits for nobody.
    order(&one, Order::Primary { force: false }).await.unwrap();
    let mut client = nbd_client(path).await.unwrap();
    order(&one, Order::Down).await.unwrap();
    assert_eq!(timeout(LIMIT, client.read(&mut [0])).await.unwrap().unwrap_or(0), 0);
    assert!(!path.exists());
}

/// One that uses the volume; none: it was turned away.
async fn nbd_client(path: &Path) -> Option<UnixStream> {
    let talk = async {
        let mut stream = UnixStream::connect(path).await.ok()?;
        let mut greeting = [0; 18];
        stream.read_exact(&mut greeting).await.ok()?;
        // NO_ZEROES and FIXED_NEWSTYLE; then EXPORT_NAME, of the default export.
        stream.write_all(&[0, 0, 0, 3]).await.ok()?;
        stream.write_all(b"IHAVEOPT\0\0\0\x01\0\0\0\0").await.ok()?;
        let mut export = [0; 10];
        stream.read_exact(&mut export).await.ok()?;
        assert_eq!(export[..8], SIZE.to_be_bytes());
        Some(stream)
    };
    timeout(LIMIT, talk).await.unwrap()
}

#[tokio::test]
async fn one_volume_has_one_node() {
    let pair = Pair::new(|_| {});
    let one = pair.start(0).await;
    let second = start(&pair.settings[0], true, &pair.log).await.unwrap_err();
    assert!(second.to_string().contains("is in use by another process"), "{second}");
    timeout(LIMIT, one.kill()).await.unwrap();
    // Its files are free when the kill returns.
    let again = start(&pair.settings[0], false, &pair.log).await.unwrap();
    assert_eq!(again.status().state.connection, Connection::StandAlone);
    timeout(LIMIT, again.kill()).await.unwrap();
}
