//! Holding pings: which of bsr's pings may be answered here while the other side cannot, so that a pause
//! does not look like a dead peer (docs/link.md, "Holding pings").
//!
//! bsr pings for two reasons. An *idle* ping asks whether anybody is there, after `ping-int` in which it
//! heard nothing. An *ordering* ping asks whether the other bsr has come so far: the end of a resync
//! waits for it, and answered here it would make two disks differ. On the wire they are the same, so
//! an idle ping is known by the silence before it:
//!
//! - bsr heard nothing on meta for `ping-int`, and nothing was on its way to it; nor on data, which bsr takes for
//!   a sign of life as well;
//! - bsr said nothing on meta for a second, the shortest `ping-int` there is: the ping that ends a
//!   resync comes right behind acknowledgements, those said or those heard.
//!
//! And none is answered while another one waits for the other bsr's answer.
//!
//! `ping-int` is not on the wire either. It is a whole number of seconds; two pings in a row after
//! the same silence show it, of this bsr or else of the other, which has the same configuration. Before
//! that it is taken for the default: BSR's, if meta began as only BSR's does, else DRBD's longer one.
//!
//! Time is an argument: how long since some moment that the caller keeps.

use std::mem;
use std::time::Duration;

use crate::meta::{Header, Packet, Parser, Strange};

/// What one round of a meta channel must know to hold pings. Follows both directions from the byte
/// behind the first packet; every byte goes on in its place, but for those of a ping that is answered.
#[derive(Debug)]
pub struct Pings {
    says: Parser,
    hears: Parser,
    /// Given up for the rest of the round.
    strange: Option<Strange>,
    /// When bsr last said something.
    said: Duration,
    /// When the last byte for bsr was written.
    heard: Duration,
    /// When the last byte on data was.
    heard_on_data: Duration,
    /// On the way to bsr: our answers, and behind them the stream's bytes.
    invented: u64,
    unwritten: u64,
    /// Pings that went to the other bsr, whose answers are still to come. Answers look all alike: bsr would take
    /// one of ours for the one that it waits for.
    asked: u64,
    own: Interval,
    other: Interval,
    is_bsr: bool,
    /// Pings are held until then.
    until: Option<Duration>,
    answered: u64,
    /// The packet that is being read is the first after a silence.
    first: bool,
    /// The beginning of what may be a ping to be answered.
    kept: Header,
}

/// What becomes of bytes from bsr: `kept` goes on, then those that came without the first `skip`.
#[derive(Debug, Default)]
pub struct Pass {
    /// Came before, and was held back until now.
    pub kept: Header,
    /// Bytes at the front that do not go on: a ping's that is answered, or held back themselves.
    pub skip: usize,
    /// A P_PING_ACK, to be written to bsr behind everything it was given.
    pub answer: Option<Answer>,
    /// From now on no ping of this round is held, and why. Said once.
    pub strange: Option<Strange>,
}

/// An answer, and the ping's bytes that are not passed on for it.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The P_PING_ACK.
    pub bytes: Header,
    /// Bytes of the ping, those held back before among them.
    pub instead_of: usize,
    /// It is the first since pings are held.
    pub first: bool,
}

impl Pings {
    /// A round begins.
    pub fn new(now: Duration) -> Pings {
        Pings {
            says: Parser::default(),
            hears: Parser::default(),
            strange: None,
            said: now,
            heard: now,
            heard_on_data: Duration::ZERO,
            invented: 0,
            unwritten: 0,
            asked: 0,
            own: Interval::default(),
            other: Interval::default(),
            is_bsr: false,
            until: None,
            answered: 0,
            first: false,
            kept: Header::default(),
        }
    }

    /// Pings are held from now on, for so long at most.
    pub fn hold(&mut self, now: Duration, most: Duration) {
        if self.until.is_none() {
            self.until = Some(now.saturating_add(most));
            self.answered = 0;
        }
    }

    /// Pings are held no longer. Returns what goes on now, and how many were answered.
    pub fn let_go(&mut self) -> (Header, u64) {
        self.until = None;
        (mem::take(&mut self.kept), mem::take(&mut self.answered))
    }

    /// The last byte for bsr on its session's data was written then.
    pub fn heard_on_data(&mut self, at: Duration) {
        self.heard_on_data = at;
    }

