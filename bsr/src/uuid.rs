//! The generations of a volume's data, and what two nodes' generations say about them (bsr-wire C.3).

/// A node's generations. The lowest bit of each tells whether the node was primary then, and is no part of the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Generations {
    /// Of the data as it is.
    pub current: u64,
    /// Since which the bitmap tells the differences; 0: none.
    pub bitmap: u64,
    /// The two before.
    pub history: [u64; 2],
}
