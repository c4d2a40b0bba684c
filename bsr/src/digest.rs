//! Digests and HMACs, by the names that the kernels know.

use bytes::Bytes;
use hmac::{Hmac, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

/// A hash: for data-integrity-alg, verify-alg, csums-alg and cram-hmac-alg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// crc32c: 4 bytes, least significant first. No hash for an HMAC.
    Crc32c,
    /// md5.
    Md5,
    /// sha1.
    Sha1,
    /// sha256.
    Sha256,
    /// sha512.
    Sha512,
}

impl Algorithm {
    /// All there are.
    pub const ALL: [Algorithm; 5] =
        [Algorithm::Crc32c, Algorithm::Md5, Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512];

    /// The one with this name, as a packet or a configuration has it.
    pub fn of(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Crc32c => "crc32c",
            Algorithm::Md5 => "md5",
            Algorithm::Sha1 => "sha1",
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// Bytes of its digests.
    #[allow(clippy::len_without_is_empty)] // none is empty
    pub fn len(self) -> usize {
        match self {
            Algorithm::Crc32c => 4,
            Algorithm::Md5 => 16,
            Algorithm::Sha1 => 20,
            Algorithm::Sha256 => 32,
            Algorithm::Sha512 => 64,
        }
    }

    /// The digest of `data`: [`Algorithm::len`] bytes.
    pub fn digest(self, data: &[u8]) -> Bytes {
        match self {
            Algorithm::Crc32c => Bytes::copy_from_slice(&crc32c::crc32c(data).to_le_bytes()),
            Algorithm::Md5 => Bytes::copy_from_slice(&Md5::digest(data)),
            Algorithm::Sha1 => Bytes::copy_from_slice(&Sha1::digest(data)),
            Algorithm::Sha256 => Bytes::copy_from_slice(&Sha256::digest(data)),
            Algorithm::Sha512 => Bytes::copy_from_slice(&Sha512::digest(data)),
        }
    }

    /// The HMAC of `message` (RFC 2104), for cram-hmac-alg; none if the algorithm is no hash for that.
    pub fn hmac(self, key: &[u8], message: &[u8]) -> Option<Bytes> {
        match self {
            Algorithm::Crc32c => None,
            Algorithm::Md5 => mac::<Hmac<Md5>>(key, message),
            Algorithm::Sha1 => mac::<Hmac<Sha1>>(key, message),
            Algorithm::Sha256 => mac::<Hmac<Sha256>>(key, message),
            Algorithm::Sha512 => mac::<Hmac<Sha512>>(key, message),
        }
    }
}

/// Every HMAC takes a key of any length: there always is one.
fn mac<M: Mac + hmac::digest::KeyInit>(key: &[u8], message: &[u8]) -> Option<Bytes> {
    let mut mac = <M as Mac>::new_from_slice(key).ok()?;
    mac.update(message);
    Some(Bytes::copy_from_slice(&mac.finalize().into_bytes()))
}