    /// bsr said this.
    pub fn from_bsr(&mut self, now: Duration, bytes: &[u8]) -> Pass {
        let mut pass = Pass::default();
        if self.strange.is_some() {
            pass.kept = mem::take(&mut self.kept);
            return pass;
        }
        if self.kept.as_ref().is_empty() {
            let silence = now.saturating_sub(self.said);
            self.first = self.says.at_boundary() && silence >= SHORTEST;
        }
        self.said = now;
        let mut rest = bytes;
        match self.says.next(&mut rest) {
            Ok(None) if self.first && self.holds(now) && self.says.in_header() => {
                self.kept.extend(bytes);
                pass.skip = bytes.len();
                return pass;
            }
            Ok(Some(ping)) if self.first && ping.is_ping() => {
                if self.may_answer(now) {
                    self.answer(&ping, bytes.len() - rest.len(), &mut pass);
                }
                self.asked += u64::from(pass.answer.is_none());
                self.own.pinged(self.silence(now));
            }
            Ok(Some(packet)) => self.passes(&packet),
            Ok(None) => {}
            Err(strange) => pass.strange = Some(strange),
        }
        pass.kept = mem::take(&mut self.kept);
        // What follows in the same piece is not the first after a silence.
        while pass.strange.is_none() {
            match self.says.next(&mut rest) {
                Ok(Some(packet)) => self.passes(&packet),
                Ok(None) => break,
                Err(strange) => pass.strange = Some(strange),
            }
        }
        self.strange = pass.strange;
        pass
    }

    /// This is handed on to bsr. Returns why no ping of this round is held from now on, once.
    pub fn to_bsr(&mut self, now: Duration, bytes: &[u8]) -> Option<Strange> {
        self.unwritten += bytes.len() as u64;
        if self.strange.is_some() {
            return None;
        }
        let mut rest = bytes;
        let mut first = self.hears.at_boundary();
        self.strange = loop {
            match self.hears.next(&mut rest) {
                Ok(Some(ping)) if first && ping.is_ping() => {
                    self.other.pinged(now.saturating_sub(self.said));
                }
                Ok(Some(packet)) if packet.command == Packet::PING_ACK => {
                    self.asked = self.asked.saturating_sub(1);
                }
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(strange) => break Some(strange),
            }
            first = false;
        };
        self.strange
    }

    /// So many bytes were written to bsr. Returns how many of them are the stream's.
    pub fn written(&mut self, now: Duration, bytes: u64) -> u64 {
        self.heard = now;
        let ours = bytes.min(self.invented);
        self.invented -= ours;
        self.unwritten = self.unwritten.saturating_sub(bytes - ours);
        bytes - ours
    }

    /// The silence that is taken for bsr's `ping-int`.
    pub fn ping_int(&self) -> Duration {
        let default = if self.is_bsr { BSR } else { DRBD };
        self.learnt().unwrap_or(default)
    }

    /// bsr's `ping-int` as its pings have shown it; before that it is only supposed.
    pub fn learnt(&self) -> Option<Duration> {
        self.own.known.or(self.other.known)
    }

    /// This goes to the other bsr.
    fn passes(&mut self, packet: &Packet) {
        self.is_bsr |= packet.command == Packet::FEATURES;
        self.asked += u64::from(packet.is_ping());
    }

    /// How long bsr has heard nothing at all.
    fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(self.heard.max(self.heard_on_data))
    }

    fn holds(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    fn may_answer(&self, now: Duration) -> bool {
        self.holds(now)
            && self.hears.at_boundary()
            && self.asked == 0
            && self.unwritten + self.invented == 0
            && self.silence(now) + LATE >= self.ping_int()
    }

    fn answer(&mut self, ping: &Packet, of_these: usize, pass: &mut Pass) {
        if self.hears.family().is_some_and(|family| family != ping.family()) {
            pass.strange = Some(Strange::Mixed);
            return;
        }
        let bytes = Packet { command: Packet::PING_ACK, ..*ping }.header();
        let instead_of = mem::take(&mut self.kept).as_ref().len() + of_these;
        pass.skip = of_these;
        pass.answer = Some(Answer { bytes, instead_of, first: self.answered == 0 });
        self.invented += bytes.as_ref().len() as u64;
        self.answered += 1;
    }
}

/// A `ping-int`, as pings show it.
#[derive(Clone, Copy, Debug, Default)]
struct Interval {
    last: u64,
    known: Option<Duration>,
}

impl Interval {
    /// A ping came after so long a silence. One alone shows nothing: it may have been an ordering ping.
    fn pinged(&mut self, silence: Duration) {
        let seconds = (silence + LATE).as_secs();
        if (SHORTEST.as_secs()..=LONGEST.as_secs()).contains(&seconds) {
            if self.last == seconds {
                self.known = Some(Duration::from_secs(seconds));
            }
            self.last = seconds;
        }
    }
}

/// The range of `ping-int`, and its defaults (bsr-wire C.4).
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(120);
const BSR: Duration = Duration::from_secs(3);
const DRBD: Duration = Duration::from_secs(10);
/// That something was written to bsr is heard of a little after it was: a silence looks so much shorter.
const LATE: Duration = Duration::from_millis(100);
