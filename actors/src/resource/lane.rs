//! One of a resource's four channels, as its supervisor knows it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use drx_protocol::State;
use drx_protocol::admission::Admission;
use drx_protocol::restart::{Policy, Restarts};
use drx_protocol::session::Slot;
use slog::{Logger, info, o};
use tokio::time::Instant;

use crate::channel::{ChannelActor, Memory};
use crate::child::Child;
use crate::task::Task;

/// One of the four channels, across its generations.
pub(super) struct Lane {
    pub(super) slot: Slot,
    pub(super) memory: Memory,
    pub(super) log: Logger,
    pub(super) generation: u64,
    pub(super) child: Option<Child<ChannelActor>>,
    pub(super) state: State,
    pub(super) trouble: Option<String>,
    pub(super) restart: Option<Task>,
    pub(super) since: Instant,
}

impl Lane {
    pub(super) fn new(slot: Slot, restart: Policy, log: &Logger) -> Lane {
        Lane {
            slot,
            memory: Memory {
                admission: Rc::new(RefCell::new(Admission::new())),
                restarts: Rc::new(RefCell::new(Restarts::new(restart))),
                last_stop: Rc::default(),
                strays: Rc::default(),
                resumes: Rc::default(),
            },
            log: log.new(o!("channel" => slot.role.to_string(), "lane" => u8::from(slot.lane))),
            generation: 0,
            child: None,
            state: State::Stopped,
            trouble: None,
            restart: None,
            since: Instant::now(),
        }
    }

    /// Says a transition that no channel actor can say, because there is none.
    pub(super) fn moved(&mut self, to: State, why: &str) {
        if self.state != to {
            info!(self.log, "transition"; "from" => %self.state, "to" => %to, "why" => why, "attempt" => 0);
            self.state = to;
            self.since = Instant::now();
        }
    }
}

/// A delay as the log says it.
pub(super) fn said(delay: Duration) -> String {
    if delay.is_zero() { "none".to_owned() } else { format!("{delay:.1?}") }
}
