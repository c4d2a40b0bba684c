//! The memory that sockets read into.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{io, mem};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

/// Reads in pieces as large as the traffic makes worthwhile: an idle connection holds 4 KiB, a busy
/// one reads 256 KiB at a time. What was read is handed on without copying; small reads share memory.
///
/// Large segments are shared by the arbiter's connections, and the one that came free last is read into
/// first: its memory is still in the processor's cache, and the allocator does not give it back to the
/// kernel in between.
#[derive(Debug)]
pub(crate) struct Segment {
    buffer: BytesMut,
    want: usize,
}

thread_local! {
    /// Large segments that were read into before, the latest last. Their bytes may still be held.
    static USED: RefCell<VecDeque<BytesMut>> = RefCell::default();
}

impl Segment {
    pub(crate) fn new() -> Segment {
        Segment { buffer: BytesMut::new(), want: LEAST }
    }

    /// One read of at most `most` bytes (not 0). Empty: end of file.
    pub(crate) fn poll_read<S: AsyncRead + Unpin + ?Sized>(
        &mut self,
        stream: &mut S,
        most: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Bytes>> {
        let want = self.want.min(most);
        // What is left of a segment is used: each piece of it in a BAB holds all of its memory. Not the
        // last quarter, which would cost a system call for every few bytes.
        if self.buffer.capacity() - self.buffer.len() < want.min(self.want / 4) {
            self.renew();
        }
        let room = (self.buffer.capacity() - self.buffer.len()).min(want);
        let read = ready!(poll_read_buf(Pin::new(stream), cx, &mut (&mut self.buffer).limit(room)))?;
        if read == room {
            self.want = (self.want * 4).min(MOST);
        } else if read < self.want / 8 {
            self.want = (self.want / 2).max(LEAST);
        }
        let taken = self.buffer.split_to(self.buffer.len()).freeze();
        if self.want == LEAST && self.buffer.capacity() > MOST / 4 {
            drop(mem::take(&mut self.buffer)); // a burst is over: its memory is not kept for the next
        }
        Poll::Ready(Ok(taken))
    }

    /// Makes room for `want` bytes: in memory that came free, if there is some.
    fn renew(&mut self) {
        if self.want < MOST || self.buffer.try_reclaim(self.want) {
            return self.buffer.reserve(self.want);
        }
        USED.with_borrow_mut(|used| {
            let free = used.iter_mut().rposition(|segment| segment.try_reclaim(MOST));
            let fresh = free.and_then(|index| used.remove(index));
            let full = mem::replace(&mut self.buffer, fresh.unwrap_or_else(|| BytesMut::with_capacity(MOST)));
            if used.len() == KEPT {
                used.pop_front();
            }
            used.push_back(full);
        });
    }
}

/// What an idle connection costs.
const LEAST: usize = 4 * 1024;
/// 94 % of a relay's CPU is the kernel's at this size; larger ones gain little (docs/testing.md).
const MOST: usize = 256 * 1024;
/// Large segments that an arbiter keeps, 4 MiB: what is unsent and on its way while the links are fast.
const KEPT: usize = 16;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    #![allow(clippy::disallowed_methods, reason = "the test plays the other end")]
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncWriteExt, DuplexStream};

    #[tokio::test]
    async fn every_byte_comes_once_and_in_order() {
        let (mut here, mut there) = tokio::io::duplex(64 * 1024);
        let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
        let expected = sent.clone();
        let writer = tokio::spawn(async move { there.write_all(&sent).await });
        let mut segment = Segment::new();
        let mut got = Vec::new();
        loop {
            let piece = poll_fn(|cx| segment.poll_read(&mut here, 1_000_000, cx)).await.unwrap();
            if piece.is_empty() {
                break;
            }
            got.extend_from_slice(&piece);
        }
        writer.await.unwrap().unwrap();
        assert_eq!(got, expected);
    }

    #[tokio::test]
    async fn no_more_is_read_than_asked_for() {
        let (mut here, mut there) = tokio::io::duplex(1024);
        there.write_all(&[7; 100]).await.unwrap();
        let mut segment = Segment::new();
        let piece = poll_fn(|cx| segment.poll_read(&mut here, 30, cx)).await.unwrap();
        assert_eq!(piece.len(), 30);
        let piece = poll_fn(|cx| segment.poll_read(&mut here, 300, cx)).await.unwrap();
        assert_eq!(piece.len(), 70);
    }

    /// A segment that reads 256 KiB at a time, and a way to feed it 64 KiB.
    struct Busy {
        segment: Segment,
        here: DuplexStream,
        there: DuplexStream,
    }

    impl Busy {
        async fn new() -> Busy {
            let (here, there) = tokio::io::duplex(PIECE);
            let mut busy = Busy { segment: Segment::new(), here, there };
            while busy.segment.want < MOST {
                busy.read().await;
            }
            busy
        }

        async fn read(&mut self) -> Bytes {
            self.there.write_all(&[7; PIECE]).await.unwrap();
            let mut left = PIECE;
            loop {
                let piece = poll_fn(|cx| self.segment.poll_read(&mut self.here, MOST, cx)).await.unwrap();
                left -= piece.len();
                if left == 0 {
                    return piece;
                }
            }
        }
    }

    const PIECE: usize = 64 * 1024;

    #[tokio::test]
    async fn a_segment_is_filled_before_another_one_is_begun() {
        let mut busy = Busy::new().await;
        let mut held = vec![busy.read().await];
        let mut begun = 0;
        for _ in 0..32 {
            let piece = busy.read().await;
            let last = held.last().unwrap();
            begun += usize::from(last.as_ptr_range().end != piece.as_ptr());
            held.push(piece);
        }
        assert_eq!(begun, 32 * PIECE / MOST);
    }

    #[tokio::test]
    async fn memory_that_came_free_is_read_into_again() {
        let mut busy = Busy::new().await;
        let mut held = Vec::new();
        for _ in 0..32 {
            held.push(busy.read().await);
        }
        let begin =
            |pair: &[Bytes]| (pair[0].as_ptr_range().end != pair[1].as_ptr()).then(|| pair[1].as_ptr());
        let segments: Vec<_> =
            held.windows(2).filter_map(begin).map(|start| start..start.wrapping_add(MOST)).collect();
        drop(held);
        // What the allocator would give next is taken.
        let decoys: Vec<Vec<u8>> = (0..32).map(|_| vec![1; MOST]).collect();
        for _ in 0..16 {
            let piece = busy.read().await;
            assert!(segments.iter().any(|segment| segment.contains(&piece.as_ptr())));
        }
        drop(decoys);
    }
}
