//! What happens, in order: connect, work, break five things one after the other, end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr};
use drx_actors::api::{Panic, Settings, Shutdown, Snapshot, Victim};
use drx_actors::net::TcpNet;
use drx_actors::relay::Relay;
use drx_protocol::names::ChannelType;
use drx_protocol::report::RelayReport;
use slog::{Logger, o};
use tokio::time::{Instant, sleep, timeout};

use super::background::Background;
use super::embedded::{Addresses, Side};
use super::frame::{self, Progress, seconds};
use super::line::{Ends, Line};
use super::peer::{Pace, Peer, PeerSettings, Tally};
use super::screen::Screen;
use super::verdict::{Recovery, Verdict};
use super::watch::{Meter, Moment};

/// What the show is made of.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) addresses: Addresses,
    /// Of node1 and node2; their `peer` is the line.
    pub(super) relays: [Settings; 2],
}

/// The show while it runs.
pub(super) struct Show {
    sites: [Site; 2],
    line: Line,
    screen: Screen,
    meter: Meter,
    started: Instant,
    step: Step,
    recoveries: Vec<Recovery>,
    errors: Vec<String>,
    /// Peers and line each have a thread, as they would have machines.
    peers: Background,
    _line: Background,
}

/// One side: a relay and its peer.
struct Site {
    relay: Addr<Relay>,
    settings: PeerSettings,
    peer: Option<Peer>,
    /// Of the peer's former lives.
    before: Tally,
}

struct Step {
    number: usize,
    now: String,
    since: Instant,
}

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Back before `resume_timeout`: bsr must not notice.
    FlapLine,
    /// Away for longer.
    CutLine,
    KillPeer(usize),
    PanicChannel(usize),
    PanicBab(usize),
}

/// The show cannot go on; why is among its errors.
struct Over;

