//! Every packet in every version: it survives its bytes, however they are cut. And bytes that are no packets.
#![allow(clippy::unwrap_used)]

use bytes::{Bytes, BytesMut};
use drx_bsr::wire::command::{MAX_PACKET, NOT_AGREED, max_block};
use drx_bsr::wire::*;
use fastrand::Rng;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// What is encoded is decoded, and is as long as its command is allowed to be.
    #[test]
    fn every_packet_survives(seed: u64, features in 0..16_u32) {
        let mut rng = Rng::with_seed(seed);
        for version in [NOT_AGREED].into_iter().chain(86..=101) {
            let (encoder, mut decoder) = speaking(version, features);
            for (stream, packet) in all(version, features, &mut rng) {
                let Encoded { head, payload } = encoder.encode(stream, &packet);
                prop_assert!(head.len() + payload.len() <= MAX_PACKET);
                let mut buffer = BytesMut::from(&[&head[..], &payload[..], b"next"].concat()[..]);
                let back = decoder.decode(stream, &mut buffer);
                prop_assert_eq!(back, Ok(Some(received(&packet))), "version {}", version);
                prop_assert_eq!(&buffer[..], b"next", "{:?} of version {}", packet, version);
            }
        }
    }

    /// A byte at a time, and exactly what is wanted at a time: the same packets.
    #[test]
    fn cuts_make_no_difference(seed: u64, version in 86..=101_u32, features in 0..16_u32) {
        let mut rng = Rng::with_seed(seed);
        let (encoder, mut decoder) = speaking(version, features);
        for stream in [Stream::Data, Stream::Meta] {
            let packets = all(version, features, &mut rng).into_iter().filter(|(on, _)| *on == stream);
            let packets: Vec<Packet> = packets.map(|(_, packet)| small(packet)).collect();
            let mut bytes = BytesMut::new();
            for packet in &packets {
                let Encoded { head, payload } = encoder.encode(stream, packet);
                bytes.extend_from_slice(&head);
                bytes.extend_from_slice(&payload);
            }
            let expected: Vec<Packet> = packets.iter().map(received).collect();

            let (mut buffer, mut decoded) = (BytesMut::new(), Vec::new());
            for byte in &bytes {
                buffer.extend_from_slice(&[*byte]);
                decoded.extend(decoder.decode(stream, &mut buffer).unwrap());
            }
            prop_assert_eq!(&decoded, &expected);

            let (mut buffer, mut decoded, mut left) = (BytesMut::new(), Vec::new(), bytes.freeze());
            while !left.is_empty() || !buffer.is_empty() {
                let packet = decoder.decode(stream, &mut buffer).unwrap();
                prop_assert_eq!(packet.is_some(), decoder.wanted() == 0);
                buffer.extend_from_slice(&left.split_to(decoder.wanted()));
                decoded.extend(packet);
            }
            prop_assert_eq!(&decoded, &expected);
        }
    }

    /// Noise, with and without a right header before it: no panic, and nothing is wanted beyond the bound.
    #[test]
    fn noise(
        version in prop::sample::select(vec![80, 86, 88, 89, 94, 95, 99, 100, 101]),
        features in 0..16_u32,
        meta: bool,
        command in 0..0x38_u16,
        noise in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let stream = if meta { Stream::Meta } else { Stream::Data };
        let (_, mut decoder) = speaking(version, features);
        let length = u32::try_from(noise.len()).unwrap();
        let (header, size) = header::Header { command, length, volume: 0 }.write(version);
        for begin in [&[][..], &header[16 - size..]] {
            let mut buffer = BytesMut::from(&[begin, &noise].concat()[..]);
            while let Ok(packet) = decoder.decode(stream, &mut buffer) {
                prop_assert!(buffer.len() + decoder.wanted() <= MAX_PACKET);
                if packet.is_none() {
                    break;
                }
            }
        }
    }
}

/// One packet of each command that this version and these features have.
fn all(version: u32, features: u32, rng: &mut Rng) -> Vec<(Stream, Packet)> {
    let spoken = Command::ALL.iter().filter(|command| command.is_spoken(version, features));
    let streams = |command: Command| {
        [Stream::Data, Stream::Meta].into_iter().filter(move |stream| command.belongs_on(*stream))
    };
    let packets = spoken.flat_map(|command| streams(*command).map(|stream| (stream, *command)));
    // Before the agreement, meta is not looked at.
    let packets = packets.filter(|(stream, _)| version != NOT_AGREED || *stream == Stream::Data);
    packets.map(|(stream, command)| (stream, packet(command, version, features, rng))).collect()
}

