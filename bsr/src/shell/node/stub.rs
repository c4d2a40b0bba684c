//! Stands in for the core until it is there.
#![allow(missing_docs, dead_code)]

use crate::core::api::*;
use crate::metadata::Loaded;
use crate::wire::{Connection, Disk, Role};

#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    pub state: State,
}

pub struct Node {
    actions: std::collections::VecDeque<Action>,
}

impl Node {
    pub fn new(_: Settings, _: u64, _: Loaded, _: u64, _: Time) -> Node {
        Node { actions: Default::default() }
    }
    pub fn handle(&mut self, _: Time, event: Event) {
        if let Event::Order { id, .. } = event {
            self.actions.push_back(Action::Done { id, result: Ok(()) });
        }
    }
    pub fn action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }
    pub fn deadline(&self) -> Option<Time> {
        None
    }
    pub fn status(&self) -> Status {
        Status { state: self.state() }
    }
    pub fn state(&self) -> State {
        State {
            role: Role::Secondary,
            peer: Role::Unknown,
            connection: Connection::StandAlone,
            disk: Disk::Inconsistent,
            peer_disk: Disk::Unknown,
        }
    }
    pub fn backlog(&self) -> u64 {
        0
    }
}
