//! A fault, from its beginning to the end of its consequences.

use std::time::Duration;

use drx_actors::api::{Panic, Victim};
use drx_bsr::core::{Order, Refusal};
use drx_bsr::wire::Role;
use drx_protocol::names::ChannelType;
use tokio::time::{Instant, timeout};

use super::super::frame::{seconds, size};
use super::super::verdict::Recovery;
use super::super::watch::Moment;
use super::fault::Fault;
use super::{ANSWERS_WITHIN, Over, Show};

impl Show {
    pub(super) async fn break_and_recover(&mut self, fault: Fault) -> Result<(), Over> {
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
        if fault.lasts() {
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
            self.repair(fault).await?;
        }
        let left = RECOVERS_WITHIN.saturating_sub(since.elapsed());
        let recovered = self.until_flowing(left).await?;
        let took = recovered.then(|| since.elapsed());
        let after = self.moment().await?;
        if fault == Fault::FlapLine && after.is_another_session(&before) {
            return self.fail("a line that flapped cost a session".to_owned());
        }
        self.recoveries.push(Recovery { fault: what, since: fault.since(), took });
        match took {
            Some(took) => {
                let consequence = match fault {
                    Fault::FlapLine => "; both bsr kept their connections".to_owned(),
                    _ => format!("; {} resynced", size((after.resynced() - before.resynced()) as f64)),
                };
                self.tell(format!(
                    "  everything is connected again, {} {}{consequence}",
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
            Fault::KillSecondary(side) => {
                self.sites[side].bsr.kill().await;
                return Ok(());
            }
            Fault::KillPrimary(side) => {
                self.sites[side].bsr.kill().await;
                return self.take_over(1 - side).await;
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

    /// The other bsr becomes primary as soon as it knows that the first one is gone, and has every write that was
    /// acknowledged.
    async fn take_over(&mut self, side: usize) -> Result<(), Over> {
        let alone = |now: &Moment| now.bsrs[side].state().is_some_and(|state| state.peer != Role::Primary);
        if self.until(NOTICED_WITHIN, alone).await?.is_none() {
            return self.fail(format!("bsr{} was not told that the primary is gone", side + 1));
        }
        let end = Instant::now() + NOTICED_WITHIN;
        loop {
            match self.sites[side].bsr.order(Order::Primary { force: false }).await {
                Ok(()) => break,
                // It has connections to its relay again already, at whose other end nobody is.
                Err(Refusal::State(_)) if Instant::now() < end => self.watch(TRY_AGAIN).await?,
                Err(refusal) => {
                    return self.fail(format!("bsr{} does not become primary: {refusal}", side + 1));
                }
            }
        }
        self.primary = side;
        let checked = self.moment().await?.work.checked;
        if let (Some(application), Some(volume)) = (&self.application, self.sites[side].bsr.requests()) {
            application.move_to(volume);
        }
        match self.until(CHECKED_WITHIN, |now| now.work.checked > checked).await? {
            Some(now) => {
                let blocks = now.work.checked - checked;
                self.tell(format!(
                    "  bsr{} is primary now; every write that was acknowledged is there: {blocks} blocks were read",
                    side + 1
                ));
                Ok(())
            }
            None => self.fail(format!("bsr{} did not let its volume be read", side + 1)),
        }
    }

    async fn repair(&mut self, fault: Fault) -> Result<(), Over> {
        match fault {
            Fault::FlapLine | Fault::CutLine => {
                self.line.heal();
                self.tell("  the line is whole again".to_owned());
            }
            Fault::KillSecondary(side) | Fault::KillPrimary(side) => {
                self.start_bsr(side).await?;
                self.tell(format!("  bsr{} is started again", side + 1));
            }
            Fault::PanicChannel(_) | Fault::PanicBab(_) => {}
        }
        Ok(())
    }
}

/// For the eye.
const OUTAGE: Duration = Duration::from_millis(1500);
const TRY_AGAIN: Duration = Duration::from_millis(50);
// What is taken for a failure.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);
const CHECKED_WITHIN: Duration = Duration::from_secs(20);
const RECOVERS_WITHIN: Duration = Duration::from_secs(40);
