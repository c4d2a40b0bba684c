//! Every way a child can end, and that its owner is told of it once.

#![allow(clippy::disallowed_methods, reason = "tests play the world around the actors")]
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::thread::ThreadId;
use std::time::Duration;

use actix::fut::wrap_future;
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, Running, WeakAddr};
use actix_rt::{Arbiter, System};
use drx_actors::child::{Child, ChildExited, Exit, spawn, spawn_on};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// What an actor is told to do, and where: an unlucky one panics in each of these places.
#[derive(Clone, Copy, Default)]
struct Plan {
    panic_in_stopping: bool,
    panic_in_stopped: bool,
    panic_in_drop: bool,
    never_stop: bool,
}

/// Sees what is left of an actor from outside.
#[derive(Clone, Default)]
struct Trace {
    built: Arc<AtomicBool>,
    stopping: Arc<AtomicBool>,
    dropped: Arc<AtomicUsize>,
    handled: Arc<AtomicUsize>,
}

struct Probe {
    plan: Plan,
    trace: Trace,
    where_dropped: Option<std::sync::mpsc::Sender<ThreadId>>,
    children: Vec<Child<Probe>>,
}

impl Probe {
    fn new(plan: Plan, trace: &Trace) -> Self {
        trace.built.store(true, Ordering::SeqCst);
        Probe { plan, trace: trace.clone(), where_dropped: None, children: Vec::new() }
    }
}

impl Actor for Probe {
    type Context = Context<Self>;

    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        self.trace.stopping.store(true, Ordering::SeqCst);
        assert!(!self.plan.panic_in_stopping, "in stopping");
        if self.plan.never_stop { Running::Continue } else { Running::Stop }
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        assert!(!self.plan.panic_in_stopped, "in stopped");
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.trace.dropped.fetch_add(1, Ordering::SeqCst);
        if let Some(sender) = &self.where_dropped {
            sender.send(thread::current().id()).unwrap();
        }
        assert!(!self.plan.panic_in_drop, "in drop");
    }
}

enum Do {
    Nothing,
    Stop,
    Terminate,
    Panic,
    PanicInFuture,
    PanicWithoutText,
    Adopt(Child<Probe>),
}

impl Message for Do {
    type Result = ();
}

impl Handler<Do> for Probe {
    type Result = ();

    fn handle(&mut self, order: Do, ctx: &mut Context<Self>) {
        self.trace.handled.fetch_add(1, Ordering::SeqCst);
        match order {
            Do::Nothing => {}
            Do::Stop => ctx.stop(),
            Do::Terminate => ctx.terminate(),
            Do::Panic => panic!("in {}", "a handler"),
            Do::PanicInFuture => drop(ctx.spawn(wrap_future(async { panic!("in a future") }))),
            Do::PanicWithoutText => std::panic::panic_any(7),
            Do::Adopt(child) => self.children.push(child),
        }
    }
}

fn run(test: impl Future<Output = ()>) {
    System::new().block_on(async { timeout(PATIENCE, test).await.expect("the test hangs") });
}

fn reports() -> (UnboundedSender<ChildExited>, UnboundedReceiver<ChildExited>) {
    unbounded_channel()
}

fn to(sender: &UnboundedSender<ChildExited>) -> impl FnOnce(ChildExited) + Send + use<> {
    let sender = sender.clone();
    move |report| sender.send(report).unwrap()
}

fn probe(generation: u64, plan: Plan, trace: &Trace, sender: &UnboundedSender<ChildExited>) -> Child<Probe> {
    let trace = trace.clone();
    spawn(generation, to(sender), move |_| Probe::new(plan, &trace))
}

/// The one report of the one child that `sender` was lent to: there is no second one.
async fn only(
    sender: UnboundedSender<ChildExited>,
    mut inbox: UnboundedReceiver<ChildExited>,
) -> ChildExited {
    drop(sender);
    let report = inbox.recv().await.expect("no report");
    assert_eq!(inbox.recv().await, None, "a second report");
    report
}

