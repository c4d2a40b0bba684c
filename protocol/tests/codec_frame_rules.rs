//! Each rule a frame can break, the error that names it, and the sentence an operator reads.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use drx_protocol::ending::EndReason;
use drx_protocol::frame::{
    Credit, Decoder, Frame, FrameError, FrameType, HEADER_LEN, MAX_PAYLOAD, data_header,
};

const NO_CREDIT: Credit = Credit { acknowledged: 0, window: 0 };

#[test]
fn unknown_types() {
    let known: Vec<u8> = FrameType::ALL.into_iter().map(|frame| frame as u8).collect();
    assert_eq!(known, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for number in (0..=u8::MAX).filter(|number| !known.contains(number)) {
        let header = Raw { kind: number, ..PING }.header();
        assert_eq!(refused(&header), FrameError::UnknownType(number));
    }
    sentence(FrameError::UnknownType(200), "a frame has the unknown type 200");
}

#[test]
fn unknown_flags() {
    for bit in 1..8 {
        let flags = 1 << bit;
        let wrong = FrameError::UnknownFlag { frame: FrameType::Ping, flags };
        assert_eq!(refused(&Raw { flags, ..PING }.header()), wrong);
    }
    let wrong = FrameError::UnknownFlag { frame: FrameType::Data, flags: 0x82 };
    sentence(wrong, "the DATA frame has unknown flags: 0x82");
}

#[test]
fn reserved_bits() {
    // The upper half is the codec.
    for bit in 0..8 {
        let header = Raw { reserved: 1 << bit, ..PING }.header();
        assert_eq!(refused(&header), FrameError::ReservedBits(FrameType::Ping));
    }
    sentence(FrameError::ReservedBits(FrameType::Ack), "the ACK frame's header has reserved bits set");
}

#[test]
fn a_length_over_the_limit_is_refused_before_the_body_comes() {
    for frame in FrameType::ALL {
        let limit = match frame {
            FrameType::Offer => 8,
            FrameType::Data => 256 * 1024,
            FrameType::Fin | FrameType::Abort => 24,
            FrameType::State => 4,
            FrameType::Established | FrameType::Ack | FrameType::Ping | FrameType::Pong => 0,
        };
        for length in [limit + 1, u32::MAX] {
            let header = Raw { length, ..Raw::of(frame) }.header();
            assert_eq!(refused(&header), FrameError::TooLong { frame, length, limit });
        }
    }
    let wrong = FrameError::TooLong { frame: FrameType::Data, length: 300_000, limit: MAX_PAYLOAD as u32 };
    sentence(wrong, "the DATA frame claims a body of 300000 bytes, at most 262144 are allowed");
}

#[test]
fn a_length_that_no_such_frame_has() {
    let allowed = |frame, length| match frame {
        FrameType::Offer => length == 8,
        FrameType::Data => length > 0,
        FrameType::Fin | FrameType::Abort => length == 4 || length == 24,
        FrameType::State => length == 4,
        FrameType::Established | FrameType::Ack | FrameType::Ping | FrameType::Pong => length == 0,
    };
    for frame in FrameType::ALL {
        for length in 0..=frame.body().1.min(64) {
            let header = Raw { length, ..Raw::of(frame) }.header();
            if allowed(frame, length) {
                // The header alone is fine; a frame without a body is complete.
                assert_eq!(decode(&header, false).map(|frame| frame.is_some()), Ok(length == 0));
            } else {
                assert_eq!(refused(&header), FrameError::WrongLength { frame, length });
            }
        }
    }
    let wrong = FrameError::WrongLength { frame: FrameType::Data, length: 0 };
    sentence(wrong, "the DATA frame claims a body of 0 bytes, which no such frame has");
}

#[test]
fn attempts() {
    for frame in FrameType::ALL {
        if matches!(frame, FrameType::Ping | FrameType::Pong | FrameType::State) {
            let header = Raw { attempt: 6, ..Raw::of(frame) }.header();
            assert_eq!(refused(&header), FrameError::AttemptUnexpected { frame, attempt: 6 });
        } else if frame != FrameType::Abort {
            let header = Raw { attempt: 0, ..Raw::of(frame) }.header();
            assert_eq!(refused(&header), FrameError::AttemptMissing(frame));
        }
    }
    sentence(FrameError::AttemptMissing(FrameType::Data), "the DATA frame belongs to no attempt");
    let wrong = FrameError::AttemptUnexpected { frame: FrameType::Ping, attempt: 6 };
    sentence(wrong, "the PING frame names attempt 6, but such frames belong to none");
}

#[test]
fn checksums_are_used_by_every_frame_of_a_link_or_by_none() {
    let ping = Frame::Ping { number: 1 };
    assert_eq!(decode(&ping.head(false), true), Err(FrameError::ChecksumMissing(FrameType::Ping)));
    assert_eq!(decode(&ping.head(true), false), Err(FrameError::ChecksumUnexpected(FrameType::Ping)));
    let header = Raw { checksum: 5, ..PING }.header();
    assert_eq!(
        refused(&header),
        FrameError::StrayField { frame: FrameType::Ping, field: "checksum", value: 5 }
    );
    let wrong = FrameError::ChecksumMissing(FrameType::Ack);
    sentence(wrong, "the ACK frame has no checksum, though this link uses them");
    let wrong = FrameError::ChecksumUnexpected(FrameType::Ack);
    sentence(wrong, "the ACK frame has a checksum, though this link uses none");
    let wrong = FrameError::Checksum { frame: FrameType::Data, carried: 0xab, computed: 0xcd };
    sentence(
        wrong,
        "the DATA frame was damaged on the way: its checksum is 000000ab, its bytes give 000000cd",
    );
}

#[test]
fn fields_that_a_type_does_not_use_are_zero() {
    use FrameType::{Abort, Ack, Data, Fin, Offer, Ping, Pong, State};
    let stray = |frame, field| FrameError::StrayField { frame, field, value: 9 };
    for frame in FrameType::ALL {
        let header = Raw { offset: 9, ..Raw::of(frame) }.header();
        let used = matches!(frame, Data | Fin | Ping | Pong);
        assert_eq!(decode(&header, false).err(), (!used).then_some(stray(frame, "offset")));

        let used = !matches!(frame, Abort | Ping | Pong | State);
        let header = Raw { acknowledged: 9, ..Raw::of(frame) }.header();
        assert_eq!(decode(&header, false).err(), (!used).then_some(stray(frame, "acknowledged")));
        let header = Raw { window: 9, ..Raw::of(frame) }.header();
        assert_eq!(decode(&header, false).err(), (!used).then_some(stray(frame, "window")));
    }
    assert!(matches!(decode(&Raw::of(Offer).header(), false), Ok(None)));
    sentence(stray(Ack, "offset"), "the ACK frame has offset 9, where 0 must be");
}

#[test]
fn streams_and_windows_end_before_the_last_offset() {
    let last = u64::MAX - 4;
    let raw = Raw { length: 4, ..Raw::of(FrameType::Data) };
    assert_eq!(decode(&Raw { offset: last, ..raw }.header(), false), Ok(None));
    let wrong = FrameError::OffsetOverflow { offset: last + 1, length: 4 };
    assert_eq!(refused(&Raw { offset: last + 1, ..raw }.header()), wrong);
    sentence(
        wrong,
        "the DATA frame's 4 bytes from offset 18446744073709551612 reach beyond the end of all offsets",
    );

    let raw = Raw { window: 4, ..Raw::of(FrameType::Ack) };
    let Ok(Some(ack)) = decode(&Raw { acknowledged: last, ..raw }.header(), false) else { panic!("no ACK") };
    assert_eq!(ack.credit().map(Credit::limit), Some(u64::MAX));
    let wrong = FrameError::WindowOverflow { frame: FrameType::Ack, acknowledged: last + 1, window: 4 };
    assert_eq!(refused(&Raw { acknowledged: last + 1, ..raw }.header()), wrong);
    sentence(
        wrong,
        "the ACK frame's window of 4 bytes from 18446744073709551612 reaches beyond the end of all offsets",
    );
}

#[test]
fn an_offer_carries_a_first_packet() {
    let wrong = refused(&Raw::of(FrameType::Offer).with(b"GET / HT"));
    assert!(matches!(wrong, FrameError::OfferBody(_)));
    sentence(
        wrong,
        "the OFFER frame is not an offer: bsr's first packet was expected, 83 74 02 67 ff f2 00 00 (data) or \
         83 74 02 67 ff f1 00 00 (meta), but 47 45 54 20 2f 20 48 54 came",
    );
}

#[test]
fn endings() {
    for frame in [FrameType::Fin, FrameType::Abort] {
        let refused = |body: &[u8]| refused(&Raw::of(frame).with(body));
        for reason in [0, 8, u16::MAX] {
            let [high, low] = reason.to_be_bytes();
            assert_eq!(refused(&[high, low, 0, 0]), FrameError::UnknownReason { frame, reason });
        }
        assert_eq!(refused(&[0, 1, 0, 1]), FrameError::BodyReservedBits(frame));
        let mark = |mark, length| FrameError::PartnerMark { frame, mark, length };
        assert_eq!(refused(&[0, 1, 1, 0]), mark(1, 4));
        assert_eq!(refused(&[0, 1, 2, 0]), mark(2, 4));
        let mut named = [0; 24];
        named[1] = 2;
        assert_eq!(refused(&named), mark(0, 24));
        named[2] = 2;
        assert_eq!(refused(&named), mark(2, 24));
        named[2] = 1;
        assert!(matches!(decode(&Raw::of(frame).with(&named), false), Ok(Some(_))));
    }
    let frame = FrameType::Abort;
    sentence(FrameError::UnknownReason { frame, reason: 7 }, "the ABORT frame gives the unknown reason 7");
    sentence(FrameError::BodyReservedBits(frame), "the ABORT frame's body has reserved bits set");
    sentence(
        FrameError::PartnerMark { frame, mark: 1, length: 4 },
        "the ABORT frame's partner mark is 1, which its length of 4 bytes contradicts",
    );
}

#[test]
fn states() {
    let refused = |body: &[u8]| refused(&Raw::of(FrameType::State).with(body));
    assert_eq!(refused(&[1, 3, 0, 0]), FrameError::UnknownChannelType(3));
    assert_eq!(refused(&[1, 2, 0, 1]), FrameError::BodyReservedBits(FrameType::State));
    assert_eq!(refused(&[1, 2, 1, 0]), FrameError::BodyReservedBits(FrameType::State));
    sentence(FrameError::UnknownChannelType(3), "the STATE frame gives the unknown channel type 3");
}

#[test]
fn frames_before_the_wrong_one_still_come_and_none_after() {
    let ping = Frame::Ping { number: 1 };
    let mut decoder = Decoder::new(false);
    let bad = Raw { kind: 0, ..PING }.header();
    decoder.push(Bytes::from([&ping.head(false)[..], &bad, &ping.head(false)].concat()));
    assert_eq!(decoder.next(), Ok(Some(ping)));
    for _ in 0..3 {
        assert_eq!(decoder.next(), Err(FrameError::UnknownType(0)));
        decoder.push(Bytes::copy_from_slice(&Frame::Ping { number: 2 }.head(false)));
        assert_eq!(decoder.held(), 0);
    }
}

#[test]
#[should_panic(expected = "the ACK frame belongs to no attempt")]
fn the_encoder_holds_to_the_rules_too() {
    Frame::Ack { attempt: 0, credit: NO_CREDIT }.head(true);
}

#[test]
#[should_panic(expected = "the FIN frame's window of 1 bytes")]
fn the_encoder_grants_no_window_beyond_the_last_offset() {
    let credit = Credit { acknowledged: u64::MAX, window: 1 };
    Frame::Fin { attempt: 1, credit, offset: 0, ending: EndReason::BsrClosed.into() }.head(true);
}

#[test]
#[should_panic(expected = "the DATA frame claims a body of 0 bytes")]
fn an_empty_payload_is_never_sent() {
    data_header(1, NO_CREDIT, 0, drx_protocol::codec::Codec::Raw, &[], false);
}

#[test]
#[should_panic(expected = "at most 262144 are allowed")]
fn an_oversized_payload_is_never_sent() {
    data_header(
        1,
        NO_CREDIT,
        0,
        drx_protocol::codec::Codec::Raw,
        &[Bytes::from(vec![0; MAX_PAYLOAD]), Bytes::from_static(b"x")],
        false,
    );
}

/// A header written field by field, as a peer with other ideas would.
#[derive(Clone, Copy)]
struct Raw {
    kind: u8,
    flags: u8,
    reserved: u16,
    length: u32,
    attempt: u32,
    checksum: u32,
    offset: u64,
    acknowledged: u64,
    window: u32,
}

const PING: Raw = Raw {
    kind: 7,
    flags: 0,
    reserved: 0,
    length: 0,
    attempt: 0,
    checksum: 0,
    offset: 0,
    acknowledged: 0,
    window: 0,
};

impl Raw {
    /// A header of this type with nothing wrong.
    fn of(frame: FrameType) -> Raw {
        let attempt = u32::from(frame.has_attempt());
        Raw { kind: frame as u8, length: frame.body().0, attempt, ..PING }
    }

    fn header(&self) -> Vec<u8> {
        let mut header = vec![self.kind, self.flags];
        header.extend(self.reserved.to_be_bytes());
        header.extend(self.length.to_be_bytes());
        header.extend(self.attempt.to_be_bytes());
        header.extend(self.checksum.to_be_bytes());
        header.extend(self.offset.to_be_bytes());
        header.extend(self.acknowledged.to_be_bytes());
        header.extend(self.window.to_be_bytes());
        assert_eq!(header.len(), HEADER_LEN);
        header
    }

    fn with(self, body: &[u8]) -> Vec<u8> {
        let mut bytes = Raw { length: body.len() as u32, ..self }.header();
        bytes.extend_from_slice(body);
        bytes
    }
}

fn decode(bytes: &[u8], checksum: bool) -> Result<Option<Frame>, FrameError> {
    let mut decoder = Decoder::new(checksum);
    decoder.push(Bytes::copy_from_slice(bytes));
    decoder.next()
}

#[track_caller]
fn refused(bytes: &[u8]) -> FrameError {
    decode(bytes, false).unwrap_err()
}

#[track_caller]
fn sentence(wrong: FrameError, expected: &str) {
    assert_eq!(wrong.to_string(), expected);
}
