//! The relay's configuration: `drx.toml`, read, layered, checked and resolved to typed values.
//!
//! [`load`] is pure: files, environment, command line and the question "is this address mine?" are
//! all in [`Sources`]. It reports every error there is at once, each with its place.
//!
//! Later layers win: defaults, files in their order, `DRX_…` variables, command line. The `config`
//! crate merges them; since its own errors know no line or column, every layer is read with spans and
//! checked before it goes in, and each value carries its place through the merge as its origin.
//!
//! ```text
//! document   a file's text: statements, values, spans, syntax errors
//! schema     the keys there are; kinds: what their values may be
//! layers     each source against the schema
//! from_files resources out of resource files
//! resolve    merged values to typed ones; checks: what no single value shows
//! ```

mod addition;
mod checks;
mod document;
mod error;
mod from_files;
mod kinds;
mod layers;
mod model;
mod plugins;
mod resolve;
pub mod resource_file;
mod schema;
mod sources;
mod spots;
mod syntax;
mod units;

pub use addition::{Addition, check_addition};
pub use error::{Error, Errors, Place, SourceLine};
pub use model::{
    Bab, Backing, Checksum, Compression, Config, CongestionControl, Control, Defaults, Level, Link, Log,
    META_BAB, Node, Proxy, Reserve, Resource, Restart,
};
pub use plugins::Plugins;
pub use sources::{File, Sources, is_local, system_host_name};
pub use units::{parse_size, parse_time, print_size, print_time};

/// Reads a `bab.size` that an operator gives while the relay runs, with the limits it has in a file.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn bab_size(text: &str) -> Result<u64, String> {
    schema::read("bab", "size", text)
}

/// Reads a `log.level` that an operator gives while the daemon runs.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn log_level(text: &str) -> Result<Level, String> {
    let wanted = "write critical, error, warning, info, debug or trace";
    resolve::level(text).ok_or_else(|| format!("log.level: {text:?} is no level; {wanted}"))
}

/// Reads a `link.compression` that an operator gives while the relay runs.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn compression(text: &str) -> Result<Compression, String> {
    kinds::parse_compression(text).ok_or_else(|| {
        let wanted = kinds::Kind::Compression.wanted();
        format!("link.compression: {} is unknown here; {wanted}", kinds::quote(text))
    })
}

/// Reads, merges and checks all sources.
///
/// # Errors
/// Everything that is wrong, in the order of the sources and of the lines in them.
pub fn load(sources: &Sources) -> Result<Config, Errors> {
    let layers = layers::read(sources);
    resolve::resolve(sources, layers)
}
