//! Frames: the exact bytes, and that they survive every way of being cut, and none of being damaged.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use drx_protocol::codec::Codec;
use drx_protocol::ending::{EndReason, Ending};
use drx_protocol::frame::{
    Credit, Decoder, Frame, FrameError, HEADER_LEN, MAX_PAYLOAD, Payload, StateCode, data_header,
};
use drx_protocol::{ChannelType, LinkId, Round};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

// ---------------------------------------------------------------- the exact bytes

/// type flags reserved | length | attempt | checksum | offset | acknowledged | window || body
#[test]
fn offer() {
    let frame = Frame::Offer { attempt: 7, credit: credit(0, 0x10_0000), channel: ChannelType::Data };
    golden(
        frame,
        "01 00 0000 | 00000008 | 00000007 | 00000000 | 0000000000000000 | 0000000000000000 | 00100000
         || 83740267 fff2 0000",
    );
    let frame = Frame::Offer { attempt: 8, credit: credit(0, 1), channel: ChannelType::Meta };
    golden(
        frame,
        "01 00 0000 | 00000008 | 00000008 | 00000000 | 0000000000000000 | 0000000000000000 | 00000001
         || 83740267 fff1 0000",
    );
}

#[test]
fn established() {
    golden(
        Frame::Established { attempt: 7, credit: credit(0, 0x2_0000) },
        "02 00 0000 | 00000000 | 00000007 | 00000000 | 0000000000000000 | 0000000000000000 | 00020000",
    );
}

#[test]
fn data() {
    let payload = Payload::from(Bytes::from_static(b"bsr"));
    golden(
        Frame::Data {
            attempt: 7,
            credit: credit(0x0102_0304_0506, 0x1000),
            offset: 0x1122_3344_5566,
            payload,
        },
        "03 00 0000 | 00000003 | 00000007 | 00000000 | 0000112233445566 | 0000010203040506 | 00001000
         || 627372",
    );
}

#[test]
fn ack() {
    golden(
        Frame::Ack { attempt: u32::MAX, credit: credit(0x4_0000, 0) },
        "04 00 0000 | 00000000 | ffffffff | 00000000 | 0000000000000000 | 0000000000040000 | 00000000",
    );
}

#[test]
fn fin() {
    golden(
        Frame::Fin { attempt: 7, credit: credit(9, 10), offset: 0x1000, ending: EndReason::BsrClosed.into() },
        "05 00 0000 | 00000004 | 00000007 | 00000000 | 0000000000001000 | 0000000000000009 | 0000000a
         || 0001 00 00",
    );
}

#[test]
fn abort_that_names_the_partner() {
    let partner = Some(Round { link: LinkId(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff), attempt: 3 });
    golden(
        Frame::Abort { attempt: 7, ending: Ending { reason: EndReason::Partner, partner } },
        "06 00 0000 | 00000018 | 00000007 | 00000000 | 0000000000000000 | 0000000000000000 | 00000000
         || 0002 01 00 00112233445566778899aabbccddeeff 00000003",
    );
}

#[test]
fn ping_and_pong() {
    golden(
        Frame::Ping { number: 0x0123_4567_89ab_cdef },
        "07 00 0000 | 00000000 | 00000000 | 00000000 | 0123456789abcdef | 0000000000000000 | 00000000",
    );
    golden(
        Frame::Pong { number: u64::MAX },
        "08 00 0000 | 00000000 | 00000000 | 00000000 | ffffffffffffffff | 0000000000000000 | 00000000",
    );
}

#[test]
fn state() {
    for (channel, code) in [(None, "00"), (Some(ChannelType::Data), "01"), (Some(ChannelType::Meta), "02")] {
        golden(
            Frame::State { state: StateCode(0x2a), channel },
            &format!(
                "09 00 0000 | 00000004 | 00000000 | 00000000 | 0000000000000000 | 0000000000000000 | 00000000
                 || 2a {code} 0000"
            ),
        );
    }
}

