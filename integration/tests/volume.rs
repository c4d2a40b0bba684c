//! Bytes in bulk through two real `drxd`: every one of them arrives, at its place, and they never take
//! more memory than they were given.
#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use drx_integration::pair::{Opening, Pair, Session, check_both_ways};
use drx_integration::pattern::{PIECE, Pattern};
use drx_integration::wait::{LIMIT, until_ok};
use drx_protocol::names::ChannelType;

/// 1 GiB each way at once on data, and a trickle on meta, with the BABs that are given by default.
#[test]
fn a_gibibyte_each_way_at_once() {
    let pair = Pair::of_processes(&[]);
    let Session { data, meta } = pair.establish(Opening::DataByTwo);
    let began = Instant::now();
    thread::scope(|scope| {
        for (streams, volume, piece) in [(&data, 1 << 30, PIECE), (&meta, 1 << 20, 4096)] {
            both_ways(scope, streams, volume, move |_, _| piece);
        }
    });
    println!("1 GiB each way in {:.1?}", began.elapsed());
    for site in [&pair.one, &pair.two] {
        let figures = site.node.figures();
        println!("{}: {figures}", site.places.node);
        // One BAB for data, and one for meta.
        assert!(figures.peak < (64 << 20) + (4 << 20) + MARGIN, "{figures}");
    }
    // Nothing is left over at either end.
    let session = Session { data, meta };
    session.check();
}

/// Both readers begin only when nobody can write any more, and then are slow: with both directions full
/// everything still moves.
#[test]
fn two_slow_readers_do_not_block_each_other() {
    // Without a reserve: drips would let one reader begin while the other direction is still filling.
    let settings = ["bab.size=1MiB", "bab.reserve=0", "link.window=256KiB"];
    let mut pair = Pair::of_processes(&settings);
    for site in [&mut pair.one, &mut pair.two] {
        site.bsr.bound_receive_buffer(16 * 1024);
    }
    let Session { data, meta } = pair.establish(Opening::DataByTwo);
    thread::scope(|scope| {
        let full = |site: usize| {
            let site = [&pair.one, &pair.two][site];
            until_ok(LIMIT, || {
                let channels = site.resource()?.channels;
                let data = channels.iter().find(|channel| channel.channel_type == Some(ChannelType::Data));
                let bab = &data.ok_or("no data channel")?.bab;
                (bab.used == bab.size).then_some(()).ok_or_else(|| format!("{bab:?} is not full"))
            })
        };
        both_ways(scope, &data, 24 << 20, move |site, reads| {
            match reads {
                0 => full(site),
                // Now and then a rest: what a disk does that has other work, too.
                _ if reads % 256 == 0 => thread::sleep(Duration::from_millis(2)),
                _ => {}
            }
            4096
        });
        // Meta is not held up by it.
        let began = Instant::now();
        check_both_ways(&meta);
        println!("meta beside it: {:?}", began.elapsed());
    });
    for site in [&pair.one, &pair.two] {
        let figures = site.node.figures();
        println!("{}: {figures}", site.places.node);
        assert!(figures.peak < (1 << 20) + (4 << 20) + MARGIN, "{figures}");
    }
}

/// Sends `volume` bytes each way and compares every one. `pace` is asked before each read, with the site
/// that reads and the number of its reads so far, and says how much may be read.
fn both_ways<'scope, 'env>(
    scope: &'scope thread::Scope<'scope, 'env>,
    streams: &'env [TcpStream; 2],
    volume: u64,
    pace: impl Fn(usize, u64) -> usize + Clone + Send + 'scope,
) {
    for from in [0, 1] {
        let to = 1 - from;
        let pattern = Pattern::new(from as u64);
        scope.spawn(move || pattern.send(&streams[from], 0, volume).expect("everything is taken"));
        let reader = Paced { stream: &streams[to], site: to, reads: 0, pace: pace.clone() };
        scope.spawn(move || pattern.check(reader, 0, volume, PIECE).expect("everything arrives"));
    }
}

/// Reads as it is told.
struct Paced<'a, P> {
    stream: &'a TcpStream,
    site: usize,
    reads: u64,
    pace: P,
}

impl<P: Fn(usize, u64) -> usize> Read for Paced<'_, P> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let most = (self.pace)(self.site, self.reads).min(bytes.len());
        self.reads += 1;
        self.stream.read(&mut bytes[..most])
    }
}

/// What a relay takes beside its BABs.
const MARGIN: u64 = 64 << 20;
