//! What every network promises: the same tests over the kernel's TCP and in memory.

#![allow(clippy::disallowed_methods, reason = "tests play the world around the actors")]
#![allow(clippy::unwrap_used)]

use std::future::poll_fn;
use std::io;
use std::io::{ErrorKind, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use actix_rt::{Arbiter, System};
use drx_actors::net::{Listener, MemoryNet, Net, SocketOptions, Stream, TcpNet};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Runs a test on both networks, each in a system of its own.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod tcp { $(#[test] fn $name() { super::run(super::$name(&super::TcpNet)); })* }
        mod memory { $(#[test] fn $name() { super::run(super::$name(&super::MemoryNet::new())); })* }
    };
}

on_both! {
    bytes_flow_both_ways_and_an_end_is_seen_after_the_last_byte
    a_dial_is_refused_before_a_listener_is_there_and_after_it_is_gone
    a_connection_that_waits_is_reset_when_the_listener_goes
    an_address_can_be_listened_on_again_while_its_connections_live
    an_address_can_not_be_listened_on_twice
    a_dial_comes_from_the_address_it_is_bound_to
    an_abort_is_a_reset_at_the_other_end
    closing_with_unread_bytes_is_a_reset_at_the_other_end
    a_vectored_write_is_one_write
    a_full_connection_holds_the_writer_until_the_reader_reads
    a_connection_moves_to_another_arbiter_with_its_bytes
    a_detached_connection_closes_when_dropped
    ipv6_works_as_well
}

fn run(test: impl Future<Output = ()>) {
    System::new().block_on(async { timeout(PATIENCE, test).await.expect("the test hangs") });
}

fn options() -> SocketOptions {
    SocketOptions::local()
}

async fn listen(net: &dyn Net) -> (Box<dyn Listener>, SocketAddr) {
    let listener = net.listen("127.0.0.1:0".parse().unwrap(), 16, &options()).await.unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

async fn dial(net: &dyn Net, to: SocketAddr) -> io::Result<Box<dyn Stream>> {
    net.connect(to, None, &options()).await
}

/// A connection: the end that dialled, the end that listened.
async fn pair(net: &dyn Net) -> (Box<dyn Stream>, Box<dyn Stream>) {
    let (mut listener, at) = listen(net).await;
    let dialled = dial(net, at).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    (dialled, accepted)
}

async fn read_error(stream: &mut dyn Stream) -> ErrorKind {
    stream.read(&mut [0; 16]).await.unwrap_err().kind()
}

async fn bytes_flow_both_ways_and_an_end_is_seen_after_the_last_byte(net: &dyn Net) {
    let (mut a, mut b) = pair(net).await;
    assert_eq!(a.peer_addr().unwrap(), b.local_addr().unwrap());
    assert_eq!(b.peer_addr().unwrap(), a.local_addr().unwrap());
    a.write_all(b"P_DATA").await.unwrap();
    b.write_all(b"P_WRITE_ACK").await.unwrap();
    a.shutdown().await.unwrap();
    let mut got = Vec::new();
    b.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"P_DATA");
    drop(b);
    got.clear();
    a.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"P_WRITE_ACK");
}

async fn a_dial_is_refused_before_a_listener_is_there_and_after_it_is_gone(net: &dyn Net) {
    let (listener, at) = listen(net).await;
    drop(listener);
    assert_eq!(dial(net, at).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let mut listener = net.listen(at, 1, &options()).await.unwrap();
    let dialled = dial(net, at).await.unwrap();
    let (accepted, peer) = listener.accept().await.unwrap();
    assert_eq!(peer, dialled.local_addr().unwrap());
    drop(listener);
    assert_eq!(dial(net, at).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    drop((dialled, accepted));
}

async fn a_connection_that_waits_is_reset_when_the_listener_goes(net: &dyn Net) {
    let (listener, at) = listen(net).await;
    let mut dialled = dial(net, at).await.unwrap();
    drop(listener);
    assert_eq!(read_error(&mut *dialled).await, ErrorKind::ConnectionReset);
}

async fn an_address_can_be_listened_on_again_while_its_connections_live(net: &dyn Net) {
    let (mut listener, at) = listen(net).await;
    let mut first = dial(net, at).await.unwrap();
    let (mut accepted, _) = listener.accept().await.unwrap();
    drop(listener);
    let mut listener = net.listen(at, 1, &options()).await.unwrap();
    let _second = dial(net, at).await.unwrap();
    listener.accept().await.unwrap();
    accepted.write_all(b"x").await.unwrap();
    assert_eq!(first.read_u8().await.unwrap(), b'x');
}

async fn an_address_can_not_be_listened_on_twice(net: &dyn Net) {
    let (_listener, at) = listen(net).await;
    let error = net.listen(at, 1, &options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

async fn a_dial_comes_from_the_address_it_is_bound_to(net: &dyn Net) {
    let (mut listener, at) = listen(net).await;
    let from: IpAddr = "127.0.0.2".parse().unwrap();
    let dialled = net.connect(at, Some(from), &options()).await.unwrap();
    let (accepted, peer) = listener.accept().await.unwrap();
    assert_eq!(peer.ip(), from);
    assert_ne!(peer.port(), 0);
    assert_eq!(dialled.local_addr().unwrap(), peer);
    assert_eq!(accepted.peer_addr().unwrap(), peer);
}

async fn an_abort_is_a_reset_at_the_other_end(net: &dyn Net) {
    let (a, mut b) = pair(net).await;
    a.abort();
    assert_eq!(read_error(&mut *b).await, ErrorKind::ConnectionReset);
    let (mut a, b) = pair(net).await;
    b.abort();
    assert_eq!(read_error(&mut *a).await, ErrorKind::ConnectionReset);
}

async fn closing_with_unread_bytes_is_a_reset_at_the_other_end(net: &dyn Net) {
    let (mut a, mut b) = pair(net).await;
    b.write_all(b"two").await.unwrap();
    a.read_u8().await.unwrap(); // the rest is there, and stays unread
    drop(a);
    assert_eq!(read_error(&mut *b).await, ErrorKind::ConnectionReset);
}

async fn a_vectored_write_is_one_write(net: &dyn Net) {
    let (mut a, mut b) = pair(net).await;
    assert!(a.is_write_vectored());
    let parts = [IoSlice::new(b"header "), IoSlice::new(b""), IoSlice::new(b"payload")];
    let count = poll_fn(|cx| Pin::new(&mut a).poll_write_vectored(cx, &parts)).await.unwrap();
    assert_eq!(count, 14);
    let mut got = [0; 14];
    b.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"header payload");
}

async fn a_full_connection_holds_the_writer_until_the_reader_reads(net: &dyn Net) {
    let (mut a, mut b) = pair(net).await;
    let pattern = |at: usize| (at % (64 * 1024) % 251) as u8;
    let block: Vec<u8> = (0..64 * 1024).map(pattern).collect();
    let total = 64 * 1024 * 1024; // more than any socket buffers hold
    let writer = actix_rt::spawn(async move {
        for _ in 0..total / block.len() {
            a.write_all(&block).await.unwrap();
        }
    });
    let mut got = vec![0; 256 * 1024];
    let mut count = 0;
    while count < total {
        let fresh = b.read(&mut got).await.unwrap();
        assert_ne!(fresh, 0, "an end after {count} of {total} bytes");
        assert!(count > 0 || !writer.is_finished(), "all of it was taken before anybody read");
        for (at, &byte) in got[..fresh].iter().enumerate() {
            assert_eq!(byte, pattern(count + at), "byte {}", count + at);
        }
        count += fresh;
    }
    writer.await.unwrap();
    assert_eq!(b.read(&mut [0]).await.unwrap(), 0);
}

async fn a_connection_moves_to_another_arbiter_with_its_bytes(net: &dyn Net) {
    let (mut a, mut b) = pair(net).await;
    a.write_all(b"read here, read there").await.unwrap();
    b.read_exact(&mut [0; 11]).await.unwrap();
    b.write_all(b"before ").await.unwrap();
    let detached = b.detach().unwrap();

    let arbiter = Arbiter::new();
    arbiter.spawn(async move {
        let mut b = detached.attach().unwrap();
        let mut got = [0; 10];
        b.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"read there");
        b.write_all(b"after").await.unwrap();
        b.read_u8().await.unwrap(); // woken by this arbiter's own reactor
        b.write_all(b"!").await.unwrap();
    });
    let mut got = [0; 12];
    a.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"before after");
    a.write_all(b"?").await.unwrap();
    let mut rest = Vec::new();
    a.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"!");
    arbiter.stop();
    arbiter.join().unwrap();
}

async fn a_detached_connection_closes_when_dropped(net: &dyn Net) {
    let (mut a, b) = pair(net).await;
    drop(b.detach().unwrap());
    assert_eq!(a.read(&mut [0]).await.unwrap(), 0);
}

async fn ipv6_works_as_well(net: &dyn Net) {
    let mut listener = net.listen("[::1]:0".parse().unwrap(), 1, &options()).await.unwrap();
    let from = "::1".parse().unwrap();
    let dialled = net.connect(listener.local_addr().unwrap(), Some(from), &options()).await.unwrap();
    let (accepted, peer) = listener.accept().await.unwrap();
    assert_eq!(peer.ip(), from);
    assert_eq!(accepted.local_addr().unwrap(), dialled.peer_addr().unwrap());
}

/// Far longer than any of the tests takes; it turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(20);
