//! Placeholder replaced by merge.
/// s
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum State { Allocating, Bridging, Bridged, Waiting, Connecting, Connected, Establishing, Established, ClosePending, Stopping, Stopped }
