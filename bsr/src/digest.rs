//! Digests and HMACs, by the names that the kernels know.

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
}
