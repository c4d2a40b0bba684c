//! From packets to bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::body::{
    BlockAck, BlockDescriptor, BlockRequest, DataBlock, FEATURE_WRITE_SAME, Features, ProtocolSettings,
    QueueLimits, Sizes, SyncParameters, Uuids,
};
use super::command::{Command, NAME, NOT_AGREED};
use super::header::Header;
use super::packet::{AckKind, Packet, Stream};

/// Turns packets into bytes, as the agreed version has them.
#[derive(Clone, Debug)]
pub struct Encoder {
    version: u32,
    features: u32,
}

/// A packet's bytes: `head`, then `payload`. Apart, so that a block is never copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Header, fields, and a block's digest.
    pub head: Bytes,
    /// The rest, as the packet has it.
    pub payload: Bytes,
}

impl Encoder {
    /// Nothing is agreed upon yet: [`Packet::Features`] can be sent.
    pub fn new() -> Encoder {
        Encoder { version: NOT_AGREED, features: 0 }
    }

    /// From the next packet on, this version and these features of both.
    pub fn speak(&mut self, version: u32, features: u32) {
        (self.version, self.features) = (version, features);
    }

    /// The packet's bytes. What the version does not carry is left out; names are cut after 63 bytes. Sizes are the
    /// caller's care: what is larger than the version allows is refused by the other side.
    ///
    /// `stream` is where the bytes will go: that the packet belongs there is asserted in debug builds.
    pub fn encode(&self, stream: Stream, packet: &Packet) -> Encoded {
        let command = packet.command(self.version);
        debug_assert!(command.belongs_on(stream), "{command} on {stream:?}");
        let mut head = BytesMut::with_capacity(16 + FIELDS);
        head.put_bytes(0, 16);
        let payload = self.body(packet, &mut head);

        let length = u32::try_from(head.len() - 16 + payload.len()).unwrap_or(u32::MAX);
        // Features come before the agreement, whatever was agreed upon last time (bsr-wire B.1).
        let version = if command == Command::Features { NOT_AGREED } else { self.version };
        let (header, size) = Header { command: command.number(), length, volume: 0 }.write(version);
        let begin = 16 - size;
        head[begin..16].copy_from_slice(&header[begin..]);
        head.advance(begin);
        Encoded { head: head.freeze(), payload }
    }

    /// Puts the fields to `to`, and returns the rest.
    fn body(&self, packet: &Packet, to: &mut BytesMut) -> Bytes {
        match packet {
            Packet::Features(Features { min, max, flags }) => {
                [*min, *flags, *max].iter().for_each(|word| to.put_u32(*word));
                to.put_bytes(0, 60);
            }
            Packet::AuthChallenge(challenge) => to.put_slice(&challenge[..]),
            Packet::AuthResponse(response) => return response.clone(),
            Packet::Protocol(settings) | Packet::ProtocolUpdate(settings) => self.protocol(settings, to),
            Packet::SyncParameters(parameters) => self.sync_parameters(parameters, to),
            Packet::Sizes(sizes) => self.sizes(sizes, to),
            Packet::Uuids(Uuids { current, bitmap, history: [first, second], dirty_bits, flags }) => {
                [current, bitmap, first, second, dirty_bits, flags]
                    .iter()
                    .for_each(|word| to.put_u64(**word));
            }
            Packet::State(state) => to.put_u32(state.0),
            Packet::SyncUuid(uuid) => to.put_u64(*uuid),
            Packet::StateChange(change) | Packet::ConnectionChange(change) => {
                to.put_u32(change.mask);
                to.put_u32(change.value);
            }
            Packet::StateChangeReply(code) | Packet::ConnectionChangeReply(code) => to.put_i32(*code),

            Packet::Data(block) | Packet::DataReply(block) | Packet::ResyncReply(block) => {
                put_block(block, to);
                to.put_slice(&block.digest);
                return block.payload.clone();
            }
            Packet::Trim(block, size) | Packet::Zeroes(block, size) => {
                put_block(block, to);
                to.put_u32(*size);
            }
            Packet::WriteSame(block, size) => {
                put_block(block, to);
                to.put_u32(*size);
                to.put_slice(&block.digest);
                return block.payload.clone();
            }
            Packet::Barrier(number) => {
                to.put_u32(*number);
                to.put_u32(0);
            }
            Packet::OutOfSync(descriptor) | Packet::Deallocated(descriptor) => put_descriptor(descriptor, to),

            Packet::Bitmap(words) => return words.clone(),
            Packet::CompressedBitmap(encoding, code) => {
                to.put_u8(*encoding);
                return code.clone();
            }

            Packet::DataRequest(request)
            | Packet::ResyncRequest(request)
            | Packet::ThinRequest(request)
            | Packet::VerifyRequest(request) => put_request(request, to),
            Packet::ChecksumRequest(request, digest) | Packet::VerifyReply(request, digest) => {
                put_request(request, to);
                return digest.clone();
            }

            Packet::UnplugRemote | Packet::Ping | Packet::PingAck => {}
            Packet::Ack(_, BlockAck { sector, block_id, size, sequence }) => {
                to.put_u64(*sector);
                to.put_u64(*block_id);
                to.put_u32(*size);
                to.put_u32(*sequence);
            }
            Packet::BarrierAck { barrier, set_size } => {
                to.put_u32(*barrier);
                to.put_u32(*set_size);
            }
            Packet::DelayProbe => to.put_u64(0),
        }
        Bytes::new()
    }

