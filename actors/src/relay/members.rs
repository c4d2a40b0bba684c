//! Resources that are added and removed while the relay runs.
//!
//! A resource that is removed is flushed before it is gone. Until then it keeps its way to the other DRX, and
//! nobody can do anything with it any more but ask how it stands, and cut the flush short by adding a resource
//! that wants its name or its `inside`.

use actix::{ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, WrapFuture};
use slog::{error, info, warn};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{ANSWERS_WITHIN, Id, Relay, Supervised};
use crate::api::{Add, Added, Refusal, Remove, ResourceSettings, Verb};
use crate::budget::META_BAB;
use crate::child::ChildExited;
use crate::resource::{Held, Want};

/// A resource on its way out.
pub(super) struct Leaving {
    pub(super) supervised: Supervised,
    /// Somebody wants its addresses: it is no longer flushed, only waited for.
    cut_short: bool,
    /// Bytes of bsr's that the other DRX has not acknowledged, as it seems.
    unflushed: Unflushed,
}

#[derive(Clone, Copy)]
enum Unflushed {
    Bytes(u64),
    NotKnown,
}

impl Leaving {
    pub(super) fn is_cut_short(&self) -> bool {
        self.cut_short
    }

    /// Whether somebody who is added cannot wait for its end.
    fn is_in_the_way_of(&self, added: &ResourceSettings) -> bool {
        let own = &self.supervised.settings;
        own.is_same_connection(added) || own.inside == added.inside
    }
}

impl Relay {
    /// The connection of exactly this name.
    pub(super) fn connection(&self, name: &str) -> Result<Id, Refusal> {
        let chosen = self.chosen(name)?.into_iter();
        let is = |id: &Id| self.resources.get(id).is_some_and(|one| one.settings.connection() == name);
        chosen.into_iter().find(is).ok_or_else(|| Refusal::UnknownName(name.to_owned()))
    }

    /// Whether there is room for it. `Some`: it is there already.
    fn admit(&self, added: &ResourceSettings) -> Result<Option<Added>, Refusal> {
        if self.shutting_down {
            return Err(Refusal::ShuttingDown);
        }
        let present = || self.resources.values().map(|supervised| &supervised.settings);
        if let Some(same) = present().find(|present| present.is_same_connection(added)) {
            let addresses = |of: &ResourceSettings| [of.inside, of.outside, of.peer, of.bsr];
            if addresses(same) == addresses(added) {
                return Ok(Some(Added::Same));
            }
            return Err(Refusal::OtherAddresses {
                connection: added.connection(),
                present: same.addresses(),
                wanted: added.addresses(),
            });
        }
        if let Some(owner) = present().find(|present| present.inside == added.inside) {
            return Err(Refusal::InsideTaken { inside: added.inside, owner: owner.connection() });
        }
        let in_the_way =
            self.leaving.values().filter(|leaving| !leaving.cut_short && leaving.is_in_the_way_of(added));
        let freed: u64 = in_the_way.map(|leaving| leaving.supervised.settings.bab.size + META_BAB).sum();
        let needed = self.total_with(&[], 0).saturating_sub(freed);
        let needed = needed.saturating_add(added.bab.size).saturating_add(META_BAB);
        let total = self.settings.bab_total;
        if needed > total { Err(Refusal::OverTotal { needed, total }) } else { Ok(None) }
    }

    /// Has it closed at once, with what it holds. [`Relay::left`] says when that is done.
    fn cut_short(&mut self, id: Id, ctx: &mut Context<Self>) {
        let Some(leaving) = self.leaving.get_mut(&id) else { return };
        if std::mem::replace(&mut leaving.cut_short, true) {
            return;
        }
        let Some(child) = &leaving.supervised.child else { return };
        let asked = timeout(ANSWERS_WITHIN, child.addr().send(Held));
        ctx.spawn(asked.into_actor(self).map(move |held, relay, _| {
            if let Some(leaving) = relay.leaving.get_mut(&id) {
                leaving.unflushed = match held {
                    Ok(Ok(bytes)) => Unflushed::Bytes(bytes),
                    _ => Unflushed::NotKnown,
                };
                // Its end is reported when its sockets are closed.
                leaving.supervised.child = None;
            }
        }));
    }

    /// The supervisor of a resource that is being removed has ended: cut short, or by a fault.
    pub(super) fn left(&mut self, id: Id, exited: &ChildExited, ctx: &mut Context<Self>) {
        let Some(leaving) = self.leaving.get_mut(&id) else { return };
        if leaving.supervised.generation != exited.generation {
            return;
        }
        if exited.exit.is_fault() {
            error!(self.log, "the supervisor of a resource that is being removed broke";
                "connection" => leaving.supervised.settings.connection(), "failed" => %exited.exit);
        }
        self.gone(id, ctx);
    }

