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

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720 B.4, in the order of its bytes; RFC 1321, FIPS 180-4 for the others.
    #[test]
    fn digests() {
        let up: Vec<u8> = (0..32).collect();
        let down: Vec<u8> = (0..32).rev().collect();
        let crc32c = |data: &[u8]| hex(&Algorithm::Crc32c.digest(data));
        assert_eq!(crc32c(&[0; 32]), "aa36918a");
        assert_eq!(crc32c(&[0xff; 32]), "43aba862");
        assert_eq!(crc32c(&up), "4e79dd46");
        assert_eq!(crc32c(&down), "5cdb3f11");
        for (algorithm, digest) in [
            (Algorithm::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (Algorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (Algorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                Algorithm::Sha512,
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                 2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
        ] {
            assert_eq!(hex(&algorithm.digest(b"abc")), digest);
        }
    }

    /// RFC 2202 and 4231: the short key, and one that is longer than the hash's block.
    #[test]
    fn hmacs() {
        let short = |algorithm: Algorithm| algorithm.hmac(b"Jefe", b"what do ya want for nothing?");
        let long = |algorithm: Algorithm, key: usize| {
            algorithm.hmac(&vec![0xaa; key], b"Test Using Larger Than Block-Size Key - Hash Key First")
        };
        for (hmac, expected) in [
            (short(Algorithm::Md5), "750c783e6ab0b503eaa86e310a5db738"),
            (long(Algorithm::Md5, 80), "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd"),
            (short(Algorithm::Sha1), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (long(Algorithm::Sha1, 80), "aa4ae5e15272d00e95705637ce8a3b55ed402112"),
            (short(Algorithm::Sha256), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (
                long(Algorithm::Sha256, 131),
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                short(Algorithm::Sha512),
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
                 9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
        ] {
            assert_eq!(hmac.map(|hmac| hex(&hmac)).as_deref(), Some(expected));
        }
        assert_eq!(Algorithm::Crc32c.hmac(b"key", b"message"), None);
        assert!(short(Algorithm::Sha1) != Algorithm::Sha1.hmac(b"", b""), "an empty key is one, too");
    }

    #[test]
    fn names_and_lengths() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::of(algorithm.name()), Some(algorithm));
            assert_eq!(algorithm.digest(b"").len(), algorithm.len());
            assert!(algorithm.len() <= crate::wire::command::MAX_DIGEST);
        }
        assert_eq!(Algorithm::of("SHA1"), None);
        assert_eq!(Algorithm::of(""), None);
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
