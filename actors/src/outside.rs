//! The actor of one `outside` address: takes the other relays' dials for every resource there.
//!
//! A stranger costs a socket, 4 KiB and 5 s, and never sees a BAB (docs/link.md 2). Only a handshake
//! that names a resource of ours, between the right nodes, reaches that resource's supervisor.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Wakeup, Poll};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient, WrapFuture};
use drx_protocol::handshake::{HandshakeError, Hello, Refusal, Versions};
use slog::{Logger, debug, info, warn};
use tokio::time::{Sleep, sleep};

use crate::handshake::{HandshakeFailure, hear, refuse};
use crate::messages::DrxDialled;
use crate::net::{Listener, Net, SocketOptions, Stream};
use crate::quiet::Quiet;
use crate::task::Task;

mod opposite;

use opposite::are_opposite;

/// Which resources are reached here.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Routes(pub(crate) Vec<Route>);

/// One of them.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) resource: String,
    pub(crate) remote: String,
    pub(crate) local: String,
    pub(crate) supervisor: Recipient<DrxDialled>,
}

/// What is wrong with listening here, or that nothing is any more.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ListenTrouble {
    pub(crate) at: SocketAddr,
    pub(crate) trouble: Option<String>,
}

pub(crate) struct Outside {
    at: SocketAddr,
    node: String,
    net: Arc<dyn Net>,
    options: SocketOptions,
    log: Logger,
    owner: Recipient<ListenTrouble>,
    listener: Option<Box<dyn Listener>>,
    /// After a shortage of descriptors accepting pauses.
    pause: Option<Pin<Box<Sleep>>>,
    routes: HashMap<String, Vec<Route>>,
    /// Handshakes under way, the oldest first: from where.
    shaking: BTreeMap<u64, (IpAddr, Task)>,
    accepted: u64,
    quiet: Quiet,
    trouble: Option<String>,
}

impl Outside {
    pub(crate) fn new(
        at: SocketAddr,
        node: String,
        net: Arc<dyn Net>,
        options: SocketOptions,
        log: Logger,
        owner: Recipient<ListenTrouble>,
    ) -> Outside {
        Outside {
            at,
            node,
            net,
            options,
            log,
            owner,
            listener: None,
            pause: None,
            routes: HashMap::new(),
            shaking: BTreeMap::new(),
            accepted: 0,
            quiet: Quiet::new(),
            trouble: None,
        }
    }

    fn listen(&mut self, ctx: &mut Context<Self>) {
        let listening = self.net.listen(self.at, BACKLOG, &self.options);
        ctx.spawn(listening.into_actor(self).map(|listening, outside, ctx| match listening {
            Ok(listener) => {
                info!(outside.log, "listening for other DRX"; "outside" => %outside.at);
                outside.listener = Some(listener);
                ctx.spawn(Pump);
                outside.in_trouble(None);
            }
            Err(error) => {
                outside.in_trouble(Some(format!("cannot listen on outside {}: {error}", outside.at)));
                ctx.run_later(LISTEN_AGAIN, |outside, ctx| outside.listen(ctx));
            }
        }));
    }

    fn in_trouble(&mut self, trouble: Option<String>) {
        if trouble != self.trouble {
            if let Some(trouble) = &trouble {
                warn!(self.log, "no other DRX can connect"; "trouble" => trouble);
            }
            self.trouble = trouble.clone();
            self.owner.do_send(ListenTrouble { at: self.at, trouble });
        }
    }

