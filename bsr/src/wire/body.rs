//! What is in the packets' bodies (bsr-wire B.3).

use bytes::Bytes;

/// P_CONNECTION_FEATURES: what a node can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// The lowest version it speaks. A node of before the ranges says 0 here, and means its highest.
    pub min: u32,
    /// The highest.
    pub max: u32,
    /// FEATURE_* bits.
    pub flags: u32,
}

/// It takes [`Packet::Trim`](super::Packet::Trim).
pub const FEATURE_TRIM: u32 = 1;
/// It takes [`Packet::ThinRequest`](super::Packet::ThinRequest).
pub const FEATURE_THIN_RESYNC: u32 = 2;
/// It takes [`Packet::WriteSame`](super::Packet::WriteSame), and its [`Sizes`] carry queue limits.
pub const FEATURE_WRITE_SAME: u32 = 4;
/// It takes [`Packet::Zeroes`](super::Packet::Zeroes).
pub const FEATURE_ZEROES: u32 = 8;

/// P_PROTOCOL: settings that must be the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ProtocolSettings {
    /// 1 A, 2 B, 3 C.
    pub protocol: u32,
    /// after-sb-0pri, as its number (bsr-wire C.3).
    pub after_sb_0p: u32,
    /// after-sb-1pri.
    pub after_sb_1p: u32,
    /// after-sb-2pri.
    pub after_sb_2p: u32,
    /// [`DISCARD_MY_DATA`], [`DRY_RUN`].
    pub flags: u32,
    /// Not 0: two primaries are allowed.
    pub two_primaries: u32,
    /// data-integrity-alg; empty: none. Not sent before version 87.
    pub integrity: String,
}

/// [`ProtocolSettings::flags`]: the sender's data may be discarded.
pub const DISCARD_MY_DATA: u32 = 1;
/// [`ProtocolSettings::flags`]: only try.
pub const DRY_RUN: u32 = 2;

/// P_SYNC_PARAM, P_SYNC_PARAM89. What a version does not carry is left out, and reads as 0 or empty.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SyncParameters {
    /// KiB/s.
    pub rate: u32,
    /// verify-alg; version 88 and later. At most 63 bytes.
    pub verify: String,
    /// csums-alg; version 89 and later. At most 63 bytes.
    pub checksum: String,
    /// 0.1 s; this and the following: version 95 and later.
    pub plan_ahead: u32,
    /// 0.1 s.
    pub delay_target: u32,
    /// Sectors.
    pub fill_target: u32,
    /// KiB/s.
    pub max_rate: u32,
}

/// P_SIZES; all sizes in sectors of 512 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sizes {
    /// What the sender's disk has.
    pub disk: u64,
    /// What its user set; 0: nothing.
    pub user: u64,
    /// What the volume has at present.
    pub current: u64,
    /// The largest block, in bytes.
    pub max_block: u32,
    /// 0.
    pub queue_order: u16,
    /// 1 assume that the peer has space, 2 no resync of new space.
    pub flags: u16,
    /// With [`FEATURE_WRITE_SAME`] on both sides.
    pub limits: Option<QueueLimits>,
}

/// The limits of the sender's block device, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct QueueLimits {
    /// Of a physical block.
    pub physical_block: u32,
    /// Of a logical block.
    pub logical_block: u32,
    /// Of the first physical block's offset.
    pub alignment_offset: u32,
    /// Smallest efficient request.
    pub io_min: u32,
    /// Best request.
    pub io_opt: u32,
    /// Whether it discards.
    pub discard: bool,
    /// Whether what was discarded reads as zeros.
    pub discard_zeroes: bool,
    /// Whether it has a write-same.
    pub write_same: bool,
}

/// P_UUIDS: the generations of the sender's data (bsr-wire C.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Uuids {
    /// Of the data as it is.
    pub current: u64,
    /// Since which the bitmap tells the differences; 0: none.
    pub bitmap: u64,
    /// The two before.
    pub history: [u64; 2],
    /// Set bits in the bitmap.
    pub dirty_bits: u64,
    /// UUID_* bits.
    pub flags: u64,
}

/// [`Uuids::flags`]: the sender's data may be discarded.
pub const UUID_DISCARD_MY_DATA: u64 = 1;
/// [`Uuids::flags`]: it was primary when it crashed.
pub const UUID_CRASHED_PRIMARY: u64 = 2;
/// [`Uuids::flags`]: its disk is inconsistent.
pub const UUID_INCONSISTENT: u64 = 4;
/// [`Uuids::flags`]: the initial resync is to be skipped.
pub const UUID_SKIP_INITIAL_SYNC: u64 = 8;

