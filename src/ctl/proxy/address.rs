//! Addresses as `drbdadm` and `bsradm` write them: `10.77.1.1:7788`, and `::1:7788` without brackets.

use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;

/// Reads `ADDRESS:PORT`. The port follows the last colon, so that an IPv6 address needs no brackets: the tools write
/// none (drbd-utils 9.22). `[ADDRESS]:PORT`, and `ipv4:` or `ipv6:` in front, as `drbdsetup` writes them, are
/// understood, too; so is a link-local address with its interface, `fe80::1%eth0:7788`.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub(super) fn read(text: &str) -> Result<SocketAddr, String> {
    let wrong =
        |what: &str| format!("{text:?} {what}; write ADDRESS:PORT, such as 10.77.1.1:7788 or [::1]:7788");
    let (family, rest) = match text.split_once(':') {
        Some((family @ ("ipv4" | "ipv6"), rest)) => (Some(family), rest),
        Some((family @ ("ssocks" | "sdp"), _)) => return Err(wrong(&format!("is not TCP but {family}"))),
        _ => (None, text),
    };
    let (host, port) = rest.rsplit_once(':').ok_or_else(|| wrong("has no port"))?;
    // `u16` alone would take a sign.
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port
        .parse()
        .ok()
        .filter(|port| digits && *port > 0)
        .ok_or_else(|| wrong("has no port from 1 to 65535"))?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').ok_or_else(|| wrong("has half a pair of brackets"))?,
        None => host,
    };
    let (host, interface) = match host.split_once('%') {
        Some((host, interface)) => (host, Some(interface)),
        None => (host, None),
    };
    let ip: IpAddr = host.parse().map_err(|_| wrong("has no IP address"))?;
    match (family, ip) {
        (Some("ipv4"), IpAddr::V6(_)) | (Some("ipv6"), IpAddr::V4(_)) => Err(wrong("is of the other family")),
        (_, IpAddr::V6(ip)) => with_interface(ip, port, interface),
        (_, IpAddr::V4(_)) if interface.is_some() => Err(wrong("needs no interface")),
        (_, IpAddr::V4(ip)) => Ok((ip, port).into()),
    }
}

fn with_interface(ip: Ipv6Addr, port: u16, interface: Option<&str>) -> Result<SocketAddr, String> {
    let scope = match interface {
        None => 0,
        Some(name) => index_of(name).ok_or_else(|| format!("there is no network interface {name:?}"))?,
    };
    Ok(SocketAddrV6::new(ip, port, 0, scope).into())
}

/// An interface's number, of its name or of the number itself.
fn index_of(name: &str) -> Option<u32> {
    // A name with a slash would lead elsewhere; the kernel allows none.
    if name.is_empty() || name == "." || name == ".." || name.contains('/') {
        return None;
    }
    if let Ok(index) = name.parse() {
        return Some(index);
    }
    fs::read_to_string(Path::new("/sys/class/net").join(name).join("ifindex")).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn addresses_are_read_as_the_tools_write_them() {
        for (text, address) in [
            ("10.77.1.1:7788", "10.77.1.1:7788"),
            ("::1:7788", "[::1]:7788"),
            ("[::1]:7788", "[::1]:7788"),
            ("2001:db8::7:1:65535", "[2001:db8::7:1]:65535"),
            ("ipv4:10.77.1.1:7788", "10.77.1.1:7788"),
            ("ipv6:[fe80::1]:1", "[fe80::1]:1"),
            ("ipv6:fe80::1:1", "[fe80::1]:1"),
            ("fe80::1%7:7788", "[fe80::1%7]:7788"),
            ("[fe80::1%7]:7788", "[fe80::1%7]:7788"),
            ("::ffff:1.2.3.4:80", "[::ffff:1.2.3.4]:80"),
        ] {
            assert_eq!(read(text).unwrap(), address.parse().unwrap(), "{text}");
        }
        assert_eq!(read("fe80::1%lo:7788").unwrap(), "[fe80::1%1]:7788".parse().unwrap());
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, why) in [
            ("10.77.1.1", "has no port"),
            ("", "has no port"),
            ("10.77.1.1:", "no port from 1"),
            ("10.77.1.1:0", "no port from 1"),
            ("10.77.1.1:65536", "no port from 1"),
            ("10.77.1.1:+80", "no port from 1"),
            ("10.77.1.1:7788 ", "no port from 1"),
            ("10.77.1:7788", "no IP address"),
            ("node1:7788", "no IP address"),
            (":7788", "no IP address"),
            ("[::1:7788", "half a pair"),
            ("[10.77.1.1]x:7788", "half a pair"),
            ("ipv6:10.77.1.1:7788", "other family"),
            ("ipv4:::1:7788", "other family"),
            ("sdp:10.77.1.1:7788", "not TCP but sdp"),
            ("10.77.1.1%lo:7788", "needs no interface"),
            ("fe80::1%nowhere:7788", "no network interface \"nowhere\""),
            ("fe80::1%../net/lo:7788", "no network interface"),
            ("fe80::1%:7788", "no network interface \"\""),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
