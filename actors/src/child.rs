//! Children: actors whose end is always noticed, whatever it was.
//!
//! [`actix::Supervisor`] restarts an actor that called `ctx.stop()`, and nothing else: a panic in a
//! handler ends an actor for good and nobody hears of it. A channel of the relay that ends
//! so would keep a disk waiting for ever. So the owner of an actor spawns it here, holds a [`Child`],
//! and is told once, by [`ChildExited`], how it ended; a restart is a new child of a new generation.
//!
//! The order of things at the end is what keeps a second panic from ending the process:
//!
//! 1. The panic is caught around the poll, so nothing of the actor is dropped while unwinding.
//! 2. The context is terminated, because dropping a live `ContextFut` polls it once more, and that
//!    runs `stopping` and `stopped` of an actor that is known to be broken (or, if `stopping` answers
//!    `Running::Continue`, its handlers).
//! 3. The actor and its futures are dropped, and a panic of theirs is caught too.
//! 4. The owner is told: by then what the actor held (sockets, memory) is released.
//!
//! What is left, and can not be helped from here: *two* values dropped by the same unwinding that both
//! panic in `Drop` end the process, as everywhere in Rust.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task;
use std::task::Poll;

use actix::dev::ContextFut;
use actix::dev::channel::{AddressReceiver, channel};
use actix::{Actor, ActorContext, Addr, Context, Message};
use actix_rt::ArbiterHandle;
use tokio::sync::oneshot;

/// A running child, held by the one who spawned it. Dropping it ends the child.
///
/// The end comes with the child's next turn on its arbiter, before any message that waits in its
/// mailbox, and no matter who else still holds its address: actors that hold each other's `Addr` would
/// never end by themselves. The child's values are then dropped *on its own arbiter*, never by the
/// thread or the unwinding that drops the handle: so an owner that is dropped because it panicked is as
/// safe as any other. Of the actor's own code only `Drop` runs then, neither `stopping` nor `stopped`;
/// sockets close there.
///
/// A child can not be interrupted within a turn: one that blocks its arbiter ends when it comes back.
#[derive(Debug)]
#[must_use = "dropping it ends the child"]
pub struct Child<A: Actor<Context = Context<A>>> {
    addr: Addr<A>,
    generation: u64,
    /// Never used to send: the child sees it dropped.
    _held: oneshot::Sender<Infallible>,
}

impl<A: Actor<Context = Context<A>>> Child<A> {
    /// Where to send to the child. It may have ended already: messages are then dropped.
    pub fn addr(&self) -> &Addr<A> {
        &self.addr
    }

    /// The number given at [`spawn`]: what tells this child's report from an older one's.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// The report on a child's end, made exactly once for every child spawned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildExited {
    /// Which child: the owner ignores reports on a generation that it no longer holds.
    pub generation: u64,
    /// How it ended.
    pub exit: Exit,
}

impl Message for ChildExited {
    type Result = ();
}

/// How a child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It stopped itself: `ctx.stop()` or `ctx.terminate()`.
    Stopped,
    /// It panicked: in a handler, a future of its context, `started`, `stopping`, `stopped` or `Drop`. The panic's
    /// message; if dropping it panicked as well, both. The place is in what the panic hook printed.
    Panicked(String),
    /// There never was an actor: its constructor panicked, with this message.
    ConstructorPanicked(String),
    /// Its [`Child`] was dropped.
    Aborted,
    /// Its arbiter ended with the child on it, or was gone before the child began.
    ArbiterStopped,
}

impl Exit {
    /// Whether this end is a defect, to be counted by a restart policy, rather than somebody's wish.
    pub fn is_fault(&self) -> bool {
        match self {
            Exit::Panicked(_) | Exit::ConstructorPanicked(_) => true,
            Exit::Stopped | Exit::Aborted | Exit::ArbiterStopped => false,
        }
    }

    /// This end, and on top of it a panic while the child's values were dropped.
    fn and_panicked(self, message: String) -> Exit {
        match self {
            Exit::Panicked(first) => Exit::Panicked(both(first, message)),
            Exit::ConstructorPanicked(first) => Exit::ConstructorPanicked(both(first, message)),
            Exit::Stopped | Exit::Aborted | Exit::ArbiterStopped => Exit::Panicked(message),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Stopped => f.write_str("stopped"),
            Exit::Panicked(message) => write!(f, "panicked: {message}"),
            Exit::ConstructorPanicked(message) => write!(f, "panicked while being built: {message}"),
            Exit::Aborted => f.write_str("ended by its owner"),
            Exit::ArbiterStopped => f.write_str("ended with its arbiter"),
        }
    }
}

