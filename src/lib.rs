//! The programs of DRX: command line, control socket, log, demo. The relay itself is `drx-actors`.
//!
//! ```text
//! cli       `drxd`'s command line, and its exit status
//! daemon    starts the relay, serves wishes, stops the relay
//! signals   the system's wishes
//! control   the control socket: what operators' programs ask and are told
//! ctl       `drx-ctl`
//! logging   the log
//! settings  from the configuration to the relay's settings
//! ```

pub mod cli;
pub mod control;
pub mod ctl;
pub mod daemon;
pub mod demo;
pub mod logging;
pub mod settings;
pub mod signals;
