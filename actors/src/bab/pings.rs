//! Holding pings: where bytes pass between bsr and the BAB ([`drx_protocol::pings`] decides).
//!
//! Without `hold_pings`, and on a data channel, a round has no [`Holding`]: nothing is looked at.

use std::time::Duration;

use actix::Recipient;
use bytes::Bytes;
use drx_protocol::meta::Strange;
use drx_protocol::names::Attempt;
use drx_protocol::pings::Pings;
use tokio::time::Instant;

use super::{BabEvent, BabNews, Round};
use crate::counters::{Counters, add};
use crate::local::ToBsr;

/// What a round knows of bsr's packets.
pub(super) struct Holding {
    pings: Pings,
    since: Instant,
    attempt: Attempt,
    channel: Recipient<BabEvent>,
    holds: bool,
    /// bsr is read from for its pings alone.
    for_pings: bool,
    /// bsr's `ping-int`, as it was told last.
    learnt: Option<Duration>,
}

impl Holding {
    pub(super) fn new(attempt: Attempt, channel: Recipient<BabEvent>) -> Holding {
        Holding {
            pings: Pings::new(Duration::ZERO),
            since: Instant::now(),
            attempt,
            channel,
            holds: false,
            for_pings: false,
            learnt: None,
        }
    }

    fn tell(&self, what: BabNews) {
        self.channel.do_send(BabEvent { attempt: self.attempt, what });
    }

    /// Says what pings have shown, once.
    fn learn(&mut self) {
        let learnt = self.pings.learnt();
        if learnt != self.learnt {
            self.learnt = learnt;
            learnt.into_iter().for_each(|ping_int| self.tell(BabNews::PingInt(ping_int)));
        }
    }

    fn give_up(&self, strange: Option<Strange>) {
        if let Some(strange) = strange {
            self.tell(BabNews::PingsGivenUp(strange));
        }
    }
}

impl Round {
    /// bsr said this: all of it is for the other DRX, but a ping that is answered here.
    ///
    /// What is held back, less than a header, still counts as granted: it has not come to the BAB yet.
    pub(super) fn sift(&mut self, bytes: Bytes, data_heard: Option<Instant>, counters: &Counters) {
        let Some(holding) = self.holding.as_mut().filter(|_| !self.complete && !self.parted) else {
            return self.keep(bytes);
        };
        if let Some(heard) = data_heard {
            holding.pings.heard_on_data(heard.saturating_duration_since(holding.since));
        }
        let pass = holding.pings.from_bsr(holding.since.elapsed(), &bytes);
        holding.give_up(pass.strange);
        holding.learn();
        if let Some(answer) = pass.answer {
            if answer.first {
                holding.tell(BabNews::PingHeld);
            }
            add(&counters.held_pings, 1);
            self.local.do_send(ToBsr(Bytes::copy_from_slice(answer.bytes.as_ref())));
            self.refuse(answer.instead_of as u64);
        }
        self.pass(pass.kept.as_ref());
        if pass.skip < bytes.len() {
            self.keep(bytes.slice(pass.skip..));
        }
    }

    /// This is handed on to bsr.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        if let Some(holding) = &mut self.holding {
            let strange = holding.pings.to_bsr(holding.since.elapsed(), bytes);
            holding.give_up(strange);
            holding.learn();
        }
    }

    /// How many of the bytes that were written to bsr are the other DRX's.
    pub(super) fn written(&mut self, bytes: u64) -> u64 {
        match &mut self.holding {
            Some(holding) => holding.pings.written(holding.since.elapsed(), bytes),
            None => bytes,
        }
    }

    /// Pings are held for so long at most, or no longer.
    pub(super) fn hold_pings(&mut self, most: Option<Duration>) {
        let Some(holding) = &mut self.holding else { return };
        holding.holds = most.is_some();
        match most {
            Some(most) => holding.pings.hold(holding.since.elapsed(), most),
            None => {
                let for_pings = std::mem::take(&mut holding.for_pings);
                let (kept, answered) = holding.pings.let_go();
                if answered > 0 {
                    holding.tell(BabNews::PingsHeld(answered));
                }
                self.pass(kept.as_ref());
                if for_pings {
                    self.stop_reading();
                }
            }
        }
    }

    /// bsr is read from no longer; while pings are held, only until then. What else it says goes to the other
    /// DRX, which throws it away.
    pub(super) fn need_not_read(&mut self) {
        match self.holding.as_mut().filter(|holding| holding.holds) {
            Some(holding) => holding.for_pings = true,
            None => self.stop_reading(),
        }
    }

    /// What was held back goes on.
    fn pass(&mut self, kept: &[u8]) {
        if !kept.is_empty() {
            self.keep(Bytes::copy_from_slice(kept));
        }
    }
}
