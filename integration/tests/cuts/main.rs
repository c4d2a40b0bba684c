//! Links cut at random moments of a transfer in both directions, in every way in which a line can fail: both
//! bsr see a pause, every byte arrives, and none twice. `DRX_SEED` repeats a run.
//!
//! The long form, with the clocks that are given by default:
//! `cargo test -p drx-integration --test cuts -- --ignored --nocapture`
#![allow(clippy::unwrap_used)]

mod channels;
mod cut;
mod flows;

use std::thread;
use std::time::{Duration, Instant};

use drx_integration::bsr::is_open;
use drx_integration::forwarder::{End, Hole, Side};
use drx_integration::pair::{Opening, Pair};
use drx_integration::pattern::{PIECE, Pattern};
use drx_integration::seed::seed;
use drx_integration::wait::{LIMIT, until_ok};
use fastrand::Rng;

use channels::Channels;
use cut::{Cut, Kind, Lanes};
use flows::{Flows, Gauged, Pauses, Release};

#[test]
fn forty_cuts_cost_a_pause() {
    Transfer {
        volume: 512 << 20,
        cuts: 40,
        slow: false,
        keepalive_timeout: Duration::from_secs(1),
        settings: &["link.keepalive_interval=200ms", "link.keepalive_timeout=1s"],
    }
    .run();
}

/// With small buffers, readers that are slow, and so every buffer on the way full at each cut.
#[test]
fn twenty_cuts_of_full_links_cost_a_pause() {
    Transfer {
        volume: 32 << 20,
        cuts: 20,
        slow: true,
        keepalive_timeout: Duration::from_secs(1),
        settings: &[
            "link.keepalive_interval=200ms",
            "link.keepalive_timeout=1s",
            "link.window=64KiB",
            "bab.size=1MiB",
        ],
    }
    .run();
}

#[test]
#[ignore = "takes minutes: 4 GiB each way, 100 cuts, and the clocks that are given by default"]
fn a_hundred_cuts_cost_a_pause() {
    Transfer {
        volume: 4 << 30,
        cuts: 100,
        slow: false,
        keepalive_timeout: Duration::from_secs(5),
        settings: &[],
    }
    .run();
}

/// What is carried, and how often it is interrupted.
struct Transfer {
    /// Bytes each way, on data.
    volume: u64,
    cuts: u64,
    /// Both bsr read less than comes.
    slow: bool,
    keepalive_timeout: Duration,
    settings: &'static [&'static str],
}

impl Transfer {
    fn run(self) {
        let mut chance = Rng::with_seed(seed());
        let settings = [self.settings, &["link.resume_timeout=10s"]].concat();
        let mut pair = Pair::of_processes(&settings);
        if self.slow {
            for site in [&mut pair.one, &mut pair.two] {
                site.bsr.bound_receive_buffer(16 * 1024);
            }
        }
        let session = pair.establish(Opening::DataByTwo);
        let before = Channels::of(&pair);
        let slab = self.volume / self.cuts;
        let flows = Flows::new(slab);
        let mut pauses = Pauses::default();
        let began = Instant::now();
        thread::scope(|scope| {
            let _release = Release(&flows);
            for from in [0, 1] {
                let pattern = Pattern::new(from as u64);
                let (sender, receiver, flows) = (&session.data[from], &session.data[1 - from], &flows);
                scope.spawn(move || {
                    for number in 0..self.cuts + AHEAD {
                        flows.until_open(number);
                        pattern
                            .send(sender, number * slab, (number + 1) * slab)
                            .expect("bsr's bytes are taken");
                    }
                });
                let gauged = Gauged { stream: receiver, gauge: &flows.data[1 - from], slow: self.slow };
                scope.spawn(move || {
                    let came = pattern.check(gauged, 0, (self.cuts + AHEAD) * slab, PIECE);
                    assert_eq!(came, Ok(()), "towards site {}", 2 - from);
                });
            }
            scope.spawn(|| flows.echo(&session.meta));
            let kinds = self.kinds(&mut chance);
            for (number, kind) in (0..).zip(kinds) {
                // Some are always ahead, so that there is something to be said while the line is away.
                flows.open(number + AHEAD);
                let at = number * slab + chance.u64(..slab);
                until_ok(LIMIT, || {
                    let came = flows.data[0].bytes().max(flows.data[1].bytes());
                    (came >= at).then_some(()).ok_or_else(|| format!("{kind}: {came} bytes came, not {at}"))
                });
                let cut = Cut { number, kind, lanes: Lanes::any(&mut chance) };
                cut.happen(&pair, &flows, &mut chance, &mut pauses);
            }
            flows.finish();
        });
        let took = began.elapsed();
        println!("{} MiB each way with {} cuts in {took:.1?}", self.volume >> 20, self.cuts);
        println!("{pauses}");
        // Not one byte more came, and these are the connections that it began with.
        assert!(session.ends().into_iter().all(is_open), "a byte too many, or an end");
        session.check();
        let after = Channels::of(&pair);
        before.went_on_as(&after);
        after.said_so(&pair);
    }

    /// As many of each kind, in any order.
    fn kinds(&self, chance: &mut Rng) -> Vec<Kind> {
        let mut kinds: Vec<_> = (0..self.cuts)
            .map(|number| match number % 5 {
                0 => Kind::Reset,
                1 => Kind::Finish,
                2 => Kind::Flapping { times: chance.u32(2..6) },
                3 => {
                    let towards = [[true, true], [true, false], [false, true]][chance.usize(..3)];
                    let most = self.keepalive_timeout.mul_f64(1.0 + 0.5 * chance.f64());
                    Kind::Hole { hole: Hole { towards, new: chance.bool() }, most }
                }
                _ => Kind::HalfOpen {
                    hears: if chance.bool() { Side::Dialler } else { Side::Target },
                    end: if chance.bool() { End::Reset } else { End::Finish },
                },
            })
            .collect();
        chance.shuffle(&mut kinds);
        kinds
    }
}

/// Slabs that may be sent beyond the one in which a cut falls.
const AHEAD: u64 = 4;
