//! What the line must know of a packet: where it goes, and whether it opens a connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an IP packet goes; none: it is not one.
pub fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(Ipv4Addr::from(*packet.get(16..)?.first_chunk::<4>()?).into()),
        6 => Some(Ipv6Addr::from(*packet.get(24..)?.first_chunk::<16>()?).into()),
        _ => None,
    }
}

/// Whether it is the first one of a TCP connection: SYN without ACK.
pub fn opens(packet: &[u8]) -> bool {
    let tcp = match packet.first().map(|first| first >> 4) {
        Some(4) if packet.get(9) == Some(&TCP) => packet.get(usize::from(packet[0] & 0xf) * 4..),
        // Linux puts no further headers before TCP's, unless it is told to.
        Some(6) if packet.get(6) == Some(&TCP) => packet.get(40..),
        _ => None,
    };
    tcp.and_then(|header| header.get(13)).is_some_and(|flags| flags & (SYN | ACK) == SYN)
}

const TCP: u8 = 6;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

#[cfg(test)]
mod tests {
    use super::*;

    fn ipv4(flags: u8) -> Vec<u8> {
        let mut packet = vec![0; 44];
        packet[0] = 0x46; // with one word of options
        packet[9] = TCP;
        packet[16..20].copy_from_slice(&[10, 77, 9, 2]);
        packet[24 + 13] = flags;
        packet
    }

    fn ipv6(flags: u8) -> Vec<u8> {
        let mut packet = vec![0; 60];
        packet[0] = 0x60;
        packet[6] = TCP;
        packet[24..40].copy_from_slice(&"fd77:9::2".parse::<Ipv6Addr>().unwrap().octets());
        packet[40 + 13] = flags;
        packet
    }

    #[test]
    fn the_destination_is_told() {
        assert_eq!(destination(&ipv4(0)), Some("10.77.9.2".parse().unwrap()));
        assert_eq!(destination(&ipv6(0)), Some("fd77:9::2".parse().unwrap()));
    }

    #[test]
    fn only_a_syn_without_ack_opens() {
        for packet in [ipv4, ipv6] {
            assert!(opens(&packet(SYN)));
            assert!(opens(&packet(SYN | 0xc0)), "with ECN");
            assert!(!opens(&packet(SYN | ACK)));
            assert!(!opens(&packet(ACK)));
        }
        let mut udp = ipv4(SYN);
        udp[9] = 17;
        assert!(!opens(&udp));
    }

    #[test]
    fn what_is_cut_off_is_nothing() {
        for whole in [ipv4(SYN), ipv6(SYN)] {
            let (addressed, flagged) = if whole[0] >> 4 == 4 { (20, 38) } else { (40, 54) };
            for length in 0..whole.len() {
                assert_eq!(destination(&whole[..length]).is_some(), length >= addressed);
                assert_eq!(opens(&whole[..length]), length >= flagged);
            }
        }
    }
}
