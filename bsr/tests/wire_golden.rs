//! Bytes that real kernels sent, or that follow from the tables (bsr-wire A.2, B, E.6).
#![allow(clippy::unwrap_used)]

use bytes::{Bytes, BytesMut};
use drx_bsr::digest::Algorithm;
use drx_bsr::wire::*;

/// What DRBD 8.4 offers, and so what is agreed upon with it.
const ALL_FEATURES: u32 = FEATURE_TRIM | FEATURE_THIN_RESYNC | FEATURE_WRITE_SAME | FEATURE_ZEROES;

#[test]
fn features_of_drbd_84() {
    let packet = Packet::Features(Features { min: 86, max: 101, flags: 0xf });
    let expected = [bytes("83740267 fffe 0048  00000056 0000000f 00000065"), vec![0; 60]].concat();
    assert_eq!(expected.len(), 80);
    assert_eq!(encode(80, 0, Stream::Data, &packet), expected);
    assert_eq!(encode(101, 0xf, Stream::Data, &packet), expected, "after an earlier agreement, too");
    assert_eq!(decode(80, 0, Stream::Data, &expected), Ok(Some(packet)));
}

#[test]
fn features_of_bsr() {
    let beginning = bytes("83740267 fffe 0048  00000056 0000000f 00000076  00000000 00000001");
    let all = [beginning, vec![0; 52]].concat();
    let packet = Packet::Features(Features { min: 86, max: 118, flags: 0xf });
    assert_eq!(decode(80, 0, Stream::Data, &all), Ok(Some(packet)));
}

/// E.6: what DRBD 8.4 sends from the features to the state, by its bytes.
#[test]
fn lengths_of_a_handshake() {
    let challenge = [7; 64];
    let response = Algorithm::Sha1.hmac(b"geheim", &challenge).unwrap();
    let handshake = [
        (80, Packet::AuthChallenge(Box::new(challenge))),
        (36, Packet::AuthResponse(response)),
        (41, Packet::Protocol(ProtocolSettings::default())),
        (164, Packet::SyncParameters(SyncParameters::default())),
        (72, Packet::Sizes(Sizes::default())),
        (64, Packet::Uuids(Uuids::default())),
        (20, Packet::State(StateWord(0xc882))),
    ];
    for (length, packet) in handshake {
        assert_eq!(encode(101, ALL_FEATURES, Stream::Data, &packet).len(), length, "{packet:?}");
    }
}

#[test]
fn state_of_drbd_84() {
    let (secondary, bad) = (Role::Secondary, Disk::Inconsistent);
    let waiting = StateWord::new(secondary, Role::Unknown, Connection::WFConnection, bad, Disk::Unknown);
    both_ways(101, Stream::Data, Packet::State(waiting), "8620ec20 0000 000e 00000004 00000000  0000c882");
    let connected = StateWord::new(secondary, secondary, Connection::Connected, bad, bad);
    both_ways(101, Stream::Data, Packet::State(connected), "8620ec20 0000 000e 00000004 00000000  000088aa");
}

/// As recorded from DRBD 8.4.11 with a disk of 65456 sectors that was just created.
#[test]
fn sizes_of_drbd_84() {
    let sent = "8620ec20 0000 000d 00000038 00000000  000000000000ffb0 0000000000000000 000000000000ffb0 00100000 0000 0000
        00000200 00000200 00000000 00000200 00000000 01 00 00 00";
    let limits = QueueLimits {
        physical_block: 512,
        logical_block: 512,
        io_min: 512,
        discard: true,
        ..QueueLimits::default()
    };
    let sizes =
        Sizes { disk: 65456, current: 65456, max_block: 1 << 20, limits: Some(limits), ..Sizes::default() };
    assert_eq!(encode(101, ALL_FEATURES, Stream::Data, &Packet::Sizes(sizes)), bytes(sent));
    assert_eq!(decode(101, ALL_FEATURES, Stream::Data, &bytes(sent)), Ok(Some(Packet::Sizes(sizes))));
}

