#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::wire::{DataBlock, Features};

const LIMIT: Duration = Duration::from_secs(20);

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dial = TcpStream::connect(listener.local_addr().unwrap());
    let (dialled, accepted) = tokio::join!(dial, listener.accept());
    (dialled.unwrap(), accepted.unwrap().0)
}

/// Both nodes' ends, which speak the newest version.
async fn wires() -> (Wires, Wires) {
    let ((data, other_data), (meta, other_meta)) = (pair().await, pair().await);
    let (mut one, mut other) = (Wires::new(data, meta, 0), Wires::new(other_data, other_meta, 0));
    one.speak(101, 0);
    other.speak(101, 0);
    // Nothing is there yet, and now they know it.
    assert_eq!((one.packet(true), other.packet(true)), (Ok(None), Ok(None)));
    (one, other)
}

fn block(size: usize, number: u8) -> Packet {
    Packet::Data(DataBlock { payload: vec![number; size].into(), ..DataBlock::default() })
}

/// What comes next, while the other end is kept going.
async fn next(at: &mut Wires, other: &mut Wires) -> Result<(Stream, Packet), Breakage> {
    let come = async {
        loop {
            if let Some(packet) = at.packet(true)? {
                return Ok(packet);
            }
            tokio::select! {
                () = at.progress(true) => {}
                () = other.progress(false) => {}
            }
        }
    };
    timeout(LIMIT, come).await.unwrap()
}

#[tokio::test]
async fn packets_arrive_as_they_were_sent() {
    let (mut one, mut other) = wires().await;
    let packets: Vec<Packet> =
        [512, 1 << 20, 4096, 0, 70_000 / 512 * 512, 1 << 20].into_iter().map(|size| block(size, 7)).collect();
    for packet in &packets {
        one.send(Stream::Data, packet);
    }
    for packet in &packets {
        assert_eq!(next(&mut other, &mut one).await, Ok((Stream::Data, packet.clone())));
    }
    one.push();
    assert_eq!(one.sent(), Some(6));
    assert_eq!(one.sent(), None);
    assert!(other.packet(true).unwrap().is_none());
    assert_eq!(other.data.input.capacity(), 0, "an idle connection holds nothing");
}

#[tokio::test]
async fn meta_never_waits_behind_data() {
    let (mut one, mut other) = wires().await;
    for number in 0..64 {
        one.send(Stream::Data, &block(1 << 20, number));
    }
    one.send(Stream::Meta, &Packet::Ping);
    // The other end takes no data at all.
    let come = async {
        loop {
            if let Some(packet) = other.packet(false).unwrap() {
                return packet;
            }
            tokio::select! {
                () = other.progress(false) => {}
                () = one.progress(true) => {}
            }
        }
    };
    assert_eq!(timeout(LIMIT, come).await.unwrap(), (Stream::Meta, Packet::Ping));
    assert!(one.data.sent < 64);
    assert_eq!(other.data.input.capacity(), 0, "what is not taken is not read");
}

#[tokio::test]
async fn what_came_before_the_end_is_had_before_it() {
    let (mut one, mut other) = wires().await;
    one.send(Stream::Data, &block(512, 1));
    one.send(Stream::Meta, &Packet::Ping);
    let finished = tokio::spawn(one.finish(LIMIT));
    let mut came = Vec::new();
    let lost = loop {
        match other.packet(true) {
            Ok(Some((stream, _))) => came.push(stream),
            Ok(None) => timeout(LIMIT, other.progress(true)).await.unwrap(),
            Err(lost) => break lost,
        }
    };
    assert!(matches!(lost, Breakage::Lost { .. }), "{lost:?}");
    // Which of the two is read first is the system's affair.
    assert!(!came.is_empty());
    assert_eq!(other.packet(true), Ok(None), "it is told once");
    drop(other);
    timeout(LIMIT, finished).await.unwrap().unwrap();
}

