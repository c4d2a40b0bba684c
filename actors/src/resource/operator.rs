//! What an operator, a shutdown or a test wants of a resource.

use actix::{Context, Handler, Message, MessageResult, ResponseFuture};
use drx_protocol::codec::Compression;
use slog::info;
use tokio::sync::oneshot;

use super::Resource;
use crate::api::{Verb, Victim};
use crate::channel::StrikeAt;

/// What an operator wants, as the relay passes it on.
#[derive(Message)]
#[rtype(result = "u64")]
pub(crate) struct Want {
    pub(crate) verb: Verb,
    pub(crate) wait: bool,
}

/// Pack with this from the next payload on.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct SetCompression(pub(crate) Compression);

/// Panic somewhere in this resource, for the demo and for tests.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StrikeIn(pub(crate) Victim);

impl Handler<Want> for Resource {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, Want { verb, wait }: Want, ctx: &mut Context<Self>) -> ResponseFuture<u64> {
        let (done, waiter) = oneshot::channel();
        if verb != Verb::Down {
            for lane in &self.lanes {
                lane.memory.restarts.borrow_mut().reset();
            }
        }
        match verb {
            Verb::Up => {
                self.restarting = !self.up && self.lanes.iter().any(|lane| lane.child.is_some());
                if !self.restarting {
                    self.start_all(ctx);
                }
                let _ = done.send(0);
            }
            Verb::Down | Verb::Restart => {
                self.restarting = verb == Verb::Restart;
                if wait {
                    self.waiters.push(done);
                } else {
                    let _ = done.send(0);
                }
                self.failed = false;
                self.stop_all(ctx);
            }
        }
        Box::pin(async move { waiter.await.unwrap_or(0) })
    }
}

impl Handler<SetCompression> for Resource {
    type Result = ();

    fn handle(&mut self, SetCompression(to): SetCompression, _: &mut Context<Self>) {
        let from = self.terms.compression.replace(to);
        if from != to {
            info!(self.log, "compression"; "from" => %from, "to" => %to, "why" => "an operator wants it");
        }
    }
}

impl Handler<StrikeIn> for Resource {
    type Result = ();

    fn handle(&mut self, StrikeIn(victim): StrikeIn, _: &mut Context<Self>) {
        match victim {
            Victim::Resource => panic!("struck: the resource"),
            Victim::Channel(slot) | Victim::Local(slot) | Victim::Link(slot) | Victim::Bab(slot) => {
                if let Some(child) = &self.lanes[slot.index()].child {
                    child.addr().do_send(StrikeAt(victim));
                }
            }
        }
    }
}

/// What is not flushed yet, for a shutdown that does not wait any longer.
#[derive(Message)]
#[rtype(result = "u64")]
pub(crate) struct Held;

impl Handler<Held> for Resource {
    type Result = MessageResult<Held>;

    fn handle(&mut self, _: Held, _: &mut Context<Self>) -> MessageResult<Held> {
        MessageResult(self.unflushed + self.terms.data.held() + self.terms.meta.held())
    }
}
