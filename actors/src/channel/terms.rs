//! What a channel is given, and what outlives it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use drx_protocol::admission::Admission;
use drx_protocol::codec::Compression;
use drx_protocol::names::{ChannelType, Epoch};
use drx_protocol::restart::Restarts;
use tokio::time::Instant;

use crate::api::ResourceSettings;
use crate::budget::Budget;
use crate::net::Net;
use crate::quiet::Quiet;

/// What the channels of a resource share and are given.
pub(crate) struct Terms {
    pub(crate) settings: ResourceSettings,
    pub(crate) net: Arc<dyn Net>,
    pub(crate) epoch: Epoch,
    pub(crate) data: Rc<Budget>,
    pub(crate) meta: Rc<Budget>,
    /// What links pack with: it may be set at any time.
    pub(crate) compression: Rc<Cell<Compression>>,
    /// When bsr last heard something on data.
    pub(crate) data_heard: Rc<Cell<Option<Instant>>>,
    pub(crate) started: Instant,
    pub(crate) dials: Arc<AtomicU64>,
    /// Strangers at `inside` do not fill the log.
    pub(crate) quiet: RefCell<Quiet>,
}

impl Terms {
    pub(crate) fn budget(&self, channel_type: ChannelType) -> Rc<Budget> {
        match channel_type {
            ChannelType::Data => Rc::clone(&self.data),
            ChannelType::Meta => Rc::clone(&self.meta),
        }
    }
}

/// What outlives a channel's generations.
#[derive(Clone)]
pub(crate) struct Memory {
    pub(crate) admission: Rc<RefCell<Admission>>,
    pub(crate) restarts: Rc<RefCell<Restarts>>,
    pub(crate) last_stop: Rc<RefCell<Option<String>>>,
    /// Connections that closed before a usable first packet.
    pub(crate) strays: Rc<Cell<u64>>,
    /// How often a link was resumed.
    pub(crate) resumes: Rc<Cell<u64>>,
}
