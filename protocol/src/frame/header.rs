//! The fixed header: its fields, and the rules that hold before a body has come.

use std::fmt;

use bytes::{Buf, BufMut};

use super::{Credit, FrameError, ending};
use crate::codec::Codec;
use crate::names::Attempt;

/// Bytes of a header.
pub const HEADER_LEN: usize = 36;

/// Bytes of stream that one DATA frame carries at most: 256 KiB, the chunk size from which on the
/// cost per frame no longer shows.
pub const MAX_PAYLOAD: usize = 256 * 1024;

/// A frame's type, with its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameType {
    /// A new attempt and its type.
    Offer = 1,
    /// The other end is joined to its bsr as well.
    Established = 2,
    /// Bytes of the stream.
    Data = 3,
    /// An acknowledgement on its own.
    Ack = 4,
    /// The end of a stream.
    Fin = 5,
    /// The end of an attempt, at once.
    Abort = 6,
    /// Asks whether the other relay is alive.
    Ping = 7,
    /// It is.
    Pong = 8,
    /// Where a channel stands.
    State = 9,
}

impl FrameType {
    /// All types, in the order of their numbers.
    pub const ALL: [FrameType; 9] = [
        FrameType::Offer,
        FrameType::Established,
        FrameType::Data,
        FrameType::Ack,
        FrameType::Fin,
        FrameType::Abort,
        FrameType::Ping,
        FrameType::Pong,
        FrameType::State,
    ];

    /// Whether frames of this type belong to an attempt.
    pub fn has_attempt(self) -> bool {
        !matches!(self, FrameType::Ping | FrameType::Pong | FrameType::State)
    }

    /// Bytes that a body of this type has at least and at most.
    pub fn body(self) -> (u32, u32) {
        match self {
            FrameType::Offer => (8, 8),
            FrameType::Established | FrameType::Ack | FrameType::Ping | FrameType::Pong => (0, 0),
            FrameType::Data => (1, MAX_PAYLOAD as u32),
            FrameType::Fin | FrameType::Abort => (ending::ALONE as u32, ending::WITH_PARTNER as u32),
            FrameType::State => (4, 4),
        }
    }

    fn has_credit(self) -> bool {
        self.has_attempt() && self != FrameType::Abort
    }

    fn has_offset(self) -> bool {
        matches!(self, FrameType::Data | FrameType::Fin | FrameType::Ping | FrameType::Pong)
    }
}

impl TryFrom<u8> for FrameType {
    type Error = FrameError;

    fn try_from(number: u8) -> Result<FrameType, FrameError> {
        let known = FrameType::ALL.into_iter().find(|frame| *frame as u8 == number);
        known.ok_or(FrameError::UnknownType(number))
    }
}

impl fmt::Display for FrameType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FrameType::Offer => "OFFER",
            FrameType::Established => "ESTABLISHED",
            FrameType::Data => "DATA",
            FrameType::Ack => "ACK",
            FrameType::Fin => "FIN",
            FrameType::Abort => "ABORT",
            FrameType::Ping => "PING",
            FrameType::Pong => "PONG",
            FrameType::State => "STATE",
        })
    }
}

/// A header's fields; the flags and the checksum depend on the link and are handled at its edges.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) frame: FrameType,
    /// How the body is packed: only DATA's is.
    pub(super) codec: Codec,
    pub(super) length: u32,
    pub(super) attempt: Attempt,
    pub(super) offset: u64,
    pub(super) credit: Credit,
}

impl Header {
    /// Reads a header and checks all that can be checked without the body: above all its length.
    pub(super) fn read(bytes: &[u8; HEADER_LEN], checksum: bool) -> Result<(Header, Crc), FrameError> {
        let mut fields = &bytes[..];
        let frame = FrameType::try_from(fields.get_u8())?;
        let flags = fields.get_u8();
        if flags & !CHECKSUM != 0 {
            return Err(FrameError::UnknownFlag { frame, flags });
        }
        let number = fields.get_u8();
        let codec = Codec::of(number).ok_or(FrameError::UnknownCodec { frame, number })?;
        if fields.get_u8() != 0 {
            return Err(FrameError::ReservedBits(frame));
        }
        let length = fields.get_u32();
        let attempt = fields.get_u32();
        let carried = fields.get_u32();
        match (flags & CHECKSUM != 0, checksum) {
            (false, true) => return Err(FrameError::ChecksumMissing(frame)),
            (true, false) => return Err(FrameError::ChecksumUnexpected(frame)),
            (false, false) if carried != 0 => return Err(FrameError::stray(frame, "checksum", carried)),
            (false, false) | (true, true) => {}
        }
        let offset = fields.get_u64();
        let credit = Credit { acknowledged: fields.get_u64(), window: fields.get_u32() };
        let header = Header { frame, codec, length, attempt, offset, credit };
        header.check()?;
        Ok((header, Crc::of(bytes, carried)))
    }

