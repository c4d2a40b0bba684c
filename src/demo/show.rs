//! What happens, in order: connect, resync, copy a file system, work, break six things one after the other, end,
//! compare.
//!
//! ```text
//! fault     what is broken
//! breaking  a fault from beginning to end
//! looking   looking, waiting, telling
//! ```

mod breaking;
mod fault;
mod looking;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr};
use drx_actors::api::{Settings, Shutdown};
use drx_actors::net::TcpNet;
use drx_actors::relay::Relay;
use drx_bsr::core::Order;
use slog::{Logger, o};
use tokio::time::{Instant, timeout};

use super::application::{Application, Work};
use super::background::Background;
use super::bsr::Bsr;
use super::disks::{Comparison, Disk, VOLUME};
use super::embedded::Addresses;
use super::frame::{seconds, size};
use super::image;
use super::line::{Ends, Line};
use super::screen::Screen;
use super::verdict::{Recovery, Verdict};
use super::watch::{Meter, Moment};
use fault::FAULTS;

/// What the show is made of.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) addresses: Addresses,
    /// Of node1 and node2; their `peer` is the line.
    pub(super) relays: [Settings; 2],
    /// Of bsr1 and bsr2.
    pub(super) disks: [Disk; 2],
}

/// The show while it runs.
pub(super) struct Show {
    sites: [Site; 2],
    disks: [Disk; 2],
    line: Line,
    /// The side whose volume the application uses.
    primary: usize,
    application: Option<Application>,
    /// What the application had done when it ended.
    work: Work,
    screen: Screen,
    meter: Meter,
    started: Instant,
    step: Step,
    recoveries: Vec<Recovery>,
    errors: Vec<String>,
    /// The bsrs, with the application, and the line each have a thread, as they would have machines.
    bsrs: Background,
    _line: Background,
}

/// One side.
struct Site {
    relay: Addr<Relay>,
    bsr: Bsr,
}

struct Step {
    number: usize,
    now: String,
    since: Instant,
}

/// The show cannot go on; why is among its errors.
struct Over;

