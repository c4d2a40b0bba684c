//! The actor of a resource's `inside` address: lives only while bsr is let in.
//!
//! At any other time nothing listens there, so the kernel refuses bsr at once. Accepting early and
//! closing later would cost bsr seconds, and leave half-dead connections behind (docs/channels.md 2).

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Wakeup, Poll};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::{Actor, ActorFutureExt, AsyncContext, Context, Message, Recipient, WrapFuture};
use slog::{Logger, warn};
use tokio::time::{Sleep, sleep};

use crate::net::{Listener, Net, SocketOptions, Stream};
use crate::outside::ListenTrouble;
use crate::quiet::Quiet;

/// bsr connected.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AtInside {
    /// Which listener: what an older one accepted is reset.
    pub(crate) generation: u64,
    pub(crate) stream: Box<dyn Stream>,
}

pub(crate) struct Inside {
    generation: u64,
    at: SocketAddr,
    net: Arc<dyn Net>,
    log: Logger,
    arrivals: Recipient<AtInside>,
    owner: Recipient<ListenTrouble>,
    listener: Option<Box<dyn Listener>>,
    pause: Option<Pin<Box<Sleep>>>,
    quiet: Quiet,
}

impl Inside {
    pub(crate) fn new(
        generation: u64,
        at: SocketAddr,
        net: Arc<dyn Net>,
        log: Logger,
        arrivals: Recipient<AtInside>,
        owner: Recipient<ListenTrouble>,
    ) -> Inside {
        Inside { generation, at, net, log, arrivals, owner, listener: None, pause: None, quiet: Quiet::new() }
    }

    fn listen(&mut self, ctx: &mut Context<Self>) {
        let listening = self.net.listen(self.at, BACKLOG, &SocketOptions::local());
        ctx.spawn(listening.into_actor(self).map(|listening, inside, ctx| {
            let trouble = match listening {
                Ok(listener) => {
                    inside.listener = Some(listener);
                    ctx.spawn(Pump);
                    None
                }
                Err(error) => {
                    ctx.run_later(LISTEN_AGAIN, |inside, ctx| inside.listen(ctx));
                    Some(format!("cannot listen on inside {}: {error}", inside.at))
                }
            };
            inside.owner.do_send(ListenTrouble { at: inside.at, trouble });
        }));
    }

    fn accept(&mut self, cx: &mut Wakeup<'_>) {
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return;
            }
            self.pause = None;
        }
        let Some(listener) = &mut self.listener else { return };
        // One a turn: the supervisor decides whether another one is let in.
        match listener.poll_accept(cx) {
            Poll::Pending => {}
            Poll::Ready(Ok((stream, _))) => {
                self.arrivals.do_send(AtInside { generation: self.generation, stream });
                cx.waker().wake_by_ref();
            }
            Poll::Ready(Err(error)) => {
                if let Some(unsaid) = self.quiet.may_say(self.at.ip()) {
                    warn!(self.log, "cannot accept"; "inside" => %self.at, "error" => %error, "unsaid" => unsaid);
                }
                self.pause = Some(Box::pin(sleep(SHORTAGE)));
                cx.waker().wake_by_ref();
            }
        }
    }
}

/// Begins with the listener: spawned earlier it would have had its turn before there is one, and nobody
/// would wake it.
struct Pump;

impl ActorFuture<Inside> for Pump {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        inside: &mut Inside,
        _: &mut Context<Inside>,
        cx: &mut Wakeup<'_>,
    ) -> Poll<()> {
        inside.accept(cx);
        Poll::Pending
    }
}

impl Actor for Inside {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.listen(ctx);
    }
}

/// bsr opens data and meta at most; what else is in the queue when the door closes is reset.
const BACKLOG: u32 = 2;
/// After an address could not be had.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
/// After accept(2) failed for want of descriptors or memory.
const SHORTAGE: Duration = Duration::from_millis(100);