/// One of the packets that are sent with this command, with nothing in it that the version does not carry.
fn packet(command: Command, version: u32, features: u32, rng: &mut Rng) -> Packet {
    let kind = |kind| Packet::Ack(kind, BlockAck::default());
    let packet = match command {
        Command::Data => Packet::Data(block(0, version, rng)),
        Command::DataReply => Packet::DataReply(block(1, version, rng)),
        Command::ResyncReply => Packet::ResyncReply(block(1, version, rng)),
        Command::Barrier => Packet::Barrier(rng.u32(..)),
        Command::Bitmap => Packet::Bitmap(some(8 * rng.usize(..=510), rng)),
        Command::UnplugRemote => Packet::UnplugRemote,
        Command::DataRequest => Packet::DataRequest(request(rng)),
        Command::ResyncRequest => Packet::ResyncRequest(request(rng)),
        Command::SyncParameters | Command::SyncParameters89 => {
            Packet::SyncParameters(sync_parameters(version, rng))
        }
        Command::Protocol => Packet::Protocol(protocol(version, rng)),
        Command::Uuids => {
            let history = [rng.u64(..), rng.u64(..)];
            let (dirty_bits, flags) = (rng.u64(..), rng.u64(..));
            Packet::Uuids(Uuids { current: rng.u64(..), bitmap: rng.u64(..), history, dirty_bits, flags })
        }
        Command::Sizes => Packet::Sizes(sizes(features, rng)),
        Command::State => Packet::State(StateWord(rng.u32(..))),
        Command::SyncUuid => Packet::SyncUuid(rng.u64(..)),
        Command::AuthChallenge => Packet::AuthChallenge(Box::new(std::array::from_fn(|_| rng.u8(..)))),
        Command::AuthResponse => Packet::AuthResponse(digest(rng)),
        Command::StateChange => Packet::StateChange(change(rng)),
        Command::Ping => Packet::Ping,
        Command::PingAck => Packet::PingAck,
        Command::ReceiveAck => kind(AckKind::Received),
        Command::WriteAck => kind(AckKind::Written),
        Command::ResyncWriteAck => kind(AckKind::ResyncWritten),
        Command::Superseded => kind(AckKind::Superseded),
        Command::NegativeAck => kind(AckKind::Negative),
        Command::NegativeDataReply => kind(AckKind::NegativeData),
        Command::NegativeResyncReply => kind(AckKind::NegativeResync),
        Command::BarrierAck => Packet::BarrierAck { barrier: rng.u32(..), set_size: rng.u32(..) },
        Command::StateChangeReply => Packet::StateChangeReply(rng.i32(..)),
        Command::VerifyRequest => Packet::VerifyRequest(request(rng)),
        Command::VerifyReply => Packet::VerifyReply(request(rng), digest(rng)),
        Command::VerifyResult => kind(AckKind::VerifyResult),
        Command::ChecksumRequest => Packet::ChecksumRequest(request(rng), digest(rng)),
        Command::InSync => kind(AckKind::InSync),
        Command::CompressedBitmap => Packet::CompressedBitmap(rng.u8(..), some(rng.usize(1..4080), rng)),
        Command::DelayProbe => Packet::DelayProbe,
        Command::OutOfSync => Packet::OutOfSync(descriptor(rng)),
        Command::ResyncCancel => kind(AckKind::ResyncCancel),
        Command::ConnectionChange => Packet::ConnectionChange(change(rng)),
        Command::ConnectionChangeReply => Packet::ConnectionChangeReply(rng.i32(..)),
        Command::RetryWrite => kind(AckKind::RetryWrite),
        Command::ProtocolUpdate => Packet::ProtocolUpdate(protocol(version, rng)),
        Command::Trim => Packet::Trim(without_payload(rng), range(rng)),
        Command::ThinRequest => Packet::ThinRequest(request(rng)),
        Command::Deallocated => Packet::Deallocated(descriptor(rng)),
        Command::WriteSame => Packet::WriteSame(block(1, version, rng), range(rng)),
        Command::Zeroes => Packet::Zeroes(without_payload(rng), range(rng)),
        Command::Features => {
            Packet::Features(Features { min: rng.u32(..), max: rng.u32(..), flags: rng.u32(..) })
        }
    };
    match packet {
        Packet::Ack(kind, _) => {
            let (size, sequence) = (rng.u32(..=MAX_RANGE), rng.u32(..));
            Packet::Ack(kind, BlockAck { sector: sector(rng), block_id: rng.u64(..), size, sequence })
        }
        other => other,
    }
}

/// A block of at least so many sectors; one in four as large as it may be.
fn block(least: usize, version: u32, rng: &mut Rng) -> DataBlock {
    let most = max_block(version) as usize / 512;
    let sectors = if rng.u8(..) < 64 { most } else { rng.usize(least..=16) };
    let payload = Bytes::from(vec![rng.u8(..); 512 * sectors]);
    let digest = if rng.bool() { digest(rng) } else { Bytes::new() };
    DataBlock { digest, payload, ..without_payload(rng) }
}

fn without_payload(rng: &mut Rng) -> DataBlock {
    let (sequence, flags) = (rng.u32(..), rng.u32(..));
    DataBlock { sector: sector(rng), block_id: rng.u64(..), sequence, flags, ..DataBlock::default() }
}

fn request(rng: &mut Rng) -> BlockRequest {
    BlockRequest { sector: sector(rng), block_id: rng.u64(..), size: 512 * rng.u32(1..=2048) }
}

fn descriptor(rng: &mut Rng) -> BlockDescriptor {
    BlockDescriptor { sector: sector(rng), size: rng.u32(..=MAX_RANGE) }
}

