//! Hosts of a network: namespaces of the kernel with real addresses, real routes and a line that can be bad.
//!
//! ```text
//! namespace  one host: its interfaces, routes, sockets; what runs in it
//! topology   two sites and what is between them, IPv4 or IPv6
//! line       the way through the wide area: delay, loss, rate, cut, freeze, no new connections
//! way        one direction of it: which packet is let through, and when
//! packet     what the line must know of a packet
//! tun        the device by which packets come here and go back
//! sockets    the connections of a host, as the kernel has them
//! needs      what all of this needs of the machine
//! ```
//!
//! On one machine's loopback every address is everybody's: nothing there shows from which address a connection
//! comes, or that a route is missing.

pub mod line;
pub mod namespace;
pub mod needs;
pub mod packet;
pub mod sockets;
pub mod topology;
pub mod tun;
pub mod way;
