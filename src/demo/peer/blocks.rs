//! What the peers send each other: blocks on data, acknowledgements on meta.
//!
//! A block names its sender, the sender's session, and its number in it, and a CRC-32C covers all of
//! that and its random content. So a byte that is lost, added, changed, or carried over from another
//! session or another stream is found by the next block at the latest.
//!
//! ```text
//! block            magic 4 | sender 4 | session 8 | sequence 8 | length 4 | crc 4 | content
//! acknowledgement  magic 4 | sender 4 | session 8 | blocks 8   | bytes 8  | crc 4
//! ```
//!
//! Integers are big endian. An acknowledgement names the session whose blocks were verified.

use std::fmt;

use super::Violation;

/// Makes one session's stream of blocks.
#[derive(Debug)]
pub(super) struct Writer {
    sender: u32,
    session: u64,
    next: u64,
    largest: u32,
    random: fastrand::Rng,
    block: Vec<u8>,
}

impl Writer {
    /// A new session's stream, of blocks with up to `largest` bytes of content, at most [`LARGEST`].
    pub(super) fn new(sender: u32, largest: u32, mut random: fastrand::Rng) -> Writer {
        let largest = largest.clamp(1, LARGEST);
        Writer { sender, session: random.u64(..), next: 0, largest, random, block: Vec::new() }
    }

    /// This session's name.
    pub(super) fn session(&self) -> u64 {
        self.session
    }

    /// The next block, as it goes over the wire.
    pub(super) fn next_block(&mut self) -> &[u8] {
        let length = self.random.u32(1..=self.largest);
        self.block.resize(HEADER + length as usize, 0);
        self.random.fill(&mut self.block[HEADER..]);
        let head = [&BLOCK[..], &self.sender.to_be_bytes(), &self.session.to_be_bytes()].concat();
        self.block[..16].copy_from_slice(&head);
        self.block[16..24].copy_from_slice(&self.next.to_be_bytes());
        self.block[24..28].copy_from_slice(&length.to_be_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&self.block[..28]), &self.block[HEADER..]);
        self.block[28..HEADER].copy_from_slice(&crc.to_be_bytes());
        self.next += 1;
        &self.block
    }
}

/// Verifies one session's stream of blocks, at its other end.
#[derive(Debug)]
pub(super) struct Verifier {
    sender: u32,
    session: Option<u64>,
    next: u64,
    bytes: u64,
}

impl Verifier {
    /// For the stream of this sender.
    pub(super) fn new(sender: u32) -> Verifier {
        Verifier { sender, session: None, next: 0, bytes: 0 }
    }

    /// How many bytes of content follow this header. Only the checksum tells whether that is true, but
    /// it is no more than [`LARGEST`].
    pub(super) fn length(&self, header: &[u8; HEADER]) -> Result<usize, Violation> {
        let length = be32(&header[24..]);
        if header[..4] != BLOCK || length > LARGEST {
            return Err(self.wrong(format_args!("no block begins with {}", Hex(&header[..]))));
        }
        Ok(length as usize)
    }

    /// Verifies a whole block: its checksum, and that it is the next one of this stream.
    pub(super) fn verify(&mut self, header: &[u8; HEADER], content: &[u8]) -> Result<(), Violation> {
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..28]), content);
        if crc != be32(&header[28..]) {
            return Err(self.wrong(format_args!(
                "the checksum over {} bytes is {crc:08x}, not {:08x}",
                content.len(),
                be32(&header[28..])
            )));
        }
        let (sender, session, sequence) = (be32(&header[4..]), be64(&header[8..]), be64(&header[16..]));
        let expected = *self.session.get_or_insert(session);
        if sender != self.sender {
            return Err(self.wrong(format_args!("it comes from peer {sender}, not {}", self.sender)));
        }
        if session != expected {
            return Err(self.wrong(format_args!("it belongs to session {session:016x}, not {expected:016x}")));
        }
        if sequence != self.next {
            return Err(self.wrong(format_args!("it has number {sequence}")));
        }
        self.next += 1;
        self.bytes += content.len() as u64;
        Ok(())
    }

    /// What is verified so far, to be sent to the stream's sender; `None` before the first block.
    pub(super) fn acknowledgement(&self, sender: u32) -> Option<Acknowledgement> {
        let session = self.session?;
        Some(Acknowledgement { sender, session, blocks: self.next, bytes: self.bytes })
    }

    fn wrong(&self, what: fmt::Arguments<'_>) -> Violation {
        Violation::Block { sequence: self.next, what: what.to_string() }
    }
}

/// How much of a stream the other peer has verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Acknowledgement {
    /// Who verified it.
    pub(super) sender: u32,
    /// The session of the stream's sender.
    pub(super) session: u64,
    /// Blocks.
    pub(super) blocks: u64,
    /// Bytes of content.
    pub(super) bytes: u64,
}

