//! What an actor has under way, and can call off for certain.
//!
//! [`actix::AsyncContext::cancel_future`] alone does not do that: a future that is ready when it is cancelled
//! may be polled once more, so a timer that was called off still fires, or a dial that was given up
//! still hands over its connection.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, SpawnHandle, WrapFuture};

/// A future or a timer of an actor. Dropping it does not call it off.
#[derive(Debug)]
pub(crate) struct Task {
    handle: SpawnHandle,
    called_off: Rc<Cell<bool>>,
}

impl Task {
    /// Does `then` after `delay`.
    pub(crate) fn later<A: Actor<Context = Context<A>>>(
        ctx: &mut Context<A>,
        delay: Duration,
        then: impl FnOnce(&mut A, &mut Context<A>) + 'static,
    ) -> Task {
        let called_off = Rc::new(Cell::new(false));
        let seen = Rc::clone(&called_off);
        let handle = ctx.run_later(delay, move |actor, ctx| {
            if !seen.get() {
                then(actor, ctx);
            }
        });
        Task { handle, called_off }
    }

    /// Does `then` with what `future` comes to.
    pub(crate) fn run<A: Actor<Context = Context<A>>, F: Future + 'static>(
        ctx: &mut Context<A>,
        actor: &A,
        future: F,
        then: impl FnOnce(F::Output, &mut A, &mut Context<A>) + 'static,
    ) -> Task {
        let called_off = Rc::new(Cell::new(false));
        let seen = Rc::clone(&called_off);
        let handle = ctx.spawn(future.into_actor(actor).map(move |output, actor, ctx| {
            if !seen.get() {
                then(output, actor, ctx);
            }
        }));
        Task { handle, called_off }
    }

    /// Neither runs on, nor does what was to follow.
    #[expect(clippy::disallowed_methods, reason = "this is what makes it certain")]
    pub(crate) fn call_off<A: Actor<Context = Context<A>>>(self, ctx: &mut Context<A>) {
        self.called_off.set(true);
        ctx.cancel_future(self.handle);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::future::ready;

    use actix::Handler;

    use super::*;

    struct Fickle {
        done: Rc<Cell<u32>>,
        task: Option<Task>,
    }

    impl Actor for Fickle {
        type Context = Context<Self>;
    }

    #[derive(actix::Message)]
    #[rtype(result = "()")]
    enum Order {
        Begin,
        CallOff,
    }

    impl Handler<Order> for Fickle {
        type Result = ();

        fn handle(&mut self, order: Order, ctx: &mut Context<Self>) {
            match order {
                Order::Begin => {
                    let count = |(), actor: &mut Fickle, _: &mut _| actor.done.set(actor.done.get() + 1);
                    self.task = Some(Task::run(ctx, self, ready(()), count));
                }
                Order::CallOff => self.task.take().unwrap().call_off(ctx),
            }
        }
    }

    /// Both orders come in one turn: the future is ready when it is called off.
    fn times_done(orders: Vec<Order>) -> u32 {
        let done = Rc::new(Cell::new(0));
        let seen = Rc::clone(&done);
        actix_rt::System::new().block_on(async move {
            let actor = Fickle { done: seen, task: None }.start();
            let last = orders.len() - 1;
            for (number, order) in orders.into_iter().enumerate() {
                if number < last {
                    actor.do_send(order);
                } else {
                    actor.send(order).await.unwrap();
                }
            }
            tokio::task::yield_now().await;
        });
        done.get()
    }

    #[test]
    fn what_is_called_off_does_not_happen() {
        assert_eq!(times_done(vec![Order::Begin]), 1);
        assert_eq!(times_done(vec![Order::Begin, Order::CallOff]), 0);
    }
}
