//! When bsr is read, and how much at a time.
//!
//! Below the high mark bsr is read as fast as it sends. Above it is the reserve: the kernel resets a
//! connection of bsr's whose window stays shut for 1.25 s, so bsr is read in drips there, as little as keeps
//! the connection, until the reserve is used up, too (docs/link.md 9).
//!
//! [`Pace`] decides and has no clock; the BAB's timers ask it.

use std::time::Duration;

use actix::Context;
use tokio::time::Instant;

use super::{Bab, BabEvent, BabNews, Round};
use crate::api::Reserve;
use crate::budget::Budget;
use crate::local::MayRead;
use crate::task::Task;

/// What a channel's log says of drips: once each, however long a BAB stays full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DripNews {
    /// The BAB is full up to its high mark.
    Began,
    /// The reserve is used up: bsr is read when something is acknowledged.
    UsedUp,
    /// bsr is read as fast as before, or not at all any more.
    Ended {
        /// Taken in drips.
        bytes: u64,
        /// From the first to the last moment that it was slow.
        lasted: Duration,
    },
}

/// What bsr's connection may read. `granted` is promised by the budget, always.
#[derive(Debug)]
pub(super) struct Pace {
    reserve: Reserve,
    /// Bytes that bsr's connection may still read.
    granted: u64,
    /// Granted below the high mark since the last turn.
    flowed: u64,
    dripping: Option<Dripping>,
}

#[derive(Debug)]
struct Dripping {
    bytes: u64,
    since: Instant,
    /// When bsr was last read slowly.
    last: Instant,
    /// It still is.
    slow: bool,
    /// The reserve was used up, and that was told.
    used_up: bool,
}

/// What follows from a turn.
#[derive(Debug, PartialEq, Eq)]
struct Turn {
    grant: u64,
    news: Option<DripNews>,
    /// Another one is due after [`DRIP_TIME`].
    again: bool,
}

impl Pace {
    pub(super) fn new(reserve: Reserve) -> Pace {
        Pace { reserve, granted: 0, flowed: 0, dripping: None }
    }

    pub(super) fn granted(&self) -> u64 {
        self.granted
    }

    /// Whether bsr is read slowly now.
    pub(super) fn is_dripping(&self) -> bool {
        self.dripping.as_ref().is_some_and(|dripping| dripping.slow)
    }

    /// Granted bytes came.
    pub(super) fn came(&mut self, bytes: u64) {
        self.granted = self.granted.saturating_sub(bytes);
    }

    /// No more turns: nothing is read any more, or all has gone well for long.
    pub(super) fn end(&mut self) -> Option<DripNews> {
        let Dripping { bytes, since, last, .. } = self.dripping.take()?;
        Some(DripNews::Ended { bytes, lasted: last - since })
    }

    /// Grants what there is below the high mark, a read ahead at most.
    fn flow(&mut self, budget: &Budget) -> u64 {
        let wanted = self.ahead(budget).saturating_sub(self.granted);
        let more = budget.promise(wanted.min(self.room(budget)));
        self.granted += more;
        self.flowed += more;
        more
    }

    /// What bsr's connection may read before it asks again. The resource's four lanes share the budget, and one
    /// that may read nothing does not see its bsr leave: none is promised more than its quarter.
    fn ahead(&self, budget: &Budget) -> u64 {
        READ_AHEAD.min(budget.size() / 4)
    }

    /// Whether bsr may soon have to wait for room: then turns begin.
    fn is_short(&self, budget: &Budget) -> bool {
        self.granted < self.drop(budget)
    }

    /// What flowed before the first turn's time began says nothing of what flows then.
    fn begin(&mut self) {
        self.flowed = 0;
    }

    /// [`DRIP_TIME`] has passed. Where less than a drip was granted below the high mark, the reserve gives
    /// the rest: a line that is slow, but faster than the drips, leaves it alone.
    fn turn(&mut self, budget: &Budget, now: Instant) -> Turn {
        let full = self.room(budget) == 0;
        let flowed = std::mem::take(&mut self.flowed);
        let drop = self.drop(budget);
        if !full || flowed >= drop {
            let over = self.dripping.as_mut().is_some_and(|dripping| {
                dripping.slow = false;
                now - dripping.last >= STEADY_TIME
            });
            let news = if over { self.end() } else { None };
            return Turn { grant: 0, news, again: full || self.dripping.is_some() };
        }
        let owed = drop.saturating_sub(self.granted + flowed);
        let grant = budget.promise(owed);
        self.granted += grant;
        Turn { grant, news: self.drip(owed, grant, now), again: true }
    }