/// BSR writes 0xffff for the volume where the connection is meant.
#[test]
fn protocol_of_bsr() {
    let sent =
        "8620ec20 ffff 000b 00000019 00000000  00000003 00000000 00000001 00000002 00000000 00000000 00";
    let settings = ProtocolSettings { protocol: 3, after_sb_1p: 1, after_sb_2p: 2, ..Default::default() };
    assert_eq!(decode(101, 0, Stream::Data, &bytes(sent)), Ok(Some(Packet::Protocol(settings))));
}

/// A whole device of 65208 KiB in one run (B.5), and one of 65496 KiB (E.6).
#[test]
fn compressed_bitmap() {
    for code in ["7f7d1e00", "7fc51e00"] {
        let packet = Packet::CompressedBitmap(0xb2, bytes(code).into());
        both_ways(101, Stream::Data, packet, &format!("8620ec20 0000 0024 00000005 00000000 b2 {code}"));
    }
}

/// E.6: promote, and disconnect.
#[test]
fn state_changes() {
    let promote = Packet::StateChange(StateChange { mask: 0x1e03, value: 0x1001 });
    both_ways(101, Stream::Data, promote, "8620ec20 0000 0012 00000008 00000000  00001e03 00001001");
    both_ways(
        101,
        Stream::Meta,
        Packet::StateChangeReply(1),
        "8620ec20 0000 001d 00000004 00000000  00000001",
    );
    let refusal = "8620ec20 0000 001d 00000004 00000000  ffffffed";
    both_ways(101, Stream::Meta, Packet::StateChangeReply(-19), refusal);

    let change = StateChange { mask: 0x1f0, value: 0x10 };
    let disconnect = Packet::ConnectionChange(change);
    let sent = "8620ec20 0000 002a 00000008 00000000  000001f0 00000010";
    both_ways(101, Stream::Data, disconnect.clone(), sent);
    let success = "8620ec20 0000 002b 00000004 00000000  00000001";
    both_ways(101, Stream::Meta, Packet::ConnectionChangeReply(1), success);

    // Before version 100 there is one kind of change only.
    let old = bytes("83740267 0012 0008  000001f0 00000010");
    assert_eq!(encode(99, 0, Stream::Data, &disconnect), old);
    assert_eq!(decode(99, 0, Stream::Data, &old), Ok(Some(Packet::StateChange(change))));
}

#[test]
fn a_write_and_its_end() {
    let block_id = 0x8877_6655_4433_2211;
    let flags = DP_RW_SYNC | DP_SEND_WRITE_ACK;
    let payload = Bytes::from_static(&[0xab; 4096]);
    let block = DataBlock { sector: 16, block_id, sequence: 5, flags, digest: Bytes::new(), payload };
    let head = "8620ec20 0000 0000 00001018 00000000  0000000000000010 8877665544332211 00000005 00000102";
    let sent = encode(101, 0, Stream::Data, &Packet::Data(block));
    assert_eq!(sent, [bytes(head), vec![0xab; 4096]].concat());

    let ack = BlockAck { sector: 16, block_id, size: 4096, sequence: 9 };
    let sent = "8620ec20 0000 0016 00000018 00000000  0000000000000010 8877665544332211 00001000 00000009";
    both_ways(101, Stream::Meta, Packet::Ack(AckKind::Written, ack), sent);
    let barrier = "8620ec20 0000 0003 00000008 00000000  12345678 00000000";
    both_ways(101, Stream::Data, Packet::Barrier(0x1234_5678), barrier);
    let end = Packet::BarrierAck { barrier: 0x1234_5678, set_size: 3 };
    both_ways(101, Stream::Meta, end, "8620ec20 0000 001c 00000008 00000000  12345678 00000003");
}

/// A block's digest is before its payload, and counted.
#[test]
fn a_write_with_a_digest() {
    let payload = Bytes::from_static(&[0xab; 512]);
    let digest = Algorithm::Crc32c.digest(&payload);
    let block = DataBlock { digest: digest.clone(), payload: payload.clone(), ..DataBlock::default() };
    let sent = encode(101, 0, Stream::Data, &Packet::Data(block));
    assert_eq!(sent[8..12], 540_u32.to_be_bytes());
    assert_eq!(sent[40..44], digest);

    let Ok(Some(Packet::Data(mut block))) = decode(101, 0, Stream::Data, &sent) else { panic!("no write") };
    assert!(block.split_digest(4));
    assert_eq!((block.digest, block.payload), (digest, payload));
}