    fn protocol(&self, settings: &ProtocolSettings, to: &mut BytesMut) {
        to.put_u32(settings.protocol);
        to.put_u32(settings.after_sb_0p);
        to.put_u32(settings.after_sb_1p);
        to.put_u32(settings.after_sb_2p);
        to.put_u32(settings.flags);
        to.put_u32(settings.two_primaries);
        if self.version >= 87 {
            to.put_slice(name(&settings.integrity));
            to.put_u8(0);
        }
    }

    fn sync_parameters(&self, parameters: &SyncParameters, to: &mut BytesMut) {
        to.put_u32(parameters.rate);
        if self.version == 88 {
            to.put_slice(name(&parameters.verify));
            to.put_u8(0);
        }
        if self.version >= 89 {
            for name in [name(&parameters.verify), name(&parameters.checksum)] {
                to.put_slice(name);
                to.put_bytes(0, NAME - name.len());
            }
        }
        if self.version >= 95 {
            to.put_u32(parameters.plan_ahead);
            to.put_u32(parameters.delay_target);
            to.put_u32(parameters.fill_target);
            to.put_u32(parameters.max_rate);
        }
    }

    fn sizes(&self, sizes: &Sizes, to: &mut BytesMut) {
        to.put_u64(sizes.disk);
        to.put_u64(sizes.user);
        to.put_u64(sizes.current);
        to.put_u32(sizes.max_block);
        to.put_u16(sizes.queue_order);
        to.put_u16(sizes.flags);
        if self.features & FEATURE_WRITE_SAME != 0 {
            let QueueLimits {
                physical_block,
                logical_block,
                alignment_offset,
                io_min,
                io_opt,
                discard,
                discard_zeroes,
                write_same,
            } = sizes.limits.unwrap_or_default();
            [physical_block, logical_block, alignment_offset, io_min, io_opt]
                .iter()
                .for_each(|word| to.put_u32(*word));
            [discard, discard_zeroes, write_same, false].iter().for_each(|flag| to.put_u8((*flag).into()));
        }
    }
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder::new()
    }
}

impl Encoded {
    /// Bytes in all.
    #[allow(clippy::len_without_is_empty)] // there is always a header
    pub fn len(&self) -> usize {
        self.head.len() + self.payload.len()
    }
}