/// A child that gets one order, which ends it, and how that looked to its owner.
async fn end_of(plan: Plan, order: Do) -> (Exit, Trace) {
    let (sender, inbox) = reports();
    let trace = Trace::default();
    let child = probe(7, plan, &trace, &sender);
    child.addr().do_send(order);
    child.addr().do_send(Do::Nothing); // comes too late
    let report = only(sender, inbox).await;
    assert_eq!(report.generation, child.generation());
    assert_eq!(trace.dropped.load(Ordering::SeqCst), 1, "dropped once, before the report");
    assert!(!child.addr().connected());
    (report.exit, trace)
}

#[test]
fn ending_1_it_stops() {
    run(async {
        assert_eq!(end_of(Plan::default(), Do::Stop).await.0, Exit::Stopped);
        assert_eq!(end_of(Plan::default(), Do::Terminate).await.0, Exit::Stopped);
    });
}

#[test]
fn ending_2_it_panics() {
    run(async {
        let (exit, trace) = end_of(Plan::default(), Do::Panic).await;
        assert_eq!(trace.handled.load(Ordering::SeqCst), 1, "nothing is handled after a panic");
        assert_eq!(exit, Exit::Panicked("in a handler".into()));
        assert!(!trace.stopping.load(Ordering::SeqCst), "a broken actor's code went on");

        let (exit, _) = end_of(Plan::default(), Do::PanicInFuture).await;
        assert_eq!(exit, Exit::Panicked("in a future".into()));
        let (exit, _) = end_of(Plan::default(), Do::PanicWithoutText).await;
        assert_eq!(exit, Exit::Panicked("(a panic without text)".into()));
        assert!(exit.is_fault());
    });
}

#[test]
fn ending_3_it_panics_twice() {
    run(async {
        let all =
            Plan { panic_in_stopping: true, panic_in_stopped: true, panic_in_drop: true, never_stop: false };
        let (exit, _) = end_of(all, Do::Panic).await;
        assert_eq!(exit, Exit::Panicked("in a handler; and while it was dropped: in drop".into()));
        let (exit, _) = end_of(all, Do::Stop).await;
        assert_eq!(exit, Exit::Panicked("in stopping; and while it was dropped: in drop".into()));
        let (exit, _) = end_of(all, Do::Terminate).await;
        assert_eq!(exit, Exit::Panicked("in stopped; and while it was dropped: in drop".into()));
        let last = Plan { panic_in_drop: true, ..Plan::default() };
        assert_eq!(end_of(last, Do::Stop).await.0, Exit::Panicked("in drop".into()));
    });
}

#[test]
fn ending_4_its_constructor_panics() {
    run(async {
        let (sender, inbox) = reports();
        let child = spawn::<Probe>(3, to(&sender), |_| panic!("no memory for the BAB"));
        let exit = Exit::ConstructorPanicked("no memory for the BAB".into());
        assert_eq!(only(sender, inbox).await, ChildExited { generation: 3, exit });
        assert!(!child.addr().connected());
    });
}

#[test]
fn a_constructor_may_panic_with_futures_in_its_context_that_panic_too() {
    run(async {
        let (sender, inbox) = reports();
        let plan = Plan { panic_in_drop: true, ..Plan::default() };
        let trace = Trace::default();
        let held = Probe::new(plan, &trace); // its Drop panics
        let _child = spawn::<Probe>(3, to(&sender), move |ctx| {
            ctx.spawn(wrap_future(async move { drop(held) }));
            panic!("built badly")
        });
        let exit = Exit::ConstructorPanicked("built badly; and while it was dropped: in drop".into());
        assert_eq!(only(sender, inbox).await.exit, exit);
    });
}

#[test]
fn ending_5_its_owner_lets_go() {
    run(async {
        let (sender, inbox) = reports();
        let trace = Trace::default();
        let plan = Plan { panic_in_stopping: true, ..Plan::default() };
        let child = probe(1, plan, &trace, &sender);
        let friend = child.addr().clone(); // keeps an ordinary actor alive
        friend.send(Do::Nothing).await.unwrap();

        friend.do_send(Do::Nothing);
        drop(child);
        assert_eq!(only(sender, inbox).await, ChildExited { generation: 1, exit: Exit::Aborted });
        assert!(!friend.connected());
        assert_eq!(trace.dropped.load(Ordering::SeqCst), 1);
        assert_eq!(trace.handled.load(Ordering::SeqCst), 1, "a message was handled after the owner let go");
    });
}

