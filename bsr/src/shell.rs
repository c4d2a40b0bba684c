//! What needs a socket, a file, a clock or a log.
//!
//! ```text
//! opening    until both connections stand
//! requests   what applications ask, on its way to the node
//! volume     the node's disk: a thread that reads and writes, and one that flushes
//! store      what is kept beside the volume
//! nbd        the volume for other programs
//! settings   the node's file
//! wires      both connections, as packets
//! node       the task that all of this meets in
//! status     what a node says of itself
//! control    the control socket
//! cli        the program's commands
//! pattern    content that follows from a seed
//! logging    the log
//! ```

pub mod cli;
pub mod control;
pub mod logging;
pub mod nbd;
pub mod node;
pub mod opening;
pub mod pattern;
pub mod requests;
pub mod settings;
pub mod status;
pub mod store;
pub mod volume;
mod wires;
