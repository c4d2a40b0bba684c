//! One piece of what a BAB holds.

use bytes::{Buf, Bytes, BytesMut};

use super::mapping::Span;

/// Bytes from bsr, wherever they are.
#[derive(Debug)]
pub(super) enum Kept {
    /// Where they were read.
    Shared(Bytes),
    /// Small pieces put together, of which nothing was sent yet.
    Open(BytesMut),
    /// In mapped memory.
    Mapped(Mapped),
}

/// Bytes in mapped memory, of which those at either end may have been let go.
#[derive(Debug)]
pub(super) struct Mapped {
    span: Span,
    from: usize,
    to: usize,
    /// CRC-32C of the whole span, where what is read may not be what was written.
    sum: Option<u32>,
}

impl Kept {
    pub(super) fn len(&self) -> usize {
        match self {
            Kept::Shared(bytes) => bytes.len(),
            Kept::Open(bytes) => bytes.len(),
            Kept::Mapped(mapped) => mapped.to - mapped.from,
        }
    }

    /// Takes in what comes behind it; gives it back where that would be no gain.
    pub(super) fn extend(&mut self, more: Kept) -> Option<Kept> {
        match (&mut *self, more) {
            (Kept::Mapped(mapped), Kept::Mapped(more)) => mapped.join(more).map(Kept::Mapped),
            (Kept::Open(bytes), Kept::Shared(more)) => {
                bytes.extend_from_slice(&more);
                None
            }
            (Kept::Shared(first), Kept::Shared(more)) => {
                let mut bytes = BytesMut::with_capacity(SMALL);
                bytes.extend_from_slice(first);
                bytes.extend_from_slice(&more);
                *self = Kept::Open(bytes);
                None
            }
            (_, more) => Some(more),
        }
    }

    /// A part of the bytes, to which nothing is added from now on; nothing is copied.
    ///
    /// Panics if a disk gives back other bytes than it was given: sent, they would be on the other bsr's
    /// disk, and a channel that ends costs no more than a resync.
    pub(super) fn slice(&mut self, from: usize, to: usize) -> Bytes {
        match self {
            Kept::Mapped(mapped) => mapped.slice(from, to),
            _ => self.shared().slice(from..to),
        }
    }

    /// Lets go of the first bytes.
    pub(super) fn advance(&mut self, bytes: usize) {
        match self {
            Kept::Mapped(mapped) => mapped.from += bytes,
            _ => self.shared().advance(bytes),
        }
    }

    /// Lets go of all but the first bytes.
    pub(super) fn truncate(&mut self, bytes: usize) {
        match self {
            Kept::Mapped(mapped) => mapped.to = mapped.to.min(mapped.from + bytes),
            _ => self.shared().truncate(bytes),
        }
    }

    fn shared(&mut self) -> &mut Bytes {
        if let Kept::Open(bytes) = self {
            *self = Kept::Shared(bytes.split().freeze());
        }
        match self {
            Kept::Shared(bytes) => bytes,
            Kept::Open(_) | Kept::Mapped(_) => unreachable!("who asks has seen that it is not mapped"),
        }
    }
}

impl Mapped {
    pub(super) fn new(span: Span, summed: bool) -> Mapped {
        let sum = summed.then(|| crc32c::crc32c(span.as_ref()));
        Mapped { from: 0, to: span.len(), sum, span }
    }

    /// Takes in what follows it in the same chunk.
    fn join(&mut self, more: Mapped) -> Option<Mapped> {
        let whole = self.to == self.span.len();
        if !whole || !self.span.join(&more.span) {
            return Some(more);
        }
        self.to = self.span.len();
        self.sum = self.sum.map(|sum| crc32c::crc32c_append(sum, more.span.as_ref()));
        None
    }

    fn slice(&self, from: usize, to: usize) -> Bytes {
        // The whole is looked at for each part: the rest may be sent hours after the first bytes, and a
        // resume may begin in the middle.
        if let Some(sum) = self.sum {
            let same = crc32c::crc32c(self.span.as_ref()) == sum;
            assert!(same, "the BAB's file gave back other bytes than were written to it");
        }
        Bytes::from_owner(self.span.slice(self.from + from, self.from + to))
    }
}

/// Pieces up to this length are put together.
pub(super) const SMALL: usize = 4096;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::mapping::{Stretch, Writer};
    use super::*;

    fn writer() -> Writer {
        Writer::new(Stretch::anonymous(64 * 1024).unwrap(), std::sync::mpsc::channel().0)
    }

    /// One span over a stretch, and a second one that is not what was written: what a disk could do.
    #[test]
    #[should_panic(expected = "the BAB's file gave back other bytes")]
    fn spoilt_bytes_are_not_sent() {
        let mut writer = writer();
        let good = Mapped::new(writer.write(b"good"), true);
        let mut spoilt = Kept::Mapped(Mapped { span: writer.write(b"evil"), ..good });
        spoilt.slice(0, 4);
    }

    #[test]
    #[should_panic(expected = "the BAB's file gave back other bytes")]
    fn spoilt_bytes_are_not_sent_from_the_middle() {
        let mut writer = writer();
        let good = Mapped::new(writer.write(b"good"), true);
        let mut spoilt = Kept::Mapped(Mapped { span: writer.write(b"evil"), ..good });
        spoilt.slice(2, 4);
    }

    #[test]
    fn what_follows_in_memory_becomes_one_piece_with_one_sum() {
        let mut writer = writer();
        let mut write = |bytes: &[u8]| Kept::Mapped(Mapped::new(writer.write(bytes), true));
        let mut piece = write(b"one, ");
        assert!(piece.extend(write(b"two, ")).is_none());
        piece.advance(5);
        assert!(piece.extend(write(b"three")).is_none());
        assert_eq!(piece.slice(0, 10), "two, three");
        piece.truncate(4);
        assert_eq!(piece.slice(0, 4), "two,");
        assert_eq!(piece.extend(write(b"four")).unwrap().len(), 4, "it would not follow");
        let _gap = write(b"!");
        let mut five = write(b"five");
        assert!(five.extend(Kept::Shared(Bytes::from_static(b"six"))).is_some());
    }
}
