//! Addresses of this machine that nobody else uses.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// A block of 256 loopback addresses, held for as long as this lives.
///
/// A port that was free a moment ago may be taken as the source of somebody's connection; on an
/// address of one's own nobody does that. So the ports can be those of the documentation, too: they lie
/// below the kernel's range of its own choices.
#[derive(Debug)]
pub struct Block {
    first: [u8; 3],
    _guard: TcpListener,
}

impl Block {
    /// Takes a block that is free.
    pub fn take() -> Block {
        for _ in 0..1000 {
            let first = [127, fastrand::u8(32..), fastrand::u8(..)];
            // Whoever has the guard has the block; it goes with the process that took it.
            if let Ok(guard) = TcpListener::bind((Ipv4Addr::new(first[0], first[1], first[2], 254), GUARD)) {
                return Block { first, _guard: guard };
            }
        }
        panic!("no block of loopback addresses is free");
    }

    /// An address in the block, at the first port from `port` on that can be had there.
    pub fn address(&self, host: u8, port: u16) -> SocketAddr {
        let ip = Ipv4Addr::new(self.first[0], self.first[1], self.first[2], host);
        // A listener of somebody else on 0.0.0.0 has the port on every address.
        let free = (port..port + 1000).step_by(10).find(|&port| TcpListener::bind((ip, port)).is_ok());
        SocketAddr::from((ip, free.expect("a port is free on an address of one's own")))
    }
}

const GUARD: u16 = 7700;
