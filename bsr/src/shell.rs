//! What needs a socket, a file, a clock or a log.
//!
//! ```text
//! opening    until both connections stand
//! requests   what applications ask, on its way to the node
//! volume     the node's disk: a thread that reads and writes, and one that flushes
//! store      what is kept beside the volume
//! nbd        the volume for other programs
//! ```

pub mod nbd;
pub mod opening;
pub mod requests;
pub mod store;
pub mod volume;
