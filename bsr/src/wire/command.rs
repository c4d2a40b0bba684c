//! The commands: their numbers and names, where they belong, and how long their bodies are (bsr-wire B.2, B.3).

use std::fmt;
use std::ops::RangeInclusive;

use super::body::{FEATURE_THIN_RESYNC, FEATURE_TRIM, FEATURE_WRITE_SAME, FEATURE_ZEROES, MAX_BLOCK};
use super::packet::{CHALLENGE, Stream};

/// One line a command: its number, its name, its stream, and whether it is about a volume or about the connection.
macro_rules! commands {
    ($($command:ident = $number:literal, $name:literal, $streams:ident, $scope:ident;)*) => {
        /// What a header says that its body is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Command {
            $(#[doc = $name] $command = $number,)*
        }

        impl Command {
            /// All that are known here.
            pub const ALL: &'static [Command] = &[$(Command::$command),*];

            /// The command with this number; none if nobody sends it to a node of version 86 to 101.
            pub fn of(number: u16) -> Option<Command> {
                match number {
                    $($number => Some(Command::$command),)*
                    _ => None,
                }
            }

            /// Its number on the wire.
            pub fn number(self) -> u16 {
                self as u16
            }

            /// Its name, as the kernels' logs have it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Command::$command => $name,)*
                }
            }

            fn streams(self) -> Streams {
                match self {
                    $(Command::$command => Streams::$streams,)*
                }
            }

            fn scope(self) -> Scope {
                match self {
                    $(Command::$command => Scope::$scope,)*
                }
            }
        }
    };
}