#[test]
fn the_reasons_and_their_codes() {
    let codes = EndReason::ALL.map(|reason| format!("{} {reason}", reason.code())).join("\n");
    insta::assert_snapshot!(codes, @r"
    1 bsr disconnected
    2 its partner channel ended
    3 the flush did not end within close_pending_timeout
    4 stopped by the operator
    5 a fault inside the relay
    6 the session's other link is gone for good
    7 it was sent what the link's protocol forbids
    ");
    let partner = Some(Round { link: LinkId(0xabcd_ef01 << 96), attempt: 3 });
    let ending = Ending { reason: EndReason::Partner, partner };
    assert_eq!(ending.to_string(), "its partner channel ended (link abcdef01, attempt 3)");
}

#[test]
fn the_checksum_is_the_one_everybody_calls_crc_32c() {
    assert_eq!(reference_crc(b"123456789"), 0xe306_9283);
    let ping = Frame::Ping { number: 1 }.head(true);
    let mut cleared = ping.to_vec();
    cleared[12..16].fill(0);
    assert_eq!(&ping[12..16], reference_crc(&cleared).to_be_bytes());
}

// ---------------------------------------------------------------- cut anywhere

proptest! {
    #![proptest_config(repeatable())]

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut(
        frames in prop::collection::vec(frame(), 1..8),
        checksum: bool,
        cuts in prop::collection::vec(1usize..120, 1..40),
    ) {
        let stream: Vec<u8> = frames.iter().flat_map(|frame| bytes_of(frame, checksum)).collect();
        prop_assert_eq!(decode_cut(&stream, checksum, &cuts), (frames.clone(), Ok(0)));
        // All segments first, then all frames: no need to take turns.
        let mut decoder = Decoder::new(checksum);
        segments(&stream, &cuts).for_each(|segment| decoder.push(segment));
        prop_assert_eq!(decoder.held(), stream.len());
        prop_assert_eq!(drain(&mut decoder), (frames, Ok(0)));
    }

    #[test]
    fn a_payload_is_the_same_in_one_piece_or_many(
        bytes in prop::collection::vec(any::<u8>(), 1..2000),
        cuts in prop::collection::vec(1usize..300, 1..20),
        offset in 0..u64::MAX / 2,
    ) {
        let pieces: Vec<Bytes> = segments(&bytes, &cuts).collect();
        let header = data_header(1, Credit::default(), offset, Codec::Raw, &pieces, true);
        let one = data_header(1, Credit::default(), offset, Codec::Raw, &[Bytes::from(bytes.clone())], true);
        prop_assert_eq!(header, one);
        let payload: Payload = pieces.iter().cloned().collect();
        prop_assert_eq!(payload.pieces(), &pieces[..]);
        prop_assert_eq!(payload.len(), bytes.len());
        prop_assert_eq!(&payload, &Payload::from(Bytes::from(bytes.clone())));
        prop_assert_eq!(payload.into_bytes(), bytes);
    }

    #[test]
    fn garbage_is_an_error_or_waits_but_never_panics(
        mut bytes in prop::collection::vec(any::<u8>(), 0..300),
        kind in 0u8..11,
        tame: bool,
        checksum: bool,
        cuts in prop::collection::vec(1usize..60, 1..10),
    ) {
        if tame && bytes.len() >= 12 {
            // Near enough to a frame that the later rules are reached as well.
            bytes[..7].copy_from_slice(&[kind, u8::from(checksum), 0, 0, 0, 0, 0]);
        }
        let (frames, rest) = decode_cut(&bytes, checksum, &cuts);
        if let Ok(held) = rest {
            let length: usize = frames.iter().map(|frame| bytes_of(frame, checksum).len()).sum();
            prop_assert_eq!(length + held, bytes.len());
        }
    }

    /// What is accepted has only one encoding: nothing of it is lost or ignored.
    #[test]
    fn a_frame_that_is_accepted_encodes_to_the_same_bytes(
        frame in frame(),
        at in 0usize..HEADER_LEN + 24,
        value: u8,
    ) {
        let mut bytes = bytes_of(&frame, false);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
        let (frames, _) = decode_cut(&bytes, false, &[usize::MAX]);
        let again: Vec<u8> = frames.iter().flat_map(|frame| bytes_of(frame, false)).collect();
        prop_assert!(bytes.starts_with(&again));
    }
}

#[test]
fn the_largest_payload_passes_and_its_pieces_are_the_segments_themselves() {
    let frame = Frame::Data { attempt: 1, credit: credit(0, 0), offset: 0, payload: pattern(MAX_PAYLOAD) };
    let stream = Bytes::from(bytes_of(&frame, true));
    let cut = HEADER_LEN + 100_000;
    let mut decoder = Decoder::new(true);
    decoder.push(stream.slice(..cut));
    assert_eq!(decoder.next(), Ok(None));
    assert_eq!(decoder.held(), cut);
    decoder.push(stream.slice(cut..));
    let Ok(Some(Frame::Data { payload, .. })) = decoder.next() else { panic!("no DATA") };
    assert_eq!(payload.pieces().len(), 2);
    assert_eq!(payload.pieces()[0].as_ptr(), stream[HEADER_LEN..].as_ptr());
    assert_eq!(payload.pieces()[1].as_ptr(), stream[cut..].as_ptr());
    assert_eq!(payload, pattern(MAX_PAYLOAD));
    assert_eq!(decoder.held(), 0);
}

#[test]
fn a_small_payload_that_came_whole_is_a_slice_too() {
    let frame = Frame::Data { attempt: 1, credit: credit(0, 0), offset: 0, payload: pattern(32) };
    let stream = Bytes::from([bytes_of(&frame, true), bytes_of(&frame, true)].concat());
    let mut decoder = Decoder::new(true);
    decoder.push(stream.clone());
    for start in [0, HEADER_LEN + 32] {
        let Ok(Some(Frame::Data { payload, .. })) = decoder.next() else { panic!("no DATA") };
        assert_eq!(payload.pieces().len(), 1);
        assert_eq!(payload.pieces()[0].as_ptr(), stream[start + HEADER_LEN..].as_ptr());
    }
}

#[test]
fn a_peer_that_dribbles_cannot_make_a_list_of_a_quarter_million_pieces() {
    let frame = Frame::Data { attempt: 1, credit: credit(0, 0), offset: 0, payload: pattern(MAX_PAYLOAD) };
    let stream = bytes_of(&frame, true);
    // Byte by byte; then kept and copied pieces in turn, which makes the most of them.
    for cuts in [&[1][..], &[4096, 1]] {
        let mut decoder = Decoder::new(true);
        let mut frames = Vec::new();
        let (header, body) = stream.split_at(HEADER_LEN);
        decoder.push(Bytes::copy_from_slice(header));
        for segment in segments(body, cuts) {
            decoder.push(segment);
            frames.extend(decoder.next().unwrap());
        }
        let [Frame::Data { payload, .. }] = &frames[..] else { panic!("not one DATA") };
        assert!(payload.pieces().len() <= 129, "{} pieces", payload.pieces().len());
        assert!(payload.into_iter().all(|piece| !piece.is_empty()));
        assert_eq!(frames, std::slice::from_ref(&frame));
    }
}

#[test]
fn empty_segments_are_nothing() {
    let mut decoder = Decoder::new(false);
    let frame = Frame::Ping { number: 5 };
    let bytes = bytes_of(&frame, false);
    for segment in [&[][..], &bytes[..9], &[], &bytes[9..], &[]] {
        decoder.push(Bytes::copy_from_slice(segment));
    }
    assert_eq!(drain(&mut decoder), (vec![frame], Ok(0)));
}

// ---------------------------------------------------------------- damaged

#[test]
fn every_single_flipped_bit_is_found() {
    for frame in one_of_each() {
        let sound = bytes_of(&frame, true);
        for bit in 0..sound.len() * 8 {
            let mut stream = sound.clone();
            stream[bit / 8] ^= 1 << (bit % 8);
            // A length that grew swallows what follows; enough follows to complete it.
            stream.resize(sound.len() + MAX_PAYLOAD, 0);
            let (frames, end) = decode_cut(&stream, true, &[usize::MAX]);
            assert!(frames.is_empty(), "{frame:?} with bit {bit} flipped became {frames:?}");
            assert!(end.is_err(), "{frame:?} with bit {bit} flipped was not noticed");
        }
    }
}

#[test]
fn a_damaged_payload_is_never_handed_out_and_the_error_stays() {
    let frame = Frame::Data { attempt: 1, credit: credit(0, 0), offset: 0, payload: pattern(100) };
    let mut stream = bytes_of(&frame, true);
    let carried = u32::from_be_bytes(stream[12..16].try_into().unwrap());
    *stream.last_mut().unwrap() ^= 0x80;
    let mut cleared = stream.clone();
    cleared[12..16].fill(0);
    let computed = reference_crc(&cleared);
    let wrong = FrameError::Checksum { frame: frame.frame_type(), carried, computed };

    let mut decoder = Decoder::new(true);
    decoder.push(stream.into());
    assert_eq!(decoder.next(), Err(wrong.clone()));
    decoder.push(bytes_of(&frame, true).into());
    assert_eq!(decoder.next(), Err(wrong));
    assert_eq!(decoder.held(), 0, "a failed decoder keeps nothing");
}

// ---------------------------------------------------------------- what the tests share

/// The frame's bytes are these without checksums; with them, flag and checksum change and nothing else.
#[track_caller]
fn golden(frame: Frame, expected: &str) {
    let digits: String = expected.chars().filter(char::is_ascii_hexdigit).collect();
    let mut bytes: Vec<u8> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect();
    assert_eq!(bytes_of(&frame, false), bytes);
    assert_eq!(decode_cut(&bytes, false, &[usize::MAX]), (vec![frame.clone()], Ok(0)));
    bytes[1] = 1;
    let checksum = reference_crc(&bytes);
    bytes[12..16].copy_from_slice(&checksum.to_be_bytes());
    assert_eq!(bytes_of(&frame, true), bytes);
    assert_eq!(decode_cut(&bytes, true, &[usize::MAX]), (vec![frame], Ok(0)));
}

fn credit(acknowledged: u64, window: u32) -> Credit {
    Credit { acknowledged, window }
}

fn bytes_of(frame: &Frame, checksum: bool) -> Vec<u8> {
    let mut bytes = frame.head(checksum).to_vec();
    if let Frame::Data { payload, .. } = frame {
        payload.into_iter().for_each(|piece| bytes.extend_from_slice(piece));
    }
    bytes
}

/// Pieces of these lengths, over and over.
fn segments<'a>(stream: &'a [u8], cuts: &'a [usize]) -> impl Iterator<Item = Bytes> + 'a {
    let mut rest = stream;
    cuts.iter().cycle().map_while(move |cut| {
        let (piece, behind) = rest.split_at((*cut).min(rest.len()));
        rest = behind;
        (!piece.is_empty()).then(|| Bytes::copy_from_slice(piece))
    })
}

/// All frames, and how many bytes wait for more, or the error they ended with.
fn decode_cut(stream: &[u8], checksum: bool, cuts: &[usize]) -> (Vec<Frame>, Result<usize, FrameError>) {
    let mut decoder = Decoder::new(checksum);
    let mut frames = Vec::new();
    for segment in segments(stream, cuts) {
        decoder.push(segment);
        let (more, end) = drain(&mut decoder);
        frames.extend(more);
        if end.is_err() {
            return (frames, end);
        }
    }
    (frames, Ok(decoder.held()))
}

fn drain(decoder: &mut Decoder) -> (Vec<Frame>, Result<usize, FrameError>) {
    let mut frames = Vec::new();
    loop {
        match decoder.next() {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, Ok(decoder.held())),
            Err(wrong) => return (frames, Err(wrong)),
        }
    }
}

