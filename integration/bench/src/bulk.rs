//! As many bytes as asked for, as fast as it goes.

use std::io::{self, Error, Read};
use std::net::TcpStream;
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use crate::request::{Request, Target};
use crate::stream::Pattern;

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bulk {
    pub(crate) to: Target,
    /// Over all streams.
    pub(crate) bytes: u64,
    pub(crate) streams: u16,
    pub(crate) chunk: usize,
}

impl Bulk {
    /// The time counts from when all connections stand to when the far end has checked every byte.
    ///
    /// # Errors
    /// A connection failed, or a byte was not what it must be.
    pub(crate) fn run(self) -> io::Result<Value> {
        let each = self.bytes / u64::from(self.streams);
        let patterns: Vec<Pattern> = (0..self.streams).map(|index| Pattern::new(seed(index))).collect();
        let connections = (0..self.streams)
            .map(|index| self.to.open(index, Request::Check { bytes: each, seed: seed(index) }))
            .collect::<io::Result<Vec<TcpStream>>>()?;
        let begin = Instant::now();
        let sent: io::Result<()> = thread::scope(|scope| {
            let sending = connections.into_iter().zip(&patterns).map(|(mut stream, pattern)| {
                scope.spawn(move || {
                    pattern.send(&mut stream, each, self.chunk)?;
                    let mut verdict = [0];
                    stream.read_exact(&mut verdict)?;
                    if verdict == [1] { Ok(()) } else { Err(Error::other("the far end got other bytes")) }
                })
            });
            // All of them are started before the first one is waited for.
            let sending: Vec<_> = sending.collect();
            sending.into_iter().try_for_each(|stream| {
                stream.join().unwrap_or_else(|_| Err(Error::other("a thread panicked")))
            })
        });
        sent?;
        let seconds = begin.elapsed().as_secs_f64();
        let bytes = each * u64::from(self.streams);
        Ok(json!({ "bytes": bytes, "seconds": seconds, "mb_per_s": bytes as f64 / 1e6 / seconds }))
    }
}

fn seed(index: u16) -> u32 {
    1000 + u32::from(index)
}
