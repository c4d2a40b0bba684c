//! Resource files, as `bsradm` and `drbdadm` read them (bsr-wire A.8, docs/resource-files.md): read, included, printed,
//! and what they say of proxies.
//!
//! ```text
//! files      the texts, and where in them something is
//! words      the text: words, braces, semicolons, comments, quotes
//! grammar    which statements stand in which section, and what they look like
//! tree       what a file is: statements of words, with further statements within
//! parse      from words to the tree, section by section, as far as it can be understood; every error with its place
//! shape      the words of one statement; recovery: what is passed over after an error
//! include    files that a file includes
//! print      the tree as text again
//! meaning    who replicates with whom through which proxies, and what of it is this node's
//! ```

mod files;
mod grammar;
mod include;
mod meaning;
mod parse;
mod print;
#[cfg(test)]
mod properties;
mod recovery;
mod shape;
pub mod tree;
mod words;

pub use files::{Fault, Files};
pub use include::{Reading, parse_text, read};
pub use meaning::{Connection, Facts, Located, Meaning, Part, meaning};
pub use print::print;

pub(crate) use include::expand;
pub(crate) use meaning::{Relay, advice, kept};
