//! Payloads made smaller, where that pays.

use std::fmt;

use bytes::{BufMut, Bytes};
use zstd::bulk::Compressor;

use super::{Codec, Compression, PREFIX};
use crate::frame::Payload;

/// Packs payloads, and remembers how well that went: what does not become smaller is sent as it is, and is tried less
/// often for a while, so that incompressible data cost next to nothing.
pub struct Packer {
    /// What the other relay can unpack.
    theirs: Vec<Codec>,
    zstd: Option<(Compressor<'static>, u8)>,
    /// Where payloads that lie in pieces are put together.
    whole: Vec<u8>,
    /// Where they are packed.
    packed: Vec<u8>,
    /// Payloads that are sent as they are before the next is tried.
    skip: u32,
    /// How many, the next time that one does not become smaller.
    patience: u32,
}

impl Packer {
    /// One for a link whose other relay can unpack these, by their numbers; those that are not known here are none.
    pub fn new(theirs: &[u8]) -> Packer {
        Packer {
            theirs: theirs.iter().filter_map(|number| Codec::of(*number)).collect(),
            zstd: None,
            whole: Vec::new(),
            packed: Vec::new(),
            skip: 0,
            patience: 1,
        }
    }

    /// The payload packed, and how; none: it is to be sent as it is. [`Compression::Auto`] packs nothing here: somebody
    /// has to choose first.
    ///
    /// # Errors
    /// The codec itself failed; the payload is to be sent as it is.
    pub fn pack(
        &mut self,
        payload: &Payload,
        compression: Compression,
    ) -> Result<Option<(Codec, Bytes)>, PackError> {
        let codec = match compression {
            Compression::None | Compression::Auto => return Ok(None),
            Compression::Lz4 => Codec::Lz4,
            Compression::Zstd(_) => Codec::Zstd,
        };
        let size = payload.len();
        if size < LEAST || !self.theirs.contains(&codec) {
            return Ok(None);
        }
        if self.skip > 0 {
            self.skip -= 1;
            return Ok(None);
        }
        let one = match payload.pieces() {
            [piece] => Some(piece.clone()),
            pieces => {
                self.whole.clear();
                pieces.iter().for_each(|piece| self.whole.extend_from_slice(piece));
                None
            }
        };
        let whole = one.as_deref().unwrap_or(&self.whole);
        // More than this is no gain.
        let most = size - size / WORTH;
        let length = match compression {
            Compression::Zstd(level) => {
                let zstd = at_level(&mut self.zstd, level)?;
                // A bound that is too small is an error: then it does not pay.
                self.packed.resize(most, 0);
                zstd.compress_to_buffer(whole, &mut self.packed[..]).ok()
            }
            _ => {
                self.packed.resize(lz4_flex::block::get_maximum_output_size(size), 0);
                let length = lz4_flex::block::compress_into(whole, &mut self.packed);
                Some(length.map_err(|error| PackError(error.to_string()))?)
            }
        };
        let Some(length) = length.filter(|length| PREFIX + length <= most) else {
            self.skip = self.patience;
            self.patience = (self.patience * 2).min(LONGEST);
            return Ok(None);
        };
        self.patience = 1;
        let mut body = Vec::with_capacity(PREFIX + length);
        body.put_u32(size as u32);
        body.put_u32(crc32c::crc32c(whole));
        body.extend_from_slice(&self.packed[..length]);
        Ok(Some((codec, body.into())))
    }
}

/// The context is kept: making one costs as much as packing a payload.
fn at_level<'a>(
    kept: &'a mut Option<(Compressor<'static>, u8)>,
    level: u8,
) -> Result<&'a mut Compressor<'static>, PackError> {
    let failed = |error: std::io::Error| PackError(error.to_string());
    let zstd = match kept.take() {
        Some((zstd, at)) if at == level => zstd,
        Some((mut zstd, _)) => {
            zstd.set_compression_level(level.into()).map_err(failed)?;
            zstd
        }
        None => Compressor::new(level.into()).map_err(failed)?,
    };
    Ok(&mut kept.insert((zstd, level)).0)
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Packer { theirs, skip, patience, .. } = self;
        f.debug_struct("Packer")
            .field("theirs", theirs)
            .field("skip", skip)
            .field("patience", patience)
            .finish_non_exhaustive()
    }
}

/// A codec that fails where it must not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a payload could not be packed: {0}")]
pub struct PackError(String);

/// Smaller payloads are sent as they are: bsr's acknowledgements and pings, to which each µs counts and a byte does not.
const LEAST: usize = 512;
/// A payload has to lose one part in so many.
const WORTH: usize = 16;
/// After so many that did not become smaller one in 32 is tried: 3 % of what packing costs, which is itself less than
/// half of what the kernel takes for the bytes.
const LONGEST: u32 = 31;
