//! Why an acceptor does not take a connection.

use std::fmt;

use super::fields::{Fields, clean};
use super::{BadName, HandshakeError, MAX_TEXT};

/// The acceptor does not take the connection, and says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The reason.
    pub refusal: Refusal,
    sentence: String,
}

impl Refused {
    /// A refusal with a sentence for the other side's operator: cut to 255 bytes, control characters
    /// replaced; the reason's own words if nothing is left.
    pub fn new(refusal: Refusal, sentence: &str) -> Refused {
        let mut sentence = clean(sentence);
        while sentence.len() > MAX_TEXT {
            sentence.pop();
        }
        if sentence.is_empty() {
            sentence = refusal.to_string();
        }
        Refused { refusal, sentence }
    }

    /// The sentence, without control characters whoever sent it.
    pub fn sentence(&self) -> &str {
        &self.sentence
    }

    pub(super) fn read(mut fields: Fields<'_>) -> Result<Refused, HandshakeError> {
        let refusal = Refusal::from(fields.u16()?);
        let text = match fields.text()? {
            Ok("") => Err(BadName::Empty),
            text => text,
        };
        let text = text.map_err(|wrong| HandshakeError::Text { field: "sentence", wrong })?;
        if !fields.0.is_empty() {
            return Err(HandshakeError::Trailing(fields.0.len()));
        }
        // Control characters are no reason to lose a refusal, as they are with a name.
        Ok(Refused::new(refusal, text))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused, {}: {}", self.refusal, self.sentence)
    }
}

/// Why the acceptor refuses. The words are those of both logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It has no such resource.
    UnknownResource,
    /// It has the resource, but between other nodes.
    NamesDoNotMatch,
    /// The versions do not meet.
    Version,
    /// The resume asked for cannot be.
    UnknownLink,
    /// Its channel is not ready for a new link yet.
    Busy,
    /// A code of a later version.
    Other(u16),
}

impl From<u16> for Refusal {
    fn from(code: u16) -> Refusal {
        match code {
            1 => Refusal::UnknownResource,
            2 => Refusal::NamesDoNotMatch,
            3 => Refusal::Version,
            4 => Refusal::UnknownLink,
            5 => Refusal::Busy,
            other => Refusal::Other(other),
        }
    }
}

impl From<Refusal> for u16 {
    fn from(refusal: Refusal) -> u16 {
        match refusal {
            Refusal::UnknownResource => 1,
            Refusal::NamesDoNotMatch => 2,
            Refusal::Version => 3,
            Refusal::UnknownLink => 4,
            Refusal::Busy => 5,
            Refusal::Other(code) => code,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::UnknownResource => "unknown resource",
            Refusal::NamesDoNotMatch => "names do not match",
            Refusal::Version => "version",
            Refusal::UnknownLink => "unknown link",
            Refusal::Busy => "busy",
            Refusal::Other(code) => return write!(f, "code {code}"),
        })
    }
}