#[tokio::test]
async fn all_that_is_queued_gets_out_before_the_close() {
    let ((data, mut other_data), (meta, mut other_meta)) = (pair().await, pair().await);
    let mut wires = Wires::new(data, meta, 0);
    wires.speak(101, 0);
    for number in 0..40 {
        wires.send(Stream::Data, &block(1 << 20, number));
    }
    // Bytes that are never read would turn the close into a reset.
    other_data.write_all(&[0; 1000]).await.unwrap();
    let finished = tokio::spawn(wires.finish(LIMIT));
    let mut all = Vec::new();
    timeout(LIMIT, other_data.read_to_end(&mut all)).await.unwrap().unwrap();
    assert_eq!(all.len(), 40 * (16 + 24 + (1 << 20)));
    // Data first: meta is closed when the other node has seen that.
    drop(other_data);
    assert_eq!(timeout(LIMIT, other_meta.read(&mut [0])).await.unwrap().unwrap(), 0);
    drop(other_meta);
    timeout(LIMIT, finished).await.unwrap().unwrap();
}

#[tokio::test]
async fn one_who_does_not_read_is_not_waited_for() {
    let ((data, _other_data), (meta, _other_meta)) = (pair().await, pair().await);
    let mut wires = Wires::new(data, meta, 0);
    wires.speak(101, 0);
    for number in 0..40 {
        wires.send(Stream::Data, &block(1 << 20, number));
    }
    timeout(LIMIT, wires.finish(Duration::from_millis(50))).await.unwrap();
}

#[tokio::test]
async fn who_asks_for_ever_and_takes_nothing_is_not_answered_for_ever() {
    let ((data, _other_data), (meta, mut other_meta)) = (pair().await, pair().await);
    let mut wires = Wires::new(data, meta, 0);
    wires.speak(101, 0);
    let mut encoder = Encoder::new();
    encoder.speak(101, 0);
    let ping = encoder.encode(Stream::Meta, &Packet::Ping).head;
    let pings = ping.repeat(4096);
    let flood = tokio::spawn(async move { while other_meta.write_all(&pings).await.is_ok() {} });
    let mut answered: u64 = 0;
    while wires.meta.queued < META_QUEUE {
        timeout(LIMIT, wires.progress(true)).await.unwrap();
        while let Some(packet) = wires.packet(true).unwrap() {
            assert_eq!(packet, (Stream::Meta, Packet::Ping));
            wires.send(Stream::Meta, &Packet::PingAck);
            answered += 1;
        }
    }
    assert!(answered * (PACKET_COST + 16) >= META_QUEUE);
    assert!(wires.meta.queued <= META_QUEUE + META_READ as u64 * 200);
    assert!(
        timeout(Duration::from_millis(20), wires.progress(true)).await.is_err(),
        "nothing is read any more"
    );
    assert_eq!(wires.packet(true), Ok(None));
    flood.abort();
}

#[tokio::test]
async fn garbage_is_told_once() {
    let ((data, mut other_data), (meta, _other_meta)) = (pair().await, pair().await);
    let mut wires = Wires::new(data, meta, 0);
    other_data.write_all(&[0xee; 64]).await.unwrap();
    timeout(LIMIT, wires.progress(true)).await.unwrap();
    let broken = wires.packet(true).unwrap_err();
    assert!(matches!(broken, Breakage::Undecodable { stream: Stream::Data, .. }), "{broken:?}");
    assert_eq!(wires.packet(true), Ok(None));
}

#[tokio::test]
async fn what_came_before_the_agreement_waits_for_it() {
    let ((data, mut other_data), (meta, mut other_meta)) = (pair().await, pair().await);
    let mut wires = Wires::new(data, meta, 0);
    let mut encoder = Encoder::new();
    let features = Packet::Features(Features { min: 86, max: 101, flags: 0 });
    let encoded = encoder.encode(Stream::Data, &features);
    encoder.speak(101, 0);
    let ping = encoder.encode(Stream::Meta, &Packet::Ping);
    other_meta.write_all(&ping.head).await.unwrap();
    // It is there, but nobody knows yet what it is.
    timeout(LIMIT, wires.progress(true)).await.unwrap();
    assert_eq!(wires.packet(true), Ok(None));
    other_data.write_all(&encoded.head).await.unwrap();
    timeout(LIMIT, wires.progress(true)).await.unwrap();
    assert_eq!(wires.packet(true), Ok(Some((Stream::Data, features))));
    wires.speak(101, 0);
    timeout(LIMIT, wires.progress(true)).await.unwrap();
    assert_eq!(wires.packet(true), Ok(Some((Stream::Meta, Packet::Ping))));
    assert_eq!(Bytes::new(), wires.meta.input);
}