impl Show {
    /// Starts relays, peers and line, within an actix system.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn start(stage: Stage, screen: Screen, log: &Logger) -> io::Result<Show> {
        let (peers, over_there) = (Background::start("peers")?, Background::start("line")?);
        let Addresses { sides, line: [to_two, to_one] } = stage.addresses;
        let line = {
            let _entered = over_there.enter();
            // What node1 takes for node2's outside, and the other way round.
            let ends = [(to_two, sides[1].outside), (to_one, sides[0].outside)];
            Line::start(ends.map(|(from, to)| Ends { from, to }))
        };
        let mut number = 0;
        let sites = stage.relays.map(|settings| {
            let relay_log = log.new(o!("node" => settings.node.clone()));
            let relay = Relay::new(settings, Arc::new(TcpNet), relay_log).with_faults().start();
            let Side { bsr, inside, .. } = sides[number as usize];
            let settings =
                PeerSettings { pace: Pace::BRISK, ..PeerSettings::bsr(number, 1 - number, bsr, inside) };
            number += 1;
            Site { relay, settings, peer: None, before: Tally::default() }
        });
        let now = Instant::now();
        let mut show = Show {
            sites,
            line,
            screen,
            meter: Meter::default(),
            started: now,
            step: Step { number: 0, now: String::new(), since: now },
            recoveries: Vec::new(),
            errors: Vec::new(),
            peers,
            _line: over_there,
        };
        for side in 0..show.sites.len() {
            show.start_peer(side);
        }
        Ok(show)
    }

    /// The whole show. Whether all went well.
    pub(super) async fn run(mut self) -> bool {
        // Why it is over is told with the verdict.
        let _ = self.acts().await;
        let _ = self.end().await;
        let peers = [self.bury(0).await, self.bury(1).await];
        let verdict = Verdict {
            peers,
            recoveries: self.recoveries,
            planned: FAULTS.len(),
            errors: self.errors,
            took: self.started.elapsed(),
        };
        for line in verdict.lines() {
            self.screen.tell(&line);
        }
        verdict.passed()
    }

    async fn acts(&mut self) -> Result<(), Over> {
        self.next_step("two relays and two bsr start and find each other");
        if self.until(CONNECTS_WITHIN, Moment::is_connected).await?.is_none() {
            return self.fail(format!("nothing was connected within {}", seconds(CONNECTS_WITHIN)));
        }
        self.tell(format!("everything is connected, {} after the start", seconds(self.started.elapsed())));
        self.record().await?;
        self.next_step("blocks go both ways");
        let mut next = FIRST_FAULT;
        self.work_until(next).await?;
        for fault in FAULTS {
            self.break_and_recover(fault).await?;
            next += EACH_FAULT;
            self.work_until(next).await?;
        }
        Ok(())
    }

    /// Everything that was sent arrives, then the relays are stopped.
    async fn end(&mut self) -> Result<(), Over> {
        self.next_step("the peers fall silent, and the relays stop");
        for peer in self.sites.iter().filter_map(|site| site.peer.as_ref()) {
            peer.hold(true);
        }
        if self.errors.is_empty() && self.until(QUIET_WITHIN, Moment::is_quiet).await?.is_none() {
            self.errors.push(format!("blocks were still under way after {}", seconds(QUIET_WITHIN)));
        }
        self.step.number += 1;
        let moment = self.moment().await?;
        let frame = frame::frame(&moment, &self.progress(), self.meter.rates());
        self.screen.keep(&frame);
        let relays = [0, 1].map(|side: usize| self.sites[side].relay.clone());
        let stopped = timeout(STOPS_WITHIN, async {
            tokio::join!(
                relays[0].send(Shutdown { at_once: false }),
                relays[1].send(Shutdown { at_once: false })
            )
        });
        match stopped.await {
            Ok((Ok(one), Ok(two))) if one.bytes + two.bytes == 0 => Ok(()),
            Ok((Ok(one), Ok(two))) => {
                self.fail(format!("{} bytes were left unflushed", one.bytes + two.bytes))
            }
            Ok(_) => self.fail("a relay's own actor is gone".to_owned()),
            Err(_) => self.fail(format!("the relays did not stop within {}", seconds(STOPS_WITHIN))),
        }
    }

    async fn break_and_recover(&mut self, fault: Fault) -> Result<(), Over> {
        let before = self.moment().await?;
        let what = fault.what(&before);
        self.next_step(&what);
        self.tell(what.clone());
        let mut since = Instant::now();
        self.strike(fault, &before).await?;
        let noticed =
            self.until(NOTICED_WITHIN, |now| !now.is_connected() || now.is_another_session(&before)).await?;
        if noticed.is_none() {
            self.recoveries.push(Recovery { fault: what, since: fault.since(), took: None });
            return self.fail("the fault had no effect".to_owned());
        }
        if let Fault::FlapLine | Fault::CutLine | Fault::KillPeer(_) = fault {
            if fault == Fault::CutLine
                && self
                    .until(NOTICED_WITHIN, |now| now.is_another_session(&before) || !now.has_session())
                    .await?
                    .is_none()
            {
                return self.fail("bsr was not told that the line is away for good".to_owned());
            }
            self.watch(OUTAGE).await?;
            self.record().await?;
            since = Instant::now();
            self.repair(fault);
        }
        let left = RECOVERS_WITHIN.saturating_sub(since.elapsed());
        let recovered = self.until_flowing(left).await?;
        let took = recovered.then(|| since.elapsed());
        if fault == Fault::FlapLine && self.moment().await?.is_another_session(&before) {
            return self.fail("a line that flapped cost a session".to_owned());
        }
        self.recoveries.push(Recovery { fault: what, since: fault.since(), took });
        match took {
            Some(took) => {
                let kept = if fault == Fault::FlapLine { "; both bsr kept their connections" } else { "" };
                self.tell(format!(
                    "  everything is connected again, {} {}{kept}",
                    seconds(took),
                    fault.since()
                ));
                Ok(())
            }
            None => self.fail(format!("not connected again within {}", seconds(RECOVERS_WITHIN))),
        }
    }

    async fn strike(&mut self, fault: Fault, before: &Moment) -> Result<(), Over> {
        let (side, victim) = match fault {
            Fault::FlapLine | Fault::CutLine => {
                let hit = self.line.cut();
                self.tell(format!("  {hit} connections were reset, and further ones are refused"));
                return Ok(());
            }
            Fault::KillPeer(side) => {
                let tally = self.bury(side).await;
                self.sites[side].before = tally;
                return Ok(());
            }
            Fault::PanicChannel(side) => (side, before.carrier(side, ChannelType::Data).map(Victim::Channel)),
            Fault::PanicBab(side) => (side, before.carrier(side, ChannelType::Data).map(Victim::Bab)),
        };
        let Some(victim) = victim else {
            return self.fail("no channel carries data".to_owned());
        };
        let resource = before.relays[side].resources.first().map_or_else(String::new, |r| r.name.clone());
        match timeout(ANSWERS_WITHIN, self.sites[side].relay.send(Panic { resource, victim })).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(refusal))) => self.fail(format!("the relay refuses to panic: {refusal}")),
            _ => self.fail("the relay does not answer".to_owned()),
        }
    }

    fn repair(&mut self, fault: Fault) {
        match fault {
            Fault::FlapLine | Fault::CutLine => {
                self.line.heal();
                self.tell("  the line is whole again".to_owned());
            }
            Fault::KillPeer(side) => {
                self.start_peer(side);
                self.tell(format!("  bsr{} is started again", side + 1));
            }
            Fault::PanicChannel(_) | Fault::PanicBab(_) => {}
        }
    }

    fn start_peer(&mut self, side: usize) {
        let _entered = self.peers.enter();
        let site = &mut self.sites[side];
        site.peer = Some(Peer::start(site.settings.clone()));
    }

    /// Kills a side's peer; what all its lives have done.
    async fn bury(&mut self, side: usize) -> Tally {
        let site = &mut self.sites[side];
        let before = std::mem::take(&mut site.before);
        match site.peer.take() {
            Some(peer) => before.then(peer.kill().await),
            None => before,
        }
    }

    /// Lets the peers work, which has to show, until so long after the start, and in any case a moment.
    async fn work_until(&mut self, time: Duration) -> Result<(), Over> {
        let time = time.saturating_sub(self.started.elapsed()).max(LEAST_WORK);
        let before = self.moment().await?;
        self.watch(time).await?;
        let after = self.moment().await?;
        if !after.is_connected() || after.is_another_session(&before) {
            return self.fail("a session ended by itself".to_owned());
        }
        // A machine that is busy with other things may make everybody wait.
        if self.until(FLOWS_WITHIN, |now| now.flows_since(&before)).await?.is_none() {
            return self.fail(format!("a bsr verified nothing in {}", seconds(time + FLOWS_WITHIN)));
        }
        Ok(())
    }

    /// Time to see something.
    async fn watch(&mut self, time: Duration) -> Result<(), Over> {
        let end = Instant::now() + time;
        self.until(time, |_| Instant::now() >= end).await.map(|_| ())
    }

    /// Waits until everything is connected, and blocks have gone both ways since.
    async fn until_flowing(&mut self, limit: Duration) -> Result<bool, Over> {
        let mut connected: Option<Moment> = None;
        let flowing = self.until(limit, |now| {
            if !now.is_connected() {
                connected = None;
                return false;
            }
            now.flows_since(connected.get_or_insert_with(|| now.clone()))
        });
        Ok(flowing.await?.is_some())
    }

    /// Looks again and again, and shows what there is, until `reached` or the limit.
    async fn until(
        &mut self,
        limit: Duration,
        mut reached: impl FnMut(&Moment) -> bool,
    ) -> Result<Option<Moment>, Over> {
        let end = Instant::now() + limit;
        loop {
            let moment = self.moment().await?;
            if self.screen.is_due() {
                let frame = frame::frame(&moment, &self.progress(), self.meter.rates());
                self.screen.draw(&frame);
            }
            if moment.violations() > 0 {
                return Err(Over); // the peers say which
            }
            if reached(&moment) {
                return Ok(Some(moment));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            if self.started.elapsed() >= MOST {
                return self.fail(format!("the show is not over after {}", seconds(MOST)));
            }
            sleep(LOOK).await;
        }
    }

    async fn moment(&mut self) -> Result<Moment, Over> {
        let relays = [self.report(0).await?, self.report(1).await?];
        let peers = [0, 1].map(|side: usize| {
            let Site { peer, before, .. } = &self.sites[side];
            before.clone().then(peer.as_ref().map(Peer::tally).unwrap_or_default())
        });
        let moment = Moment { relays, peers };
        self.meter.note(&moment, std::time::Instant::now());
        Ok(moment)
    }

    async fn report(&mut self, side: usize) -> Result<RelayReport, Over> {
        match timeout(ANSWERS_WITHIN, self.sites[side].relay.send(Snapshot)).await {
            Ok(Ok(report)) => Ok(report),
            _ => self.fail(format!("node{}'s relay does not answer", side + 1)),
        }
    }

    /// What is seen now, in full, where no frame is redrawn.
    async fn record(&mut self) -> Result<(), Over> {
        let moment = self.moment().await?;
        let frame = frame::frame(&moment, &self.progress(), self.meter.rates());
        self.screen.record(&frame);
        Ok(())
    }

    fn next_step(&mut self, now: &str) {
        let number = if self.step.now.is_empty() { 0 } else { self.step.number + 1 };
        self.step = Step { number, now: now.to_owned(), since: Instant::now() };
    }

    fn progress(&self) -> Progress {
        Progress {
            done: self.step.number,
            // Start and first work before the faults, the end after them.
            steps: FAULTS.len() + 3,
            now: self.step.now.clone(),
            elapsed: self.started.elapsed(),
            in_step: self.step.since.elapsed(),
        }
    }

    fn tell(&mut self, what: String) {
        self.screen.tell(&format!("{:>5.1} s  {what}", self.started.elapsed().as_secs_f64()));
    }

    fn fail<T>(&mut self, why: String) -> Result<T, Over> {
        self.tell(format!("FAILED: {why}"));
        self.errors.push(why);
        Err(Over)
    }
}