impl Acknowledgement {
    pub(super) fn encode(&self) -> [u8; ACKNOWLEDGEMENT] {
        let mut record = [0; ACKNOWLEDGEMENT];
        record[..4].copy_from_slice(&ACKNOWLEDGED);
        record[4..8].copy_from_slice(&self.sender.to_be_bytes());
        record[8..16].copy_from_slice(&self.session.to_be_bytes());
        record[16..24].copy_from_slice(&self.blocks.to_be_bytes());
        record[24..32].copy_from_slice(&self.bytes.to_be_bytes());
        let crc = crc32c::crc32c(&record[..32]);
        record[32..].copy_from_slice(&crc.to_be_bytes());
        record
    }

    /// Takes a record apart.
    ///
    /// # Errors
    /// It is none, or it was changed on its way.
    pub(super) fn decode(record: &[u8; ACKNOWLEDGEMENT]) -> Result<Acknowledgement, Violation> {
        if record[..4] != ACKNOWLEDGED || crc32c::crc32c(&record[..32]) != be32(&record[32..]) {
            let what = format!("{} is none", Hex(record));
            return Err(Violation::Acknowledgement { what });
        }
        Ok(Acknowledgement {
            sender: be32(&record[4..]),
            session: be64(&record[8..]),
            blocks: be64(&record[16..]),
            bytes: be64(&record[24..]),
        })
    }
}

/// The callers' slices are long enough: records of a fixed size are cut at fixed places.
fn be32(bytes: &[u8]) -> u32 {
    bytes[..4].iter().fold(0, |value, &byte| value << 8 | u32::from(byte))
}

fn be64(bytes: &[u8]) -> u64 {
    bytes[..8].iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(16).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The bytes of a block before its content.
pub(super) const HEADER: usize = 32;
/// The bytes of an acknowledgement.
pub(super) const ACKNOWLEDGEMENT: usize = 36;
/// The most content a block may have: that of BSR's largest write (bsr-wire B.1).
pub(super) const LARGEST: u32 = 1 << 20;
const BLOCK: [u8; 4] = *b"BLCK";
const ACKNOWLEDGED: [u8; 4] = *b"VRFD";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn writer() -> Writer {
        Writer::new(7, 300, fastrand::Rng::with_seed(1))
    }

    fn split(block: &[u8]) -> ([u8; HEADER], Vec<u8>) {
        (block[..HEADER].try_into().unwrap(), block[HEADER..].to_vec())
    }

    fn take(verifier: &mut Verifier, block: &[u8]) -> Result<(), Violation> {
        let (header, content) = split(block);
        assert_eq!(verifier.length(&header)?, content.len());
        verifier.verify(&header, &content)
    }

    fn why(result: Result<(), Violation>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_stream_in_order_is_verified_and_acknowledged() {
        let (mut writer, mut verifier) = (writer(), Verifier::new(7));
        assert_eq!(verifier.acknowledgement(9), None);
        let mut bytes = 0;
        for _ in 0..100 {
            let block = writer.next_block();
            bytes += (block.len() - HEADER) as u64;
            take(&mut verifier, block).unwrap();
        }
        let acknowledgement = verifier.acknowledgement(9).unwrap();
        assert_eq!(
            acknowledgement,
            Acknowledgement { sender: 9, session: writer.session(), blocks: 100, bytes }
        );
        assert_eq!(Acknowledgement::decode(&acknowledgement.encode()).unwrap(), acknowledgement);
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let block = Writer::new(7, 40, fastrand::Rng::with_seed(2)).next_block().to_vec();
        for bit in 0..block.len() * 8 {
            let mut changed = block.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let (header, mut content) = split(&changed);
            let mut verifier = Verifier::new(7);
            let found = verifier.length(&header).and_then(|length| {
                content.resize(length, 0); // another length makes the reader take another number of bytes
                verifier.verify(&header, &content)
            });
            assert!(found.is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_flipped_bit_of_an_acknowledgement_is_found() {
        let record = Acknowledgement { sender: 1, session: 2, blocks: 3, bytes: 4 }.encode();
        for bit in 0..record.len() * 8 {
            let mut changed = record;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Acknowledgement::decode(&changed).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_lost_a_repeated_and_a_foreign_block_are_found() {
        let mut writer = writer();
        let blocks: Vec<_> = (0..3).map(|_| writer.next_block().to_vec()).collect();

        let mut verifier = Verifier::new(7);
        take(&mut verifier, &blocks[0]).unwrap();
        assert_eq!(why(take(&mut verifier, &blocks[2])), "block 1: it has number 2");
        assert_eq!(why(take(&mut verifier, &blocks[0])), "block 1: it has number 0");
        let other = Writer::new(7, 300, fastrand::Rng::with_seed(3)).next_block().to_vec();
        let told = why(take(&mut verifier, &other));
        assert!(told.starts_with("block 1: it belongs to session"), "{told}");
        take(&mut verifier, &blocks[1]).unwrap();

        assert_eq!(why(take(&mut Verifier::new(8), &blocks[0])), "block 0: it comes from peer 7, not 8");
        assert_eq!(why(take(&mut Verifier::new(7), &blocks[1])), "block 0: it has number 1");
    }

    #[test]
    fn a_reader_is_never_told_of_more_than_the_largest_block() {
        let (mut header, _) = split(writer().next_block());
        header[24..28].copy_from_slice(&(LARGEST + 1).to_be_bytes());
        assert!(Verifier::new(7).length(&header).is_err());
    }
}