/// Spawns an actor on the current arbiter.
///
/// `build` makes the actor in the child's own first turn, not before this returns; messages sent
/// meanwhile wait. `on_exit` is called once, on the same arbiter, after all of the child is dropped; it
/// should only pass the report on (`owner.do_send(report)`): a panic in it is caught and lost.
///
/// # Panics
/// Outside of an arbiter (or a tokio `LocalSet`).
pub fn spawn<A>(
    generation: u64,
    on_exit: impl FnOnce(ChildExited) + 'static,
    build: impl FnOnce(&mut Context<A>) -> A + 'static,
) -> Child<A>
where
    A: Actor<Context = Context<A>>,
{
    let (child, seed) = prepare(generation, on_exit, build);
    live(seed);
    child
}

/// Spawns an actor on another arbiter: as [`spawn`], with `build` and `on_exit` called there.
///
/// If that arbiter has ended already, the child ends as [`Exit::ArbiterStopped`], and `on_exit` may be
/// called by this thread before this returns. The arbiter of a `System`'s own thread is a special case:
/// `stop` makes it deaf to `spawn_on`, but what lives on it goes on until the `SystemRunner` is dropped.
pub fn spawn_on<A>(
    arbiter: &ArbiterHandle,
    generation: u64,
    on_exit: impl FnOnce(ChildExited) + Send + 'static,
    build: impl FnOnce(&mut Context<A>) -> A + Send + 'static,
) -> Child<A>
where
    A: Actor<Context = Context<A>>,
{
    let (child, seed) = prepare(generation, on_exit, build);
    // If nobody takes it, the closure is dropped, and with it the report that is in it: so it is made.
    arbiter.spawn_fn(move || live(seed));
    child
}

#[expect(clippy::disallowed_methods, reason = "this is where every actor's future begins")]
fn live<A, B, R>(seed: Seed<A, B, R>)
where
    A: Actor<Context = Context<A>>,
    B: FnOnce(&mut Context<A>) -> A + 'static,
    R: FnOnce(ChildExited) + 'static,
{
    actix_rt::spawn(seed.live());
}

fn prepare<A, B, R>(generation: u64, on_exit: R, build: B) -> (Child<A>, Seed<A, B, R>)
where
    A: Actor<Context = Context<A>>,
    B: FnOnce(&mut Context<A>) -> A,
    R: FnOnce(ChildExited),
{
    let (sender, mailbox) = channel(MAILBOX_CAPACITY);
    let (held, owner) = oneshot::channel();
    let addr = Addr::new(sender);
    let report = Report { generation, on_exit: Some(on_exit) };
    let seed = Seed { owner, addr: addr.clone(), mailbox, build, report };
    (Child { addr, generation, _held: held }, seed)
}

/// A child on its way to its arbiter: all of it can be sent, which a `Context` can not.
struct Seed<A: Actor<Context = Context<A>>, B, R: FnOnce(ChildExited)> {
    owner: oneshot::Receiver<Infallible>,
    addr: Addr<A>,
    mailbox: AddressReceiver<A>,
    build: B,
    report: Report<R>,
}

impl<A, B, R> Seed<A, B, R>
where
    A: Actor<Context = Context<A>>,
    B: FnOnce(&mut Context<A>) -> A,
    R: FnOnce(ChildExited),
{
    fn live(self) -> Life<A, B, R> {
        let Seed { owner, addr, mailbox, build, report } = self;
        Life { owner, _addr: addr, phase: Phase::Unborn(Context::with_receiver(mailbox), build), report }
    }
}

/// A child's whole life, as the one future that its arbiter drives.
struct Life<A, B, R>
where
    A: Actor<Context = Context<A>>,
    B: FnOnce(&mut Context<A>) -> A,
    R: FnOnce(ChildExited),
{
    owner: oneshot::Receiver<Infallible>,
    /// An actor without addresses stops of itself. A child must not: its owner, letting go on another thread,
    /// drops its address and its hold one after the other, and the end would be now this, now that.
    _addr: Addr<A>,
    phase: Phase<A, B>,
    report: Report<R>,
}

enum Phase<A: Actor<Context = Context<A>>, B> {
    Unborn(Context<A>, B),
    Alive(ContextFut<A, Context<A>>),
    Over,
}