#[test]
fn an_owner_that_lets_go_at_once_gets_a_report_and_no_actor() {
    run(async {
        let (sender, inbox) = reports();
        let trace = Trace::default();
        drop(probe(1, Plan::default(), &trace, &sender));
        assert_eq!(only(sender, inbox).await.exit, Exit::Aborted);
        assert!(!trace.built.load(Ordering::SeqCst));
    });
}

#[test]
fn an_actor_that_refuses_to_stop_ends_with_its_handle() {
    run(async {
        let (sender, inbox) = reports();
        let plan = Plan { never_stop: true, ..Plan::default() };
        let child = probe(1, plan, &Trace::default(), &sender);
        child.addr().send(Do::Stop).await.unwrap();
        child.addr().send(Do::Nothing).await.unwrap(); // it did refuse
        drop(child);
        assert_eq!(only(sender, inbox).await.exit, Exit::Aborted);
    });
}

#[test]
fn a_panic_in_drop_of_a_child_let_go_is_a_fault() {
    run(async {
        let (sender, inbox) = reports();
        let plan = Plan { panic_in_drop: true, ..Plan::default() };
        let child = probe(1, plan, &Trace::default(), &sender);
        child.addr().send(Do::Nothing).await.unwrap();
        drop(child);
        assert_eq!(only(sender, inbox).await.exit, Exit::Panicked("in drop".into()));
    });
}

#[test]
fn ending_6_its_arbiter_stops() {
    run(async {
        let (sender, inbox) = reports();
        let trace = Trace::default();
        let arbiter = Arbiter::new();
        let seen = trace.clone();
        let plan = Plan { panic_in_stopping: true, ..Plan::default() };
        let child = spawn_on(&arbiter.handle(), 9, to(&sender), move |_| Probe::new(plan, &seen));
        child.addr().send(Do::Nothing).await.unwrap();
        arbiter.stop();
        assert_eq!(only(sender, inbox).await, ChildExited { generation: 9, exit: Exit::ArbiterStopped });
        assert_eq!(trace.dropped.load(Ordering::SeqCst), 1);
        arbiter.join().unwrap();
    });
}

#[test]
fn a_dead_arbiter_is_reported_too() {
    run(async {
        let arbiter = Arbiter::new();
        let handle = arbiter.handle();
        arbiter.stop();
        arbiter.join().unwrap();
        let (sender, inbox) = reports();
        let child = spawn_on(&handle, 9, to(&sender), |_| Probe::new(Plan::default(), &Trace::default()));
        assert_eq!(only(sender, inbox).await.exit, Exit::ArbiterStopped);
        assert!(!child.addr().connected());
    });
}

#[test]
fn a_child_elsewhere_ends_there_when_its_handle_is_dropped_here() {
    fn assert_send<T: Send>(_: &T) {}
    run(async {
        let (sender, inbox) = reports();
        let arbiter = Arbiter::new();
        let (there, here) = std::sync::mpsc::channel();
        let child = spawn_on(&arbiter.handle(), 2, to(&sender), move |_| {
            there.send(thread::current().id()).unwrap();
            let mut actor = unwatched();
            actor.where_dropped = Some(there);
            actor
        });
        assert_send(&child);
        child.addr().send(Do::Nothing).await.unwrap();
        let built = here.recv().unwrap();
        assert_ne!(built, thread::current().id());
        thread::spawn(move || drop(child)).join().unwrap();
        assert_eq!(only(sender, inbox).await.exit, Exit::Aborted);
        assert_eq!(here.recv().unwrap(), built, "dropped by another thread");
        arbiter.stop();
        arbiter.join().unwrap();
    });
}

#[test]
fn a_panic_does_not_disturb_a_sibling() {
    run(async {
        let (sender, mut inbox) = reports();
        let trace = Trace::default();
        let sibling = probe(1, Plan::default(), &trace, &sender);
        let plan = Plan { panic_in_drop: true, ..Plan::default() };
        let child = probe(2, plan, &Trace::default(), &sender);
        sibling.addr().send(Do::Nothing).await.unwrap();
        child.addr().send(Do::Panic).await.unwrap_err(); // who waited for an answer is told
        assert_eq!(inbox.recv().await.unwrap().generation, 2);
        sibling.addr().send(Do::Nothing).await.unwrap();
        assert_eq!(trace.handled.load(Ordering::SeqCst), 2);
        assert!(inbox.try_recv().is_err());
    });
}

