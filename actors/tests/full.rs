//! A far side that stalls until the BAB is full, under a paused clock: how bsr is read meanwhile.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "the test plays both bsr")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Site, establish, resource, simulated, site, two_sites};
use drx_actors::api::Reserve;
use drx_actors::net::{MemoryNet, Stream};
use drx_protocol::State;
use drx_protocol::names::{ChannelType, Lane, Role};
use drx_protocol::report::BabReport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep, timeout};

/// With the sizes that are given by default: 48 MiB at full speed, the rest in drips.
#[test]
fn a_full_bab_is_filled_in_drips_for_30_s_and_then_at_full_speed_again() {
    simulated(async {
        let (one, two) = two_sites();
        let mut session = establish(&one, &two).await;
        let [mut far, near] = session.data;
        let writer = send(near, VOLUME);
        two.eventually("bsr is read in drips", async |two| bab(two).await.dripping).await;
        let began = Instant::now();
        let mut before = bab(&two).await;
        assert_eq!(before.high_mark, 48 << 20);
        assert!(before.used >= before.high_mark, "{before:?}");
        while began.elapsed() < Duration::from_secs(30) {
            // bsr's kernel bears 1.25 s without an open window.
            sleep(Duration::from_millis(500)).await;
            let now = bab(&two).await;
            let drips = (now.used - before.used) / DRIP;
            assert!((1..=3).contains(&drips), "from {before:?} to {now:?}");
            assert!(now.dripping && now.used < now.size, "{now:?}");
            before = now;
        }
        // 16 MiB in 42 s.
        let left = (before.size - before.used) as f64 / (384.0 * 1024.0);
        let forecast = before.full_in_seconds.unwrap();
        assert!((forecast - left).abs() < left / 5.0, "{forecast} s, not {left} s");
        // The other direction and meta are not held up by it.
        session.meta[1].write_all(b"ping").await.unwrap();
        let mut ping = [0; 4];
        session.meta[0].read_exact(&mut ping).await.unwrap();

        let began = Instant::now();
        receive(&mut far, VOLUME).await;
        let _near = writer.await.unwrap();
        // At the pace of drips the rest would take 3 minutes.
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        two.eventually("nothing is held any more", async |two| {
            let bab = bab(two).await;
            bab.used == 0 && !bab.dripping && bab.full_in_seconds.is_none()
        })
        .await;
    });
}

#[test]
fn when_the_reserve_is_used_up_nothing_is_read_until_there_is_room() {
    simulated(async {
        let (one, two) = with(|settings| settings.bab.size = 2 << 20);
        let mut session = establish(&one, &two).await;
        let [mut far, near] = session.data;
        let writer = send(near, 8 << 20);
        two.eventually("the BAB is full", async |two| {
            let bab = bab(two).await;
            bab.used == bab.size
        })
        .await;
        assert_eq!(bab(&two).await.full_in_seconds, Some(0.0));
        sleep(Duration::from_secs(60)).await;
        assert_eq!(bab(&two).await.used, 2 << 20);
        assert!(!writer.is_finished());
        receive(&mut far, 8 << 20).await;
        writer.await.unwrap();
        session.meta[0].write_all(b"ping").await.unwrap();
    });
}

#[test]
fn without_a_reserve_a_full_bab_is_full_at_once() {
    simulated(async {
        let (one, two) = with(|settings| {
            settings.bab.size = 2 << 20;
            settings.bab.reserve = Reserve::Bytes(0);
        });
        let session = establish(&one, &two).await;
        let [mut far, near] = session.data;
        let writer = send(near, 8 << 20);
        let full = async |site: &Site| bab(site).await.used == 2 << 20;
        timeout(Duration::from_secs(1), two.eventually("the BAB is full", full)).await.unwrap();
        receive(&mut far, 8 << 20).await;
        writer.await.unwrap();
    });
}

/// A full BAB reads nothing, and so would not hear of it before the far side goes on.
#[test]
fn a_bsr_that_leaves_while_the_bab_is_full_is_noticed_with_a_drip() {
    simulated(async {
        let (one, two) = two_sites();
        let session = establish(&one, &two).await;
        let [far, mut near] = session.data;
        let most = vec![7; 100_000];
        // Until nothing on the way takes more at once.
        while timeout(Duration::from_millis(50), near.write_all(&most)).await.is_ok() {}
        drop(near);
        let began = Instant::now();
        two.until(Role::Acceptor, Lane::Zero, State::ClosePending).await;
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        drop(far);
    });
}

/// A bsr that sends so many bytes as fast as they are taken.
fn send(mut stream: Box<dyn Stream>, bytes: usize) -> JoinHandle<Box<dyn Stream>> {
    spawn_local(async move {
        for piece in 0..bytes / PIECE {
            stream.write_all(&[piece as u8; PIECE]).await.unwrap();
        }
        stream
    })
}

/// All of them, in order.
async fn receive(stream: &mut Box<dyn Stream>, bytes: usize) {
    let mut came = vec![0; PIECE];
    for piece in 0..bytes / PIECE {
        stream.read_exact(&mut came).await.unwrap();
        assert!(came.iter().all(|byte| *byte == piece as u8), "piece {piece}");
    }
}

async fn bab(site: &Site) -> BabReport {
    let mut channels = site.report().await.channels.into_iter();
    channels.find(|channel| channel.channel_type == Some(ChannelType::Data)).unwrap().bab
}

fn with(change: impl Fn(&mut drx_actors::api::ResourceSettings)) -> (Site, Site) {
    let net = Arc::new(MemoryNet::new());
    let [one, two] = [("node1", 1, 2), ("node2", 2, 1)].map(|(node, here, there)| {
        let mut settings = resource("r0", here, there, 7789);
        change(&mut settings);
        site(&net, node, vec![settings])
    });
    (one, two)
}

const PIECE: usize = 64 * 1024;
/// More than the BAB and everything else on the way hold.
const VOLUME: usize = 128 << 20;
/// As in `bab/reading.rs`.
const DRIP: u64 = 96 * 1024;