impl Fault {
    fn what(self, before: &Moment) -> String {
        match self {
            Fault::FlapLine => "the line between the two relays flaps".to_owned(),
            Fault::CutLine => {
                "the line between the two relays is cut for longer than resume_timeout".to_owned()
            }
            Fault::KillPeer(side) => format!("bsr{} is killed", side + 1),
            Fault::PanicChannel(side) => {
                let role = before.carrier(side, ChannelType::Data).map(|slot| slot.role.to_string());
                let role = role.as_deref().unwrap_or("channel");
                format!("the {role} of node{} that carries data panics", side + 1)
            }
            Fault::PanicBab(side) => format!("the BAB of node{}'s data channel panics", side + 1),
        }
    }

    fn since(self) -> &'static str {
        match self {
            Fault::FlapLine | Fault::CutLine => "after the line was healed",
            Fault::KillPeer(_) => "after it was started again",
            Fault::PanicChannel(_) | Fault::PanicBab(_) => "after the panic",
        }
    }
}

const FAULTS: [Fault; 5] =
    [Fault::FlapLine, Fault::CutLine, Fault::KillPeer(1), Fault::PanicChannel(0), Fault::PanicBab(1)];

/// Between two looks. A recovery's time is as exact as this.
const LOOK: Duration = Duration::from_millis(10);
/// When the first fault strikes, and how much time each of them has, if that is enough.
const FIRST_FAULT: Duration = Duration::from_millis(3000);
const EACH_FAULT: Duration = Duration::from_millis(3300);
/// For the eye.
const LEAST_WORK: Duration = Duration::from_millis(700);
const OUTAGE: Duration = Duration::from_millis(1500);
// What is taken for a failure.
const CONNECTS_WITHIN: Duration = Duration::from_secs(10);
const NOTICED_WITHIN: Duration = Duration::from_secs(8);
const RECOVERS_WITHIN: Duration = Duration::from_secs(10);
const FLOWS_WITHIN: Duration = Duration::from_secs(5);
const QUIET_WITHIN: Duration = Duration::from_secs(5);
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// Whatever happens, the show is over after this and the next together: 30 s.
const MOST: Duration = Duration::from_secs(27);
const STOPS_WITHIN: Duration = Duration::from_secs(3);
