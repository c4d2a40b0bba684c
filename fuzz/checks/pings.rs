//! Holding pings: no byte is lost, added or moved, whatever bsr and the other side say and whenever.

use std::time::Duration;

use drx_protocol::meta::{Packet, Parser};
use drx_protocol::pings::Pings;

/// What one bsr says and hears, with the pings that are answered on the way.
///
/// Input: steps, a byte each: 3 bits of what to do, 5 bits of how much. What is said and heard follows the
/// step.
pub fn pings(input: &[u8]) -> usize {
    let mut story = Story::new();
    let mut left = input;
    while let Some((&step, rest)) = left.split_first() {
        left = rest;
        let amount = usize::from(step >> 3);
        let (bytes, behind) = left.split_at(left.len().min(amount));
        match step & 7 {
            0 | 1 => story.say(bytes),
            2 => story.hear(bytes),
            3 => story.say(&idle_ping(amount)),
            4 => story.write(amount),
            5 => story.now += Duration::from_millis(500 * amount as u64),
            6 => story.hold(Duration::from_secs(amount as u64)),
            _ => story.let_go(),
        }
        if step & 7 < 3 {
            left = behind;
        }
    }
    story.let_go();
    story.all
}

/// P_PING in one of the formats: the fuzzer need not find out how to write one.
fn idle_ping(which: usize) -> Vec<u8> {
    match which % 3 {
        0 => vec![0x83, 0x74, 2, 0x67, 0, 0x13, 0, 0],
        1 => vec![0x83, 0x5a, 0, 0x13, 0, 0, 0, 0],
        _ => vec![0x86, 0x20, 0xec, 0x20, 0xff, 0xff, 0, 0x13, 0, 0, 0, 0, 0, 0, 0, 0],
    }
}

struct Story {
    pings: Pings,
    now: Duration,
    until: Option<Duration>,
    /// All that bsr said but answered pings, and what of it went on.
    said: Vec<u8>,
    passed: Vec<u8>,
    /// What the other side said, and whether that ends with a packet.
    hears: Parser,
    whole: bool,
    /// On the way to bsr: in front ours, then theirs.
    ours: u64,
    theirs: u64,
    last_said: Duration,
    last_written: Duration,
    /// While pings are held now, and in all.
    answered: u64,
    all: usize,
}

impl Story {
    fn new() -> Story {
        Story {
            pings: Pings::new(Duration::ZERO),
            now: Duration::ZERO,
            until: None,
            said: Vec::new(),
            passed: Vec::new(),
            hears: Parser::default(),
            whole: true,
            ours: 0,
            theirs: 0,
            last_said: Duration::ZERO,
            last_written: Duration::ZERO,
            answered: 0,
            all: 0,
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        self.said.extend_from_slice(bytes);
        let waited = self.said.len() - bytes.len() - self.passed.len();
        let pass = self.pings.from_bsr(self.now, bytes);
        self.passed.extend_from_slice(pass.kept.as_ref());
        if let Some(answer) = pass.answer {
            assert!(self.until.is_some_and(|until| self.now < until), "only while pings are held");
            assert!(self.whole, "never within a packet");
            assert_eq!((self.ours, self.theirs), (0, 0), "never while something is on its way to bsr");
            assert!(self.now - self.last_written >= Duration::from_millis(900), "only after a silence");
            assert!(waited > 0 || self.now - self.last_said >= Duration::from_secs(1), "of both");
            assert!(pass.kept.as_ref().is_empty());
            assert_eq!(answer.instead_of, waited + pass.skip);
            let place = self.said.len() - bytes.len() - waited;
            let ping: Vec<u8> = self.said.drain(place..place + answer.instead_of).collect();
            assert_eq!(answer_to(&ping), answer.bytes.as_ref(), "a ping and its answer");
            self.ours += answer.bytes.as_ref().len() as u64;
            self.answered += 1;
            self.all += 1;
            assert_eq!(answer.first, self.answered == 1);
        }
        self.passed.extend_from_slice(&bytes[pass.skip..]);
        assert!(self.said.starts_with(&self.passed), "what goes on is what was said");
        assert!(self.said.len() - self.passed.len() < 16, "less than a header is held back");
        if !bytes.is_empty() {
            self.last_said = self.now;
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.theirs += bytes.len() as u64;
        self.pings.to_bsr(self.now, bytes);
        let mut rest = bytes;
        while self.hears.next(&mut rest).is_ok_and(|packet| packet.is_some()) {}
        self.whole = self.hears.at_boundary();
    }

    fn write(&mut self, amount: usize) {
        let bytes = (amount as u64).min(self.ours + self.theirs);
        let ours = bytes.min(self.ours);
        assert_eq!(self.pings.written(self.now, bytes), bytes - ours, "ours are not the stream's");
        self.ours -= ours;
        self.theirs -= bytes - ours;
        self.last_written = self.now;
    }

    fn hold(&mut self, most: Duration) {
        self.pings.hold(self.now, most);
        self.until = self.until.or(Some(self.now + most));
    }

    fn let_go(&mut self) {
        let (kept, answered) = self.pings.let_go();
        self.passed.extend_from_slice(kept.as_ref());
        assert_eq!(self.passed, self.said, "nothing is held back any more");
        assert_eq!(answered, self.answered);
        (self.until, self.answered) = (None, 0);
    }
}

/// The P_PING_ACK for these bytes, which must be a P_PING.
fn answer_to(ping: &[u8]) -> Vec<u8> {
    let mut rest = ping;
    let packet = Parser::default().next(&mut rest).expect("a packet").expect("a whole one");
    assert!(rest.is_empty() && packet.is_ping());
    Packet { command: Packet::PING_ACK, ..packet }.header().as_ref().to_vec()
}