    fn drip(&mut self, owed: u64, grant: u64, now: Instant) -> Option<DripNews> {
        let used_up = owed > 0 && grant == 0;
        let Some(dripping) = &mut self.dripping else {
            if owed == 0 {
                return None; // bsr does not take what it may
            }
            self.dripping = Some(Dripping { bytes: grant, since: now, last: now, slow: true, used_up });
            return Some(if used_up { DripNews::UsedUp } else { DripNews::Began });
        };
        dripping.bytes += grant;
        dripping.last = now;
        dripping.slow = true;
        let told = dripping.used_up;
        dripping.used_up |= used_up;
        (used_up && !told).then_some(DripNews::UsedUp)
    }

    fn room(&self, budget: &Budget) -> u64 {
        self.high_mark(budget).saturating_sub(budget.used())
    }

    /// What bsr gets at a time. In a BAB of a few KiB half of what is below the high mark: what an idle bsr
    /// may read always counts as used.
    fn drop(&self, budget: &Budget) -> u64 {
        DRIP.min(self.high_mark(budget) / 2)
    }

    fn high_mark(&self, budget: &Budget) -> u64 {
        budget.size() - self.reserve.of(budget.size())
    }
}

impl Round {
    pub(super) fn read_on(&mut self, ctx: &mut Context<Bab>) {
        if !self.reading || self.pace.granted() > self.pace.ahead(&self.budget) / 2 {
            return;
        }
        let unsent = self.out.unsent() + self.queued as u64;
        if unsent < UNSENT / 2 {
            self.lifted = false;
        }
        if unsent >= UNSENT {
            self.watch(ctx);
            if !self.lifted {
                return;
            }
        }
        let more = self.pace.flow(&self.budget);
        self.grant(more);
        if self.pace.is_short(&self.budget) {
            if self.drip_timer.is_none() {
                self.pace.begin();
                self.drip_later(ctx);
            }
            // Another lane may hold all of it (an older duplicate, on its way out): nothing that happens
            // here would tell when there is some again.
            if self.pace.granted() == 0 && self.out.held() == 0 && self.budget_timer.is_none() {
                self.budget_timer = Some(Task::later(ctx, BUDGET_AGAIN, |bab: &mut Bab, ctx| {
                    let Some(round) = &mut bab.round else { return };
                    round.budget_timer = None;
                    bab.go_on(ctx);
                }));
            }
        }
    }

    fn grant(&self, bytes: u64) {
        if bytes > 0 {
            self.local.do_send(MayRead(bytes as usize));
        }
    }

    fn drip_later(&mut self, ctx: &mut Context<Bab>) {
        self.drip_timer = Some(Task::later(ctx, DRIP_TIME, |bab: &mut Bab, ctx| {
            let Some(round) = &mut bab.round else { return };
            round.drip_timer = None;
            let turn = match round.reading {
                true => round.pace.turn(&round.budget, Instant::now()),
                false => Turn { grant: 0, news: round.pace.end(), again: false },
            };
            round.grant(turn.grant);
            if turn.again {
                round.drip_later(ctx);
            }
            let attempt = round.attempt;
            if let Some(news) = turn.news {
                bab.channel.do_send(BabEvent { attempt, what: BabNews::Drip(news) });
            }
            bab.go_on(ctx);
        }));
    }

    /// Finds out whether the link is slow, again and again while much waits for it.
    ///
    /// Its rate says it. That much still waits does not: while bsr is faster than the link there is
    /// always as much as may wait.
    fn watch(&mut self, ctx: &mut Context<Bab>) {
        if self.watch_timer.is_some() {
            return;
        }
        let (since, before) = (Instant::now(), self.drained());
        self.watch_timer = Some(Task::later(ctx, WATCH_TIME, move |bab: &mut Bab, ctx| {
            let Some(round) = &mut bab.round else { return };
            round.watch_timer = None;
            let enough = FAST.saturating_mul(since.elapsed().as_millis() as u64);
            round.lifted = round.drained().saturating_sub(before) < enough;
            bab.go_on(ctx);
        }));
    }

    /// The first byte that is not written to the link's socket, give or take the frames' headers.
    fn drained(&self) -> u64 {
        self.out.sent().saturating_sub(self.queued as u64)
    }
}

