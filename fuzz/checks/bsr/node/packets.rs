//! Packets that no good node would send, or not now.

use bytes::Bytes;
use drx_bsr::wire::{
    AckKind, BlockAck, BlockDescriptor, BlockRequest, Connection, DataBlock, Disk, Features, ID_SYNCER,
    Packet, ProtocolSettings, Role, Sizes, StateChange, StateWord, Stream, SyncParameters, Uuids,
    VERIFY_IN_SYNC, VERIFY_OUT_OF_SYNC,
};

use super::side::Side;
use super::tape::Tape;

/// Any packet, of fields that are somehow plausible: taken from what the victim said itself, or on some border.
pub fn any(tape: &mut Tape<'_>, victim: &Side) -> (Stream, Packet) {
    let mut make = Make { tape, victim };
    if make.tape.byte() < 160 {
        return make.fitting();
    }
    match make.tape.below(30) {
        0..=6 => (Stream::Meta, make.ack()),
        7 => (Stream::Meta, make.epoch_ack()),
        8 => {
            let code = make.tape.of(&[1, 1, 2, 0, -1, -10, -19, i32::MIN, i32::MAX]);
            let wide = make.tape.flag();
            (
                Stream::Meta,
                if wide { Packet::ConnectionChangeReply(code) } else { Packet::StateChangeReply(code) },
            )
        }
        9 if make.tape.of(&[0, 1]) == 0 => (Stream::Meta, Packet::Ping),
        9 => (Stream::Meta, Packet::PingAck),
        _ => (Stream::Data, make.data()),
    }
}

/// Whether it says something of what the other node has that only that node can know. Whoever believes a lie about
/// that cannot keep both disks the same.
pub fn claims(packet: &Packet) -> bool {
    matches!(
        packet,
        Packet::Ack(..)
            | Packet::BarrierAck { .. }
            | Packet::State(_)
            | Packet::Uuids(_)
            | Packet::SyncUuid(_)
            | Packet::Sizes(_)
            | Packet::StateChange(_)
            | Packet::ConnectionChange(_)
            | Packet::StateChangeReply(_)
            | Packet::ConnectionChangeReply(_)
            | Packet::ChecksumRequest(..)
            // No lies, but wishes that last longer than the connection, as with the kernels.
            | Packet::SyncParameters(_)
    )
}

struct Make<'t, 'b, 'v> {
    tape: &'t mut Tape<'b>,
    victim: &'v Side,
}

