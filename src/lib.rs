//! The programs of DRX: command line, control socket, demo.