/// P_STATE_CHG_REQ, P_CONN_ST_CHG_REQ: the fields in `mask` are to become those in `value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct StateChange {
    /// Which fields, all their bits set.
    pub mask: u32,
    /// What they are to be, as the sender sees it.
    pub value: u32,
}

/// P_DATA and what is like it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DataBlock {
    /// Where it begins, in sectors.
    pub sector: u64,
    /// Opaque to the receiver, who echoes it; [`ID_SYNCER`] in a resync.
    pub block_id: u64,
    /// The sender's running number.
    pub sequence: u32,
    /// DP_* bits.
    pub flags: u32,
    /// data-integrity-alg's digest of the payload. Decoded packets have it at the beginning of `payload` until
    /// [`DataBlock::split_digest`]: how long it is, is not in the packet.
    pub digest: Bytes,
    /// The data.
    pub payload: Bytes,
}

impl DataBlock {
    /// The same without one: what has no payload has none.
    #[must_use]
    pub fn without_digest(self) -> DataBlock {
        DataBlock { digest: Bytes::new(), ..self }
    }

    /// Takes the digest off a received payload. False if the payload is shorter than `len`.
    #[must_use]
    pub fn split_digest(&mut self, len: usize) -> bool {
        if self.payload.len() < len {
            return false;
        }
        self.digest = self.payload.split_to(len);
        true
    }
}

/// [`DataBlock::flags`]: sync I/O.
pub const DP_RW_SYNC: u32 = 2;
/// [`DataBlock::flags`]: once written the block may count as in sync.
pub const DP_MAY_SET_IN_SYNC: u32 = 4;
/// [`DataBlock::flags`]: a hint.
pub const DP_UNPLUG: u32 = 8;
/// [`DataBlock::flags`]: to stable storage.
pub const DP_FUA: u32 = 16;
/// [`DataBlock::flags`]: everything before it to stable storage, first.
pub const DP_FLUSH: u32 = 32;
/// [`DataBlock::flags`]: a discard.
pub const DP_DISCARD: u32 = 64;
/// [`DataBlock::flags`]: protocol B, version 100 and later.
pub const DP_SEND_RECEIVE_ACK: u32 = 128;
/// [`DataBlock::flags`]: protocol C, version 100 and later.
pub const DP_SEND_WRITE_ACK: u32 = 256;
/// [`DataBlock::flags`]: a write-same.
pub const DP_WRITE_SAME: u32 = 512;
/// [`DataBlock::flags`]: zeroes.
pub const DP_ZEROES: u32 = 1024;

/// P_DATA_REQUEST and what is like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct BlockRequest {
    /// Where it begins, in sectors.
    pub sector: u64,
    /// Opaque to the receiver; [`ID_SYNCER`] in a resync.
    pub block_id: u64,
    /// Bytes.
    pub size: u32,
}

/// The acknowledgements of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct BlockAck {
    /// Where it begins, in sectors.
    pub sector: u64,
    /// That of the block.
    pub block_id: u64,
    /// Bytes.
    pub size: u32,
    /// The acknowledging side's own running number.
    pub sequence: u32,
}

/// P_OUT_OF_SYNC, P_RS_DEALLOCATED.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct BlockDescriptor {
    /// Where it begins, in sectors.
    pub sector: u64,
    /// Bytes.
    pub size: u32,
}

/// The block id of a resync.
pub const ID_SYNCER: u64 = u64::MAX;
/// The block id of a verify's result: equal.
pub const VERIFY_IN_SYNC: u64 = 4711;
/// The block id of a verify's result: different.
pub const VERIFY_OUT_OF_SYNC: u64 = 4712;
/// The most payload of a block, in bytes.
pub const MAX_BLOCK: u32 = 1 << 20;
/// The most that a P_TRIM, P_ZEROES or P_WSAME is about, and therefore an acknowledgement or P_OUT_OF_SYNC: 128 MiB,
/// in bytes. As much as the kernel asks for at once: half of the activity extents that one transaction of its log can
/// take, which are 32 of 4 MiB.
pub const MAX_RANGE: u32 = 128 << 20;
/// The highest sector that a decoded packet is about: in bytes, with [`MAX_RANGE`] added, it is far from overflowing
/// anything. 4 EiB; the kernels' volumes have 1 PiB at most.
pub const MAX_SECTOR: u64 = 1 << 53;
