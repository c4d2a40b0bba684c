//! `compression = "auto"`: which codec the line and the core want just then.
//!
//! A line that takes everything at once gains nothing from packing. One that is waited for does, as long as the core
//! packs faster than the line carries. So: a stronger codec while the line is what is waited for, a weaker one when
//! it is not, or when the core has too much to do; one step at a time, since each step changes what is seen next.

use std::time::Duration;

use super::Compression;

/// What a link saw since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// So long ago that was.
    pub time: Duration,
    /// Of it, bytes waited that TCP did not take.
    pub blocked: Duration,
    /// Of it, payloads were being packed.
    pub packing: Duration,
    /// Bytes of payloads that were sent.
    pub payload: u64,
    /// Bytes that went out for them.
    pub wire: u64,
}

/// Chooses, from what it is told about the link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Which of [`STEPS`].
    step: usize,
    /// How often in a row the line took everything.
    eager: u32,
    /// Until the next try of a step that was too much for the core.
    tired: Duration,
}

impl Choice {
    /// What to pack with now.
    pub fn compression(&self) -> Compression {
        STEPS[self.step].compression
    }

    /// Takes in what the link saw. A change comes with its reason, for the log.
    pub fn observe(&mut self, load: Load) -> Option<(Compression, &'static str)> {
        self.tired = self.tired.saturating_sub(load.time);
        // Nothing is to be learned from a link at rest.
        if load.payload == 0 || load.time.is_zero() {
            return None;
        }
        let share = |part: Duration| part.as_secs_f64() / load.time.as_secs_f64();
        let rate = load.wire as f64 / load.time.as_secs_f64();
        let before = self.step;
        let why = if share(load.packing) > BUSY {
            (self.step, self.tired) = (self.step.saturating_sub(1), REST);
            "packing takes too much of the core"
        } else if rate > STEPS[self.step].fastest * SLACK {
            self.step = self.step.saturating_sub(1);
            "the line is faster than packing would be"
        } else if share(load.blocked) > WAITING {
            self.eager = 0;
            let next = self.step + 1;
            if self.tired.is_zero() && STEPS.get(next).is_some_and(|step| rate <= step.fastest) {
                self.step = next;
            }
            "the line is what is waited for"
        } else if share(load.blocked) < TAKEN {
            self.eager += 1;
            if self.eager >= EAGER {
                (self.step, self.eager) = (self.step.saturating_sub(1), 0);
            }
            "the line takes everything at once"
        } else {
            self.eager = 0;
            return None;
        };
        (self.step != before).then(|| (self.compression(), why))
    }
}

/// A codec, and the line that is too fast for it.
struct Step {
    compression: Compression,
    /// Bytes a second on the wire. Between a sixth and a third of what the codec packs in a second on one core (docs/performance.md):
    /// packed data are about half as long, and the core has the relay's own work to do.
    fastest: f64,
}

const STEPS: [Step; 4] = [
    Step { compression: Compression::None, fastest: f64::INFINITY },
    Step { compression: Compression::Lz4, fastest: 200e6 },
    Step { compression: Compression::Zstd(1), fastest: 100e6 },
    Step { compression: Compression::Zstd(3), fastest: 50e6 },
];

/// Above its limit by this factor a codec is given up: between the two it stays.
const SLACK: f64 = 1.5;
/// Of the time: more packing is too much, since bsr's bytes wait meanwhile.
const BUSY: f64 = 0.4;
/// Of the time: the line is what is waited for.
const WAITING: f64 = 0.5;
/// Of the time: the line takes everything at once.
const TAKEN: f64 = 0.1;
/// So often in a row, before a weaker codec: bursts end, and come again.
const EAGER: u32 = 6;
/// Before a codec that was too much for the core is tried again.
const REST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn load(blocked: f64, packing: f64, wire: u64) -> Load {
        let part = |share: f64| SECOND.mul_f64(share);
        Load { time: SECOND, blocked: part(blocked), packing: part(packing), payload: 2 * wire, wire }
    }

    fn after(loads: impl IntoIterator<Item = Load>) -> Compression {
        let mut choice = Choice::default();
        loads.into_iter().for_each(|load| {
            choice.observe(load);
        });
        choice.compression()
    }

    #[test]
    fn a_slow_line_gets_ever_stronger_codecs() {
        let slow = load(0.9, 0.05, 12_000_000);
        assert_eq!(after([slow]), Compression::Lz4);
        assert_eq!(after([slow; 2]), Compression::Zstd(1));
        assert_eq!(after([slow; 20]), Compression::Zstd(3));
    }

    #[test]
    fn a_fast_line_gets_none() {
        assert_eq!(after([load(0.9, 0.0, 1_000_000_000); 20]), Compression::None);
        assert_eq!(after([load(0.9, 0.1, 80_000_000); 20]), Compression::Zstd(1));
        let mut loads = vec![load(0.9, 0.1, 12_000_000); 5];
        loads.extend(vec![load(0.0, 0.1, 12_000_000); 30]);
        assert_eq!(after(loads), Compression::None, "it takes everything as it is");
    }

    #[test]
    fn a_busy_core_gets_a_weaker_one_and_some_rest() {
        let slow = load(0.9, 0.05, 12_000_000);
        let mut loads = vec![slow; 5];
        loads.push(load(0.9, 0.6, 12_000_000));
        loads.extend(vec![slow; 28]);
        assert_eq!(after(loads.clone()), Compression::Zstd(1));
        loads.extend(vec![slow; 3]);
        assert_eq!(after(loads), Compression::Zstd(3), "it is tried again");
    }

    #[test]
    fn a_link_at_rest_changes_nothing() {
        let mut loads = vec![load(0.9, 0.05, 12_000_000); 3];
        loads.extend(vec![Load { time: SECOND, ..Load::default() }; 100]);
        assert_eq!(after(loads), Compression::Zstd(3));
    }
}
