//! The actor of a resource's `inside` address: lives only while bsr is let in.
//!
//! At any other time nothing listens there, so the kernel refuses bsr at once. Accepting early and
//! closing later would cost bsr seconds, and leave half-dead connections behind (docs/channels.md 2).

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as Wakeup, Poll};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::{Actor, ActorFutureExt, AsyncContext, Context, Message, Recipient, WrapFuture};
use futures_util::FutureExt;
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
    door: Door,
    pause: Option<Pin<Box<Sleep>>>,
    quiet: Quiet,
}

/// The listening socket, shared by the supervisor and the actor that accepts from it: the supervisor
/// opens and closes it at the very moment that a channel begins or ceases to wait for bsr.
#[derive(Clone, Default)]
pub(crate) struct Door(Rc<RefCell<Option<Box<dyn Listener>>>>);

impl Door {
    /// A door that is open at once, if the network has a listener at once.
    pub(crate) fn open(net: &dyn Net, at: SocketAddr) -> Door {
        let listening = net.listen(at, BACKLOG, &SocketOptions::local()).now_or_never();
        Door(Rc::new(RefCell::new(listening.and_then(Result::ok))))
    }

    /// From now on bsr is refused.
    pub(crate) fn close(&self) {
        self.0.borrow_mut().take();
    }
}

impl Inside {
    pub(crate) fn new(
        generation: u64,
        at: SocketAddr,
        net: Arc<dyn Net>,
        log: Logger,
        arrivals: Recipient<AtInside>,
        owner: Recipient<ListenTrouble>,
        door: Door,
    ) -> Inside {
        Inside { generation, at, net, log, arrivals, owner, door, pause: None, quiet: Quiet::new() }
    }

    fn listen(&mut self, ctx: &mut Context<Self>) {
        let listening = self.net.listen(self.at, BACKLOG, &SocketOptions::local());
        ctx.spawn(listening.into_actor(self).map(|listening, inside, ctx| inside.listening(listening, ctx)));
    }

    fn listening(&mut self, listening: io::Result<Box<dyn Listener>>, ctx: &mut Context<Self>) {
        let trouble = match listening {
            Ok(listener) => {
                *self.door.0.borrow_mut() = Some(listener);
                ctx.spawn(Pump);
                None
            }
            Err(error) => {
                ctx.run_later(LISTEN_AGAIN, |inside, ctx| inside.listen(ctx));
                Some(format!("cannot listen on inside {}: {error}", self.at))
            }
        };
        self.owner.do_send(ListenTrouble { at: self.at, trouble });
    }

    fn accept(&mut self, cx: &mut Wakeup<'_>) {
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return;
            }
            self.pause = None;
        }
        // One a turn: the supervisor decides whether another one is let in.
        let accepted = match self.door.0.borrow_mut().as_mut() {
            Some(listener) => listener.poll_accept(cx),
            None => return, // it was closed meanwhile
        };
        match accepted {
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
        let listener = self.door.0.borrow_mut().take();
        match listener {
            Some(listener) => self.listening(Ok(listener), ctx),
            None => self.listen(ctx),
        }
    }
}

/// bsr opens data and meta at most; what else is in the queue when the door closes is reset.
const BACKLOG: u32 = 2;
/// After an address could not be had.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
/// After accept(2) failed for want of descriptors or memory.
const SHORTAGE: Duration = Duration::from_millis(100);