    /// Writes the header of a body that consists of these pieces.
    ///
    /// # Panics
    /// When the fields break a rule: the other relay would close the link over such a frame, every
    /// time it is sent again.
    pub(super) fn write<'a>(
        &self,
        checksum: bool,
        body: impl IntoIterator<Item = &'a [u8]>,
    ) -> [u8; HEADER_LEN] {
        if let Err(wrong) = self.check() {
            panic!("a frame was to be sent that breaks the link's rules: {wrong}");
        }
        let mut bytes = [0; HEADER_LEN];
        let mut fields = &mut bytes[..];
        fields.put_u8(self.frame as u8);
        fields.put_u8(if checksum { CHECKSUM } else { 0 });
        fields.put_u8(self.codec as u8);
        fields.put_u8(0);
        fields.put_u32(self.length);
        fields.put_u32(self.attempt);
        fields.put_u32(0);
        fields.put_u64(self.offset);
        fields.put_u64(self.credit.acknowledged);
        fields.put_u32(self.credit.window);
        if checksum {
            let mut crc = Crc::of(&bytes, 0);
            body.into_iter().for_each(|piece| crc.add(piece));
            bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.computed.to_be_bytes());
        }
        bytes
    }

    /// The rules that sender and receiver hold each other to.
    fn check(&self) -> Result<(), FrameError> {
        let Header { frame, codec, length, attempt, offset, credit } = *self;
        let (least, limit) = frame.body();
        if length > limit {
            return Err(FrameError::TooLong { frame, length, limit });
        }
        let between = (frame == FrameType::Fin || frame == FrameType::Abort) && length < limit;
        if length < least || (between && length != least) {
            return Err(FrameError::WrongLength { frame, length });
        }
        if codec != Codec::Raw && frame != FrameType::Data {
            return Err(FrameError::stray(frame, "codec", codec as u8));
        }
        // An ABORT of no attempt ends the connection, not a round.
        if frame.has_attempt() && frame != FrameType::Abort && attempt == 0 {
            return Err(FrameError::AttemptMissing(frame));
        }
        if !frame.has_attempt() && attempt != 0 {
            return Err(FrameError::AttemptUnexpected { frame, attempt });
        }
        if !frame.has_offset() && offset != 0 {
            return Err(FrameError::stray(frame, "offset", offset));
        }
        if !frame.has_credit() && credit.acknowledged != 0 {
            return Err(FrameError::stray(frame, "acknowledged", credit.acknowledged));
        }
        if !frame.has_credit() && credit.window != 0 {
            return Err(FrameError::stray(frame, "window", credit.window));
        }
        // How long a packed payload is shows when it is unpacked.
        let most = if codec == Codec::Raw { length } else { limit };
        if frame == FrameType::Data && offset.checked_add(u64::from(most)).is_none() {
            return Err(FrameError::OffsetOverflow { offset, length: most });
        }
        if credit.acknowledged.checked_add(u64::from(credit.window)).is_none() {
            let Credit { acknowledged, window } = credit;
            return Err(FrameError::WindowOverflow { frame, acknowledged, window });
        }
        Ok(())
    }
}

/// A frame's checksum on its way: what the header carries, and what was computed so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crc {
    pub(super) carried: u32,
    pub(super) computed: u32,
}

impl Crc {
    fn of(header: &[u8; HEADER_LEN], carried: u32) -> Crc {
        let mut cleared = *header;
        cleared[CRC_AT..CRC_AT + 4].fill(0);
        Crc { carried, computed: crc32c::crc32c(&cleared) }
    }

    pub(super) fn add(&mut self, piece: &[u8]) {
        self.computed = crc32c::crc32c_append(self.computed, piece);
    }
}

const CHECKSUM: u8 = 1;
const CRC_AT: usize = 12;
