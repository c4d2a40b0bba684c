//! The memory of a resource's data BABs: reserved when it comes up, resized while it runs, given back
//! when it is down.

use std::rc::Rc;
use std::time::Duration;

use actix::{Context, Handler, Message, ResponseFuture};
use drx_protocol::report::size as shown;
use drx_protocol::session::Slot;
use slog::{info, warn};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::Resource;
use crate::bab::backing::{Unreserved, reserve};
use crate::bab::mapping::Stretch;
use crate::messages::ChannelOrder;
use crate::task::Task;

/// How far the memory is reserved.
#[derive(Default)]
pub(super) struct Reservation {
    /// What is reserving it, or waits to try again.
    under_way: Option<Task>,
    trouble: Option<Unreserved>,
}

impl Reservation {
    /// Why the memory is not there.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.as_ref().map(|why| format!("the BAB's memory is not there: {why}"))
    }
}

/// Make the data BABs so large.
#[derive(Message)]
#[rtype(result = "SizeInForce")]
pub(crate) struct SetSize(pub(crate) u64);

/// How large the data BABs are, after a [`SetSize`].
#[derive(Debug)]
pub(crate) struct SizeInForce {
    pub(crate) size: u64,
    pub(crate) held: u64,
    /// Why it is not what was wanted.
    pub(crate) refused: Option<String>,
}

impl Resource {
    /// Has memory reserved until there is enough, for which the channels wait in `allocating`.
    pub(super) fn reserve(&mut self, ctx: &mut Context<Self>) {
        let Some(pool) = self.terms.data.pool() else { return };
        if self.reservation.under_way.is_some() {
            return;
        }
        if pool.missing() == 0 {
            return self.order_all(|| ChannelOrder::Allocated);
        }
        let began = Instant::now();
        self.reservation.under_way = Some(self.ask_for(pool.missing(), ctx, move |outcome, resource, ctx| {
            resource.reservation.under_way = None;
            match outcome {
                Ok(stretch) => {
                    info!(resource.log, "the BAB's memory is reserved";
                        "bytes" => stretch.len(), "after" => format!("{:.1?}", began.elapsed()));
                    resource.reservation.trouble = None;
                    pool.add(stretch);
                    resource.reserve(ctx);
                }
                Err(why) => {
                    if !resource.reservation.trouble.as_ref().is_some_and(|known| known.is_like(&why)) {
                        warn!(resource.log, "the BAB's memory cannot be reserved, its channels wait for it";
                            "why" => %why, "again" => format!("{AGAIN:?}"));
                    }
                    resource.reservation.trouble = Some(why);
                    let again = Task::later(ctx, AGAIN, |resource: &mut Self, ctx| {
                        resource.reservation.under_way = None;
                        resource.reserve(ctx);
                    });
                    resource.reservation.under_way = Some(again);
                }
            }
        }));
    }

    /// Nothing is reserved for a resource that is down.
    pub(super) fn give_memory_back(&mut self, ctx: &mut Context<Self>) {
        if let Some(under_way) = std::mem::take(&mut self.reservation).under_way {
            under_way.call_off(ctx);
        }
        self.terms.data.give_back();
    }

    /// Reserves `bytes` where it holds nobody up.
    fn ask_for(
        &self,
        bytes: u64,
        ctx: &mut Context<Self>,
        then: impl FnOnce(Result<Stretch, Unreserved>, &mut Resource, &mut Context<Resource>) + 'static,
    ) -> Task {
        let backing = self.terms.settings.bab.backing.clone();
        let asked = spawn_blocking(move || reserve(&backing, bytes));
        let outcome =
            async move { asked.await.unwrap_or_else(|ended| Err(Unreserved::Broken(ended.to_string()))) };
        Task::run(ctx, self, outcome, then)
    }

    /// Smaller takes effect at once, and nothing that is held is dropped; larger when the memory is there.
    fn resize(&mut self, size: u64, done: oneshot::Sender<SizeInForce>, ctx: &mut Context<Self>) {
        let data = &self.terms.data;
        // While the resource is down, or waits for its memory, there is nothing to add to.
        let pool = data.pool().filter(|pool| self.up && data.stands() && pool.missing_for(size) > 0);
        let Some(pool) = pool else { return self.resized(size, done) };
        self.ask_for(pool.missing_for(size), ctx, move |outcome, resource, _| match outcome {
            Ok(stretch) if resource.terms.data.pool().is_some_and(|now| Rc::ptr_eq(&now, &pool)) => {
                resource.resized(size, done);
                pool.add(stretch);
            }
            Ok(_) => resource.not_resized("the resource went down meanwhile".to_owned(), done),
            Err(why) => resource.not_resized(why.to_string(), done),
        });
    }

    fn resized(&mut self, size: u64, done: oneshot::Sender<SizeInForce>) {
        let before = self.terms.data.size();
        self.terms.data.resize(size);
        info!(self.log, "the BAB was resized"; "from" => shown(before), "to" => shown(size),
            "held" => shown(self.terms.data.held()));
        self.order_all(|| ChannelOrder::Resized);
        let _ = done.send(self.size_in_force(None)); // who asked may have gone away
    }

    fn not_resized(&mut self, why: String, done: oneshot::Sender<SizeInForce>) {
        let _ = done.send(self.size_in_force(Some(why))); // as above
    }

    fn size_in_force(&self, refused: Option<String>) -> SizeInForce {
        SizeInForce { size: self.terms.data.size(), held: self.terms.data.held(), refused }
    }

    fn order_all(&self, order: impl Fn() -> ChannelOrder) {
        for slot in Slot::ALL {
            self.order(slot, order());
        }
    }
}

impl Handler<SetSize> for Resource {
    type Result = ResponseFuture<SizeInForce>;

    fn handle(&mut self, SetSize(size): SetSize, ctx: &mut Context<Self>) -> ResponseFuture<SizeInForce> {
        let (done, answer) = oneshot::channel();
        let before = self.size_in_force(Some("the resource's supervisor has ended".to_owned()));
        self.resize(size, done, ctx);
        Box::pin(async move { answer.await.unwrap_or(before) })
    }
}

/// Before memory that could not be reserved is asked for again.
const AGAIN: Duration = Duration::from_secs(1);