    /// Nothing of it is left, and its addresses are free.
    fn gone(&mut self, id: Id, ctx: &mut Context<Self>) {
        let Some(Leaving { supervised, cut_short, unflushed }) = self.leaving.remove(&id) else { return };
        let settings = &supervised.settings;
        let why = if cut_short { "another one takes its place" } else { "it was asked for" };
        info!(self.log, "removed a connection"; "connection" => settings.connection(), "why" => why,
            "inside" => %settings.inside, "outside" => %settings.outside, "peer" => %settings.peer,
            "bsr" => %settings.bsr);
        match unflushed {
            Unflushed::Bytes(0) => {}
            Unflushed::Bytes(bytes) => warn!(self.log, "bytes of bsr's were left unflushed";
                "connection" => settings.connection(), "bytes" => bytes),
            Unflushed::NotKnown => warn!(self.log, "bytes of bsr's may have been left unflushed";
                "connection" => settings.connection(), "bytes" => "not known"),
        }
        self.route_or_close(settings.outside);
        let mut ready = Vec::new();
        for (&waiting, supervised) in &mut self.resources {
            let waited = supervised.waits_for.contains(&id);
            supervised.waits_for.retain(|&other| other != id);
            if waited && supervised.waits_for.is_empty() {
                ready.push(waiting);
            }
        }
        for id in ready {
            self.start_resource(id, ctx);
        }
    }
}

impl Handler<Add> for Relay {
    type Result = ResponseFuture<Result<Added, Refusal>>;

    fn handle(&mut self, Add(settings): Add, ctx: &mut Context<Self>) -> Self::Result {
        match self.admit(&settings) {
            Ok(None) => {}
            Ok(Some(added)) => return Box::pin(async move { Ok(added) }),
            Err(refusal) => return Box::pin(async { Err(refusal) }),
        }
        info!(self.log, "adding a connection"; "connection" => settings.connection(),
            "inside" => %settings.inside, "outside" => %settings.outside, "peer" => %settings.peer,
            "bsr" => %settings.bsr, "bab.size" => settings.bab.size);
        let in_the_way: Vec<Id> = self
            .leaving
            .iter()
            .filter_map(|(id, leaving)| leaving.is_in_the_way_of(&settings).then_some(*id))
            .collect();
        let id = self.enroll(*settings);
        let (announced, begun) = oneshot::channel();
        if let Some(supervised) = self.resources.get_mut(&id) {
            supervised.announced = Some(announced);
            supervised.waits_for.clone_from(&in_the_way);
        }
        if in_the_way.is_empty() {
            self.start_resource(id, ctx);
        }
        for other in in_the_way {
            self.cut_short(other, ctx);
        }
        Box::pin(async move {
            let _ = begun.await; // or it was removed before it began
            Ok(Added::New)
        })
    }
}

impl Handler<Remove> for Relay {
    type Result = Result<(), Refusal>;

    fn handle(&mut self, Remove { connection }: Remove, ctx: &mut Context<Self>) -> Result<(), Refusal> {
        let id = match self.connection(&connection) {
            Ok(id) => id,
            Err(Refusal::BeingRemoved(_)) => return Ok(()),
            Err(refusal) => return Err(refusal),
        };
        let Some(mut supervised) = self.resources.remove(&id) else { return Ok(()) };
        supervised.announced = None;
        let asked = supervised.child.as_ref();
        let asked = asked.map(|child| child.addr().send(Want { verb: Verb::Down, wait: true }));
        // One that was in its back-off, or had not begun, has nothing to flush.
        let unflushed = if asked.is_some() { Unflushed::NotKnown } else { Unflushed::Bytes(0) };
        self.leaving.insert(id, Leaving { supervised, cut_short: false, unflushed });
        match asked {
            None => self.gone(id, ctx),
            Some(asked) => {
                ctx.spawn(asked.into_actor(self).map(move |flushed, relay, ctx| {
                    // A supervisor that broke meanwhile is reported as one that has ended.
                    if let (Ok(bytes), Some(leaving)) = (flushed, relay.leaving.get_mut(&id)) {
                        leaving.unflushed = Unflushed::Bytes(bytes);
                        relay.gone(id, ctx);
                    }
                }));
            }
        }
        Ok(())
    }
}
