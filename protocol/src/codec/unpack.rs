//! Packed payloads back to what they were.

use std::fmt;

use bytes::{Buf, Bytes};
use zstd::bulk::Decompressor;

use super::{Codec, PREFIX};
use crate::frame::{MAX_PAYLOAD, Payload};

/// Unpacks what the other relay packed. It remembers nothing from one payload to the next.
#[derive(Default)]
pub struct Unpacker {
    zstd: Option<Decompressor<'static>>,
}

impl Unpacker {
    /// The payload that was packed.
    ///
    /// Reserves the size that the payload states once that is known to be at most
    /// [`MAX_PAYLOAD`](crate::frame::MAX_PAYLOAD), and nothing beyond it, whatever comes.
    ///
    /// # Errors
    /// It is not what a [`Packer`](super::Packer) makes.
    pub fn unpack(&mut self, codec: Codec, packed: Payload) -> Result<Payload, UnpackError> {
        if codec == Codec::Raw {
            return Ok(packed);
        }
        let mut packed = packed.into_bytes();
        if packed.len() <= PREFIX {
            return Err(UnpackError::Short(packed.len()));
        }
        let (stated, crc) = (packed.get_u32(), packed.get_u32());
        let size = stated as usize;
        if size == 0 || size > MAX_PAYLOAD {
            return Err(UnpackError::Size(stated));
        }
        let mut payload = vec![0; size];
        let unpacked = match codec {
            Codec::Raw => packed.len(),
            Codec::Lz4 => lz4_flex::block::decompress_into(&packed, &mut payload)
                .map_err(|error| UnpackError::broken(codec, error))?,
            Codec::Zstd => self
                .zstd()?
                .decompress_to_buffer(&packed, &mut payload[..])
                .map_err(|error| UnpackError::broken(codec, error))?,
        };
        if unpacked != size {
            return Err(UnpackError::OtherSize { stated, unpacked });
        }
        if crc32c::crc32c(&payload) != crc {
            return Err(UnpackError::Checksum(codec));
        }
        Ok(Bytes::from(payload).into())
    }

    /// Made when the first zstd frame comes: most links never see one.
    fn zstd(&mut self) -> Result<&mut Decompressor<'static>, UnpackError> {
        let zstd = match self.zstd.take() {
            Some(zstd) => zstd,
            None => Decompressor::new().map_err(|error| UnpackError::broken(Codec::Zstd, error))?,
        };
        Ok(self.zstd.insert(zstd))
    }
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacker").field("zstd", &self.zstd.is_some()).finish()
    }
}

/// What is wrong with a packed payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    /// Not even its prefix and a byte.
    #[error("a packed payload has {0} bytes, it needs more than 8")]
    Short(usize),
    /// It states a size that no payload has.
    #[error("a packed payload says that it had {0} bytes, 1 to 262144 are allowed")]
    Size(u32),
    /// It is none of its codec's.
    #[error("a payload cannot be unpacked with {codec}: {why}")]
    Broken {
        /// How it was said to be packed.
        codec: Codec,
        /// What the codec says.
        why: String,
    },
    /// It is of another size than it states.
    #[error("a packed payload says that it had {stated} bytes, and has {unpacked}")]
    OtherSize {
        /// As it says.
        stated: u32,
        /// As it is.
        unpacked: usize,
    },
    /// Its bytes are others than were packed.
    #[error("a payload that was unpacked with {0} is not what was packed: its checksum differs")]
    Checksum(Codec),
}

impl UnpackError {
    fn broken(codec: Codec, error: impl fmt::Display) -> UnpackError {
        UnpackError::Broken { codec, why: error.to_string() }
    }
}