fn pattern(length: usize) -> Payload {
    (0..length).map(|at| (at * 31 % 251) as u8).collect::<Bytes>().into()
}

/// CRC-32C, bit by bit.
fn reference_crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    })
}

fn one_of_each() -> [Frame; 9] {
    let (attempt, credit) = (5, credit(70_000, 262_144));
    let partner = Some(Round { link: LinkId(u128::MAX / 3), attempt: 4 });
    [
        Frame::Offer { attempt, credit, channel: ChannelType::Meta },
        Frame::Established { attempt, credit },
        Frame::Data { attempt, credit, offset: 81_920, payload: pattern(40) },
        Frame::Ack { attempt, credit },
        Frame::Fin { attempt, credit, offset: 90_000, ending: EndReason::Operator.into() },
        Frame::Abort { attempt, ending: Ending { reason: EndReason::Partner, partner } },
        Frame::Ping { number: 12 },
        Frame::Pong { number: 12 },
        Frame::State { state: StateCode(3), channel: Some(ChannelType::Data) },
    ]
}

fn frame() -> impl Strategy<Value = Frame> {
    let attempt = || 1..=u32::MAX;
    let credit =
        || (0..=u64::MAX - u64::from(u32::MAX), any::<u32>()).prop_map(|(far, window)| credit(far, window));
    let channel = || prop_oneof![Just(ChannelType::Data), Just(ChannelType::Meta)];
    let ending = || {
        let partner =
            (any::<u128>(), any::<u32>()).prop_map(|(id, attempt)| Round { link: LinkId(id), attempt });
        (prop::sample::select(&EndReason::ALL[..]), prop::option::of(partner))
            .prop_map(|(reason, partner)| Ending { reason, partner })
    };
    let payload =
        prop::collection::vec(any::<u8>(), 1..400).prop_map(|bytes| Payload::from(Bytes::from(bytes)));
    prop_oneof![
        (attempt(), credit(), channel()).prop_map(|(attempt, credit, channel)| Frame::Offer {
            attempt,
            credit,
            channel
        }),
        (attempt(), credit()).prop_map(|(attempt, credit)| Frame::Established { attempt, credit }),
        (attempt(), credit(), 0..u64::MAX - 400, payload)
            .prop_map(|(attempt, credit, offset, payload)| Frame::Data { attempt, credit, offset, payload }),
        (attempt(), credit()).prop_map(|(attempt, credit)| Frame::Ack { attempt, credit }),
        (attempt(), credit(), any::<u64>(), ending())
            .prop_map(|(attempt, credit, offset, ending)| Frame::Fin { attempt, credit, offset, ending }),
        (attempt(), ending()).prop_map(|(attempt, ending)| Frame::Abort { attempt, ending }),
        any::<u64>().prop_map(|number| Frame::Ping { number }),
        any::<u64>().prop_map(|number| Frame::Pong { number }),
        (any::<u8>(), prop::option::of(channel()))
            .prop_map(|(code, channel)| Frame::State { state: StateCode(code), channel }),
    ]
}

/// The same cases in every run; PROPTEST_RNG_SEED gives others.
fn repeatable() -> ProptestConfig {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(0);
    }
    config
}