#[test]
fn a_panic_in_the_report_harms_nobody() {
    run(async {
        let (sender, inbox) = reports();
        let sibling = probe(1, Plan::default(), &Trace::default(), &sender);
        let (called, mut calls) = unbounded_channel();
        let child = spawn(
            2,
            move |report: ChildExited| {
                called.send(report).unwrap();
                panic!("in the report")
            },
            |_| unwatched(),
        );
        child.addr().do_send(Do::Panic);
        assert!(calls.recv().await.unwrap().exit.is_fault());
        assert_eq!(calls.recv().await, None);
        sibling.addr().send(Do::Stop).await.unwrap();
        assert_eq!(only(sender, inbox).await.exit, Exit::Stopped);
    });
}

#[test]
fn an_owner_that_panics_takes_its_children_along() {
    run(async {
        let (owners, owner_inbox) = reports();
        let (grandchildren, inbox) = reports();
        let plan = Plan { panic_in_drop: true, ..Plan::default() };
        let owner = probe(1, plan, &Trace::default(), &owners);
        let trace = Trace::default();
        let grandchild = probe(2, Plan::default(), &trace, &grandchildren);
        let friend = grandchild.addr().clone();
        owner.addr().send(Do::Adopt(grandchild)).await.unwrap();
        friend.send(Do::Nothing).await.unwrap();

        owner.addr().do_send(Do::Panic);
        assert!(only(owners, owner_inbox).await.exit.is_fault());
        assert_eq!(only(grandchildren, inbox).await.exit, Exit::Aborted);
        assert_eq!(trace.dropped.load(Ordering::SeqCst), 1);
        assert!(!friend.connected());
    });
}

#[test]
fn a_thread_that_unwinds_with_children_on_it_survives_their_panics() {
    let (sender, mut inbox) = reports();
    let ended = thread::spawn(move || {
        run(async move {
            let plan = Plan { panic_in_drop: true, ..Plan::default() };
            let first = probe(1, plan, &Trace::default(), &sender);
            let second = probe(2, plan, &Trace::default(), &sender);
            first.addr().send(Do::Nothing).await.unwrap();
            second.addr().send(Do::Nothing).await.unwrap();
            panic!("the main future fails");
        });
    });
    assert!(ended.join().is_err());
    let mut generations = Vec::new();
    while let Ok(report) = inbox.try_recv() {
        assert_eq!(report.exit, Exit::Panicked("in drop".into()));
        generations.push(report.generation);
    }
    generations.sort_unstable();
    assert_eq!(generations, [1, 2]);
}

/// An owner as they are in the relay: told by message, restarts with a new generation.
struct Owner {
    child: Option<Child<Probe>>,
    news: UnboundedSender<ChildExited>,
}

impl Owner {
    fn start_child(&mut self, generation: u64, ctx: &mut Context<Self>) {
        let me: WeakAddr<Self> = ctx.address().downgrade();
        let on_exit = move |report| {
            if let Some(me) = me.upgrade() {
                me.do_send(report);
            }
        };
        self.child = Some(spawn(generation, on_exit, |_| unwatched()));
    }
}

impl Actor for Owner {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.start_child(0, ctx);
        self.child.as_ref().unwrap().addr().do_send(Do::Panic);
    }
}

impl Handler<ChildExited> for Owner {
    type Result = ();

    fn handle(&mut self, report: ChildExited, ctx: &mut Context<Self>) {
        let generation = report.generation;
        assert_eq!(self.child.as_ref().map(Child::generation), Some(generation));
        self.news.send(report).unwrap();
        if generation < 3 {
            self.start_child(generation + 1, ctx);
            self.child.as_ref().unwrap().addr().do_send(Do::Panic);
        }
    }
}

#[test]
fn an_owner_restarts_its_child_generation_after_generation() {
    run(async {
        let (news, mut inbox) = reports();
        let _owner = Owner { child: None, news }.start();
        for generation in 0..=3 {
            let report = inbox.recv().await.unwrap();
            assert_eq!(report, ChildExited { generation, exit: Exit::Panicked("in a handler".into()) });
        }
    });
}

fn unwatched() -> Probe {
    Probe::new(Plan::default(), &Trace::default())
}

/// Far longer than any of the tests takes; it turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(20);