    fn accept(&mut self, ctx: &mut Context<Self>, cx: &mut Wakeup<'_>) {
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return;
            }
            self.pause = None;
        }
        while let Some(listener) = &mut self.listener {
            match listener.poll_accept(cx) {
                Poll::Pending => return,
                Poll::Ready(Ok((stream, from))) => self.accepted(stream, from, ctx),
                Poll::Ready(Err(error)) => {
                    if let Some(unsaid) = self.quiet.may_say(self.at.ip()) {
                        warn!(self.log, "cannot accept"; "outside" => %self.at, "error" => %error, "unsaid" => unsaid);
                    }
                    self.pause = Some(Box::pin(sleep(SHORTAGE)));
                    return self.accept(ctx, cx);
                }
            }
        }
    }

    fn accepted(&mut self, mut stream: Box<dyn Stream>, from: SocketAddr, ctx: &mut Context<Self>) {
        if self.shaking.len() >= MOST_HANDSHAKES {
            self.make_room(ctx);
        }
        self.accepted += 1;
        let number = self.accepted;
        let heard = async move {
            let heard = hear(&mut *stream).await;
            (stream, heard)
        };
        let shaking = Task::run(ctx, self, heard, move |(stream, heard), outside: &mut Self, _| {
            outside.shaking.remove(&number);
            match heard {
                Ok(hello) => outside.route(stream, hello, from),
                Err(failure) => outside.strange(stream, &failure, from),
            }
        });
        self.shaking.insert(number, (from.ip(), shaking));
    }

    /// Ends the oldest handshake of the address that has the most under way. A relay is through with its own
    /// within a round trip; who connects and says nothing must not keep it out.
    fn make_room(&mut self, ctx: &mut Context<Self>) {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for (from, _) in self.shaking.values() {
            *counts.entry(*from).or_default() += 1;
        }
        let most = counts.values().copied().max();
        let oldest = self.shaking.iter().find(|(_, (from, _))| counts.get(from).copied() == most);
        let Some((&number, &(from, _))) = oldest else { return };
        if let Some((_, task)) = self.shaking.remove(&number) {
            task.call_off(ctx);
        }
        if let Some(unsaid) = self.quiet.may_say(from) {
            warn!(self.log, "closed: too many handshakes at once"; "from" => %from, "unsaid" => unsaid);
        }
    }

    fn strange(&mut self, stream: Box<dyn Stream>, failure: &HandshakeFailure, from: SocketAddr) {
        match failure {
            // A port scan, a health check: ordinary.
            HandshakeFailure::Closed | HandshakeFailure::Io(_) => {
                debug!(self.log, "no handshake"; "from" => %from, "why" => %failure);
            }
            _ => {
                if let Some(unsaid) = self.quiet.may_say(from.ip()) {
                    warn!(self.log, "refused: no usable handshake"; "from" => %from, "why" => %failure, "unsaid" => unsaid);
                }
            }
        }
        if let HandshakeFailure::Bad(HandshakeError::Version(theirs)) = failure {
            let ours = Versions::OURS;
            refuse(stream, Refusal::Version, &format!("{ours} is spoken here, {theirs} there"));
        }
    }

    fn route(&mut self, stream: Box<dyn Stream>, hello: Hello, from: SocketAddr) {
        let (resource, remote) = (hello.resource.as_str(), hello.from.as_str());
        let routes = self.routes.get(resource).map(Vec::as_slice).unwrap_or_default();
        let shared: Vec<_> = routes.iter().filter(|route| route.remote == remote).collect();
        let named = shared.iter().copied().find(|route| route.local == hello.to.as_str());
        if let Some(route) = named.or_else(|| self.opposite(&hello)) {
            let Ok(stream) = stream.detach() else { return };
            return route.supervisor.do_send(DrxDialled { stream, hello, from: from.to_string() });
        }
        let (refusal, sentence) = if routes.is_empty() {
            (Refusal::UnknownResource, format!("{} has no resource {resource}", self.node))
        } else if shared.is_empty() {
            let remotes = names(routes.iter().map(|route| &route.remote));
            let sentence = format!("resource {resource} is shared with {remotes}, not with {remote}");
            (Refusal::NamesDoNotMatch, sentence)
        } else {
            let locals = names(shared.iter().map(|route| &route.local));
            (Refusal::NamesDoNotMatch, format!("this node is {locals}, not {}", hello.to))
        };
        if let Some(unsaid) = self.quiet.may_say(from.ip()) {
            warn!(self.log, "refused a dial of another DRX"; "from" => %from, "resource" => resource,
                "why" => %refusal, "sentence" => &sentence, "unsaid" => unsaid);
        }
        refuse(stream, refusal, &sentence);
    }

    /// The one route whose connection is the other end of the one that they mean, however each took its name apart.
    fn opposite(&self, hello: &Hello) -> Option<&Route> {
        let theirs = connection(hello.resource.as_str(), hello.to.as_str(), hello.from.as_str());
        let mut fitting =
            self.routes.values().flatten().filter(|route| {
                are_opposite(&connection(&route.resource, &route.remote, &route.local), &theirs)
            });
        fitting.next().filter(|_| fitting.next().is_none())
    }
}

fn connection(resource: &str, remote: &str, local: &str) -> String {
    format!("{resource}-{remote}-{local}")
}

/// Each once.
fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
}

/// Begins with the listener: spawned earlier it would have had its turn before there is one, and nobody
/// would wake it.
struct Pump;

impl ActorFuture<Outside> for Pump {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        outside: &mut Outside,
        ctx: &mut Context<Outside>,
        cx: &mut Wakeup<'_>,
    ) -> Poll<()> {
        outside.accept(ctx, cx);
        Poll::Pending
    }
}

impl Actor for Outside {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.listen(ctx);
    }
}

impl Handler<Routes> for Outside {
    type Result = ();

    fn handle(&mut self, Routes(routes): Routes, _: &mut Context<Self>) {
        self.routes.clear();
        for route in routes {
            self.routes.entry(route.resource.clone()).or_default().push(route);
        }
    }
}

/// Dials that wait to be accepted; each resource has four lanes, most of them up for years.
const BACKLOG: u32 = 128;
/// Handshakes under way at once, together at most 1 MiB. Beyond that each new one ends an old one.
const MOST_HANDSHAKES: usize = 256;
/// After an address could not be had.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
/// After accept(2) failed for want of descriptors or memory.
const SHORTAGE: Duration = Duration::from_millis(100);
