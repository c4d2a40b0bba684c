//! The faults of the network in memory, under a clock that stands still.

#![allow(clippy::disallowed_methods, reason = "tests play the world around the actors")]
#![allow(clippy::unwrap_used)]

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use drx_actors::net::{Listener, MemoryNet, Net, SocketOptions, Stream, Wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

fn address() -> SocketAddr {
    "10.0.0.1:7788".parse().unwrap()
}

async fn listen(net: &MemoryNet, backlog: u32) -> Box<dyn Listener> {
    net.listen(address(), backlog, &SocketOptions::link()).await.unwrap()
}

async fn dial(net: &MemoryNet) -> std::io::Result<Box<dyn Stream>> {
    net.connect(address(), Some("10.0.0.2".parse().unwrap()), &SocketOptions::link()).await
}

async fn pair(net: &MemoryNet) -> (Box<dyn Stream>, Box<dyn Stream>, Wire) {
    let mut listener = listen(net, 1).await;
    let dialled = dial(net).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    (dialled, accepted, net.wires().pop().unwrap())
}

/// Nothing happens for an hour: of the paused clock, so in no time.
async fn assert_hangs<T>(future: impl Future<Output = T>) {
    assert!(timeout(Duration::from_secs(3600), future).await.is_err(), "it came to an end");
}

#[tokio::test(start_paused = true)]
async fn who_listens_and_what_is_open_can_be_asked() {
    let net = MemoryNet::new();
    assert!(net.listeners().is_empty());
    let mut listener = listen(&net, 1).await;
    assert_eq!(net.listeners(), [address()]);
    assert!(net.is_listening(address()));
    let dialled = dial(&net).await.unwrap();
    let wire = net.wires().pop().unwrap();
    assert_eq!((wire.from(), wire.to()), (dialled.local_addr().unwrap(), address()));
    assert_eq!(wire.from().ip().to_string(), "10.0.0.2");
    let (accepted, _) = listener.accept().await.unwrap();
    drop(listener);
    assert!(!net.is_listening(address()));
    drop(dialled);
    assert!(wire.is_open());
    drop(accepted);
    assert!(!wire.is_open());
    assert!(net.wires().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_connection_nobody_accepted_is_no_leak() {
    let net = MemoryNet::new();
    let listener = listen(&net, 1).await;
    drop(dial(&net).await.unwrap());
    assert_eq!(net.wires().len(), 1);
    drop(listener);
    assert!(net.wires().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_listener_on_all_addresses_is_met_at_each() {
    let net = MemoryNet::new();
    let everywhere = "0.0.0.0:7788".parse().unwrap();
    let mut listener = net.listen(everywhere, 1, &SocketOptions::link()).await.unwrap();
    assert!(net.is_listening(address()));
    let dialled = dial(&net).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    assert_eq!(accepted.local_addr().unwrap(), address());
    assert_eq!(dialled.peer_addr().unwrap(), address());
    assert_eq!(
        net.listen(address(), 1, &SocketOptions::link()).await.unwrap_err().kind(),
        ErrorKind::AddrInUse
    );
}

#[tokio::test(start_paused = true)]
async fn a_dial_beyond_the_backlog_waits_for_room_or_is_refused() {
    let net = MemoryNet::new();
    let mut listener = listen(&net, 1).await;
    let _first = dial(&net).await.unwrap();
    assert_hangs(dial(&net)).await;
    let (second, accepted) = tokio::join!(dial(&net), listener.accept());
    second.unwrap();
    accepted.unwrap();
    let (third, ()) = tokio::join!(dial(&net), async { drop(listener) });
    assert_eq!(third.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test(start_paused = true)]
async fn a_cut_resets_both_ends_and_loses_what_was_not_read() {
    let net = MemoryNet::new();
    let (mut a, mut b, wire) = pair(&net).await;
    a.write_all(b"lost").await.unwrap();
    let reader = async { a.read_u8().await.unwrap_err().kind() };
    let (kind, ()) = tokio::join!(reader, async { wire.cut() }); // wakes who waits
    assert_eq!(kind, ErrorKind::ConnectionReset);
    assert_eq!(b.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(b.write_u8(0).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(a.write_u8(0).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn a_cut_wakes_a_writer_that_waits_for_room() {
    let net = MemoryNet::with_buffer(4);
    let (mut a, _b, wire) = pair(&net).await;
    let (written, ()) = tokio::join!(a.write_all(b"more than fits"), async { wire.cut() });
    assert_eq!(written.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn the_buffer_bounds_what_is_under_way() {
    let net = MemoryNet::with_buffer(4);
    let (mut a, mut b, _) = pair(&net).await;
    assert_eq!(a.write(b"12345678").await.unwrap(), 4);
    assert_hangs(a.write(b"5678")).await;
    assert_eq!(b.read_u8().await.unwrap(), b'1');
    assert_eq!(a.write(b"5678").await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_silent_wire_tells_nothing_until_it_resumes() {
    let net = MemoryNet::with_buffer(4);
    let (mut a, mut b, wire) = pair(&net).await;
    wire.silence();
    a.write_all(b"held").await.unwrap(); // as into a send buffer
    assert_hangs(a.write_u8(b'!')).await;
    assert_hangs(b.read_u8()).await;
    let started = Instant::now();
    let (got, ()) = tokio::join!(b.read_u32(), async { wire.resume() });
    assert_eq!(got.unwrap().to_be_bytes(), *b"held");
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_end_dropped_in_silence_leaves_the_other_half_open() {
    let net = MemoryNet::new();
    let (a, mut b, wire) = pair(&net).await;
    wire.silence();
    a.abort();
    assert_hangs(b.read_u8()).await;
    b.write_all(b"to nobody").await.unwrap();
    wire.resume();
    assert_eq!(b.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);

    let (a, mut b, wire) = pair(&net).await;
    wire.silence();
    drop(a);
    assert_hangs(b.read_u8()).await;
    wire.resume();
    assert_eq!(b.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(b.write_u8(0).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_down_holds_bytes_and_dials_and_goes_on_when_it_is_up() {
    let net = MemoryNet::new();
    let (mut a, mut b, _) = pair(&net).await;
    let mut listener = listen(&net, 1).await;
    net.take_down(address());
    a.write_all(b"x").await.unwrap();
    assert_hangs(b.read_u8()).await;
    assert_hangs(dial(&net)).await;
    let (dialled, ()) = tokio::join!(dial(&net), async { net.bring_up(address()) });
    let (mut accepted, _) = listener.accept().await.unwrap();
    dialled.unwrap().write_all(b"y").await.unwrap();
    assert_eq!(b.read_u8().await.unwrap(), b'x');
    assert_eq!(accepted.read_u8().await.unwrap(), b'y');
}

#[tokio::test(start_paused = true)]
async fn a_busy_connection_lets_others_have_their_turn() {
    let net = MemoryNet::new();
    let (mut a, _b, _) = pair(&net).await;
    let other = tokio::spawn(async {});
    // Always ready: without the budget of tokio this would never yield.
    let busy = async {
        while !other.is_finished() {
            assert_eq!(a.write(b"").await.unwrap(), 0);
        }
    };
    timeout(Duration::from_secs(1), busy).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn two_networks_know_nothing_of_each_other() {
    let (net, other) = (MemoryNet::new(), MemoryNet::new());
    let _listener = listen(&net, 1).await;
    assert!(net.clone().is_listening(address()));
    assert_eq!(dial(&other).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}
