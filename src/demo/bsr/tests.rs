#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddr};

use drx_bsr::core::Order;
use drx_bsr::wire::Role;
use slog::{Discard, o};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::super::application::Application;
use super::super::disks::{Comparison, Disks};
use super::super::line::{Ends, Line};
use super::*;

/// Two bsr, to be joined by what leads from the one's inside to the other's bsr.
struct Pair {
    bsrs: [Bsr; 2],
    ends: [Ends; 2],
    disks: Disks,
    place: Background,
    _directory: TempDir,
}

/// Addresses that nobody else uses now. All `inside` are 127.0.0.1: that is where a [`Line`] dials from.
fn free(last: u8) -> SocketAddr {
    std::net::TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), 0)).unwrap().local_addr().unwrap()
}

fn pair() -> Pair {
    let directory = tempfile::tempdir().unwrap();
    let disks = Disks::create(directory.path()).unwrap();
    let sides = [51, 52].map(|last| Side { bsr: free(last), inside: free(1), outside: free(1) });
    let log = Logger::root(Discard, o!());
    let bsrs = [0, 1].map(|side: usize| Bsr::new(side as u32, &sides[side], &disks.disks[side], log.clone()));
    let ends = [0, 1].map(|side: usize| Ends { from: sides[side].inside, to: sides[1 - side].bsr });
    Pair { bsrs, ends, disks, place: Background::start("bsrs").unwrap(), _directory: directory }
}

impl Pair {
    async fn start(&mut self) {
        for bsr in &mut self.bsrs {
            bsr.start(&self.place).await.unwrap();
        }
    }

    async fn until(&mut self, reached: impl Fn(&[Tally; 2]) -> bool) {
        let [one, two] = &mut self.bsrs;
        let looking = async {
            while !reached(&[one.look().await, two.look().await]) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, looking).await.unwrap();
    }
}

fn in_sync(tallies: &[Tally; 2]) -> bool {
    tallies.iter().all(Tally::is_in_sync)
}

#[tokio::test]
async fn what_was_acknowledged_outlives_the_primary_and_comes_back_to_it() {
    let mut pair = pair();
    let _line = Line::start(pair.ends);
    pair.start().await;
    pair.until(|tallies| tallies.iter().all(Tally::is_connected)).await;
    pair.bsrs[0].order(Order::Primary { force: true }).await.unwrap();
    pair.until(in_sync).await;
    let application = {
        let _entered = pair.place.enter();
        Application::start(pair.bsrs[0].requests().unwrap())
    };
    pair.until(|_| application.work().image && application.work().writes > 400).await;

    pair.bsrs[0].kill().await;
    assert_eq!(pair.bsrs[0].look().await.now, None);
    pair.until(|[_, two]| two.state().is_some_and(|state| state.peer != Role::Primary)).await;
    pair.bsrs[1].order(Order::Primary { force: false }).await.unwrap();
    application.move_to(pair.bsrs[1].requests().unwrap());
    pair.until(|_| application.work().checked > 0).await;
    pair.bsrs[0].start(&pair.place).await.unwrap();
    pair.until(in_sync).await;

    application.stop();
    pair.until(|tallies| application.work().ended && in_sync(tallies) && tallies.iter().all(Tally::is_quiet))
        .await;
    assert_eq!(application.work().error, None);
    pair.bsrs[1].order(Order::Secondary).await.unwrap();
    for bsr in &mut pair.bsrs {
        timeout(LIMIT, bsr.down()).await.unwrap().unwrap();
        assert_eq!(bsr.look().await.violations, [""; 0]);
    }
    let content = timeout(LIMIT, application.content()).await.unwrap().unwrap();
    let compared = Comparison::read(&pair.disks.disks, &content).unwrap();
    assert!(compared.is_good(), "{compared:?}");
}

#[tokio::test]
async fn one_flipped_bit_on_the_way_is_a_violation() {
    let mut pair = pair();
    let [to_two, to_one] = pair.ends;
    let _line = Line::start([to_two]);
    // What bsr2 opens is data (bsr-wire A.1), and after the handshake bsr1 sends blocks of a resync on it.
    let inside = TcpListener::bind(to_one.from).await.unwrap();
    let flipping = tokio::spawn(async move {
        loop {
            let (near, _) = inside.accept().await.unwrap();
            let Ok(far) = TcpStream::connect(to_one.to).await else { continue };
            tokio::spawn(async move {
                let ((mut near_in, mut near_out), (mut far_in, mut far_out)) =
                    (near.into_split(), far.into_split());
                let back = async {
                    tokio::io::copy(&mut (&mut far_in).take(300_000), &mut near_out).await?;
                    let flipped = far_in.read_u8().await? ^ 0x10;
                    near_out.write_u8(flipped).await?;
                    tokio::io::copy(&mut far_in, &mut near_out).await
                };
                tokio::join!(back, tokio::io::copy(&mut near_in, &mut far_out))
            });
        }
    });
    pair.start().await;
    pair.until(|tallies| tallies.iter().all(Tally::is_connected)).await;
    pair.bsrs[0].order(Order::Primary { force: true }).await.unwrap();
    pair.until(|[_, two]| !two.violations.is_empty()).await;
    assert_eq!(pair.bsrs[0].look().await.violations, [""; 0]);
    flipping.abort();
}

#[tokio::test]
async fn a_bsr_that_cannot_start_says_why() {
    let mut pair = pair();
    std::fs::remove_file(&pair.disks.disks[0].metadata).unwrap();
    let why = pair.bsrs[0].start(&pair.place).await.unwrap_err();
    assert!(why.starts_with("bsr1 cannot start: there are no metadata"), "{why}");
    assert_eq!(
        pair.bsrs[0].order(Order::Down).await.unwrap_err().to_string(),
        "not in this state: it is dead"
    );
}

const LIMIT: Duration = Duration::from_secs(60);
