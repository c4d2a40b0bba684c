//! Two ends of one channel, both directions full, and readers that stall: nothing may wait for ever.
//!
//! The accounts are the relay's own ([`Outbound`], [`Inbound`]); the pipes between them are TCP's: bounded, and
//! in order. A step is one thing that one end does; a seed says which comes next. It is stuck when no reader stalls,
//! everybody has turn after turn, and yet one bsr gets nothing.
//!
//! `DRX_FRAMES=N` sends so many frames.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;

use drx_protocol::delivery::{Inbound, Outbound};

/// What a frame says of bytes.
struct Frame {
    /// Of a frame with bytes: the first of them, and how many.
    data: Option<(u64, u64)>,
    credit: (u64, u32),
}

impl Frame {
    fn len(&self) -> u64 {
        HEADER + self.data.map_or(0, |(_, length)| length)
    }
}

/// Frames in order, and their bytes.
#[derive(Default)]
struct Pipe {
    frames: VecDeque<Frame>,
    bytes: u64,
}

impl Pipe {
    fn push(&mut self, frame: Frame) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.len();
        Some(frame)
    }
}

/// One relay's end of a channel, and its bsr.
struct End {
    out: Outbound,
    inbound: Inbound,
    /// Frames that wait for the link's socket, then those in it.
    queue: Pipe,
    wire: Pipe,
    /// Bytes in the socket to bsr.
    socket: u64,
    stalls: bool,
}

impl End {
    fn new() -> End {
        End {
            out: Outbound::new(WINDOW),
            inbound: Inbound::new(WINDOW),
            queue: Pipe::default(),
            wire: Pipe::default(),
            socket: 0,
            stalls: false,
        }
    }

    fn say(&mut self, data: Option<(u64, u64)>) {
        let credit = self.inbound.tell();
        self.queue.push(Frame { data, credit });
    }
}

/// The sizes of a run.
struct Sizes {
    bab: u64,
    link_queue: u64,
    wire: u64,
    socket: u64,
    payload: u64,
}

/// What the relay could do wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// The link is not read while bytes for the link wait.
    ReaderStops,
    /// A window that opens is told only along with bytes.
    SilentWindow,
}

struct Run {
    ends: [End; 2],
    sizes: Sizes,
    flaw: Flaw,
    chance: u64,
    frames: u64,
}

impl Run {
    fn new(seed: u64, flaw: Flaw) -> Run {
        let mut run = Run {
            ends: [End::new(), End::new()],
            sizes: Sizes { bab: 0, link_queue: 0, wire: 0, socket: 0, payload: 0 },
            flaw,
            chance: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            frames: 0,
        };
        run.sizes = Sizes {
            bab: 64 << (10 + run.below(4)),
            link_queue: 4 << (10 + run.below(8)),
            wire: 1 << (10 + run.below(9)),
            socket: 1 << (10 + run.below(8)),
            payload: 1 << (4 + run.below(14)),
        };
        run
    }

    /// xorshift64.
    fn below(&mut self, bound: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        (self.chance >> 11) % bound
    }

    /// One thing that one end does, if it can.
    fn step(&mut self, side: usize, what: u64) {
        let some = 1 + self.below(self.sizes.payload);
        let Run { ends, sizes, flaw, frames, .. } = self;
        let (left, right) = ends.split_at_mut(1);
        let (end, other) =
            if side == 0 { (&mut left[0], &mut right[0]) } else { (&mut right[0], &mut left[0]) };
        match what {
            // bsr always has more to say.
            0 => {
                let room = some.min(sizes.bab - end.out.held());
                end.out.append(room);
            }
            1 => {
                let (offset, length) = end.out.sendable();
                let length = length.min(some);
                if length > 0 && end.queue.bytes < sizes.link_queue {
                    end.out.advance(length);
                    end.say(Some((offset, length)));
                }
            }
            2 => {
                if end.inbound.untold() > 0 && *flaw != Flaw::SilentWindow {
                    end.say(None);
                }
            }
            // A socket takes parts of frames, too: here one that holds anything takes none larger than its room.
            3 => {
                let next = end.queue.frames.front().map(Frame::len);
                let in_wire = end.wire.bytes;
                if next.is_some_and(|next| in_wire == 0 || in_wire + next <= sizes.wire)
                    && let Some(frame) = end.queue.pop()
                {
                    end.wire.push(frame);
                }
            }
            4 if *flaw == Flaw::ReaderStops && end.queue.bytes > 0 => {}
            4 => {
                let Some(Frame { data, credit }) = other.wire.pop() else { return };
                *frames += 1;
                end.out.acknowledged(credit.0, credit.1).unwrap();
                if let Some((offset, length)) = data {
                    assert_eq!(end.inbound.data(offset, length).unwrap().new, length);
                }
                assert!(end.inbound.pending() <= u64::from(WINDOW), "what was granted bounds what waits");
            }
            5 => {
                let bytes = some.min(end.inbound.pending()).min(sizes.socket - end.socket);
                end.inbound.wrote(bytes);
                end.socket += bytes;
            }
            _ if end.stalls => {}
            _ => end.socket -= some.min(end.socket),
        }
    }

    /// So many frames; fails when it is stuck.
    fn run(&mut self, frames: u64) -> Result<(), String> {
        while self.frames < frames {
            for side in 0..2 {
                self.ends[side].stalls = self.below(3) == 0;
            }
            // With a reader that stalls everything may come to stand: that is no deadlock.
            for _ in 0..self.below(2000) {
                let (side, what) = (self.below(2) as usize, self.below(STEPS));
                self.step(side, what);
            }
            self.ends.iter_mut().for_each(|end| end.stalls = false);
            self.all_moves()?;
        }
        Ok(())
    }

    /// Both bsr get bytes, as long as everybody has turns.
    fn all_moves(&mut self) -> Result<(), String> {
        let before = [0, 1].map(|side| self.ends[side].inbound.written());
        for _ in 0..PATIENCE {
            for (side, what) in (0..2).flat_map(|side| (0..STEPS).map(move |what| (side, what))) {
                self.step(side, what);
            }
            let written = [0, 1].map(|side| self.ends[side].inbound.written());
            if written.iter().zip(&before).all(|(now, before)| now > before) {
                return Ok(());
            }
        }
        Err(format!("stuck after {} frames", self.frames))
    }
}

#[test]
fn two_full_directions_never_wait_for_each_other() {
    let frames = std::env::var("DRX_FRAMES").map_or(1_000_000, |text| text.parse().unwrap());
    let mut total = 0;
    for seed in 0..SEEDS {
        let mut run = Run::new(seed, Flaw::None);
        run.run(frames / SEEDS).unwrap_or_else(|stuck| panic!("seed {seed}: {stuck}"));
        total += run.frames;
    }
    println!("{total} frames on {SEEDS} seeds, none stuck");
}

/// The search finds what it is for.
#[test]
fn a_relay_that_stops_reading_the_link_or_keeps_its_window_to_itself_is_found() {
    for flaw in [Flaw::ReaderStops, Flaw::SilentWindow] {
        let stuck = (0..SEEDS / 10).filter(|seed| Run::new(*seed, flaw).run(10_000).is_err()).count();
        assert!(stuck > 0, "no seed is stuck");
    }
}

/// The least that a configuration may ask for.
const WINDOW: u32 = 64 * 1024;
const HEADER: u64 = 36;
/// What an end and its bsr can do.
const STEPS: u64 = 7;
/// Turns of everybody: more than it takes to empty everything that is full.
const PATIENCE: u64 = 20_000;
const SEEDS: u64 = 250;
