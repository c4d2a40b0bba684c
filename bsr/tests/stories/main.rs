//! One node, and its peer played by hand, packet for packet: short dialogues, in virtual time.

mod handshake;
mod hostile;
mod integrity;
mod orders;
mod replication;
mod resync;
mod stage;
mod timers;
