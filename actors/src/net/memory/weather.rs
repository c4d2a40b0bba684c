//! What a line does to what is sent over it.

use std::time::Duration;

/// One direction of a line between two addresses. The default is a line that takes no time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// How long everything takes at least; an end of file as well. A reset takes no time.
    pub delay: Duration,
    /// By chance up to so much longer, each time anew; the order stays.
    pub jitter: Duration,
    /// A new connection takes up to so much longer, by chance, for twice that time: a later one overtakes it.
    pub detour: Duration,
    /// Bytes that a connection holds in this direction; 0: as many as everywhere in the network.
    pub buffer: usize,
    /// Reads and writes are of 1 to so many bytes, by chance; 0: of as many as there are.
    pub slice: usize,
}

impl Weather {
    pub(super) fn takes_time(&self) -> bool {
        !(self.delay + self.jitter).is_zero()
    }
}
