//! The fields of a message, read and written.

use bytes::{Buf, BufMut, Bytes, BytesMut, TryGetError};

use super::{
    BadName, CHECKSUM, CHECKSUMS, CODECS, HEAD, HandshakeError, MAGIC, MAX_CODECS, Message, Name, Needed,
    RESUME, needed,
};
use crate::names::Attempt;

/// A body that is being read; every step can find its end.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn u8(&mut self) -> Result<u8, HandshakeError> {
        self.0.try_get_u8().map_err(cut)
    }

    pub(super) fn u16(&mut self) -> Result<u16, HandshakeError> {
        self.0.try_get_u16().map_err(cut)
    }

    pub(super) fn u32(&mut self) -> Result<u32, HandshakeError> {
        self.0.try_get_u32().map_err(cut)
    }

    pub(super) fn u64(&mut self) -> Result<u64, HandshakeError> {
        self.0.try_get_u64().map_err(cut)
    }

    pub(super) fn u128(&mut self) -> Result<u128, HandshakeError> {
        self.0.try_get_u128().map_err(cut)
    }

    pub(super) fn bytes(&mut self, needed: usize) -> Result<&'a [u8], HandshakeError> {
        let left = self.0.len();
        self.0.split_off(..needed).ok_or(HandshakeError::BodyCut { needed, left })
    }

    pub(super) fn flags(&mut self) -> Result<u8, HandshakeError> {
        match self.u8()? {
            flags if flags & !(RESUME | CHECKSUMS) == 0 => Ok(flags),
            flags => Err(HandshakeError::UnknownFlag(flags)),
        }
    }

    pub(super) fn text(&mut self) -> Result<Result<&'a str, BadName>, HandshakeError> {
        let length = self.u8()?;
        let bytes = self.bytes(length.into())?;
        Ok(str::from_utf8(bytes).map_err(|_| BadName::NotUtf8))
    }

    pub(super) fn name(&mut self, field: &'static str) -> Result<Name, HandshakeError> {
        self.text()?.and_then(Name::new).map_err(|wrong| HandshakeError::Text { field, wrong })
    }

    /// Reads all options to the end of the body; the value of the one wanted.
    pub(super) fn option(mut self, wanted: u16) -> Result<Option<&'a [u8]>, HandshakeError> {
        let mut found = None;
        while !self.0.is_empty() {
            let kind = self.u16()?;
            let length = self.u16()?;
            let value = self.bytes(length.into())?;
            if kind == wanted && found.replace(value).is_some() {
                return Err(HandshakeError::RepeatedOption(kind));
            }
        }
        Ok(found)
    }
}

pub(super) fn cut(short: TryGetError) -> HandshakeError {
    HandshakeError::BodyCut { needed: short.requested, left: short.available }
}

/// A whole message's kind, its reserved byte and its body, once the checksum is right.
pub(super) fn open(message: &[u8]) -> Result<(Message, u8, Fields<'_>), HandshakeError> {
    if let Needed::More(missing) = needed(message)? {
        return Err(HandshakeError::CutOff(missing));
    }
    // `needed` saw that head and checksum are there.
    let (covered, mut checksum) = message.split_at(message.len() - CHECKSUM);
    let (carried, computed) = (checksum.get_u32(), crc32c::crc32c(covered));
    if carried != computed {
        return Err(HandshakeError::Checksum { carried, computed });
    }
    let (head, body) = covered.split_at(HEAD);
    Ok((Message::try_from(head[8])?, head[9], Fields(body)))
}

/// A message around a body, which its writers keep far below [`MAX_MESSAGE`]: the largest HELLO has 12 +
/// 60 + 3 × 256 + 4 + 255 + 4 bytes.
pub(super) fn seal(kind: Message, body: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut message = BytesMut::with_capacity(256);
    message.put_slice(&MAGIC);
    message.put_u8(kind as u8);
    message.put_u8(0);
    message.put_u16(0);
    body(&mut message);
    let length = (message.len() - HEAD + CHECKSUM) as u16;
    message[HEAD - 2..HEAD].copy_from_slice(&length.to_be_bytes());
    let checksum = crc32c::crc32c(&message);
    message.put_u32(checksum);
    message.freeze()
}

/// A string's length is a byte: [`Name`] and [`Refused`] see to it.
pub(super) fn put_text(body: &mut BytesMut, text: &str) {
    body.put_u8(text.len() as u8);
    body.put_slice(text.as_bytes());
}

/// The codecs of an option; none: it is not there.
pub(super) fn codecs(fields: Fields<'_>, message: Message) -> Result<Vec<u8>, HandshakeError> {
    let codecs = fields.option(CODECS)?.unwrap_or_default();
    if codecs.len() > MAX_CODECS {
        return Err(HandshakeError::TooManyCodecs(message, codecs.len()));
    }
    Ok(codecs.to_vec())
}

pub(super) fn put_codecs(body: &mut BytesMut, codecs: &[u8]) {
    body.put_u16(CODECS);
    body.put_u16(codecs.len() as u16);
    body.put_slice(codecs);
}

/// A sentence that breaks no line and moves no cursor.
pub(super) fn clean(sentence: &str) -> String {
    sentence.replace(char::is_control, "?")
}

pub(super) fn flags(resume: Option<Attempt>, checksums: bool) -> u8 {
    let resume = if resume.is_some() { RESUME } else { 0 };
    let checksums = if checksums { CHECKSUMS } else { 0 };
    resume | checksums
}

/// The flag and the attempt must say the same.
pub(super) fn resume(
    message: Message,
    flags: u8,
    attempt: Attempt,
) -> Result<Option<Attempt>, HandshakeError> {
    match (flags & RESUME != 0, attempt) {
        (false, 0) => Ok(None),
        (true, 0) => Err(HandshakeError::ResumeWithoutAttempt(message)),
        (true, attempt) => Ok(Some(attempt)),
        (false, attempt) => Err(HandshakeError::AttemptWithoutResume { message, attempt }),
    }
}