fn change(rng: &mut Rng) -> StateChange {
    StateChange { mask: rng.u32(..), value: rng.u32(..) }
}

fn protocol(version: u32, rng: &mut Rng) -> ProtocolSettings {
    ProtocolSettings {
        protocol: rng.u32(..),
        after_sb_0p: rng.u32(..),
        after_sb_1p: rng.u32(..),
        after_sb_2p: rng.u32(..),
        flags: rng.u32(..),
        two_primaries: rng.u32(..),
        integrity: if version >= 87 { name(rng) } else { String::new() },
    }
}

fn sync_parameters(version: u32, rng: &mut Rng) -> SyncParameters {
    let mut parameters = SyncParameters { rate: rng.u32(..), ..SyncParameters::default() };
    if version >= 88 {
        parameters.verify = name(rng);
    }
    if version >= 89 {
        parameters.checksum = name(rng);
    }
    if version >= 95 {
        parameters.plan_ahead = rng.u32(..);
        parameters.delay_target = rng.u32(..);
        parameters.fill_target = rng.u32(..);
        parameters.max_rate = rng.u32(..);
    }
    parameters
}

fn sizes(features: u32, rng: &mut Rng) -> Sizes {
    let limits = QueueLimits {
        physical_block: rng.u32(..),
        logical_block: rng.u32(..),
        alignment_offset: rng.u32(..),
        io_min: rng.u32(..),
        io_opt: rng.u32(..),
        discard: rng.bool(),
        discard_zeroes: rng.bool(),
        write_same: rng.bool(),
    };
    Sizes {
        disk: rng.u64(..),
        user: rng.u64(..),
        current: rng.u64(..),
        max_block: rng.u32(..),
        queue_order: rng.u16(..),
        flags: rng.u16(..),
        limits: (features & FEATURE_WRITE_SAME != 0).then_some(limits),
    }
}

fn sector(rng: &mut Rng) -> u64 {
    let shift = rng.u32(..54);
    rng.u64(..=MAX_SECTOR >> shift)
}

fn range(rng: &mut Rng) -> u32 {
    512 * rng.u32(1..=MAX_RANGE / 512)
}

fn name(rng: &mut Rng) -> String {
    (0..rng.usize(..64)).map(|_| rng.alphanumeric()).collect()
}

fn digest(rng: &mut Rng) -> Bytes {
    some(rng.usize(1..=64), rng)
}

fn some(length: usize, rng: &mut Rng) -> Bytes {
    (0..length).map(|_| rng.u8(..)).collect()
}

/// As it comes out of the decoder: a digest is still before its payload.
fn received(packet: &Packet) -> Packet {
    let joined = |block: &DataBlock| {
        let payload = Bytes::from([&block.digest[..], &block.payload[..]].concat());
        DataBlock { digest: Bytes::new(), payload, ..block.clone() }
    };
    match packet {
        Packet::Data(block) => Packet::Data(joined(block)),
        Packet::DataReply(block) => Packet::DataReply(joined(block)),
        Packet::ResyncReply(block) => Packet::ResyncReply(joined(block)),
        Packet::WriteSame(block, size) => Packet::WriteSame(joined(block), *size),
        other => other.clone(),
    }
}

/// With a payload that a test can send byte by byte.
fn small(mut packet: Packet) -> Packet {
    if let Packet::Data(block)
    | Packet::DataReply(block)
    | Packet::ResyncReply(block)
    | Packet::WriteSame(block, _) = &mut packet
    {
        block.payload.truncate(1024);
    }
    packet
}

fn speaking(version: u32, features: u32) -> (Encoder, Decoder) {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
    if version != NOT_AGREED {
        encoder.speak(version, features);
        decoder.speak(version, features);
    }
    (encoder, decoder)
}

/// Names are ours; should one be too long, or have a NUL in it, then what is sent is a name nevertheless.
#[test]
fn names_that_do_not_fit() {
    for (name, sent) in [
        ("a".repeat(63), "a".repeat(63)),
        ("a".repeat(64), "a".repeat(63)),
        (format!("{}é", "a".repeat(62)), "a".repeat(62)),
        (format!("{}é", "a".repeat(61)), format!("{}é", "a".repeat(61))),
        ("sha1\0md5".to_owned(), "sha1".to_owned()),
    ] {
        for version in [88, 94, 101] {
            let settings = ProtocolSettings { integrity: name.clone(), ..Default::default() };
            let parameters = SyncParameters { verify: name.clone(), ..Default::default() };
            let (encoder, mut decoder) = speaking(version, 0);
            for packet in [Packet::Protocol(settings), Packet::SyncParameters(parameters)] {
                let mut buffer = BytesMut::from(&encoder.encode(Stream::Data, &packet).head[..]);
                let back = match decoder.decode(Stream::Data, &mut buffer) {
                    Ok(Some(Packet::Protocol(settings))) => settings.integrity,
                    Ok(Some(Packet::SyncParameters(parameters))) => parameters.verify,
                    other => panic!("{other:?}"),
                };
                assert_eq!(back, sent, "version {version}");
            }
        }
    }
}
