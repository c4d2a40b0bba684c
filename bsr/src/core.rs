//! What a node does: one [`Event`] in, all its [`Action`]s done in their order, then the next.
//!
//! A node has one volume and one peer. It decides everything and does nothing: sockets, files, clock and log are the
//! shell's. Its state machine is seed 001's; what it says to the other node is bsr-wire B.
//!
//! ```text
//! state       the five states, what each implies for the others, and what follows a change
//! session     both connections, from Opened to their end: packets, pings, timeouts
//! handshake   features, authentication, settings
//! agreement   sizes, generations, states: whose data counts
//! orders      what operators want, and changes of state that both nodes make together
//! wishes      what the other node's operators want
//! requests    what applications want, in its order: the activity log, this disk, the other node
//! reads       from this disk where it is good, from the other one where it is not
//! writes      how far each write is, on either disk
//! epochs      barriers and their acknowledgements, for the writes of this node
//! replica     the writes of the other node
//! exchange    both bitmaps become one
//! source      a resync from this disk; target: to this disk
//! verify      online verify
//! congestion  protocol A: ahead of the other node, and back
//! disk        which disk operation was for what; ranges that are locked
//! keeping     what is kept over a crash, and when
//! ```
//!
//! Everything that may differ is in the bitmap, or in an extent of the activity log, or in a write that is not
//! acknowledged: that is the invariant which makes a crash harmless.

mod agreement;
pub mod api;
mod congestion;
mod disk;
mod epochs;
mod exchange;
mod flushes;
mod handshake;
mod keeping;
mod orders;
mod random;
mod reads;
mod replica;
mod requests;
mod session;
mod settings;
mod source;
mod state;
mod status;
mod target;
mod verify;
mod wishes;
mod writes;

use std::collections::{HashMap, VecDeque};

pub use api::*;
pub use status::Status;

use crate::activity::ActivityLog;
use crate::bitmap::Bitmap;
use crate::metadata::{Head, Loaded};
use crate::uuid::Generations;
use crate::wire::{Connection, Disk, Role};

/// A node: see the module.
#[derive(Debug)]
pub struct Node {
    settings: Settings,
    now: Time,
    random: random::Random,
    actions: VecDeque<Action>,

    /// The backing volume, in bytes.
    volume: u64,
    /// What both nodes agreed upon, in bytes; until then all of this one's.
    size: u64,
    generations: Generations,
    crashed_primary: bool,
    /// Whether to give up this side's data in a split brain, in the next session.
    discard_my_data: bool,
    bitmap: Bitmap,
    activity: ActivityLog,
    /// As it was last saved.
    saved: Head,

    state: State,
    session: Option<session::Session>,
    /// How many sessions there were: a disk operation for an earlier one answers nobody.
    sessions: u64,
    /// Counts attempts since the last time that the nodes were connected.
    attempts: u64,
    last_break: Option<String>,

    jobs: HashMap<Token, disk::Job>,
    tokens: Token,
    /// Bytes that the disk still has to do for sessions that are over, or to save.
    late: u64,
    requests: requests::Requests,
    orders: orders::Orders,
    counters: status::Counters,
    /// The shell was told to end.
    down: bool,
}

impl Node {
    /// A node as it was found on disk, StandAlone and secondary. `volume` is the backing volume's size in bytes, `seed`
    /// the source of its generations' numbers: it has to be unpredictable.
    pub fn new(settings: Settings, volume: u64, loaded: Loaded, seed: u64, now: Time) -> Node {
        let Loaded { head, mut bitmap, activity } = loaded;
        let size = if head.agreed == 0 { volume } else { (head.agreed * SECTOR).min(volume) };
        bitmap.resize(size, true);
        if head.full_sync {
            bitmap.set_all();
        }
        for extent in &activity {
            bitmap.set_out_of_sync(u64::from(*extent) * EXTENT, EXTENT);
        }
        let disk = match (head.consistent, head.was_up_to_date) {
            (true, true) => Disk::UpToDate,
            (true, false) => Disk::Outdated,
            (false, _) => Disk::Inconsistent,
        };
        let state = State {
            role: Role::Secondary,
            peer: Role::Unknown,
            connection: Connection::StandAlone,
            disk,
            peer_disk: if head.peer_outdated { Disk::Outdated } else { Disk::Unknown },
        };
        let al_extents = settings.al_extents;
        let mut node = Node {
            settings,
            now,
            random: random::Random::new(seed),
            actions: VecDeque::new(),
            volume,
            size,
            generations: head.generations,
            crashed_primary: head.primary || head.crashed_primary,
            discard_my_data: false,
            bitmap,
            activity: ActivityLog::new(al_extents),
            saved: head,
            state,
            session: None,
            sessions: 0,
            attempts: 0,
            last_break: None,
            jobs: HashMap::new(),
            tokens: 0,
            late: 0,
            requests: requests::Requests::default(),
            orders: orders::Orders::default(),
            counters: status::Counters::default(),
            down: false,
        };
        if node.crashed_primary {
            let extents = activity.len();
            node.note(
                Severity::Warning,
                format!("was primary when it ended: {extents} extents of 4 MiB may differ"),
            );
        }
        if !activity.is_empty() {
            // The extents are in the bitmap now: once its pages are kept, the activity log may forget them. What the last
            // process wrote to them may still be on its way to the disk, and a resync from here clears the bitmap.
            node.save_all(node.settings.disk_flushes);
        } else {
            node.save_head();
        }
        node
    }

    /// Takes an event. What is to be done is in [`Node::action`] afterwards.
    pub fn handle(&mut self, now: Time, event: Event) {
        self.now = now;
        match event {
            Event::Opened { resolve_conflicts, challenge } => self.opened(resolve_conflicts, challenge),
            Event::Packet { stream, packet } => self.packet(stream, packet),
            Event::Broken(breakage) => self.broken(breakage),
            Event::Sent { packets } => self.sent(packets),
            Event::DiskDone { token, result } => self.disk_done(token, result),
            Event::Request { id, request } => self.request(id, request),
            Event::Order { id, order } => self.order(id, order),
            Event::Timer => {}
        }
        self.timers();
        self.go_on();
    }

    /// The next thing to be done; none: all is done.
    pub fn action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Its states.
    pub fn state(&self) -> State {
        self.state
    }

    /// What became possible by the event: each of these does what it can, and nothing twice.
    fn go_on(&mut self) {
        self.feed_requests();
        self.feed_flushes();
        self.feed_target();
        self.feed_verify();
        self.finish_resync();
        self.feed_orders();
    }

    fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    fn note(&mut self, severity: Severity, text: impl Into<String>) {
        self.push(Action::Note(severity, text.into()));
    }
}

/// Bytes of a sector.
pub const SECTOR: u64 = 512;
/// Bytes of an extent of the activity log.
pub const EXTENT: u64 = 4 << 20;
/// The most bytes of one request.
pub const MAX_REQUEST: u32 = crate::wire::MAX_BLOCK;
