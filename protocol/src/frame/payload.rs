//! A DATA frame's bytes, in the pieces they were received in.

use std::mem;
use std::slice;

use bytes::{Bytes, BytesMut};

/// Bytes in one piece or several; one piece costs no allocation. No piece is empty.
#[derive(Clone, Debug, Default)]
pub struct Payload(Pieces);

#[derive(Clone, Debug)]
enum Pieces {
    One(Bytes),
    Many(Vec<Bytes>),
}

impl Payload {
    /// Bytes in all pieces.
    pub fn len(&self) -> usize {
        self.pieces().iter().map(Bytes::len).sum()
    }

    /// Whether there is no byte; never so in a decoded frame.
    pub fn is_empty(&self) -> bool {
        self.pieces().is_empty()
    }

    /// The pieces in order, as `writev` takes them.
    pub fn pieces(&self) -> &[Bytes] {
        match &self.0 {
            Pieces::One(piece) if piece.is_empty() => &[],
            Pieces::One(piece) => slice::from_ref(piece),
            Pieces::Many(pieces) => pieces,
        }
    }

    /// Appends a piece; an empty one changes nothing.
    pub fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        match &mut self.0 {
            Pieces::One(only) if only.is_empty() => *only = piece,
            Pieces::One(only) => self.0 = Pieces::Many(vec![mem::take(only), piece]),
            Pieces::Many(pieces) => pieces.push(piece),
        }
    }

    /// The same bytes in one piece: copied unless they are in one already.
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Pieces::One(piece) => piece,
            Pieces::Many(pieces) => pieces.concat().into(),
        }
    }
}

impl Default for Pieces {
    fn default() -> Pieces {
        Pieces::One(Bytes::new())
    }
}

impl From<Bytes> for Payload {
    fn from(piece: Bytes) -> Payload {
        Payload(Pieces::One(piece))
    }
}

impl FromIterator<Bytes> for Payload {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Payload {
        let mut payload = Payload::default();
        pieces.into_iter().for_each(|piece| payload.push(piece));
        payload
    }
}

impl<'a> IntoIterator for &'a Payload {
    type Item = &'a Bytes;
    type IntoIter = slice::Iter<'a, Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.pieces().iter()
    }
}

/// The bytes count, not where they were cut.
impl PartialEq for Payload {
    fn eq(&self, other: &Payload) -> bool {
        self.len() == other.len() && self.into_iter().flatten().eq(other.into_iter().flatten())
    }
}

impl Eq for Payload {}

/// A body on its way in.
///
/// Pieces are kept as they came, except that small ones are copied together: kept, a peer that sends
/// byte by byte would make a list of 256 Ki pieces, each of which holds its receive buffer in memory.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    payload: Payload,
    small: BytesMut,
    len: usize,
}

impl Gathering {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Takes a piece; `last` says that it completes the body.
    pub(super) fn add(&mut self, piece: Bytes, last: bool) {
        let alone = last && self.len == 0;
        self.len += piece.len();
        if alone || piece.len() >= COPY_BELOW {
            self.close_small();
            self.payload.push(piece);
        } else {
            self.small.extend_from_slice(&piece);
        }
    }

    pub(super) fn finish(mut self) -> Payload {
        self.close_small();
        self.payload
    }

    fn close_small(&mut self) {
        if !self.small.is_empty() {
            self.payload.push(mem::take(&mut self.small).freeze());
        }
    }
}

/// Pieces smaller than this are copied: 1/64 of the largest payload, so that a payload has at most 64
/// kept pieces and 65 copied ones between them, far below the 1,024 that `writev` takes.
const COPY_BELOW: usize = 4 * 1024;
