//! Where a configuration comes from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;

/// Everything that [`load`](crate::load) looks at, the weakest first.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The files. In a later one a key wins over an earlier one's; resources are added.
    pub files: Vec<File>,
    /// The environment. What does not begin with `DRX_` is ignored.
    pub environment: Vec<(String, String)>,
    /// Dotted keys with their values, as `("log.level", "debug")`.
    pub command_line: Vec<(String, String)>,
    /// The node's name where nothing else gives one.
    pub host_name: Option<String>,
    /// Whether an address belongs to this machine.
    pub is_local: fn(IpAddr) -> bool,
    /// The number of an interface of this machine, by its name.
    pub interface: fn(&str) -> Option<u32>,
}

/// A configuration file.
#[derive(Clone, Debug)]
pub enum File {
    /// One to be read.
    Path(PathBuf),
    /// One that is in memory already.
    Text {
        /// What errors call it.
        name: String,
        /// What is in it.
        text: String,
    },
}

impl Sources {
    /// No files, no environment; no address and no interface is this machine's. Good for tests.
    pub fn new(host_name: &str) -> Sources {
        Sources {
            files: Vec::new(),
            environment: Vec::new(),
            command_line: Vec::new(),
            host_name: Some(host_name.to_owned()),
            is_local: |_| false,
            interface: |_| None,
        }
    }

    /// This process's environment, host name, addresses and interfaces, with these files.
    pub fn from_process(files: impl IntoIterator<Item = PathBuf>) -> Sources {
        let environment = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
        Sources {
            files: files.into_iter().map(File::Path).collect(),
            environment: environment.collect(),
            command_line: Vec::new(),
            host_name: system_host_name(),
            is_local,
            interface,
        }
    }

    /// Adds a file to be read.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Sources {
        self.files.push(File::Path(path.into()));
        self
    }

    /// Adds a file that is in memory already.
    #[must_use]
    pub fn text(mut self, name: impl Into<String>, text: impl Into<String>) -> Sources {
        self.files.push(File::Text { name: name.into(), text: text.into() });
        self
    }

    /// Adds variables of an environment.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Sources {
        self.environment.extend(variables);
        self
    }

    /// Adds keys of a command line; the last one of a kind wins.
    #[must_use]
    pub fn command_line(mut self, keys: impl IntoIterator<Item = (String, String)>) -> Sources {
        self.command_line.extend(keys);
        self
    }

    /// Sets the question "is this address mine?".
    #[must_use]
    pub fn is_local(mut self, is_local: fn(IpAddr) -> bool) -> Sources {
        self.is_local = is_local;
        self
    }
}

/// Whether an address belongs to this machine, as far as the system tells.
///
/// One can bind to it, *and* the kernel reaches it from itself: on machines of a cluster
/// `net.ipv4.ip_nonlocal_bind` lets anybody bind to anything. Nothing is sent.
pub fn is_local(ip: IpAddr) -> bool {
    if ip.is_loopback() || ip.is_unspecified() {
        return true;
    }
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let reached_from = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(SocketAddr::new(ip, DISCARD))?;
        Ok::<_, std::io::Error>(socket.local_addr()?.ip())
    };
    UdpSocket::bind((ip, 0)).is_ok() && reached_from().is_ok_and(|source| source == ip)
}

/// The number of an interface of this machine, as far as the system tells.
fn interface(name: &str) -> Option<u32> {
    // Names have no `/`, and at most 15 bytes (IFNAMSIZ).
    let named = (1..=15).contains(&name.len()) && !name.contains('/') && !name.starts_with('.');
    let number = named.then(|| std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok())?;
    number?.trim().parse().ok()
}

/// The host's name as the kernel has it.
pub fn system_host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// A port to name where none is used: connecting a UDP socket sends nothing.
const DISCARD: u16 = 9;