#[test]
fn pings() {
    both_ways(101, Stream::Meta, Packet::Ping, "8620ec20 0000 0013 00000000 00000000");
    both_ways(101, Stream::Meta, Packet::PingAck, "8620ec20 0000 0014 00000000 00000000");
    both_ways(99, Stream::Meta, Packet::Ping, "83740267 0013 0000");
}

/// B.1: the long header only from 95 to 99, and only for what the short one is not meant for.
#[test]
fn headers_of_large_blocks() {
    let block = |length| Packet::Data(DataBlock { payload: vec![1; length].into(), ..DataBlock::default() });
    for (version, payload, header) in [
        (94, 32768, "83740267 0000 8018"),
        (95, 32256, "83740267 0000 7e18"),
        (95, 32744, "83740267 0000 8000"),
        (95, 32768, "835a 0000 00008018"),
        (99, 131_072, "835a 0000 00020018"),
        (100, 1 << 20, "8620ec20 0000 0000 00100018 00000000"),
    ] {
        let sent = encode(version, 0, Stream::Data, &block(payload));
        let header = bytes(header);
        assert_eq!(sent[..header.len()], header, "version {version}, {payload} bytes");
        assert_eq!(decode(version, 0, Stream::Data, &sent), Ok(Some(block(payload))));
    }
}

/// B.3: P_SYNC_PARAM's four lengths.
#[test]
fn sync_parameters_of_each_version() {
    let (verify, checksum) = ("md5".to_owned(), "sha1".to_owned());
    let packet = Packet::SyncParameters(SyncParameters { rate: 250, verify, checksum, ..Default::default() });
    let sent = |version| encode(version, 0, Stream::Data, &packet);
    assert_eq!(sent(87), bytes("83740267 000a 0004  000000fa"));
    assert_eq!(sent(88), bytes("83740267 000a 0008  000000fa 6d643500"));
    for (version, length) in [(89, 132), (94, 132), (95, 148), (99, 148)] {
        assert_eq!(sent(version)[..12], bytes(&format!("83740267 0023 {length:04x}  000000fa")));
        assert_eq!(sent(version).len(), 8 + length);
    }
    assert_eq!(sent(101).len(), 16 + 148);
}

/// B.3: P_PROTOCOL without a name before version 87; P_SIZES with limits if both nodes know P_WSAME.
#[test]
fn what_a_version_or_a_feature_adds() {
    let settings = Packet::Protocol(ProtocolSettings { integrity: "md5".into(), ..Default::default() });
    assert_eq!(encode(86, 0, Stream::Data, &settings).len(), 8 + 24);
    assert_eq!(encode(87, 0, Stream::Data, &settings).len(), 8 + 28);
    let sizes = Packet::Sizes(Sizes::default());
    assert_eq!(encode(101, ALL_FEATURES & !FEATURE_WRITE_SAME, Stream::Data, &sizes).len(), 16 + 32);
    assert_eq!(encode(101, ALL_FEATURES, Stream::Data, &sizes).len(), 16 + 56);
}

fn both_ways(version: u32, stream: Stream, packet: Packet, hex: &str) {
    assert_eq!(encode(version, 0, stream, &packet), bytes(hex), "{packet:?}");
    assert_eq!(decode(version, 0, stream, &bytes(hex)), Ok(Some(packet)));
}

fn encode(version: u32, features: u32, stream: Stream, packet: &Packet) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.speak(version, features);
    let Encoded { head, payload } = encoder.encode(stream, packet);
    [head, payload].concat()
}

fn decode(version: u32, features: u32, stream: Stream, bytes: &[u8]) -> Result<Option<Packet>, DecodeError> {
    let mut decoder = Decoder::new();
    decoder.speak(version, features);
    let mut buffer = BytesMut::from(bytes);
    let packet = decoder.decode(stream, &mut buffer);
    assert!(buffer.is_empty() || !matches!(packet, Ok(Some(_))), "all of it");
    packet
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
}
