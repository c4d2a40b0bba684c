//! The demo's configuration: two `drx.toml`, read as the daemon reads its own.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use drx_config::{Config, Errors, Sources};

/// The addresses of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) bsr: SocketAddr,
    pub(super) inside: SocketAddr,
    pub(super) outside: SocketAddr,
}

/// Every address that the demo listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    /// node1 and node2.
    pub(super) sides: [Side; 2],
    /// Where the line listens in the place of node1's and node2's `outside`.
    pub(super) line: [SocketAddr; 2],
}

impl Addresses {
    /// Addresses of this machine alone, with ports that are free now.
    ///
    /// # Errors
    /// There are none to be had.
    pub(super) fn free() -> io::Result<Addresses> {
        // All are held until the last one is chosen, so that none is chosen twice.
        let mut held = Vec::new();
        let mut free = |last: u8| {
            let listener = TcpListener::bind((IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0))?;
            let at = listener.local_addr();
            held.push(listener);
            at
        };
        let mut side = |node: u8| {
            Ok::<_, io::Error>(Side {
                inside: free(10 * node + 1)?,
                bsr: free(10 * node + 2)?,
                outside: free(90 + node)?,
            })
        };
        let sides = [side(1)?, side(2)?];
        let line = [free(101)?, free(102)?];
        Ok(Addresses { sides, line })
    }
}

/// One node's configuration.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Its file's name.
    pub(super) file: String,
    /// What is in it.
    pub(super) text: String,
}

/// The configurations of node1 and node2; for daemons, with their control sockets in `directory`.
pub(super) fn nodes(addresses: &Addresses, directory: Option<&Path>) -> [Node; 2] {
    [1, 2].map(|number| {
        let (local, remote) = (&addresses.sides[number - 1], &addresses.sides[2 - number]);
        let other = 3 - number;
        let Side { bsr, inside, outside } = local;
        let peer = remote.outside;
        let control = directory.map_or(String::new(), |directory| {
            let socket = directory.join(format!("node{number}.sock"));
            format!("\n[control]\nsocket = {}\n", quoted(&socket))
        });
        let text = format!(
            r#"[node]
name = "node{number}"

[[resource]]
name    = "r0"
remote  = "node{other}"
bsr     = "{bsr}"  # the local bsr listens here
inside  = "{inside}"  # the local bsr connects here
outside = "{outside}"  # the other DRX connects here
peer    = "{peer}"  # the other DRX's outside

[bab]
size = "32MiB"

[link]
resume_timeout        = "4s"
close_pending_timeout = "5s"

[restart]
initial = "50ms"
max     = "1s"
{control}"#
        );
        Node { file: format!("node{number}.toml"), text }
    })
}

/// Reads a node's text as `drxd run` reads its file.
///
/// # Errors
/// All that is wrong with it.
pub(super) fn load(node: &Node) -> Result<Config, Errors> {
    // Without the environment: what an operator has set for a daemon is not meant for the demo.
    let sources = Sources::new("").text(&node.file, &node.text).is_local(drx_config::is_local);
    drx_config::load(&sources)
}

/// Writes the files; returns their paths.
///
/// # Errors
/// The directory or a file cannot be written.
pub(super) fn save(nodes: &[Node; 2], directory: &Path) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(directory)?;
    nodes
        .iter()
        .map(|node| {
            let path = directory.join(&node.file);
            fs::write(&path, &node.text)?;
            Ok(path)
        })
        .collect()
}

/// As a TOML string. A path that is not UTF-8 would not be what it was, and is found when it is used.
fn quoted(path: &Path) -> String {
    let mut text = String::from('"');
    for c in path.to_string_lossy().chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if c.is_control() => text.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => text.push(c),
        }
    }
    text + "\""
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn both_configurations_are_read_without_an_error_or_a_warning() {
        let addresses = Addresses::free().unwrap();
        let directory = Path::new("/tmp/a \"quoted\" \\ path");
        let [one, two] = nodes(&addresses, Some(directory)).map(|node| load(&node).unwrap());
        assert_eq!((one.warnings, two.warnings), (vec![], vec![]));
        assert_eq!(one.control.socket, directory.join("node1.sock"));
        assert_eq!((one.node.name.as_str(), two.node.name.as_str()), ("node1", "node2"));
        let (one, two) = (&one.resources[0], &two.resources[0]);
        assert_eq!((&one.remote, &two.remote), (&"node2".to_owned(), &"node1".to_owned()));
        assert_eq!((one.peer, two.peer), (two.outside, one.outside));
        assert_eq!(one.bsr, addresses.sides[0].bsr);
        assert_eq!(two.inside, addresses.sides[1].inside);
    }
}