impl Packet {
    /// What its header says in this version. Before version 100, a change of the connection is one of the volume
    /// (bsr-wire B.9).
    pub fn command(&self, version: u32) -> Command {
        match self {
            Packet::Features(_) => Command::Features,
            Packet::AuthChallenge(_) => Command::AuthChallenge,
            Packet::AuthResponse(_) => Command::AuthResponse,
            Packet::Protocol(_) => Command::Protocol,
            Packet::ProtocolUpdate(_) => Command::ProtocolUpdate,
            Packet::SyncParameters(_) if version <= 88 => Command::SyncParameters,
            Packet::SyncParameters(_) => Command::SyncParameters89,
            Packet::Sizes(_) => Command::Sizes,
            Packet::Uuids(_) => Command::Uuids,
            Packet::State(_) => Command::State,
            Packet::SyncUuid(_) => Command::SyncUuid,
            Packet::ConnectionChange(_) if version >= 100 => Command::ConnectionChange,
            Packet::StateChange(_) | Packet::ConnectionChange(_) => Command::StateChange,
            Packet::ConnectionChangeReply(_) if version >= 100 => Command::ConnectionChangeReply,
            Packet::StateChangeReply(_) | Packet::ConnectionChangeReply(_) => Command::StateChangeReply,
            Packet::Data(_) => Command::Data,
            Packet::DataReply(_) => Command::DataReply,
            Packet::ResyncReply(_) => Command::ResyncReply,
            Packet::Trim(..) => Command::Trim,
            Packet::Zeroes(..) => Command::Zeroes,
            Packet::WriteSame(..) => Command::WriteSame,
            Packet::Barrier(_) => Command::Barrier,
            Packet::UnplugRemote => Command::UnplugRemote,
            Packet::OutOfSync(_) => Command::OutOfSync,
            Packet::Bitmap(_) => Command::Bitmap,
            Packet::CompressedBitmap(..) => Command::CompressedBitmap,
            Packet::DataRequest(_) => Command::DataRequest,
            Packet::ResyncRequest(_) => Command::ResyncRequest,
            Packet::ThinRequest(_) => Command::ThinRequest,
            Packet::Deallocated(_) => Command::Deallocated,
            Packet::ChecksumRequest(..) => Command::ChecksumRequest,
            Packet::VerifyRequest(_) => Command::VerifyRequest,
            Packet::VerifyReply(..) => Command::VerifyReply,
            Packet::Ping => Command::Ping,
            Packet::PingAck => Command::PingAck,
            Packet::Ack(kind, _) => match kind {
                AckKind::Received => Command::ReceiveAck,
                AckKind::Written => Command::WriteAck,
                AckKind::ResyncWritten => Command::ResyncWriteAck,
                AckKind::Superseded => Command::Superseded,
                AckKind::Negative => Command::NegativeAck,
                AckKind::NegativeData => Command::NegativeDataReply,
                AckKind::NegativeResync => Command::NegativeResyncReply,
                AckKind::VerifyResult => Command::VerifyResult,
                AckKind::InSync => Command::InSync,
                AckKind::ResyncCancel => Command::ResyncCancel,
                AckKind::RetryWrite => Command::RetryWrite,
            },
            Packet::BarrierAck { .. } => Command::BarrierAck,
            Packet::DelayProbe => Command::DelayProbe,
        }
    }
}

fn put_block(block: &DataBlock, to: &mut BytesMut) {
    to.put_u64(block.sector);
    to.put_u64(block.block_id);
    to.put_u32(block.sequence);
    to.put_u32(block.flags);
}

fn put_request(request: &BlockRequest, to: &mut BytesMut) {
    to.put_u64(request.sector);
    to.put_u64(request.block_id);
    to.put_u32(request.size);
    to.put_u32(0);
}

fn put_descriptor(descriptor: &BlockDescriptor, to: &mut BytesMut) {
    to.put_u64(descriptor.sector);
    to.put_u32(descriptor.size);
    to.put_u32(0);
}

/// What of a name fits into its field: at most 63 bytes, none of them 0, no half character.
fn name(name: &str) -> &[u8] {
    let end = name.char_indices().find(|(at, c)| *c == '\0' || at + c.len_utf8() >= NAME);
    &name.as_bytes()[..end.map_or(name.len(), |(at, _)| at)]
}

/// Room for the fields of most packets, with a digest.
const FIELDS: usize = 24 + 4 + 64;
