//! Lines of the network in memory that take time, cut bytes into pieces, or lose them one way.
#![allow(clippy::disallowed_methods, reason = "tests play the world around the actors")]
#![allow(clippy::unwrap_used)]

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use drx_actors::net::{MemoryNet, Net, SocketOptions, Stream, Weather, Wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

fn here() -> IpAddr {
    "10.0.0.1".parse().unwrap()
}

fn there() -> IpAddr {
    "10.0.0.2".parse().unwrap()
}

/// Dialled from here, accepted there.
async fn pair(net: &MemoryNet) -> (Box<dyn Stream>, Box<dyn Stream>, Wire) {
    let at = SocketAddr::new(there(), 7788);
    let mut listener = net.listen(at, 1, &SocketOptions::link()).await.unwrap();
    let dialled = net.connect(at, Some(here()), &SocketOptions::link()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    (dialled, accepted, net.wires().pop().unwrap())
}

async fn hangs<T>(future: impl Future<Output = T>) -> bool {
    timeout(Duration::from_secs(3600), future).await.is_err()
}

const DELAY: Duration = Duration::from_millis(40);

#[tokio::test(start_paused = true)]
async fn bytes_and_ends_take_their_time_in_order() {
    let net = MemoryNet::new();
    net.set_weather(here(), there(), Weather { delay: DELAY, jitter: DELAY, ..Weather::default() });
    let (mut one, mut two, _) = pair(&net).await;
    let since = Instant::now();
    for number in 0..100u8 {
        one.write_all(&[number]).await.unwrap();
    }
    drop(one);
    let mut got = Vec::new();
    two.read_to_end(&mut got).await.unwrap();
    assert!(got.into_iter().eq(0..100));
    assert!(since.elapsed() >= DELAY && since.elapsed() <= DELAY * 2 + Duration::from_millis(1));
    // The other way was told nothing of.
    let since = Instant::now();
    let (mut one, mut two, _) = pair(&net).await;
    assert!(since.elapsed() >= DELAY * 2, "a dial goes there and back");
    let since = Instant::now();
    two.write_all(b"x").await.unwrap();
    one.read_exact(&mut [0]).await.unwrap();
    assert_eq!(since.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_later_dial_overtakes_one_with_a_detour() {
    let net = MemoryNet::new();
    let weather = Weather { detour: Duration::from_secs(1), ..Weather::default() };
    net.set_weather(here(), there(), weather);
    let mut overtaken = false;
    for _ in 0..32 {
        let (mut first, mut early, _) = pair(&net).await;
        let (mut second, mut late, _) = pair(&net).await;
        first.write_all(b"1").await.unwrap();
        second.write_all(b"2").await.unwrap();
        let (mut one, mut two) = ([0], [0]);
        tokio::select! { biased;
            _ = early.read_exact(&mut one) => {}
            _ = late.read_exact(&mut two) => overtaken = true,
        }
    }
    assert!(overtaken);
}

#[tokio::test(start_paused = true)]
async fn slices_are_of_one_byte_to_so_many() {
    let net = MemoryNet::new();
    net.set_weather(here(), there(), Weather { slice: 3, ..Weather::default() });
    let (mut one, mut two, _) = pair(&net).await;
    let mut sizes = [0; 4];
    for _ in 0..100 {
        sizes[one.write(&[7; 100]).await.unwrap()] += 1;
        sizes[two.read(&mut [0; 100]).await.unwrap()] += 1;
    }
    assert!(sizes[0] == 0 && sizes[1..].iter().all(|count| *count > 10), "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_line_has_a_buffer_of_its_own() {
    let net = MemoryNet::with_buffer(10);
    net.set_weather(here(), there(), Weather { buffer: 1000, ..Weather::default() });
    let (mut one, mut two, _) = pair(&net).await;
    assert_eq!(one.write(&[7; 5000]).await.unwrap(), 1000);
    assert_eq!(two.write(&[7; 5000]).await.unwrap(), 10);
}

#[tokio::test(start_paused = true)]
async fn silence_one_way_is_heard_the_other_way() {
    let net = MemoryNet::new();
    let (mut one, mut two, wire) = pair(&net).await;
    wire.silence_dialler();
    one.write_all(b"lost").await.unwrap();
    assert!(hangs(two.read_exact(&mut [0; 4])).await);
    two.write_all(b"heard").await.unwrap();
    one.read_exact(&mut [0; 5]).await.unwrap();
    wire.silence_acceptor();
    two.read_exact(&mut [0; 4]).await.unwrap();
    drop(two);
    assert!(hangs(one.read(&mut [0; 1])).await, "nor is the end heard");
    one.write_all(b"nobody says that nobody reads").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_line_that_loses_one_way_holds_dials_both_ways() {
    let net = MemoryNet::new();
    let (mut one, mut two, _) = pair(&net).await;
    net.lose(there(), here());
    one.write_all(b"heard").await.unwrap();
    two.read_exact(&mut [0; 5]).await.unwrap();
    two.write_all(b"lost").await.unwrap();
    assert!(hangs(one.read_exact(&mut [0; 4])).await);
    assert!(hangs(pair(&net)).await);
    net.find(there(), here());
    one.read_exact(&mut [0; 4]).await.unwrap();
    pair(&net).await;
}

#[tokio::test(start_paused = true)]
async fn a_box_on_the_way_may_end_a_connection_in_order() {
    let net = MemoryNet::new();
    let (mut one, mut two, wire) = pair(&net).await;
    one.write_all(b"sent before").await.unwrap();
    wire.hang_up();
    let mut got = Vec::new();
    two.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"sent before");
    assert_eq!(one.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(one.write(b"after").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}