impl Show {
    /// Starts relays and line, within an actix system. `bsr_log` is for the bsrs alone.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn start(stage: Stage, screen: Screen, log: &Logger, bsr_log: &Logger) -> io::Result<Show> {
        let (bsrs, over_there) = (Background::start("bsrs")?, Background::start("line")?);
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
            let side = number as usize;
            let bsr = Bsr::new(number, &sides[side], &stage.disks[side], bsr_log.clone());
            number += 1;
            Site { relay, bsr }
        });
        let now = Instant::now();
        Ok(Show {
            sites,
            disks: stage.disks,
            line,
            primary: 0,
            application: None,
            work: Work::default(),
            screen,
            meter: Meter::default(),
            started: now,
            step: Step { number: 0, now: String::new(), since: now },
            recoveries: Vec::new(),
            errors: Vec::new(),
            bsrs,
            _line: over_there,
        })
    }

    /// The whole show. Whether all went well.
    pub(super) async fn run(mut self) -> bool {
        // Why it is over is told with the verdict.
        let volumes = self.acts().await.ok();
        // What is left of it if something went wrong.
        let mut bsrs = Vec::new();
        for site in &mut self.sites {
            site.bsr.kill().await;
            bsrs.push(site.bsr.look().await);
        }
        let work = self.application.as_ref().map_or(self.work, Application::work);
        let verdict = Verdict {
            bsrs: bsrs.try_into().unwrap_or_default(),
            work,
            volumes,
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

    async fn acts(&mut self) -> Result<Comparison, Over> {
        self.begin().await?;
        let mut next = self.started.elapsed() + FIRST_WORK;
        self.work_until(next).await?;
        for fault in FAULTS {
            self.break_and_recover(fault).await?;
            next += EACH_FAULT;
            self.work_until(next).await?;
        }
        self.end().await?;
        self.compare().await
    }

    async fn begin(&mut self) -> Result<(), Over> {
        self.next_step("two relays and two bsr start and find each other");
        for side in 0..self.sites.len() {
            self.start_bsr(side).await?;
        }
        self.reach(CONNECTS_WITHIN, "nothing was connected", Moment::is_connected).await?;
        self.tell(format!("everything is connected, {} after the start", seconds(self.started.elapsed())));
        self.record().await?;

        self.next_step("bsr1 becomes primary, and all of its volume is resynced to bsr2");
        self.tell(self.step.now.clone());
        self.order(self.primary, Order::Primary { force: true }).await?;
        self.reach(RESYNCS_WITHIN, "the volumes were not in sync", Moment::is_in_sync).await?;
        self.tell(format!("  {} are resynced, {}", size(VOLUME as f64), seconds(self.step.since.elapsed())));

        self.next_step("an ext4 file system is copied to bsr1's volume");
        self.tell(self.step.now.clone());
        if let Some(volume) = self.sites[self.primary].bsr.requests() {
            let _entered = self.bsrs.enter();
            self.application = Some(Application::start(volume));
        }
        self.reach(COPIES_WITHIN, "the file system was not copied", |now| now.work.image).await?;
        let (bytes, took) = (size(image::BYTES as f64), seconds(self.step.since.elapsed()));
        self.tell(format!("  its {bytes} are written, and replicated to bsr2, {took}"));
        self.next_step("random blocks behind it are written all the time");
        self.tell(self.step.now.clone());
        Ok(())
    }

    /// Everything that was written arrives, then both bsr go down, and the relays are stopped.
    async fn end(&mut self) -> Result<(), Over> {
        self.next_step("the writes end, both bsr go down, and the relays stop");
        if let Some(application) = &self.application {
            application.stop();
        }
        self.reach(QUIET_WITHIN, "something was still under way", Moment::is_quiet).await?;
        self.step.number += 1;
        self.keep().await?;
        self.order(self.primary, Order::Secondary).await?;
        for side in [self.primary, 1 - self.primary] {
            match timeout(STOPS_WITHIN, self.sites[side].bsr.down()).await {
                Ok(Ok(())) => {}
                Ok(Err(refusal)) => return self.fail(format!("bsr{} does not go down: {refusal}", side + 1)),
                Err(_) => {
                    return self.fail(format!(
                        "bsr{} was not down within {}",
                        side + 1,
                        seconds(STOPS_WITHIN)
                    ));
                }
            }
        }
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

    /// Both volumes, with each other and with what was written to them.
    async fn compare(&mut self) -> Result<Comparison, Over> {
        let Some(application) = self.application.take() else {
            return self.fail("nothing was ever written".to_owned());
        };
        self.work = application.work();
        let content = match application.content().await {
            Ok(content) => content,
            Err(panic) => return self.fail(format!("what wrote is gone: {panic}")),
        };
        match Comparison::read(&self.disks, &content) {
            Ok(comparison) => Ok(comparison),
            Err(error) => self.fail(format!("the volumes cannot be read: {error}")),
        }
    }

    async fn start_bsr(&mut self, side: usize) -> Result<(), Over> {
        match self.sites[side].bsr.start(&self.bsrs).await {
            Ok(()) => Ok(()),
            Err(why) => self.fail(why),
        }
    }

    async fn order(&mut self, side: usize, order: Order) -> Result<(), Over> {
        let given = format!("bsr{}: {order:?}", side + 1);
        match timeout(OBEYS_WITHIN, self.sites[side].bsr.order(order)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(refusal)) => self.fail(format!("{given}: {refusal}")),
            Err(_) => self.fail(format!("{given}: not done within {}", seconds(OBEYS_WITHIN))),
        }
    }

    /// Waits until it is so; otherwise the show is over.
    async fn reach(
        &mut self,
        limit: Duration,
        otherwise: &str,
        reached: impl FnMut(&Moment) -> bool,
    ) -> Result<(), Over> {
        match self.until(limit, reached).await? {
            Some(_) => Ok(()),
            None => self.fail(format!("{otherwise} within {}", seconds(limit))),
        }
    }
}

/// Start, resync, copy and work before the faults, the end after them.
const STEPS: usize = FAULTS.len() + 5;
/// Between the copy and the first fault, and how much time each of them has, if that is enough.
const FIRST_WORK: Duration = Duration::from_millis(1500);
const EACH_FAULT: Duration = Duration::from_millis(3300);
// What is taken for a failure. Long: a machine that is busy with other things, above all with its disk, is slow, not
// wrong.
const CONNECTS_WITHIN: Duration = Duration::from_secs(20);
const RESYNCS_WITHIN: Duration = Duration::from_secs(60);
const COPIES_WITHIN: Duration = Duration::from_secs(30);
const QUIET_WITHIN: Duration = Duration::from_secs(30);
const OBEYS_WITHIN: Duration = Duration::from_secs(10);
const STOPS_WITHIN: Duration = Duration::from_secs(10);
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
