//! What a node is told before it starts: its file, read, checked, and put into the program's own units.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::core;
use crate::shell::nbd::Address;
use crate::shell::opening::{Opening, OpeningSettings};

mod keys;
mod units;

pub use units::{print_size, size};

/// All that a node is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The node's name: in its log, and its NBD export's.
    pub name: String,
    /// The volume: a plain file or a block device.
    pub volume: PathBuf,
    /// What is kept beside it.
    pub metadata: PathBuf,
    /// The control socket; none for a node within another program.
    pub socket: Option<PathBuf>,
    /// How it comes to its two connections.
    pub network: OpeningSettings,
    /// Where its NBD server listens, if it has one.
    pub nbd: Option<Address>,
    /// What its core needs.
    pub core: core::Settings,
}

/// Reads a node's file. Its relative paths are relative to the directory it is in.
///
/// # Errors
/// The first thing that is wrong with it, and where.
pub fn read(path: &Path) -> Result<Settings, SettingsError> {
    let failed = |what: String| SettingsError { file: path.to_owned(), at: None, what };
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large, and /dev/zero ends, too.
    let opened = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
    opened.map_err(|error| failed(format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(failed("is larger than 64 KiB: it is no node's file".to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|error| failed(format!("is no text: {error}")))?;
    parse(&text, path)
}

/// Reads the text of a node's file; `path` is for its relative paths, and for what is said of it.
///
/// # Errors
/// The first thing that is wrong with it, and where.
pub fn parse(text: &str, path: &Path) -> Result<Settings, SettingsError> {
    let raw: keys::File = toml::from_str(text).map_err(|error| SettingsError {
        file: path.to_owned(),
        at: error.span().map(|span| place(text, span.start)),
        what: error.message().replace('\n', "; "),
    })?;
    let directory = path.parent().unwrap_or(Path::new(""));
    resolve(raw, directory).map_err(|what| SettingsError { file: path.to_owned(), at: None, what })
}

/// A file that no node can be started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    file: PathBuf,
    /// Line and column, both from 1.
    at: Option<(usize, usize)>,
    what: String,
}

impl std::error::Error for SettingsError {}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some((line, column)) = self.at {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}", self.what)
    }
}

fn resolve(raw: keys::File, directory: &Path) -> Result<Settings, String> {
    let core = raw.core()?;
    let net = &raw.net;
    let volume = directory.join(&raw.volume);
    let metadata = directory.join(&raw.metadata);
    if volume == metadata {
        return Err("volume and metadata are the same file".to_owned());
    }
    let socket = directory.join(&raw.socket);
    fits("socket", &socket)?;
    let nbd = match raw.nbd {
        Some(Address::Unix(path)) => {
            let path = directory.join(path);
            fits("nbd", &path)?;
            if path == socket {
                return Err("socket and nbd are the same path".to_owned());
            }
            Some(Address::Unix(path))
        }
        other => other,
    };
    let opening = match (raw.opening, raw.node_id, raw.peer_node_id) {
        (keys::Opening::Drbd, _, _) => Opening::DataFirst,
        (keys::Opening::Bsr, Some(mine), Some(peer)) if mine.0 != peer.0 => {
            Opening::NodeId { mine: mine.0, peer: peer.0 }
        }
        (keys::Opening::Bsr, Some(_), Some(_)) => return Err("node-id and peer-node-id are equal".to_owned()),
        (keys::Opening::Bsr, _, _) => {
            return Err(
                "opening = \"bsr\" needs node-id and peer-node-id: the higher one opens data".to_owned()
            );
        }
    };
    if raw.address.is_ipv4() != raw.peer.is_ipv4() {
        return Err("address and peer are not of the same family".to_owned());
    }
    if raw.address == raw.peer {
        return Err("address and peer are equal: the node would dial itself".to_owned());
    }
    if raw.address.port() == 0 || raw.peer.port() == 0 {
        return Err("address and peer need a port other than 0".to_owned());
    }
    if raw.peer.ip().is_unspecified() || raw.peer.ip().is_multicast() {
        return Err(format!("peer {} is no address that can be dialled", raw.peer));
    }
    let buffer = |size: Option<keys::Buffer>| size.map(|size| size.0).filter(|bytes| *bytes > 0);
    let network = OpeningSettings {
        address: raw.address,
        peer: raw.peer,
        first: opening,
        verify_ip: raw.verify_ip.unwrap_or(matches!(opening, Opening::NodeId { .. })),
        connect_int: net.connect_int.map_or(CONNECT_INT, units::Number::seconds),
        socket_check_timeout: core.socket_check_timeout,
        tcp_ack_timeout: net.tcp_ack_timeout.map_or(TCP_ACK_TIMEOUT, units::Number::seconds),
        sndbuf: buffer(net.sndbuf_size),
        rcvbuf: buffer(net.rcvbuf_size),
    };
    Ok(Settings { name: raw.name.0, volume, metadata, socket: Some(socket), network, nbd, core })
}

/// Whether a socket may have this path.
fn fits(key: &str, path: &Path) -> Result<(), String> {
    let length = path.as_os_str().len();
    if length > MAX_SOCKET_PATH {
        return Err(format!("{key}: {path:?} has {length} bytes, a socket's path at most {MAX_SOCKET_PATH}"));
    }
    Ok(())
}

/// Line and column of a byte, both from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

const MAX_FILE: u64 = 64 << 10;
/// sockaddr_un has 108 bytes, the last one is 0.
const MAX_SOCKET_PATH: usize = 107;
/// BSR's (bsr-wire C.4).
const CONNECT_INT: Duration = Duration::from_secs(3);
/// BSR's, meant as it is named: 5 s, not the quarter of it that a kernel with 250 ticks a second makes of it (bsr-wire A.6).
const TCP_ACK_TIMEOUT: Duration = Duration::from_secs(5);
