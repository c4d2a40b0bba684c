//! The memory that sockets read into.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{io, mem};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

/// Reads in pieces as large as the traffic makes worthwhile: an idle connection holds 4 KiB, a busy
/// one reads 256 KiB at a time. What was read is handed on without copying; small reads share memory.
#[derive(Debug)]
pub(crate) struct Segment {
    buffer: BytesMut,
    want: usize,
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
        // Reusing a nearly full segment would cost a system call for every few bytes.
        if self.buffer.capacity() - self.buffer.len() < want.min(LEAST) || self.want > LEAST {
            self.buffer.reserve(want);
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
}

/// What an idle connection costs.
const LEAST: usize = 4 * 1024;
/// 94 % of a relay's CPU is the kernel's at this size; larger ones gain little (docs/testing.md).
const MOST: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    #![allow(clippy::disallowed_methods, reason = "the test plays the other end")]
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncWriteExt;

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
}
