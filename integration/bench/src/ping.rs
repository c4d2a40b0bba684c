//! One round trip after the other.

use std::io::{self, Error, Read, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::request::{MOST_ECHO, Request, Target};

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ping {
    pub(crate) to: Target,
    pub(crate) count: u64,
    pub(crate) warmup: u64,
    /// Bytes each way.
    pub(crate) size: usize,
}

impl Ping {
    /// # Errors
    /// The connection failed, or another answer came than what was sent.
    pub(crate) fn run(self) -> io::Result<Value> {
        let size = u32::try_from(self.size).unwrap_or(u32::MAX);
        if size > MOST_ECHO {
            return Err(Error::other("a ping has at most 64K"));
        }
        let mut stream = self.to.open(0, Request::Echo { size })?;
        let mut sent = vec![0x5a; self.size];
        let mut came = vec![0; self.size];
        let mut took = Vec::new();
        for number in 0..self.warmup + self.count {
            let mark = number.to_be_bytes();
            let length = mark.len().min(sent.len());
            sent[..length].copy_from_slice(&mark[mark.len() - length..]);
            let begin = Instant::now();
            stream.write_all(&sent)?;
            stream.read_exact(&mut came)?;
            let elapsed = begin.elapsed();
            if came != sent {
                return Err(Error::other(format!("ping {number} came back changed")));
            }
            if number >= self.warmup {
                took.push(elapsed);
            }
        }
        took.sort_unstable();
        let micros = |share| percentile(&took, share).as_secs_f64() * 1e6;
        Ok(
            json!({ "count": took.len(), "p50_us": micros(0.5), "p99_us": micros(0.99), "max_us": micros(1.0) }),
        )
    }
}

/// Of sorted times, the one that `share` of them do not exceed.
fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let index = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(index.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 0.5), Duration::from_millis(50));
        assert_eq!(percentile(&times, 0.99), Duration::from_millis(99));
        assert_eq!(percentile(&times, 1.0), Duration::from_millis(100));
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }
}
