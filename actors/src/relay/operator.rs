//! What an operator, a shutdown or a test wants of the resources.

use actix::{Context, Handler, ResponseFuture};
use futures_util::future::join_all;
use slog::info;
use tokio::time::timeout;

use super::{ANSWERS_WITHIN, Id, Relay};
use crate::api::{
    Compress, Describe, Operate, Panic, Refusal, ResourceSettings, SetProxy, Shutdown, Unflushed, Verb,
};
use crate::resource::{Held, SetCompression, StrikeIn, Want};

impl Relay {
    /// The resources that a name stands for: at least one, except for `all`.
    pub(super) fn chosen(&self, name: &str) -> Result<Vec<Id>, Refusal> {
        if self.shutting_down {
            return Err(Refusal::ShuttingDown);
        }
        let named = |settings: &ResourceSettings| settings.is_named(name);
        let chosen: Vec<Id> = self
            .resources
            .iter()
            .filter_map(|(id, supervised)| named(&supervised.settings).then_some(*id))
            .collect();
        if !chosen.is_empty() || name == "all" {
            return Ok(chosen);
        }
        let leaves = self.leaving.values().any(|leaving| named(&leaving.supervised.settings));
        let name = name.to_owned();
        Err(if leaves { Refusal::BeingRemoved(name) } else { Refusal::UnknownName(name) })
    }
}

impl Handler<Operate> for Relay {
    type Result = ResponseFuture<Result<(), Refusal>>;

    fn handle(&mut self, operate: Operate, _: &mut Context<Self>) -> ResponseFuture<Result<(), Refusal>> {
        let chosen = match self.chosen(&operate.name) {
            Ok(chosen) => chosen,
            Err(refusal) => return Box::pin(async { Err(refusal) }),
        };
        let mut asked = Vec::new();
        for id in chosen {
            let Some(supervised) = self.resources.get_mut(&id) else { continue };
            supervised.up = operate.verb != Verb::Down;
            if operate.verb != Verb::Down {
                supervised.restarts.reset();
            }
            if let Some(child) = &supervised.child {
                asked.push(child.addr().send(Want { verb: operate.verb, wait: operate.wait }));
            }
        }
        Box::pin(async move {
            join_all(asked).await; // a supervisor that panics meanwhile comes back as it was wanted
            Ok(())
        })
    }
}

impl Handler<Compress> for Relay {
    type Result = ResponseFuture<Result<Vec<String>, Refusal>>;

    fn handle(&mut self, compress: Compress, _: &mut Context<Self>) -> Self::Result {
        let chosen = match self.chosen(&compress.name) {
            Ok(chosen) => chosen,
            Err(refusal) => return Box::pin(async { Err(refusal) }),
        };
        let (mut asked, mut connections) = (Vec::new(), Vec::new());
        for id in chosen {
            let Some(supervised) = self.resources.get_mut(&id) else { continue };
            supervised.settings.link.compression = compress.compression;
            connections.push(supervised.settings.connection());
            if let Some(child) = &supervised.child {
                asked.push(child.addr().send(SetCompression(compress.compression)));
            }
        }
        Box::pin(async move {
            join_all(asked).await; // a supervisor that panics meanwhile comes back with what is wanted
            Ok(connections)
        })
    }
}

impl Handler<Describe> for Relay {
    type Result = Vec<ResourceSettings>;

    fn handle(&mut self, Describe { name }: Describe, _: &mut Context<Self>) -> Vec<ResourceSettings> {
        let all = self.resources.values().map(|supervised| &supervised.settings);
        all.filter(|settings| settings.is_named(&name)).cloned().collect()
    }
}

impl Handler<SetProxy> for Relay {
    type Result = Result<(), Refusal>;

    fn handle(&mut self, set: SetProxy, _: &mut Context<Self>) -> Result<(), Refusal> {
        let id = self.connection(&set.connection)?;
        if let Some(supervised) = self.resources.get_mut(&id) {
            supervised.settings.proxy = set.proxy;
        }
        Ok(())
    }
}

impl Handler<Shutdown> for Relay {
    type Result = ResponseFuture<Unflushed>;

    fn handle(&mut self, Shutdown { at_once }: Shutdown, _: &mut Context<Self>) -> ResponseFuture<Unflushed> {
        if !std::mem::replace(&mut self.shutting_down, true) {
            info!(self.log, "shutting down"; "at_once" => at_once);
        }
        self.outsides.clear();
        let children: Vec<_> =
            self.members().filter_map(|supervised| Some(supervised.child.as_ref()?.addr().clone())).collect();
        if at_once {
            let ending = (std::mem::take(&mut self.resources), std::mem::take(&mut self.leaving));
            return Box::pin(async move {
                let held =
                    join_all(children.iter().map(|child| timeout(ANSWERS_WITHIN, child.send(Held)))).await;
                // Not before: who is let go answers nothing any more.
                drop(ending);
                Unflushed { bytes: held.into_iter().filter_map(|held| held.ok()?.ok()).sum() }
            });
        }
        Box::pin(async move {
            let down = children.iter().map(|child| child.send(Want { verb: Verb::Down, wait: true }));
            Unflushed { bytes: join_all(down).await.into_iter().filter_map(Result::ok).sum() }
        })
    }
}

impl Handler<Panic> for Relay {
    type Result = Result<(), Refusal>;

    fn handle(&mut self, Panic { resource, victim }: Panic, _: &mut Context<Self>) -> Result<(), Refusal> {
        let struck: Vec<_> = self
            .members()
            .filter(|supervised| self.faults_allowed && supervised.settings.is_named(&resource))
            .collect();
        if struck.is_empty() {
            return Err(Refusal::UnknownName(resource));
        }
        for child in struck.into_iter().filter_map(|supervised| supervised.child.as_ref()) {
            child.addr().do_send(StrikeIn(victim));
        }
        Ok(())
    }
}
