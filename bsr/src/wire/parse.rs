//! Bodies, whose lengths are known to be right (bsr-wire B.3).

use bytes::{Buf, Bytes};

use super::body::{
    BlockAck, BlockDescriptor, BlockRequest, DataBlock, FEATURE_WRITE_SAME, Features, MAX_BLOCK, MAX_RANGE,
    MAX_SECTOR, ProtocolSettings, QueueLimits, Sizes, StateChange, SyncParameters, Uuids,
};
use super::command::{Command, NAME};
use super::error::{DecodeError, Hex};
use super::packet::{AckKind, CHALLENGE, Packet};
use super::state::StateWord;

/// The packet with this body, which has as many bytes as [`Command::lengths`] allows: no read below runs out of them.
pub(super) fn packet(
    command: Command,
    version: u32,
    features: u32,
    body: Bytes,
) -> Result<Packet, DecodeError> {
    let mut body = Body { command, bytes: body };
    Ok(match command {
        Command::Features => {
            let (min, flags, max) = (body.u32(), body.u32(), body.u32());
            Packet::Features(Features { min, max, flags })
        }
        Command::AuthChallenge => {
            let mut challenge = Box::new([0; CHALLENGE]);
            body.bytes.copy_to_slice(&mut challenge[..]);
            Packet::AuthChallenge(challenge)
        }
        Command::AuthResponse => Packet::AuthResponse(body.digest()),
        Command::Protocol => Packet::Protocol(body.protocol(version)?),
        Command::ProtocolUpdate => Packet::ProtocolUpdate(body.protocol(version)?),
        Command::SyncParameters | Command::SyncParameters89 => {
            Packet::SyncParameters(body.sync_parameters(version)?)
        }
        Command::Sizes => Packet::Sizes(body.sizes(features)),
        Command::Uuids => Packet::Uuids(Uuids {
            current: body.u64(),
            bitmap: body.u64(),
            history: [body.u64(), body.u64()],
            dirty_bits: body.u64(),
            flags: body.u64(),
        }),
        Command::State => Packet::State(StateWord(body.u32())),
        Command::SyncUuid => Packet::SyncUuid(body.u64()),
        Command::StateChange => Packet::StateChange(body.state_change()),
        Command::ConnectionChange => Packet::ConnectionChange(body.state_change()),
        Command::StateChangeReply => Packet::StateChangeReply(body.bytes.get_i32()),
        Command::ConnectionChangeReply => Packet::ConnectionChangeReply(body.bytes.get_i32()),

        Command::Data => Packet::Data(body.block()?.with(body.bytes)),
        Command::DataReply => Packet::DataReply(body.block()?.with(body.bytes)),
        Command::ResyncReply => Packet::ResyncReply(body.block()?.with(body.bytes)),
        Command::Trim => Packet::Trim(body.block()?, body.range()?),
        Command::Zeroes => Packet::Zeroes(body.block()?, body.range()?),
        Command::WriteSame => {
            let (block, size) = (body.block()?, body.range()?);
            Packet::WriteSame(block.with(body.bytes), size)
        }
        Command::Barrier => Packet::Barrier(body.u32()),
        Command::UnplugRemote => Packet::UnplugRemote,
        Command::OutOfSync => Packet::OutOfSync(body.descriptor()?),

        Command::Bitmap => Packet::Bitmap(body.words()?),
        Command::CompressedBitmap => Packet::CompressedBitmap(body.bytes.get_u8(), body.bytes),

        Command::DataRequest => Packet::DataRequest(body.request()?),
        Command::ResyncRequest => Packet::ResyncRequest(body.request()?),
        Command::ThinRequest => Packet::ThinRequest(body.request()?),
        Command::Deallocated => Packet::Deallocated(body.descriptor()?),
        Command::ChecksumRequest => Packet::ChecksumRequest(body.request()?, body.digest()),
        Command::VerifyRequest => Packet::VerifyRequest(body.request()?),
        Command::VerifyReply => Packet::VerifyReply(body.request()?, body.digest()),

        Command::Ping => Packet::Ping,
        Command::PingAck => Packet::PingAck,
        Command::ReceiveAck => Packet::Ack(AckKind::Received, body.ack()?),
        Command::WriteAck => Packet::Ack(AckKind::Written, body.ack()?),
        Command::ResyncWriteAck => Packet::Ack(AckKind::ResyncWritten, body.ack()?),
        Command::Superseded => Packet::Ack(AckKind::Superseded, body.ack()?),
        Command::NegativeAck => Packet::Ack(AckKind::Negative, body.ack()?),
        Command::NegativeDataReply => Packet::Ack(AckKind::NegativeData, body.ack()?),
        Command::NegativeResyncReply => Packet::Ack(AckKind::NegativeResync, body.ack()?),
        Command::VerifyResult => Packet::Ack(AckKind::VerifyResult, body.ack()?),
        Command::InSync => Packet::Ack(AckKind::InSync, body.ack()?),
        Command::ResyncCancel => Packet::Ack(AckKind::ResyncCancel, body.ack()?),
        Command::RetryWrite => Packet::Ack(AckKind::RetryWrite, body.ack()?),
        Command::BarrierAck => Packet::BarrierAck { barrier: body.u32(), set_size: body.u32() },
        Command::DelayProbe => Packet::DelayProbe,
    })
}

/// What is left of a body.
struct Body {
    command: Command,
    bytes: Bytes,
}

impl Body {
    fn u32(&mut self) -> u32 {
        self.bytes.get_u32()
    }

    fn u64(&mut self) -> u64 {
        self.bytes.get_u64()
    }

