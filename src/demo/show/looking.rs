//! Looking, waiting and telling.

use std::time::Duration;

use drx_actors::api::Snapshot;
use drx_protocol::report::RelayReport;
use tokio::time::{Instant, sleep, timeout};

use super::super::frame::{self, Progress, seconds};
use super::super::watch::Moment;
use super::{ANSWERS_WITHIN, Over, STEPS, Show, Step};

impl Show {
    /// Lets the application work, which has to show, until so long after the start, and in any case a moment.
    pub(super) async fn work_until(&mut self, time: Duration) -> Result<(), Over> {
        let time = time.saturating_sub(self.started.elapsed()).max(LEAST_WORK);
        let before = self.moment().await?;
        self.watch(time).await?;
        let after = self.moment().await?;
        if !after.is_connected() || after.is_another_session(&before) {
            return self.fail("a session ended by itself".to_owned());
        }
        // A machine that is busy with other things may make everybody wait.
        if self.until(FLOWS_WITHIN, |now| now.flows_since(&before)).await?.is_none() {
            return self.fail(format!("nothing was replicated in {}", seconds(time + FLOWS_WITHIN)));
        }
        Ok(())
    }

    /// Time to see something.
    pub(super) async fn watch(&mut self, time: Duration) -> Result<(), Over> {
        let end = Instant::now() + time;
        self.until(time, |_| Instant::now() >= end).await.map(|_| ())
    }

    /// Waits until everything is connected, nothing is left to be resynced, and writes were replicated since.
    pub(super) async fn until_flowing(&mut self, limit: Duration) -> Result<bool, Over> {
        let mut in_sync: Option<Moment> = None;
        let flowing = self.until(limit, |now| {
            if !now.is_in_sync() {
                in_sync = None;
                return false;
            }
            now.flows_since(in_sync.get_or_insert_with(|| now.clone()))
        });
        Ok(flowing.await?.is_some())
    }

    /// Looks again and again, and shows what there is, until `reached` or the limit.
    pub(super) async fn until(
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
            if moment.is_violated() {
                return Err(Over); // what it is stands in the verdict
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

    pub(super) async fn moment(&mut self) -> Result<Moment, Over> {
        let relays = [self.report(0).await?, self.report(1).await?];
        let [one, two] = &mut self.sites;
        let bsrs = [one.bsr.look().await, two.bsr.look().await];
        let work = self.application.as_ref().map_or_else(|| self.work.clone(), |running| running.work());
        let moment = Moment { relays, bsrs, work };
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
    pub(super) async fn record(&mut self) -> Result<(), Over> {
        let moment = self.moment().await?;
        let frame = frame::frame(&moment, &self.progress(), self.meter.rates());
        self.screen.record(&frame);
        Ok(())
    }

    /// What is seen now, in full, to stay.
    pub(super) async fn keep(&mut self) -> Result<(), Over> {
        let moment = self.moment().await?;
        let frame = frame::frame(&moment, &self.progress(), self.meter.rates());
        self.screen.keep(&frame);
        Ok(())
    }

    pub(super) fn next_step(&mut self, now: &str) {
        let number = if self.step.now.is_empty() { 0 } else { self.step.number + 1 };
        self.step = Step { number, now: now.to_owned(), since: Instant::now() };
    }

    fn progress(&self) -> Progress {
        Progress {
            done: self.step.number,
            steps: STEPS,
            now: self.step.now.clone(),
            elapsed: self.started.elapsed(),
            in_step: self.step.since.elapsed(),
        }
    }

    pub(super) fn tell(&mut self, what: String) {
        self.screen.tell(&format!("{:>5.1} s  {what}", self.started.elapsed().as_secs_f64()));
    }

    pub(super) fn fail<T>(&mut self, why: String) -> Result<T, Over> {
        self.tell(format!("FAILED: {why}"));
        self.errors.push(why);
        Err(Over)
    }
}

/// Between two looks. A recovery's time is as exact as this.
const LOOK: Duration = Duration::from_millis(10);
/// For the eye.
const LEAST_WORK: Duration = Duration::from_millis(700);
const FLOWS_WITHIN: Duration = Duration::from_secs(15);
/// Whatever happens, nothing is waited for any more then.
const MOST: Duration = Duration::from_secs(150);
