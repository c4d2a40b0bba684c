//! What a line does to what is sent over it.

use std::time::Duration;

/// One direction of a line between two addresses. The default is a line that takes no time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// How long everything takes at least; an end of file as well. A reset takes no time.
    pub delay: Duration,
    /// By chance up to so much longer, each time anew; the order stays.
    pub jitter: Duration,
    /// By chance up to so much longer, the same for all of one connection: so that a later one overtakes it.
    pub detour: Duration,
    /// Reads and writes are of 1 to so many bytes, by chance; 0: of as many as there are.
    pub slice: usize,
}

impl Weather {
    pub(super) fn takes_time(&self) -> bool {
        !(self.delay + self.jitter).is_zero()
    }
}
