//! From bytes to packets.

use bytes::{Buf, BytesMut};

use super::command::{CONTROL, Command, NOT_AGREED};
use super::error::DecodeError;
use super::header::Header;
use super::packet::{Packet, Stream};
use super::parse;

/// Takes packets off the bytes that have come, as the agreed version has them.
///
/// It keeps no bytes: one of it does for both streams, and the caller has a buffer for each. No packet is longer than
/// [`MAX_PACKET`](super::command::MAX_PACKET), and most have to be much shorter: a header that says otherwise is an
/// error before anything is waited for.
#[derive(Clone, Debug)]
pub struct Decoder {
    version: u32,
    features: u32,
    wanted: usize,
}

impl Decoder {
    /// Nothing is agreed upon yet: [`Packet::Features`] is all that may come.
    pub fn new() -> Decoder {
        Decoder { version: NOT_AGREED, features: 0, wanted: 0 }
    }

    /// From the next packet on, this version and these features of both.
    pub fn speak(&mut self, version: u32, features: u32) {
        (self.version, self.features) = (version, features);
    }

    /// Takes the next packet off `buffer`; none if it is not whole yet. Payloads are slices of the buffer.
    ///
    /// Before [`Decoder::speak`] nothing is taken off meta: the other node may have agreed earlier than this one, and
    /// its bytes have to wait. At most 4 KiB of them.
    ///
    /// # Errors
    /// What is there is no packet, or none that may be there. After it the buffer has no meaning.
    pub fn decode(&mut self, stream: Stream, buffer: &mut BytesMut) -> Result<Option<Packet>, DecodeError> {
        self.wanted = 0;
        if stream == Stream::Meta && self.version == NOT_AGREED {
            return if buffer.len() <= CONTROL { Ok(None) } else { Err(DecodeError::TooEarly(buffer.len())) };
        }
        let size = Header::size(self.version);
        let Some(header) = Header::read(self.version, buffer)? else {
            self.wanted = size - buffer.len();
            return Ok(None);
        };
        let (command, length) = self.check(stream, &header, size)?;
        if let missing @ 1.. = (size + length).saturating_sub(buffer.len()) {
            self.wanted = missing;
            return Ok(None);
        }
        buffer.advance(size);
        let body = buffer.split_to(length).freeze();
        parse::packet(command, self.version, self.features, body).map(Some)
    }

    /// How many more bytes would make the packet whole for which the last [`Decoder::decode`] found too few; as far as
    /// is known: at first, only those of its header. 0 if that call returned a packet, and if it was about meta
    /// before any version was agreed upon.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// The command and the length of its body, both as they may be.
    fn check(&self, stream: Stream, header: &Header, size: usize) -> Result<(Command, usize), DecodeError> {
        let Header { command, length, volume } = *header;
        let (version, features) = (self.version, self.features);
        let command = Command::of(command).ok_or(DecodeError::Unknown(command))?;
        if !command.belongs_on(stream) {
            return Err(DecodeError::Misplaced { command, stream });
        }
        if !command.is_spoken(version, features) {
            return Err(DecodeError::NotSpoken { command, version, features });
        }
        if command.is_of_volume() && volume != 0 {
            return Err(DecodeError::NotOurVolume { command, volume });
        }
        let lengths = command.lengths(version, features, size);
        match usize::try_from(length) {
            Ok(length) if lengths.contains(&length) => Ok((command, length)),
            _ => Err(DecodeError::Length { command, length, least: *lengths.start(), most: *lengths.end() }),
        }
    }
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder::new()
    }
}