impl Make<'_, '_, '_> {
    /// One that could follow on what the victim has said last.
    fn fitting(&mut self) -> (Stream, Packet) {
        use Connection as C;
        let connection = self.victim.node.state().connection;
        let choice = self.tape.below(4);
        let state = |connection, disk| {
            (
                Stream::Data,
                Packet::State(StateWord::new(
                    Role::Secondary,
                    Role::Secondary,
                    connection,
                    disk,
                    Disk::UpToDate,
                )),
            )
        };
        match (connection, choice) {
            (C::Connected, 0) => (Stream::Data, Packet::State(self.word())),
            (C::Connected, 1) => (Stream::Data, Packet::StateChange(self.change())),
            (C::Connected, 2) => {
                let word = StateWord::new(
                    Role::Primary,
                    Role::Secondary,
                    C::Ahead,
                    Disk::UpToDate,
                    Disk::Consistent,
                );
                (Stream::Data, Packet::State(word))
            }
            (C::Behind | C::WFSyncUUID, 0 | 1) => (Stream::Data, Packet::SyncUuid(self.tape.u64())),
            (C::SyncTarget, 0 | 1) => (Stream::Data, Packet::ResyncReply(self.block())),
            (C::SyncTarget, 2) => (Stream::Data, Packet::Deallocated(self.range())),
            (C::SyncTarget, _) => {
                let word = StateWord::new(
                    Role::Primary,
                    Role::Secondary,
                    C::Ahead,
                    Disk::UpToDate,
                    Disk::Consistent,
                );
                (Stream::Data, Packet::State(word))
            }
            (C::SyncSource, 0) => (Stream::Data, Packet::ResyncRequest(self.request())),
            (C::SyncSource, 1) => (Stream::Data, Packet::ChecksumRequest(self.request(), self.digest())),
            (C::SyncSource, 2) => state(C::Connected, Disk::UpToDate),
            (C::VerifyT, 0..3) => (Stream::Data, Packet::VerifyRequest(self.request())),
            (C::VerifyT, _) => state(C::Connected, Disk::UpToDate),
            (C::VerifyS, 0..3) => (Stream::Data, Packet::VerifyReply(self.request(), self.digest())),
            (C::WFBitMapS | C::WFBitMapT, 0..2) => {
                let bits = self.victim.node.status().size.div_ceil(4096).div_ceil(64) as usize;
                (Stream::Data, Packet::Bitmap(vec![self.tape.byte(); 8 * bits.min(510)].into()))
            }
            (C::WFBitMapS | C::WFBitMapT, 2) => (Stream::Data, Packet::Bitmap(Bytes::new())),
            _ if choice < 2 => (Stream::Meta, self.ack()),
            _ if choice == 2 => (Stream::Meta, self.epoch_ack()),
            _ => (Stream::Meta, Packet::PingAck),
        }
    }

    fn data(&mut self) -> Packet {
        match self.tape.below(32) {
            0 | 1 => Packet::Data(self.block()),
            2 => Packet::DataReply(self.block()),
            3 | 4 => Packet::ResyncReply(self.block()),
            5 => Packet::Trim(self.block().empty(), self.size()),
            6 => Packet::Zeroes(self.block().empty(), self.size()),
            7 => Packet::WriteSame(self.block(), self.size()),
            8 => Packet::Barrier(self.tape.u32()),
            9 => Packet::Deallocated(self.range()),
            10 => Packet::OutOfSync(self.range()),
            11 => Packet::Bitmap(vec![self.tape.byte(); 8 * self.tape.of(&[0, 1, 63, 510, 511])].into()),
            12 => {
                let code = vec![self.tape.byte(); self.tape.of(&[1, 2, 7, 300, 4079])];
                Packet::CompressedBitmap(self.tape.of(&[0x02, 0x82, 0x72, 0xf2, 0x00, 0xff]), code.into())
            }
            13 => Packet::DataRequest(self.request()),
            14 => Packet::ResyncRequest(self.request()),
            15 => Packet::ThinRequest(self.request()),
            16 => Packet::ChecksumRequest(self.request(), self.digest()),
            17 => Packet::VerifyRequest(self.request()),
            18 => Packet::VerifyReply(self.request(), self.digest()),
            19 | 20 => Packet::State(self.word()),
            21 => Packet::Uuids(self.uuids()),
            22 => Packet::SyncUuid(self.tape.u64()),
            23 => Packet::Sizes(self.sizes()),
            24 | 25 => Packet::StateChange(self.change()),
            26 => Packet::ConnectionChange(self.change()),
            27 => Packet::Protocol(self.settings()),
            28 => Packet::ProtocolUpdate(self.settings()),
            29 => {
                let (verify, checksum) = (self.name(), self.name());
                Packet::SyncParameters(SyncParameters { verify, checksum, ..SyncParameters::default() })
            }
            30 => match self.tape.below(3) {
                0 => Packet::AuthChallenge(Box::new([self.tape.byte(); 64])),
                1 => Packet::AuthResponse(self.digest()),
                _ => {
                    let (min, max) = (self.tape.of(&[0, 86, 101, 118]), self.tape.of(&[0, 86, 101, 118]));
                    Packet::Features(Features { min, max, flags: self.tape.u32() })
                }
            },
            _ => Packet::UnplugRemote,
        }
    }

    fn ack(&mut self) -> Packet {
        let kind = self.tape.of(&[
            AckKind::Received,
            AckKind::Written,
            AckKind::Written,
            AckKind::ResyncWritten,
            AckKind::ResyncWritten,
            AckKind::Superseded,
            AckKind::Negative,
            AckKind::Negative,
            AckKind::NegativeData,
            AckKind::NegativeResync,
            AckKind::VerifyResult,
            AckKind::InSync,
            AckKind::ResyncCancel,
            AckKind::RetryWrite,
        ]);
        let (sector, block_id, size) = self.place();
        Packet::Ack(kind, BlockAck { sector, block_id, size, sequence: 0 })
    }

    fn epoch_ack(&mut self) -> Packet {
        let barriers = self.victim.said.iter().filter_map(|(_, said)| match said {
            Packet::Barrier(number) => Some(*number),
            _ => None,
        });
        let barrier = barriers.last().unwrap_or(0).wrapping_add(self.tape.of(&[0, 0, 0, 1, u32::MAX]));
        Packet::BarrierAck { barrier, set_size: self.tape.of(&[1, 1, 1, 2, 0, 3, u32::MAX]) }
    }

    /// Sector, block id and size, mostly of something that the victim has said.
    fn place(&mut self) -> (u64, u64, u32) {
        let said: Vec<_> = self.victim.said.iter().filter_map(|(_, said)| place_of(said)).collect();
        if !said.is_empty() && self.tape.byte() < 200 {
            let (mut sector, mut block_id, mut size) = self.tape.of(&said);
            match self.tape.below(16) {
                0 => sector = self.sector(),
                1 => block_id = self.block_id(),
                2 => size = self.size(),
                _ => {}
            }
            return (sector, block_id, size);
        }
        (self.sector(), self.block_id(), self.size())
    }

    fn sector(&mut self) -> u64 {
        let end = self.victim.node.status().size / 512;
        match self.tape.below(8) {
            0 => end,
            1 => end.saturating_sub(1),
            2 => self.tape.u64() >> self.tape.below(64),
            3 => 1 << 53,
            _ => self.tape.below(64) as u64 * self.tape.of(&[1, 8, 8, 8, 256]),
        }
    }

    fn size(&mut self) -> u32 {
        self.tape.of(&[4096, 4096, 512, 1024, 8192, 128 << 10, 1 << 20, 0, 1, 511, 513, 128 << 20, u32::MAX])
    }

    fn block_id(&mut self) -> u64 {
        match self.tape.below(8) {
            0 => self.tape.u64(),
            1 | 2 => ID_SYNCER,
            3 => VERIFY_IN_SYNC,
            4 => VERIFY_OUT_OF_SYNC,
            _ => self.tape.below(16) as u64,
        }
    }

    fn block(&mut self) -> DataBlock {
        let (sector, block_id, size) = self.place();
        let length = match self.tape.byte() {
            0..128 if size <= 1 << 20 => size as usize,
            _ => self.tape.of(&[4096, 512, 4096, 8192, 128 << 10, 0, 520, 100, 1 << 20]),
        };
        let payload: Bytes = vec![self.tape.byte(); length].into();
        // Where there is to be a digest it mostly is.
        let integrity = self.victim.settings.integrity.filter(|_| length > 0 && self.tape.byte() < 200);
        let digest = integrity.map_or(Bytes::new(), |algorithm| algorithm.digest(&payload));
        let flags = 1 << self.tape.below(11) | 1 << self.tape.below(11);
        DataBlock { sector, block_id, sequence: 0, flags, digest, payload }
    }

    fn request(&mut self) -> BlockRequest {
        let (sector, block_id, size) = self.place();
        BlockRequest { sector, block_id, size }
    }

    fn range(&mut self) -> BlockDescriptor {
        let (sector, _, size) = self.place();
        BlockDescriptor { sector, size }
    }

    fn digest(&mut self) -> Bytes {
        vec![self.tape.byte(); self.tape.of(&[4, 16, 20, 1, 64])].into()
    }

    fn word(&mut self) -> StateWord {
        if self.tape.byte() < 32 {
            return StateWord(self.tape.u32());
        }
        let role = |tape: &mut Tape<'_>| Role::of(tape.below(3) as u32).unwrap_or(Role::Secondary);
        let disk = |tape: &mut Tape<'_>| {
            Disk::of(tape.of(&[8, 8, 4, 5, 0, 1, 2, 3, 6, 7])).unwrap_or(Disk::UpToDate)
        };
        let (role, peer) = (role(self.tape), role(self.tape));
        let connection = self.connection();
        StateWord::new(role, peer, connection, disk(self.tape), disk(self.tape))
    }

    fn connection(&mut self) -> Connection {
        let number = match self.tape.below(4) {
            0 => 10,
            1 => self.tape.of(&[1, 11, 12, 18, 22]),
            _ => self.tape.below(24) as u32,
        };
        Connection::of(number).unwrap_or(Connection::Connected)
    }

    fn change(&mut self) -> StateChange {
        let mask = self.tape.of(&[0x1f0, 0x1f0, 0x1f0, 3, 3, 0x1e03, 0x1fff, u32::MAX, 0, 1]);
        StateChange { mask, value: self.word().0 }
    }

    fn uuids(&mut self) -> Uuids {
        let own = self.victim.node.status().generations;
        let known =
            [own.current, own.bitmap, own.history[0], own.history[1], 0, 4, own.current ^ 1, 0x1234_5678];
        Uuids {
            current: self.tape.of(&known),
            bitmap: self.tape.of(&known),
            history: [self.tape.of(&known), self.tape.of(&known)],
            dirty_bits: self.tape.of(&[0, 1, u64::MAX]),
            flags: self.tape.byte().into(),
        }
    }

    fn sizes(&mut self) -> Sizes {
        let sectors = self.victim.disk.volume.len() as u64 / 512;
        let any = [sectors, sectors, 0, 1, sectors - 1, sectors / 2, sectors + 1, u64::MAX, 1 << 55];
        Sizes {
            disk: self.tape.of(&any),
            user: self.tape.of(&any),
            current: self.tape.of(&any),
            max_block: self.tape.of(&[1 << 20, 4096, 0, 512, 100_000, u32::MAX]),
            ..Sizes::default()
        }
    }

    fn settings(&mut self) -> ProtocolSettings {
        ProtocolSettings {
            protocol: self.tape.below(5) as u32,
            after_sb_0p: self.tape.of(&[0, 0, 5, u32::MAX]),
            flags: self.tape.below(4) as u32,
            integrity: self.name(),
            ..ProtocolSettings::default()
        }
    }

    fn name(&mut self) -> String {
        let name = self.tape.of(&["", "crc32c", "md5", "sha1", "what is this", "\u{1b}[2J\n\r<log>"]);
        if self.tape.byte() < 32 { "\u{fffd}".repeat(20) } else { name.to_owned() }
    }
}

fn place_of(packet: &Packet) -> Option<(u64, u64, u32)> {
    match packet {
        Packet::Data(block) | Packet::DataReply(block) | Packet::ResyncReply(block) => {
            Some((block.sector, block.block_id, u32::try_from(block.payload.len()).ok()?))
        }
        Packet::Trim(block, size) | Packet::Zeroes(block, size) | Packet::WriteSame(block, size) => {
            Some((block.sector, block.block_id, *size))
        }
        Packet::DataRequest(request)
        | Packet::ResyncRequest(request)
        | Packet::ThinRequest(request)
        | Packet::ChecksumRequest(request, _)
        | Packet::VerifyRequest(request)
        | Packet::VerifyReply(request, _) => Some((request.sector, request.block_id, request.size)),
        Packet::Deallocated(range) | Packet::OutOfSync(range) => Some((range.sector, ID_SYNCER, range.size)),
        _ => None,
    }
}

trait Empty {
    fn empty(self) -> Self;
}

impl Empty for DataBlock {
    fn empty(self) -> DataBlock {
        DataBlock { digest: Bytes::new(), payload: Bytes::new(), ..self }
    }
}
