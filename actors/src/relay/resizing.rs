//! BABs made larger or smaller while they are in use.

use actix::{ActorFutureExt, Context, Handler, ResponseActFuture, WrapFuture};
use drx_protocol::report::size as shown;
use futures_util::future::join_all;

use super::{Id, Relay};
use crate::api::{Refusal, Resize, Resized};
use crate::budget::META_BAB;
use crate::resource::{SetSize, SizeInForce};

impl Relay {
    /// What all BABs take, those that are still being flushed too, if the `chosen` ones have `size`.
    pub(super) fn total_with(&self, chosen: &[Id], size: u64) -> u64 {
        let own = self
            .resources
            .iter()
            .map(|(id, supervised)| if chosen.contains(id) { size } else { supervised.settings.bab.size });
        let leaving = self.leaving.values().filter(|leaving| !leaving.is_cut_short());
        let all = own.chain(leaving.map(|leaving| leaving.supervised.settings.bab.size));
        all.fold(0, |sum: u64, size| sum.saturating_add(size).saturating_add(META_BAB))
    }

    fn resized(&mut self, answers: Vec<(Id, String, SizeInForce)>) -> Result<Vec<Resized>, Refusal> {
        let (mut resized, mut refused) = (Vec::new(), Vec::new());
        for (id, connection, SizeInForce { size, held, refused: why }) in answers {
            let Some(supervised) = self.resources.get_mut(&id) else {
                refused.push(format!("{connection} was removed meanwhile"));
                continue;
            };
            supervised.settings.bab.size = size;
            supervised.resizing = false;
            match why {
                Some(why) => refused.push(format!("{connection} keeps {}: {why}", shown(size))),
                None => resized.push(Resized { connection, size, held }),
            }
        }
        if refused.is_empty() { Ok(resized) } else { Err(Refusal::NotResized(refused.join("; "))) }
    }
}

impl Handler<Resize> for Relay {
    type Result = ResponseActFuture<Self, Result<Vec<Resized>, Refusal>>;

    fn handle(&mut self, Resize { name, size }: Resize, _: &mut Context<Self>) -> Self::Result {
        let chosen = match self.chosen(&name) {
            Ok(chosen) => chosen,
            Err(refusal) => return Box::pin(async { Err(refusal) }.into_actor(self)),
        };
        let (needed, total) = (self.total_with(&chosen, size), self.settings.bab_total);
        let grows = chosen.iter().any(|id| self.resources[id].settings.bab.size < size);
        let refusal = if grows && needed > total {
            Some(Refusal::OverTotal { needed, total })
        } else if chosen.iter().any(|id| self.resources[id].resizing) {
            Some(Refusal::NotResized("its size is being changed already".to_owned()))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return Box::pin(async { Err(refusal) }.into_actor(self));
        }
        let mut asked = Vec::new();
        for id in chosen {
            let Some(supervised) = self.resources.get_mut(&id) else { continue };
            // Claimed before it is there, so that two at a time cannot pass the total together.
            supervised.settings.bab.size = size;
            supervised.resizing = true;
            let connection = supervised.settings.connection();
            let answer = supervised.child.as_ref().map(|child| child.addr().send(SetSize(size)));
            asked.push(async move {
                // A supervisor that is away comes back with what is claimed.
                let away = SizeInForce { size, held: 0, refused: None };
                let in_force = match answer {
                    Some(answer) => answer.await.unwrap_or(away),
                    None => away,
                };
                (id, connection, in_force)
            });
        }
        Box::pin(join_all(asked).into_actor(self).map(|answers, relay, _| relay.resized(answers)))
    }
}
