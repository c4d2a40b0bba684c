//! Names as a handshake carries them.

use std::fmt;

use super::MAX_TEXT;

/// A name as a handshake carries it: 1 to 255 bytes of UTF-8 without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<str>);

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// The rule it breaks.
    pub fn new(name: &str) -> Result<Name, BadName> {
        match name {
            "" => Err(BadName::Empty),
            _ if name.len() > MAX_TEXT => Err(BadName::TooLong(name.len())),
            _ if name.contains(char::is_control) => Err(BadName::Control),
            _ => Ok(Name(name.into())),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The rule that a name or sentence breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It has no byte.
    #[error("it is empty")]
    Empty,
    /// It has more than 255 bytes.
    #[error("it has {0} bytes, at most {MAX_TEXT} are allowed")]
    TooLong(usize),
    /// It would move the cursor or break the line of whoever shows it.
    #[error("it contains control characters")]
    Control,
    /// Its bytes are no text.
    #[error("it is not UTF-8")]
    NotUtf8,
}
