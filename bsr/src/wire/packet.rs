//! The packets.

use bytes::Bytes;

use super::body::{
    BlockAck, BlockDescriptor, BlockRequest, DataBlock, Features, ProtocolSettings, Sizes, StateChange,
    SyncParameters, Uuids,
};
use super::state::StateWord;

/// One of the two connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Writes, requests, the handshake.
    Data,
    /// Acknowledgements and pings.
    Meta,
}

/// A packet, with all that it carries. Names and numbers: bsr-wire B.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// P_CONNECTION_FEATURES.
    Features(Features),
    /// P_AUTH_CHALLENGE: 64 random bytes.
    AuthChallenge(Box<[u8; CHALLENGE]>),
    /// P_AUTH_RESPONSE: the HMAC of the challenge.
    AuthResponse(Bytes),
    /// P_PROTOCOL.
    Protocol(ProtocolSettings),
    /// P_PROTOCOL_UPDATE.
    ProtocolUpdate(ProtocolSettings),
    /// P_SYNC_PARAM, P_SYNC_PARAM89: which of the two, and how long it is, is a matter of the version.
    SyncParameters(SyncParameters),
    /// P_SIZES.
    Sizes(Sizes),
    /// P_UUIDS.
    Uuids(Uuids),
    /// P_STATE.
    State(StateWord),
    /// P_SYNC_UUID.
    SyncUuid(u64),
    /// P_STATE_CHG_REQ.
    StateChange(StateChange),
    /// P_CONN_ST_CHG_REQ.
    ConnectionChange(StateChange),
    /// P_STATE_CHG_REPLY, on meta: 1 is success (bsr-wire B.9).
    StateChangeReply(i32),
    /// P_CONN_ST_CHG_REPLY, on meta.
    ConnectionChangeReply(i32),

    /// P_DATA: a write. Without payload: a flush.
    Data(DataBlock),
    /// P_DATA_REPLY: what a P_DATA_REQUEST asked for.
    DataReply(DataBlock),
    /// P_RS_DATA_REPLY.
    ResyncReply(DataBlock),
    /// P_TRIM: `size` bytes are discarded; the block has no payload.
    Trim(DataBlock, u32),
    /// P_ZEROES: `size` bytes become zero; the block has no payload.
    Zeroes(DataBlock, u32),
    /// P_WSAME: `size` bytes become repetitions of the payload.
    WriteSame(DataBlock, u32),
    /// P_BARRIER: the end of an epoch. Its number is opaque to the receiver.
    Barrier(u32),
    /// P_UNPLUG_REMOTE: a hint.
    UnplugRemote,
    /// P_OUT_OF_SYNC.
    OutOfSync(BlockDescriptor),

    /// P_BITMAP: little-endian words; empty: the end of a plain transfer.
    Bitmap(Bytes),
    /// P_COMPRESSED_BITMAP: how it is encoded, and the code (bsr-wire B.5).
    CompressedBitmap(u8, Bytes),

    /// P_DATA_REQUEST.
    DataRequest(BlockRequest),
    /// P_RS_DATA_REQUEST.
    ResyncRequest(BlockRequest),
    /// P_RS_THIN_REQ: like [`Packet::ResyncRequest`], but a block of zeros may be answered with [`Packet::Deallocated`].
    ThinRequest(BlockRequest),
    /// P_RS_DEALLOCATED.
    Deallocated(BlockDescriptor),
    /// P_CSUM_RS_REQUEST: with the digest of the asking side's block.
    ChecksumRequest(BlockRequest, Bytes),
    /// P_OV_REQUEST.
    VerifyRequest(BlockRequest),
    /// P_OV_REPLY, on data: with the digest of the answering side's block.
    VerifyReply(BlockRequest, Bytes),

    /// P_PING, on meta.
    Ping,
    /// P_PING_ACK, on meta.
    PingAck,
    /// An acknowledgement of one block, on meta.
    Ack(AckKind, BlockAck),
    /// P_BARRIER_ACK, on meta: the epoch's number as it was received, and how many writes were in it.
    BarrierAck {
        /// The bytes of the [`Packet::Barrier`].
        barrier: u32,
        /// Writes in the epoch.
        set_size: u32,
    },
    /// P_DELAY_PROBE: skipped.
    DelayProbe,
}

/// What a [`Packet::Ack`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckKind {
    /// P_RECV_ACK: received (protocol B).
    Received,
    /// P_WRITE_ACK: written (protocol C).
    Written,
    /// P_RS_WRITE_ACK: written, and both sides are in sync there now.
    ResyncWritten,
    /// P_SUPERSEDED: another write took its place (two primaries only).
    Superseded,
    /// P_NEG_ACK: could not be written.
    Negative,
    /// P_NEG_DREPLY: could not be read.
    NegativeData,
    /// P_NEG_RS_DREPLY: could not be read for a resync.
    NegativeResync,
    /// P_OV_RESULT: [`VERIFY_IN_SYNC`](super::body::VERIFY_IN_SYNC) or [`VERIFY_OUT_OF_SYNC`](super::body::VERIFY_OUT_OF_SYNC) as block id.
    VerifyResult,
    /// P_RS_IS_IN_SYNC: the digests were equal.
    InSync,
    /// P_RS_CANCEL: not now, the source is ahead.
    ResyncCancel,
    /// P_RETRY_WRITE (two primaries only).
    RetryWrite,
}

/// Bytes of a challenge.
pub const CHALLENGE: usize = 64;