    fn block(&mut self) -> Result<DataBlock, DecodeError> {
        Ok(DataBlock {
            sector: self.sector()?,
            block_id: self.u64(),
            sequence: self.u32(),
            flags: self.u32(),
            ..DataBlock::default()
        })
    }

    fn request(&mut self) -> Result<BlockRequest, DecodeError> {
        let request = BlockRequest { sector: self.sector()?, block_id: self.u64(), size: self.u32() };
        self.u32(); // a pad that the kernel does not clear
        if request.size == 0 || request.size > MAX_BLOCK || !request.size.is_multiple_of(512) {
            return Err(self.wrong("size", request.size, "whole sectors, up to 1 MiB"));
        }
        Ok(request)
    }

    /// Acknowledgements echo what they answer, and some answer a P_TRIM.
    fn ack(&mut self) -> Result<BlockAck, DecodeError> {
        let (sector, block_id) = (self.sector()?, self.u64());
        Ok(BlockAck { sector, block_id, size: self.up_to_range()?, sequence: self.u32() })
    }

    fn descriptor(&mut self) -> Result<BlockDescriptor, DecodeError> {
        Ok(BlockDescriptor { sector: self.sector()?, size: self.up_to_range()? })
    }

    fn state_change(&mut self) -> StateChange {
        StateChange { mask: self.u32(), value: self.u32() }
    }

    fn protocol(&mut self, version: u32) -> Result<ProtocolSettings, DecodeError> {
        Ok(ProtocolSettings {
            protocol: self.u32(),
            after_sb_0p: self.u32(),
            after_sb_1p: self.u32(),
            after_sb_2p: self.u32(),
            flags: self.u32(),
            two_primaries: self.u32(),
            integrity: if version >= 87 { self.last_name()? } else { String::new() },
        })
    }

    fn sync_parameters(&mut self, version: u32) -> Result<SyncParameters, DecodeError> {
        let mut parameters = SyncParameters { rate: self.u32(), ..SyncParameters::default() };
        match version {
            ..=87 => {}
            88 => parameters.verify = self.last_name()?,
            _ => {
                parameters.verify = self.name_field()?;
                parameters.checksum = self.name_field()?;
            }
        }
        if version >= 95 {
            parameters.plan_ahead = self.u32();
            parameters.delay_target = self.u32();
            parameters.fill_target = self.u32();
            parameters.max_rate = self.u32();
        }
        Ok(parameters)
    }

    fn sizes(&mut self, features: u32) -> Sizes {
        let mut sizes = Sizes {
            disk: self.u64(),
            user: self.u64(),
            current: self.u64(),
            max_block: self.u32(),
            queue_order: self.bytes.get_u16(),
            flags: self.bytes.get_u16(),
            limits: None,
        };
        if features & FEATURE_WRITE_SAME != 0 {
            sizes.limits = Some(QueueLimits {
                physical_block: self.u32(),
                logical_block: self.u32(),
                alignment_offset: self.u32(),
                io_min: self.u32(),
                io_opt: self.u32(),
                discard: self.bytes.get_u8() != 0,
                discard_zeroes: self.bytes.get_u8() != 0,
                write_same: self.bytes.get_u8() != 0,
            });
        }
        sizes
    }

    fn words(self) -> Result<Bytes, DecodeError> {
        if !self.bytes.len().is_multiple_of(8) {
            let length = self.bytes.len() as u64;
            let (command, expected) = (self.command, "whole words of 8 bytes");
            return Err(DecodeError::Value { command, field: "a length of", value: length, expected });
        }
        Ok(self.bytes)
    }

    /// All that is left, and no part of the buffer that it came in: a digest may be kept for long.
    fn digest(&self) -> Bytes {
        Bytes::copy_from_slice(&self.bytes)
    }

    fn sector(&mut self) -> Result<u64, DecodeError> {
        let sector = self.u64();
        if sector > MAX_SECTOR {
            return Err(self.wrong("sector", sector, "no more than 2^53"));
        }
        Ok(sector)
    }

    /// The size of what is to be discarded, zeroed or repeated.
    fn range(&mut self) -> Result<u32, DecodeError> {
        let size = self.u32();
        if size == 0 || size > MAX_RANGE || !size.is_multiple_of(512) {
            return Err(self.wrong("size", size, "whole sectors, up to 128 MiB"));
        }
        Ok(size)
    }

    fn up_to_range(&mut self) -> Result<u32, DecodeError> {
        let size = self.u32();
        if size > MAX_RANGE {
            return Err(self.wrong("size", size, "up to 128 MiB"));
        }
        Ok(size)
    }

    /// A name in a field that is longer than it.
    fn name_field(&mut self) -> Result<String, DecodeError> {
        let field = self.bytes.split_to(NAME);
        let end = field.iter().position(|byte| *byte == 0);
        self.name(&field, end)
    }

    /// A name to the end of the packet.
    fn last_name(&mut self) -> Result<String, DecodeError> {
        let all = std::mem::take(&mut self.bytes);
        let end = all.iter().position(|byte| *byte == 0).filter(|end| end + 1 == all.len());
        self.name(&all, end)
    }

    fn name(&self, bytes: &[u8], end: Option<usize>) -> Result<String, DecodeError> {
        let name = end.and_then(|end| std::str::from_utf8(&bytes[..end]).ok());
        name.map(str::to_owned).ok_or(DecodeError::Name { command: self.command, found: Hex::of(bytes) })
    }

    fn wrong(&self, field: &'static str, value: impl Into<u64>, expected: &'static str) -> DecodeError {
        DecodeError::Value { command: self.command, field, value: value.into(), expected }
    }
}

impl DataBlock {
    fn with(self, payload: Bytes) -> DataBlock {
        DataBlock { payload, ..self }
    }
}
