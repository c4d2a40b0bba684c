//! The listeners for other DRX: one for each `outside` that a resource names, for as long as one does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext, Context, Handler, Message};
use slog::{error, info};

use super::{Id, Relay};
use crate::child::{Child, ChildExited, spawn};
use crate::net::SocketOptions;
use crate::outside::{ListenTrouble, Outside, Route, Routes};

/// A listener across its generations.
pub(super) struct Listening {
    child: Option<Child<Outside>>,
    generation: u64,
    /// Nobody wants it any more, or nobody did: it is being closed, and begins anew only then, because two
    /// cannot have the address.
    closing: bool,
    /// Why nothing listens there, for a resource that begins later.
    trouble: Option<String>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct OutsideExited {
    at: SocketAddr,
    exited: ChildExited,
}

impl Relay {
    /// A resource with this `outside` has begun: there is a listener, and it knows the way to the resource.
    pub(super) fn listen_or_route(&mut self, at: SocketAddr, ctx: &mut Context<Self>) {
        if self.outsides.contains_key(&at) {
            self.route(at);
        } else {
            self.start_outside(at, ctx);
        }
    }

    /// A resource with this `outside` is gone: the last one takes the listener along.
    pub(super) fn route_or_close(&mut self, at: SocketAddr) {
        if self.members().any(|supervised| supervised.settings.outside == at) {
            return self.route(at);
        }
        let Some(listening) = self.outsides.get_mut(&at) else { return };
        listening.closing = true;
        listening.trouble = None;
        if listening.child.take().is_none() {
            self.outsides.remove(&at);
        }
        info!(self.log, "no resource is left here: closed to other DRX"; "outside" => %at);
    }

    /// What a resource that begins has not heard.
    pub(super) fn tell_trouble(&self, id: Id, at: SocketAddr) {
        let trouble = self.outsides.get(&at).and_then(|listening| listening.trouble.clone());
        let child = self.resources.get(&id).and_then(|supervised| supervised.child.as_ref());
        if let (Some(child), true) = (child, trouble.is_some()) {
            child.addr().do_send(ListenTrouble { at, trouble });
        }
    }

    fn start_outside(&mut self, at: SocketAddr, ctx: &mut Context<Self>) {
        let first = self.members().find(|supervised| supervised.settings.outside == at);
        let Some(first) = first.filter(|_| !self.shutting_down) else {
            self.outsides.remove(&at);
            return;
        };
        let mut options = SocketOptions::link();
        options.congestion = first.settings.link.congestion.clone();
        self.last_id += 1;
        let generation = self.last_id;
        let (node, net, log) = (self.settings.node.clone(), Arc::clone(&self.net), self.log.clone());
        let (relay, owner) = (ctx.address(), ctx.address().recipient());
        let child = spawn(
            generation,
            move |exited| relay.do_send(OutsideExited { at, exited }),
            move |_| Outside::new(at, node, net, options, log, owner),
        );
        let listening = Listening { child: Some(child), generation, closing: false, trouble: None };
        self.outsides.insert(at, listening);
        self.route(at);
    }

    fn route(&self, at: SocketAddr) {
        let routes = self
            .members()
            .filter(|supervised| supervised.settings.outside == at)
            .filter_map(|supervised| {
                Some(Route {
                    resource: supervised.settings.name.clone(),
                    remote: supervised.settings.remote.clone(),
                    local: supervised.settings.local.clone(),
                    supervisor: supervised.child.as_ref()?.addr().clone().recipient(),
                })
            })
            .collect();
        if let Some(child) = self.outsides.get(&at).and_then(|listening| listening.child.as_ref()) {
            child.addr().do_send(Routes(routes));
        }
    }
}

impl Handler<OutsideExited> for Relay {
    type Result = ();

    fn handle(&mut self, OutsideExited { at, exited }: OutsideExited, ctx: &mut Context<Self>) {
        let generation = exited.generation;
        let own = |listening: &&mut Listening| listening.generation == generation;
        let Some(listening) = self.outsides.get_mut(&at).filter(own) else { return };
        listening.child = None;
        if listening.closing {
            return self.start_outside(at, ctx); // if somebody wants it again
        }
        if !self.shutting_down {
            error!(self.log, "restarting the listener for other DRX"; "outside" => %at, "failed" => %exited.exit);
            ctx.run_later(OUTSIDE_AGAIN, move |relay, ctx| {
                // It may have been closed meanwhile, and even opened again.
                if relay.outsides.get(&at).is_some_and(|listening| listening.generation == generation) {
                    relay.start_outside(at, ctx);
                }
            });
        }
    }
}

impl Handler<ListenTrouble> for Relay {
    type Result = ();

    fn handle(&mut self, trouble: ListenTrouble, _: &mut Context<Self>) {
        for supervised in self.members().filter(|supervised| supervised.settings.outside == trouble.at) {
            if let Some(child) = &supervised.child {
                child.addr().do_send(trouble.clone());
            }
        }
        if let Some(listening) = self.outsides.get_mut(&trouble.at) {
            listening.trouble = trouble.trouble;
        }
    }
}

/// After the listener for other relays broke.
const OUTSIDE_AGAIN: Duration = Duration::from_secs(1);
