//! Packet headers: three formats, chosen by the agreed version (bsr-wire B.1).

use super::command::NOT_AGREED;
use super::error::{DecodeError, Hex};

/// What is in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The number of the command.
    pub command: u16,
    /// Bytes after the header.
    pub length: u32,
    /// The volume; 0 where the format has none.
    pub volume: u16,
}

impl Header {
    /// Bytes of a header in this version, all formats that it has.
    pub fn size(version: u32) -> usize {
        if version >= 100 { 16 } else { 8 }
    }

    /// Reads the header at the beginning of `bytes`; none if there are too few of them.
    ///
    /// # Errors
    /// The magic is not that of a format which this version has; or the pad is not 0.
    pub fn read(version: u32, bytes: &[u8]) -> Result<Option<Header>, DecodeError> {
        if version >= 100 {
            let Some(bytes) = bytes.first_chunk::<16>() else { return Ok(None) };
            return Header::read_100(version, bytes).map(Some);
        }
        let Some(bytes) = bytes.first_chunk::<8>() else { return Ok(None) };
        let [a, b, c, d, e, f, g, h] = *bytes;
        if [a, b, c, d] == MAGIC_80 {
            let length = u16::from_be_bytes([g, h]).into();
            return Ok(Some(Header { command: u16::from_be_bytes([e, f]), length, volume: 0 }));
        }
        // Both formats are understood before version 95, too: so does the kernel.
        if [a, b] == MAGIC_95 && version != NOT_AGREED {
            let length = u32::from_be_bytes([e, f, g, h]);
            return Ok(Some(Header { command: u16::from_be_bytes([c, d]), length, volume: 0 }));
        }
        let expected = if version == NOT_AGREED { "83 74 02 67" } else { "83 74 02 67 or 83 5a" };
        Err(DecodeError::Magic { version, found: Hex::of(bytes), expected })
    }

    fn read_100(version: u32, bytes: &[u8; 16]) -> Result<Header, DecodeError> {
        let [a, b, c, d, volume @ .., e, f, g, h, i, j, k, l, m, n] = *bytes;
        if [a, b, c, d] != MAGIC_100 {
            return Err(DecodeError::Magic { version, found: Hex::of(bytes), expected: "86 20 ec 20" });
        }
        if [k, l, m, n] != [0; 4] {
            return Err(DecodeError::Pad { found: Hex::of(bytes) });
        }
        Ok(Header {
            command: u16::from_be_bytes([e, f]),
            length: u32::from_be_bytes([g, h, i, j]),
            volume: u16::from_be_bytes(volume),
        })
    }

    /// The header's bytes, at the end of the array, and how many they are.
    ///
    /// Below version 100 the short format is taken for bodies of at most 32 KiB, and before 95, where the long one was
    /// not known yet, for all whose length fits in.
    pub fn write(&self, version: u32) -> ([u8; 16], usize) {
        let mut bytes = [0; 16];
        if version >= 100 {
            bytes[..4].copy_from_slice(&MAGIC_100);
            bytes[4..6].copy_from_slice(&self.volume.to_be_bytes());
            bytes[6..8].copy_from_slice(&self.command.to_be_bytes());
            bytes[8..12].copy_from_slice(&self.length.to_be_bytes());
            return (bytes, 16);
        }
        let most = if version >= 95 { MAX_BODY_80 } else { u16::MAX };
        match u16::try_from(self.length) {
            Ok(length) if length <= most => {
                bytes[8..12].copy_from_slice(&MAGIC_80);
                bytes[12..14].copy_from_slice(&self.command.to_be_bytes());
                bytes[14..].copy_from_slice(&length.to_be_bytes());
            }
            _ => {
                bytes[8..10].copy_from_slice(&MAGIC_95);
                bytes[10..12].copy_from_slice(&self.command.to_be_bytes());
                bytes[12..].copy_from_slice(&self.length.to_be_bytes());
            }
        }
        (bytes, 8)
    }
}

const MAGIC_80: [u8; 4] = [0x83, 0x74, 0x02, 0x67];
const MAGIC_95: [u8; 2] = [0x83, 0x5a];
const MAGIC_100: [u8; 4] = [0x86, 0x20, 0xec, 0x20];
/// The longest body for which version 95 to 99 uses the format of version 80.
const MAX_BODY_80: u16 = 32768;