commands! {
    Data = 0x00, "P_DATA", Data, Volume;
    DataReply = 0x01, "P_DATA_REPLY", Data, Volume;
    ResyncReply = 0x02, "P_RS_DATA_REPLY", Data, Volume;
    Barrier = 0x03, "P_BARRIER", Data, Connection;
    Bitmap = 0x04, "P_BITMAP", Data, Volume;
    UnplugRemote = 0x07, "P_UNPLUG_REMOTE", Data, Connection;
    DataRequest = 0x08, "P_DATA_REQUEST", Data, Volume;
    ResyncRequest = 0x09, "P_RS_DATA_REQUEST", Data, Volume;
    SyncParameters = 0x0a, "P_SYNC_PARAM", Data, Volume;
    Protocol = 0x0b, "P_PROTOCOL", Data, Connection;
    Uuids = 0x0c, "P_UUIDS", Data, Volume;
    Sizes = 0x0d, "P_SIZES", Data, Volume;
    State = 0x0e, "P_STATE", Data, Volume;
    SyncUuid = 0x0f, "P_SYNC_UUID", Data, Volume;
    AuthChallenge = 0x10, "P_AUTH_CHALLENGE", Data, Connection;
    AuthResponse = 0x11, "P_AUTH_RESPONSE", Data, Connection;
    StateChange = 0x12, "P_STATE_CHG_REQ", Data, Volume;
    Ping = 0x13, "P_PING", Meta, Connection;
    PingAck = 0x14, "P_PING_ACK", Meta, Connection;
    ReceiveAck = 0x15, "P_RECV_ACK", Meta, Volume;
    WriteAck = 0x16, "P_WRITE_ACK", Meta, Volume;
    ResyncWriteAck = 0x17, "P_RS_WRITE_ACK", Meta, Volume;
    Superseded = 0x18, "P_SUPERSEDED", Meta, Volume;
    NegativeAck = 0x19, "P_NEG_ACK", Meta, Volume;
    NegativeDataReply = 0x1a, "P_NEG_DREPLY", Meta, Volume;
    NegativeResyncReply = 0x1b, "P_NEG_RS_DREPLY", Meta, Volume;
    BarrierAck = 0x1c, "P_BARRIER_ACK", Meta, Connection;
    StateChangeReply = 0x1d, "P_STATE_CHG_REPLY", Meta, Volume;
    VerifyRequest = 0x1e, "P_OV_REQUEST", Data, Volume;
    VerifyReply = 0x1f, "P_OV_REPLY", Data, Volume;
    VerifyResult = 0x20, "P_OV_RESULT", Meta, Volume;
    ChecksumRequest = 0x21, "P_CSUM_RS_REQUEST", Data, Volume;
    InSync = 0x22, "P_RS_IS_IN_SYNC", Meta, Volume;
    SyncParameters89 = 0x23, "P_SYNC_PARAM89", Data, Volume;
    CompressedBitmap = 0x24, "P_COMPRESSED_BITMAP", Data, Volume;
    DelayProbe = 0x27, "P_DELAY_PROBE", Both, Connection;
    OutOfSync = 0x28, "P_OUT_OF_SYNC", Data, Volume;
    ResyncCancel = 0x29, "P_RS_CANCEL", Meta, Volume;
    ConnectionChange = 0x2a, "P_CONN_ST_CHG_REQ", Data, Connection;
    ConnectionChangeReply = 0x2b, "P_CONN_ST_CHG_REPLY", Meta, Connection;
    RetryWrite = 0x2c, "P_RETRY_WRITE", Meta, Volume;
    ProtocolUpdate = 0x2d, "P_PROTOCOL_UPDATE", Data, Connection;
    Trim = 0x31, "P_TRIM", Data, Volume;
    ThinRequest = 0x32, "P_RS_THIN_REQ", Data, Volume;
    Deallocated = 0x33, "P_RS_DEALLOCATED", Data, Volume;
    WriteSame = 0x34, "P_WSAME", Data, Volume;
    Zeroes = 0x36, "P_ZEROES", Data, Volume;
    Features = 0xfffe, "P_CONNECTION_FEATURES", Data, Connection;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Streams {
    Data,
    Meta,
    Both,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Volume,
    Connection,
}

impl Command {
    /// Whether it may be on this stream.
    pub fn belongs_on(self, stream: Stream) -> bool {
        match self.streams() {
            Streams::Data => stream == Stream::Data,
            Streams::Meta => stream == Stream::Meta,
            Streams::Both => true,
        }
    }

    /// Whether the header's volume number means anything: not so in what is about the connection (bsr-wire B.1).
    pub fn is_of_volume(self) -> bool {
        self.scope() == Scope::Volume
    }

    /// Whether nodes that agreed on this version and these features send it. [`NOT_AGREED`]: nothing but
    /// [`Command::Features`], and that one never again.
    pub fn is_spoken(self, version: u32, features: u32) -> bool {
        let has = |feature| features & feature != 0;
        match self {
            Command::Features => version == NOT_AGREED,
            _ if version == NOT_AGREED => false,
            Command::SyncParameters => version <= 88,
            Command::SyncParameters89 => version >= 89,
            // One volume is all there was before: its state is the connection's (bsr-wire B.9).
            Command::ConnectionChange | Command::ConnectionChangeReply => version >= 100,
            Command::Trim => has(FEATURE_TRIM),
            Command::ThinRequest | Command::Deallocated => has(FEATURE_THIN_RESYNC),
            Command::WriteSame => has(FEATURE_WRITE_SAME),
            Command::Zeroes => has(FEATURE_ZEROES),
            _ => true,
        }
    }

    /// How many bytes its body has. `header`: bytes of the header before it, which counts where the limit is that of
    /// a packet (bsr-wire B.1, "max sane lengths").
    pub fn lengths(self, version: u32, features: u32, header: usize) -> RangeInclusive<usize> {
        let control = CONTROL - header;
        let data = max_block(version) as usize + MAX_DIGEST;
        let exactly = |length| length..=length;
        match self {
            Command::Data => DATA..=DATA + data,
            Command::DataReply | Command::ResyncReply => DATA + SECTOR..=DATA + data,
            Command::WriteSame => DATA + 4 + SECTOR..=DATA + 4 + data,
            Command::Trim | Command::Zeroes => exactly(DATA + 4),
            Command::Barrier | Command::BarrierAck | Command::DelayProbe => exactly(8),
            Command::Bitmap => 0..=control & !7,
            Command::CompressedBitmap => 2..=control,
            Command::UnplugRemote | Command::Ping | Command::PingAck => exactly(0),
            Command::DataRequest | Command::ResyncRequest | Command::ThinRequest | Command::VerifyRequest => {
                exactly(BLOCK)
            }
            Command::VerifyReply | Command::ChecksumRequest => BLOCK + 1..=BLOCK + MAX_DIGEST,
            Command::SyncParameters if version <= 87 => exactly(4),
            Command::SyncParameters => 4 + 1..=4 + NAME,
            Command::SyncParameters89 if version <= 94 => exactly(4 + 2 * NAME),
            // BSR's of version 114 is longer by 8 bytes, which say nothing to a version of here.
            Command::SyncParameters89 => 4 + 2 * NAME + 16..=4 + 2 * NAME + 24,
            Command::Protocol | Command::ProtocolUpdate if version <= 86 => exactly(24),
            Command::Protocol | Command::ProtocolUpdate => 24 + 1..=24 + NAME,
            Command::Uuids => exactly(48),
            Command::Sizes if features & FEATURE_WRITE_SAME != 0 => exactly(32 + 24),
            Command::Sizes => exactly(32),
            Command::State | Command::StateChangeReply | Command::ConnectionChangeReply => exactly(4),
            Command::SyncUuid | Command::StateChange | Command::ConnectionChange => exactly(8),
            Command::AuthChallenge => exactly(CHALLENGE),
            Command::AuthResponse => 1..=MAX_DIGEST,
            Command::ReceiveAck
            | Command::WriteAck
            | Command::ResyncWriteAck
            | Command::Superseded
            | Command::NegativeAck
            | Command::NegativeDataReply
            | Command::NegativeResyncReply
            | Command::VerifyResult
            | Command::InSync
            | Command::ResyncCancel
            | Command::RetryWrite => exactly(BLOCK),
            Command::OutOfSync | Command::Deallocated => exactly(16),
            Command::Features => exactly(72),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The most payload of a block in this version, in bytes (bsr-wire B.1).
pub fn max_block(version: u32) -> u32 {
    match version {
        ..=94 => 32 << 10,
        95..=99 => 128 << 10,
        _ => MAX_BLOCK,
    }
}

/// The version before there is an agreed one, for headers (bsr-wire B.1).
pub const NOT_AGREED: u32 = 80;
/// The most bytes of a digest: sha512's.
pub const MAX_DIGEST: usize = 64;
/// The most bytes of a packet that is no block, header included: one page of the kernels' send buffer.
pub const CONTROL: usize = 4096;
/// Bytes of the field that an algorithm's name is in, its NUL included.
pub const NAME: usize = 64;
/// The most bytes of any packet: header, P_WSAME's fields, digest, payload.
pub const MAX_PACKET: usize = 16 + DATA + 4 + MAX_DIGEST + MAX_BLOCK as usize;
/// Bytes of P_DATA's fields.
const DATA: usize = 24;
/// Bytes of the fields of a request and of an acknowledgement.
const BLOCK: usize = 24;
const SECTOR: usize = 512;
