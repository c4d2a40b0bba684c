//! What is wrong, where, and what would be right.

use std::fmt;
use std::ops::Deref;

/// Everything that is wrong with a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors(pub(crate) Vec<Error>);

impl Deref for Errors {
    type Target = [Error];

    fn deref(&self) -> &[Error] {
        &self.0
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// One thing that is wrong. Displayed: `PLACE: KEY: what is wrong; what would be right`, then the line
/// and a mark under the place, where it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Where.
    pub place: Place,
    /// The key with its section, as `link.window`.
    pub key: String,
    /// What is wrong.
    pub wrong: String,
    /// What would be right.
    pub right: String,
    /// The line of the file.
    pub line: Option<SourceLine>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}; {}", self.place, self.key, self.wrong, self.right)?;
        match &self.line {
            Some(line) => write!(f, "\n{line}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file. Both numbers count from 1, columns in characters.
    File {
        /// The file as it was named to us.
        name: String,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// In this environment variable.
    Environment(String),
    /// On the command line, for this key.
    CommandLine(String),
    /// In this connection, which was added while the relay runs.
    Running(String),
    /// Nowhere: it is the default, or what the system says.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Place::Environment(variable) => f.write_str(variable),
            Place::CommandLine(key) => write!(f, "--{key}"),
            Place::Running(connection) => f.write_str(connection),
            Place::Default => f.write_str("default"),
        }
    }
}

/// A line of a file and the character in it that matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLine {
    /// The line, or what surrounds the mark of a very long one. Control characters are replaced.
    pub text: String,
    /// How many characters of `text` stand before the mark.
    pub mark: usize,
}

impl fmt::Display for SourceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        // A tab above is a tab here, whatever its width.
        for c in self.text.chars().take(self.mark) {
            f.write_str(if c == '\t' { "\t" } else { " " })?;
        }
        f.write_str("^")
    }
}
