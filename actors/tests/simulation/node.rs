//! One relay as the kernel sees it: a process that is started, asked to stop, and killed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use actix::{Actor, Addr};
use drx_actors::api::{ResourceSettings, Settings};
use drx_actors::net::Net;
use drx_actors::relay::Relay;
use drx_protocol::names::Epoch;
use tokio::task::LocalSet;

use super::world::World;

pub struct Node {
    pub name: String,
    number: usize,
    pub resources: Vec<ResourceSettings>,
    /// Everything that the relay spawns lives in here, so that a kill takes all of it.
    process: Rc<RefCell<Option<LocalSet>>>,
    relay: RefCell<Option<Addr<Relay>>>,
    lives: Cell<u32>,
}

impl Node {
    pub fn new(number: usize, resources: Vec<ResourceSettings>) -> Node {
        Node {
            name: format!("node{}", number + 1),
            number,
            resources,
            process: Rc::default(),
            relay: RefCell::default(),
            lives: Cell::new(0),
        }
    }

    pub fn relay(&self) -> Option<Addr<Relay>> {
        self.relay.borrow().clone()
    }

    /// SIGKILL: not one of its futures is polled again; its sockets are closed as a kernel closes them.
    pub fn kill(&self) {
        self.relay.borrow_mut().take();
        let process = self.process.borrow_mut().take();
        drop(process);
    }
}

impl World {
    /// Starts the relay of this node, if it does not run.
    pub async fn start(self: &Rc<Self>, node: usize) {
        let node = &self.nodes[node];
        if node.process.borrow().is_some() {
            return;
        }
        node.lives.set(node.lives.get() + 1);
        self.trace.forget(&node.name);
        self.trace.say(format!("---- {} starts, life {}", node.name, node.lives.get()));
        let settings = Settings {
            node: node.name.clone(),
            resources: node.resources.clone(),
            bab_total: 1 << 40,
            arbiters: 0,
        };
        let net: Arc<dyn Net> = Arc::new(self.tap.clone());
        let log = self.trace.log(&node.name);
        let epoch = Epoch { started: 1 + node.number as u64, counter: node.lives.get() };
        let process = LocalSet::new();
        let started = process.spawn_local(async move {
            Relay::new(settings, net, log).with_faults().with_epoch(epoch).start()
        });
        // It ends when it is killed, not when it has nothing to do.
        process.spawn_local(std::future::pending::<()>());
        *node.process.borrow_mut() = Some(process);
        let running = Rc::clone(&node.process);
        actix_rt::spawn(std::future::poll_fn(move |cx| {
            // Not borrowed while it runs: a relay's own turn may be what ends it.
            let Some(mut process) = running.borrow_mut().take() else { return Poll::Ready(()) };
            let over = std::pin::Pin::new(&mut process).poll(cx).is_ready();
            *running.borrow_mut() = Some(process);
            if over { Poll::Ready(()) } else { Poll::Pending }
        }));
        match started.await {
            Ok(relay) => *node.relay.borrow_mut() = Some(relay),
            Err(error) if error.is_cancelled() => {} // killed at once
            Err(error) => self.trace.fail(format!("{} does not start: {error}", node.name)),
        }
    }
}
