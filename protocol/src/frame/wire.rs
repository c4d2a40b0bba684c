//! Frames to bytes and back, around the header.

use std::ops::Deref;

use bytes::{Buf, BufMut, Bytes};

use super::header::Header;
use super::{Credit, Frame, FrameError, FrameType, HEADER_LEN, Payload, StateCode, ending};
use crate::codec::Codec;
use crate::ending::Ending;
use crate::first_packet;
use crate::names::{Attempt, ChannelType};

/// The header of a DATA frame whose body is these pieces: with them in one `writev` it is the frame. They are the payload,
/// or what [`Packer::pack`](crate::codec::Packer::pack) made of it with this codec; `offset` counts payload. `checksum` is what the link's handshake agreed on.
///
/// # Panics
/// When `attempt` is 0, the payload is empty or longer than [`super::MAX_PAYLOAD`], or an offset would
/// overflow: the sender's own faults, which a peer cannot cause.
pub fn data_header(
    attempt: Attempt,
    credit: Credit,
    offset: u64,
    codec: Codec,
    body: &[Bytes],
    checksum: bool,
) -> [u8; HEADER_LEN] {
    // A length beyond u32 becomes one beyond the limit: refused either way.
    let length = u32::try_from(body.iter().map(Bytes::len).sum::<usize>()).unwrap_or(u32::MAX);
    let header = Header { frame: FrameType::Data, codec, length, attempt, offset, credit };
    header.write(checksum, body.iter().map(|piece| &piece[..]))
}

impl Frame {
    /// What goes before the payload of DATA, and the whole of any other frame. Nothing is allocated.
    /// `checksum` is what the link's handshake agreed on.
    ///
    /// # Panics
    /// As [`data_header`].
    pub fn head(&self, checksum: bool) -> Head {
        let mut head = Head { bytes: [0; MAX_HEAD], len: HEADER_LEN };
        if let Frame::Data { attempt, credit, offset, payload } = self {
            let header = data_header(*attempt, *credit, *offset, Codec::Raw, payload.pieces(), checksum);
            head.bytes[..HEADER_LEN].copy_from_slice(&header);
            return head;
        }
        let (header, body) = head.bytes.split_at_mut(HEADER_LEN);
        let length = self.write_body(body);
        let offset = match *self {
            Frame::Fin { offset, .. } => offset,
            Frame::Ping { number } | Frame::Pong { number } => number,
            _ => 0,
        };
        let fields = Header {
            frame: self.frame_type(),
            codec: Codec::Raw,
            length: length as u32,
            attempt: self.attempt().unwrap_or(0),
            offset,
            credit: self.credit().unwrap_or_default(),
        };
        header.copy_from_slice(&fields.write(checksum, [&body[..length]]));
        head.len += length;
        head
    }

    fn write_body(&self, mut out: &mut [u8]) -> usize {
        match *self {
            Frame::Offer { channel, .. } => {
                let packet = first_packet::bytes(channel);
                out.put_slice(&packet);
                packet.len()
            }
            Frame::Fin { ending, .. } | Frame::Abort { ending, .. } => ending.write(out),
            Frame::State { state, channel } => {
                out.put_u8(state.0);
                out.put_u8(match channel {
                    None => 0,
                    Some(ChannelType::Data) => 1,
                    Some(ChannelType::Meta) => 2,
                });
                out.put_u16(0);
                4
            }
            Frame::Established { .. }
            | Frame::Data { .. }
            | Frame::Ack { .. }
            | Frame::Ping { .. }
            | Frame::Pong { .. } => 0,
        }
    }

    /// The frame of a header that passed its checks and the body of the length it names.
    pub(super) fn from_parts(header: Header, payload: Payload) -> Result<Frame, FrameError> {
        let Header { frame, attempt, offset, credit, .. } = header;
        Ok(match frame {
            FrameType::Offer => {
                let mut packet = [0; 8];
                payload.into_bytes().copy_to_slice(&mut packet);
                let channel = first_packet::parse(packet).map_err(FrameError::OfferBody)?;
                Frame::Offer { attempt, credit, channel }
            }
            FrameType::Established => Frame::Established { attempt, credit },
            FrameType::Data => Frame::Data { attempt, credit, offset, payload },
            FrameType::Ack => Frame::Ack { attempt, credit },
            FrameType::Fin => {
                let ending = Ending::read(frame, &payload.into_bytes())?;
                Frame::Fin { attempt, credit, offset, ending }
            }
            FrameType::Abort => Frame::Abort { attempt, ending: Ending::read(frame, &payload.into_bytes())? },
            FrameType::Ping => Frame::Ping { number: offset },
            FrameType::Pong => Frame::Pong { number: offset },
            FrameType::State => {
                let mut fields = payload.into_bytes();
                let state = StateCode(fields.get_u8());
                let channel = match fields.get_u8() {
                    0 => None,
                    1 => Some(ChannelType::Data),
                    2 => Some(ChannelType::Meta),
                    other => return Err(FrameError::UnknownChannelType(other)),
                };
                if fields.get_u16() != 0 {
                    return Err(FrameError::BodyReservedBits(frame));
                }
                Frame::State { state, channel }
            }
        })
    }
}

/// A header and a small body, kept in place.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    bytes: [u8; MAX_HEAD],
    len: usize,
}

impl Deref for Head {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl AsRef<[u8]> for Head {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// The largest small body is an ending with a partner.
const MAX_HEAD: usize = HEADER_LEN + ending::WITH_PARTNER;
