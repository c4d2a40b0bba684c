//! The TCP sockets of a host, as the kernel has them.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::namespace::Namespace;

/// A connection that stands, from the one host's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection {
    /// This host's end.
    pub local: SocketAddr,
    /// The other one.
    pub remote: SocketAddr,
}

/// The established connections of a host, loopback's included.
pub fn established(host: &Namespace) -> Vec<Connection> {
    of(host, ESTABLISHED)
}

/// Where a host listens.
pub fn listening(host: &Namespace) -> Vec<SocketAddr> {
    of(host, LISTEN).into_iter().map(|socket| socket.local).collect()
}

fn of(host: &Namespace, state: &str) -> Vec<Connection> {
    let tables = host.enter(|| {
        ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap())
    });
    tables.iter().flat_map(|table| table.lines().skip(1)).filter_map(|line| connection(line, state)).collect()
}

/// "   0: 0109FEA9:1E6C 00000000:0000 0A 00000000:00000000 …"
fn connection(line: &str, state: &str) -> Option<Connection> {
    let mut words = line.split_whitespace().skip(1);
    let (local, remote) = (address(words.next()?)?, address(words.next()?)?);
    (words.next()? == state).then_some(Connection { local, remote })
}

fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| {
        // Each four bytes of it are printed as a number of this machine's own order.
        u32::from_str_radix(ip.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes)
    };
    let ip = match ip.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            Ipv6Addr::from(<[u8; 16]>::try_from(words.as_flattened()).ok()?).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

const ESTABLISHED: &str = "01";
const LISTEN: &str = "0A";

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_kernel_prints_them() {
        let line = "   1: 01094D0A:1E64 02094D0A:A0F2 01 00000000:00000000 00:00000000 00000000 0 0 12 1";
        let read = connection(line, ESTABLISHED).unwrap();
        assert_eq!(read.local, "10.77.9.1:7780".parse().unwrap());
        assert_eq!(read.remote, "10.77.9.2:41202".parse().unwrap());
        assert_eq!(connection(line, LISTEN), None);
        let six = "000077FD00000000000000000100000A:1E64";
        assert_eq!(address(six), Some("[fd77::a00:1]:7780".parse().unwrap()));
        let mapped = "0000000000000000FFFF000001094D0A:0050";
        assert_eq!(address(mapped), Some("10.77.9.1:80".parse().unwrap()));
        assert_eq!(address("01094D0A"), None);
        assert_eq!(address("01094D:0050"), None);
    }
}