impl<A, B, R> Life<A, B, R>
where
    A: Actor<Context = Context<A>>,
    B: FnOnce(&mut Context<A>) -> A,
    R: FnOnce(ChildExited),
{
    /// One turn of the child. `Ready` says how it ended.
    fn turn(&mut self, cx: &mut task::Context<'_>) -> Poll<Exit> {
        // First, so that not one message more is handled once the owner let go.
        if Pin::new(&mut self.owner).poll(cx).is_ready() {
            return Poll::Ready(Exit::Aborted);
        }
        if let Phase::Unborn(..) = self.phase
            && let Err(message) = self.build()
        {
            return Poll::Ready(Exit::ConstructorPanicked(message));
        }
        let Phase::Alive(actor) = &mut self.phase else { return Poll::Ready(Exit::Stopped) };
        match caught(|| Pin::new(actor).poll(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(Exit::Stopped),
            Err(message) => Poll::Ready(Exit::Panicked(message)),
        }
    }

    fn build(&mut self) -> Result<(), String> {
        if let Phase::Unborn(mut ctx, build) = mem::replace(&mut self.phase, Phase::Over) {
            // The context stays outside: the constructor may have spawned futures into it.
            match caught(|| build(&mut ctx)) {
                Ok(actor) => self.phase = Phase::Alive(ctx.into_future(actor)),
                Err(message) => {
                    return Err(match caught(move || drop(ctx)) {
                        Ok(()) => message,
                        Err(second) => both(message, second),
                    });
                }
            }
        }
        Ok(())
    }

    /// Drops the actor, then tells the owner. The module's comment has the order.
    fn end(&mut self, exit: Exit) {
        let mut phase = mem::replace(&mut self.phase, Phase::Over);
        if let Phase::Alive(actor) = &mut phase {
            actor.ctx().terminate();
        }
        let exit = match caught(move || drop(phase)) {
            Ok(()) => exit,
            Err(message) => exit.and_panicked(message),
        };
        self.report.make(exit);
    }
}

/// Nothing in a `Life` is ever pinned in place: a `ContextFut` is `Unpin`, the closures are only moved.
impl<A, B, R> Unpin for Life<A, B, R>
where
    A: Actor<Context = Context<A>>,
    B: FnOnce(&mut Context<A>) -> A,
    R: FnOnce(ChildExited),
{
}

impl<A, B, R> Future for Life<A, B, R>
where
    A: Actor<Context = Context<A>>,
    B: FnOnce(&mut Context<A>) -> A,
    R: FnOnce(ChildExited),
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        self.turn(cx).map(|exit| self.end(exit))
    }
}

/// The arbiter ends and takes its tasks along, perhaps because its own thread unwinds: a panic that is
/// caught within this does not meet the one outside.
impl<A, B, R> Drop for Life<A, B, R>
where
    A: Actor<Context = Context<A>>,
    B: FnOnce(&mut Context<A>) -> A,
    R: FnOnce(ChildExited),
{
    fn drop(&mut self) {
        self.end(Exit::ArbiterStopped); // says nothing if the end was reported already
    }
}

/// The report that must be made: on being dropped at the latest.
struct Report<R: FnOnce(ChildExited)> {
    generation: u64,
    on_exit: Option<R>,
}

impl<R: FnOnce(ChildExited)> Report<R> {
    fn make(&mut self, exit: Exit) {
        if let Some(on_exit) = self.on_exit.take() {
            let report = ChildExited { generation: self.generation, exit };
            // Nobody is left to be told of a panic in here, and it must not take the arbiter along.
            let _ = caught(move || on_exit(report));
        }
    }
}

impl<R: FnOnce(ChildExited)> Drop for Report<R> {
    fn drop(&mut self) {
        self.make(Exit::ArbiterStopped);
    }
}

/// What `f` returns, or the message of its panic. Whatever `f` borrowed is dropped afterwards, not used again:
/// that is what makes the assertion true.
fn caught<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(message)
}

fn message(payload: Box<dyn Any + Send>) -> String {
    let payload = match payload.downcast::<&'static str>() {
        Ok(text) => return (*text).to_owned(),
        Err(payload) => payload,
    };
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => {
            mem::forget(payload); // its Drop is unknown code, outside of any catch
            "(a panic without text)".to_owned()
        }
    }
}

fn both(first: String, second: String) -> String {
    format!("{first}; and while it was dropped: {second}")
}

/// Messages that `Addr::send` and `try_send` may queue; `do_send` ignores it. As in actix.
const MAILBOX_CAPACITY: usize = 16;