/// What bsr's connection may read before it asks again, in a BAB of 2 MiB and more: two large reads.
const READ_AHEAD: u64 = 512 * 1024;
/// Unsent bytes that the BAB reads ahead while the link drains them (docs/testing.md: 17 MiB resident
/// instead of 108).
const UNSENT: u64 = 1024 * 1024;
/// How long the link's rate is measured for.
const WATCH_TIME: Duration = Duration::from_millis(4);
/// Bytes in a millisecond: 3 Gbit/s. A link that carries as much is no line over a long distance, and
/// what waits for it gains nothing by waiting in the BAB instead of at bsr.
const FAST: u64 = 375_000;
/// How often a lane asks again while another one holds the whole budget.
const BUDGET_AGAIN: Duration = Duration::from_millis(20);
/// 384 KiB/s, which a reserve of 16 MiB lasts 42 s; half as much again as the least that kept the connection
/// of a bsr that sends large pieces (docs/link.md 9). The window must open for a whole packet of the sender's
/// kernel, 64 KiB before the network card cuts it: two drips are enough for that, wherever they begin.
const DRIP: u64 = 96 * 1024;
/// Four chances before bsr's 1.25 s are over. The first may come to nothing: what flowed last spoke against it.
const DRIP_TIME: Duration = Duration::from_millis(250);
/// A BAB that is full again and again is one story in the log, not one a second.
const STEADY_TIME: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Reserve::{Auto, Bytes};

    const MIB: u64 = 1 << 20;

    /// A bsr that always has more to send, and a BAB whose line carries what the test says.
    struct Bench {
        budget: Budget,
        pace: Pace,
        start: Instant,
        /// Turns so far.
        turns: u32,
        news: Vec<DripNews>,
    }

    impl Bench {
        fn new(size: u64, reserve: Reserve) -> Bench {
            let budget = Budget::new(size);
            Bench { budget, pace: Pace::new(reserve), start: Instant::now(), turns: 0, news: Vec::new() }
        }

        /// Full up to the high mark, and the next turn's time begun.
        fn full(size: u64, reserve: Reserve) -> Bench {
            let mut bench = Bench::new(size, reserve);
            while bench.flow() > 0 {}
            bench.pace.begin();
            bench
        }

        /// bsr takes what it may, and gets what there is below the high mark.
        fn flow(&mut self) -> u64 {
            self.take();
            let more = self.pace.flow(&self.budget);
            self.take();
            more
        }

        fn take(&mut self) {
            let bytes = self.pace.granted();
            self.pace.came(bytes);
            self.budget.hold(bytes);
        }

        /// The far side writes so many bytes, and bsr sends them anew at once.
        fn carry(&mut self, bytes: u64) {
            self.budget.release(bytes);
            self.flow();
        }

        fn turn(&mut self) -> Turn {
            self.turns += 1;
            let turn = self.pace.turn(&self.budget, self.start + DRIP_TIME * self.turns);
            self.news.extend(turn.news);
            turn
        }

        /// One turn, and bsr takes what it gives.
        fn drip(&mut self) -> u64 {
            let turn = self.turn();
            assert!(turn.again, "the BAB is full");
            self.take();
            turn.grant
        }
    }

    #[test]
    fn below_the_high_mark_bsr_is_read_as_fast_as_it_sends() {
        let mut bench = Bench::new(64 * MIB, Auto);
        assert_eq!(bench.pace.flow(&bench.budget), READ_AHEAD);
        assert!(!bench.pace.is_short(&bench.budget));
        bench.pace.came(READ_AHEAD - 1);
        bench.budget.hold(READ_AHEAD - 1);
        assert!(bench.pace.is_short(&bench.budget));
        assert_eq!(bench.pace.flow(&bench.budget), READ_AHEAD - 1);
        while bench.flow() > 0 {}
        assert_eq!(bench.budget.held(), 48 * MIB);
    }

    #[test]
    fn by_default_drips_last_longer_than_30_s() {
        let mut bench = Bench::full(64 * MIB, Auto);
        for _ in 0..30 * 4 {
            assert_eq!(bench.drip(), DRIP);
        }
        assert_eq!(bench.news, [DripNews::Began]);
        assert!(bench.pace.is_dripping());
        while bench.drip() > 0 {}
        assert_eq!(bench.budget.held(), 64 * MIB);
        assert_eq!(bench.drip(), 0);
        // However long it lasts.
        assert_eq!(bench.news, [DripNews::Began, DripNews::UsedUp]);
    }

    #[test]
    fn without_a_reserve_a_full_bab_is_said_to_be_full() {
        let mut bench = Bench::full(MIB, Bytes(0));
        assert_eq!(bench.budget.held(), MIB);
        assert_eq!((bench.drip(), bench.drip()), (0, 0));
        assert_eq!(bench.news, [DripNews::UsedUp]);
    }

    #[test]
    fn a_line_that_is_slow_but_faster_than_drips_leaves_the_reserve_alone() {
        let mut bench = Bench::full(64 * MIB, Auto);
        for _ in 0..1000 {
            bench.carry(DRIP / 2);
            bench.carry(DRIP / 2);
            assert_eq!(bench.drip(), 0);
        }
        assert_eq!(bench.news, []);
        assert_eq!(bench.budget.held(), 48 * MIB);
    }

    #[test]
    fn the_reserve_gives_what_a_line_slower_than_drips_does_not() {
        let mut bench = Bench::full(64 * MIB, Auto);
        assert_eq!(bench.drip(), DRIP);
        bench.budget.release(DRIP); // back at the high mark
        bench.carry(DRIP / 3);
        assert_eq!(bench.drip(), DRIP - DRIP / 3);
        // Above the high mark all of it is a drip.
        bench.carry(DRIP / 3);
        assert_eq!(bench.drip(), DRIP);
    }

    #[test]
    fn a_bsr_that_takes_nothing_gets_no_more() {
        let mut bench = Bench::full(64 * MIB, Auto);
        let grants = [bench.turn().grant, bench.turn().grant];
        assert_eq!(grants, [DRIP, 0]);
        bench.pace.came(1000);
        bench.budget.hold(1000);
        assert_eq!(bench.turn().grant, 1000);
        assert!(bench.pace.is_dripping());
    }

    #[test]
    fn drips_end_once_bsr_was_read_fast_for_a_while() {
        let mut bench = Bench::full(64 * MIB, Auto);
        for _ in 0..8 {
            bench.drip();
        }
        bench.budget.release(40 * MIB);
        let steady = (STEADY_TIME.as_millis() / DRIP_TIME.as_millis()) as usize;
        for _ in 1..steady {
            assert!(bench.turn().again);
            assert!(!bench.pace.is_dripping());
        }
        assert!(!bench.turn().again);
        let ended = DripNews::Ended { bytes: 8 * DRIP, lasted: 7 * DRIP_TIME };
        assert_eq!(bench.news, [DripNews::Began, ended]);
        assert_eq!(bench.flow(), READ_AHEAD);
    }

    #[test]
    fn a_bab_that_is_full_again_and_again_is_told_of_once() {
        let mut bench = Bench::full(64 * MIB, Auto);
        for _ in 0..100 {
            bench.drip();
            bench.carry(DRIP);
            assert_eq!(bench.turn().grant, DRIP, "all that was carried was above the high mark");
            bench.take();
            bench.carry(4 * DRIP);
            bench.turn();
        }
        assert_eq!(bench.news, [DripNews::Began]);
    }

    #[test]
    fn two_lanes_drip_from_one_reserve() {
        let mut one = Bench::full(64 * MIB, Auto);
        let mut other = Pace::new(Auto);
        assert_eq!(other.flow(&one.budget), 0);
        let mut last = 2 * DRIP;
        while last > 0 {
            last = one.drip();
            let turn = other.turn(&one.budget, one.start);
            other.came(turn.grant);
            one.budget.hold(turn.grant);
            last += turn.grant;
        }
        assert_eq!(one.budget.held(), 64 * MIB);
    }

    #[test]
    fn drips_end_with_their_round() {
        let mut bench = Bench::full(64 * MIB, Auto);
        assert_eq!(bench.pace.end(), None);
        bench.drip();
        assert_eq!(bench.pace.end(), Some(DripNews::Ended { bytes: DRIP, lasted: Duration::ZERO }));
    }

    #[test]
    fn an_idle_bsr_of_the_smallest_bab_is_not_read_in_drips() {
        for size in [64 << 10, 128 << 10, 512 << 10, MIB] {
            let mut bench = Bench::new(size, Auto);
            bench.pace.flow(&bench.budget);
            assert!(!bench.pace.is_short(&bench.budget), "{size}");
            assert_eq!(bench.turn().grant, 0, "{size}");
            assert_eq!(bench.news, [], "{size}");
        }
    }

    #[test]
    fn a_reserve_is_at_most_half_of_the_bab() {
        for (reserve, size, bytes) in [
            (Auto, 64 * MIB, 16 * MIB),
            (Auto, 1000 * MIB, 100 * MIB),
            (Auto, 4 * MIB, 2 * MIB),
            (Reserve::Percent(50), 10, 5),
            (Reserve::Percent(7), u64::MAX, (u128::from(u64::MAX) * 7 / 100) as u64),
            (Bytes(16 * MIB), 4 * MIB, 2 * MIB),
            (Bytes(0), 4 * MIB, 0),
        ] {
            assert_eq!(reserve.of(size), bytes, "{reserve:?} of {size}");
        }
    }
}
