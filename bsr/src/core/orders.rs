//! What operators want, and the changes of state that both nodes make together: one node asks, the other one agrees or
//! refuses (bsr-wire B.9).

use std::collections::VecDeque;

use super::disk::Job;
use super::target::Ending;
use super::verify::Verify;
use super::wishes::{SUCCESS, refusal};
use super::{Action, Id, Node, Order, Refusal, Time};
use crate::wire::state::{CONNECTION_MASK, DISK_MASK, ROLE_MASK};
use crate::wire::{Connection, Disk, Packet, Role, StateChange, StateWord, Stream};

/// Orders: one after the other.
#[derive(Debug, Default)]
pub(super) struct Orders {
    queue: VecDeque<(Id, Order)>,
    pending: Option<Pending>,
}

/// An order that the other node was asked about.
#[derive(Debug)]
struct Pending {
    id: Id,
    order: Order,
    since: Time,
}

impl Orders {
    /// Whether an answer of the other node's is waited for.
    pub(super) fn is_asking(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether it is the one that lets the other node begin a resync to here.
    pub(super) fn invalidates(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.order == Order::Invalidate)
    }
}

impl Node {
    pub(super) fn order(&mut self, id: Id, order: Order) {
        self.orders.queue.push_back((id, order));
    }

    pub(super) fn feed_orders(&mut self) {
        while self.orders.pending.is_none()
            && !self.is_announcing()
            && let Some((id, order)) = self.orders.queue.pop_front()
        {
            if self.down {
                self.done(id, Err(Refusal::State("the node is going down".to_owned())));
                continue;
            }
            // As a secondary it would not begin a generation if the other node were lost while it is behind.
            let ahead = order == Order::Secondary && self.state.connection == Connection::Ahead;
            let waits = matches!(order, Order::Secondary | Order::Down) && self.waits_to_step_down()
                || ahead && self.requests.is_idle()
                || matches!(order, Order::Primary { .. }) && (self.waits_for_writes() || self.is_greeting());
            if waits {
                self.orders.queue.push_front((id, order));
                return;
            }
            match order {
                Order::Primary { force } => self.become_primary(id, force),
                Order::Secondary => {
                    let result = self.become_secondary();
                    self.done(id, result);
                }
                Order::Connect { discard_my_data } => {
                    let result = self.connect(discard_my_data);
                    self.done(id, result);
                }
                Order::Disconnect | Order::Down => self.leave(id, order),
                Order::Verify => self.order_verify(id),
                Order::Invalidate => self.order_invalidate(id, Order::Invalidate),
                Order::InvalidateRemote => self.order_invalidate(id, Order::InvalidateRemote),
            }
        }
    }

    /// Whether it will soon be known who is there, or that nobody is: a relay may hold both connections for nobody.
    fn is_greeting(&self) -> bool {
        self.session.is_some() && !self.state.is_connected()
    }

    pub(super) fn done(&mut self, id: Id, result: Result<(), Refusal>) {
        self.push(Action::Done { id, result });
    }

    /// Asks the other node; its answer goes on with the order.
    fn ask(&mut self, id: Id, order: Order, change: StateChange) {
        let connection_wide = change.mask & CONNECTION_MASK != 0
            && Connection::of(change.value >> 4 & 31) == Some(Connection::Disconnecting)
            && self.version() >= VERSION_CONNECTION_WIDE;
        self.orders.pending = Some(Pending { id, order, since: self.now });
        let packet =
            if connection_wide { Packet::ConnectionChange(change) } else { Packet::StateChange(change) };
        self.send(Stream::Data, packet);
    }

    fn become_primary(&mut self, id: Id, force: bool) {
        if self.state.role == Role::Primary {
            self.done(id, Ok(()));
            return;
        }
        let connected = self.state.is_connected();
        if self.state.peer == Role::Primary {
            self.done(id, Err(Refusal::TwoPrimaries));
            return;
        }
        let reachable = connected && self.state.peer_disk == Disk::UpToDate;
        let forces = self.state.disk != Disk::UpToDate && !reachable;
        if forces && !force {
            self.done(id, Err(Refusal::NoUpToDateDisk));
            return;
        }
        if !connected {
            self.primary(forces);
            self.save_for(Job::Promote(id));
            return;
        }
        let word = StateWord::new(
            Role::Primary,
            Role::Unknown,
            Connection::StandAlone,
            Disk::UpToDate,
            Disk::Diskless,
        );
        let mask = ROLE_MASK | if forces { DISK_MASK } else { 0 };
        self.ask(id, Order::Primary { force: forces }, StateChange { mask, value: word.0 & mask });
    }

    fn primary(&mut self, forced: bool) {
        let alone = !self.state.is_connected() || self.state.peer_disk <= Disk::Failed;
        self.change("an operator wants it", |state| {
            state.role = Role::Primary;
            if forced {
                state.disk = Disk::UpToDate;
            }
        });
        if forced || alone && self.generations.may_be_shared() {
            let random = self.random.next();
            self.generations.rotate_for_new(random);
        }
        self.generations.set_primary(true);
        self.save_head();
        if self.state.is_connected() {
            if forced {
                self.send_uuids();
            }
            self.send_state();
        }
    }

    /// Until the disk has been told all that the other node wrote while it was primary: else this node's applications
    /// would be overtaken by it.
    fn waits_for_writes(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.inbound.holds())
    }

    /// Until the other node has all that was written: as secondaries both would say that they have the same data.
    fn waits_to_step_down(&mut self) -> bool {
        let waits = self.state.role == Role::Primary && self.requests.is_idle() && !self.requests.is_stable();
        if waits {
            self.end_epoch();
        }
        waits
    }

    fn become_secondary(&mut self) -> Result<(), Refusal> {
        if self.state.role == Role::Secondary {
            return Ok(());
        }
        if !self.requests.is_idle() {
            return Err(Refusal::InUse);
        }
        self.change_unsaved("an operator wants it", |state| state.role = Role::Secondary);
        self.generations.set_primary(false);
        self.save_all(true);
        if self.state.is_connected() {
            self.send_state();
        }
        Ok(())
    }

    fn connect(&mut self, discard_my_data: bool) -> Result<(), Refusal> {
        if self.state.connection != Connection::StandAlone {
            return Err(Refusal::State(format!("it is {} already", self.state.connection)));
        }
        if discard_my_data && self.state.role == Role::Primary {
            return Err(Refusal::State("a primary cannot discard its data".to_owned()));
        }
        self.discard_my_data = discard_my_data;
        self.change("an operator wants it", |state| state.connection = Connection::Unconnected);
        self.open(Time::ZERO);
        Ok(())
    }

    /// Disconnect and down.
    fn leave(&mut self, id: Id, order: Order) {
        if order == Order::Down && !self.requests.is_idle() {
            self.done(id, Err(Refusal::InUse));
            return;
        }
        if self.state.is_connected() {
            self.end_epoch();
            let word = StateWord((Connection::Disconnecting as u32) << 4);
            self.ask(id, order, StateChange { mask: CONNECTION_MASK, value: word.0 });
        } else {
            self.end_session(Connection::Disconnecting, "an operator wants it", false);
            self.left(id, &order);
        }
    }

    /// StandAlone is reached.
    fn left(&mut self, id: Id, order: &Order) {
        if *order == Order::Down {
            if self.state.role == Role::Primary {
                self.change_unsaved("the node goes down", |state| state.role = Role::Secondary);
                self.generations.set_primary(false);
            }
            self.save_all(true);
            self.down = true;
        }
        self.done(id, Ok(()));
    }

    fn order_verify(&mut self, id: Id) {
        let refusal = if !self.state.is_connected() {
            Some(Refusal::NotConnected)
        } else if self.settings.verify.is_none() {
            Some(Refusal::NotSet("verify-alg"))
        } else {
            self.not_connected_and_good()
        };
        match refusal {
            Some(refusal) => self.done(id, Err(refusal)),
            None => self.ask(id, Order::Verify, connection_change(Connection::VerifyS)),
        }
    }

    /// Why an order that the other node agrees to cannot be any more.
    fn no_longer(&self, order: &Order) -> Option<Refusal> {
        match order {
            Order::Primary { .. } if self.state.peer == Role::Primary => Some(Refusal::TwoPrimaries),
            Order::Verify => self.not_connected_and_good(),
            Order::Invalidate | Order::InvalidateRemote => {
                let here = *order == Order::Invalidate;
                let source = if here { self.state.peer_disk } else { self.state.disk };
                (self.state.connection != Connection::Connected || source != Disk::UpToDate)
                    .then(|| Refusal::State(self.state.connection.to_string()))
            }
            _ => None,
        }
    }

    pub(super) fn not_connected_and_good(&self) -> Option<Refusal> {
        let state = &self.state;
        if state.connection != Connection::Connected {
            return Some(Refusal::State(state.connection.to_string()));
        }
        let good = state.disk == Disk::UpToDate && state.peer_disk == Disk::UpToDate;
        (!good).then_some(Refusal::NoUpToDateDisk)
    }

    fn order_invalidate(&mut self, id: Id, order: Order) {
        let here = order == Order::Invalidate;
        let state = &self.state;
        if here && state.connection == Connection::StandAlone && state.role == Role::Secondary {
            self.bitmap.set_all();
            // Both as one: an inconsistent disk of which no block differs would be good again without a resync.
            self.change_unsaved("an operator calls this disk invalid", |state| {
                state.disk = Disk::Inconsistent;
            });
            self.save_all(false);
            self.done(id, Ok(()));
            return;
        }
        let good = if here { state.peer_disk } else { state.disk } == Disk::UpToDate;
        let refusal = if here && !self.requests.is_stable() {
            Some(Refusal::State("writes are on their way, try again".to_owned()))
        } else if !state.is_connected() {
            Some(Refusal::NotConnected)
        } else if state.connection != Connection::Connected {
            Some(Refusal::State(state.connection.to_string()))
        } else if !good {
            Some(Refusal::NoUpToDateDisk)
        } else {
            None
        };
        let connection = if here { Connection::StartingSyncT } else { Connection::StartingSyncS };
        match refusal {
            Some(refusal) => self.done(id, Err(refusal)),
            None => self.ask(id, order, connection_change(connection)),
        }
    }

    /// P_STATE_CHG_REPLY, P_CONN_ST_CHG_REPLY.
    pub(super) fn peer_answers(&mut self, code: i32) {
        let Some(Pending { id, order, .. }) = self.orders.pending.take() else {
            self.violated(format!("an answer came ({code}), but this node has asked nothing"));
            return;
        };
        if code < SUCCESS {
            self.done(id, Err(refusal(code)));
            return;
        }
        // It may have changed its state between the question and its answer.
        if let Some(refusal) = self.no_longer(&order) {
            self.done(id, Err(refusal));
            self.violated(format!("it agrees to {order:?}, but this node is {} now", self.state.connection));
            return;
        }
        match &order {
            Order::Primary { force } => {
                self.primary(*force);
                self.save_for(Job::Promote(id));
            }
            Order::Disconnect | Order::Down => {
                self.end_session(Connection::Disconnecting, "an operator wants it", true);
                self.left(id, &order);
            }
            Order::Verify => {
                self.begin_verify(Verify::source());
                self.done(id, Ok(()));
            }
            Order::Invalidate => {
                self.full_resync(Connection::StartingSyncT);
                self.done(id, Ok(()));
                if let Some(uuid) = self.session.as_mut().and_then(|session| session.early_sync_uuid.take()) {
                    self.sync_uuid_came(uuid);
                }
            }
            Order::InvalidateRemote => {
                self.full_resync(Connection::StartingSyncS);
                self.done(id, Ok(()));
            }
            Order::Secondary | Order::Connect { .. } => self.done(id, Ok(())),
        }
    }

    /// Every block is resynced, without an exchange of bitmaps.
    pub(super) fn full_resync(&mut self, connection: Connection) {
        let why = "an operator calls a disk invalid";
        self.bitmap.set_all();
        self.change_unsaved(why, |state| {
            state.connection = connection;
            if connection == Connection::StartingSyncT {
                state.disk = Disk::Inconsistent;
            } else {
                state.peer_disk = Disk::Inconsistent;
            }
        });
        self.save_all(false);
        let next = if connection == Connection::StartingSyncT {
            Connection::WFSyncUUID
        } else {
            Connection::SyncSource
        };
        self.change(why, |state| state.connection = next);
    }

    /// The other node cannot answer any more.
    pub(super) fn orders_lost_peer(&mut self, why: &str) {
        let Some(Pending { id, order, .. }) = self.orders.pending.take() else { return };
        if matches!(order, Order::Disconnect | Order::Down) {
            // That is what was wanted, but not in the other node's way.
            self.orders.queue.push_front((id, order));
        } else {
            self.done(id, Err(Refusal::Interrupted(why.to_owned())));
        }
    }

    pub(super) fn order_deadline(&self) -> Option<Time> {
        self.orders.pending.as_ref().map(|pending| pending.since + self.settings.timeout)
    }

    /// An answer that does not come.
    pub(super) fn order_timer(&mut self) {
        if self.order_deadline().is_none_or(|deadline| self.now < deadline) {
            return;
        }
        let Some(Pending { id, order, .. }) = self.orders.pending.take() else { return };
        if matches!(order, Order::Disconnect | Order::Down) {
            self.end_session(
                Connection::Disconnecting,
                "an operator wants it; the other node did not answer",
                false,
            );
            self.left(id, &order);
        } else {
            // What it decides now would come too late: neither side would know what holds.
            self.done(id, Err(Refusal::Interrupted("the other node did not answer".to_owned())));
            self.end_session(
                Connection::NetworkFailure,
                "the other node did not answer a change of state",
                false,
            );
        }
    }
}

impl Verify {
    fn source() -> Verify {
        Verify::Source {
            cursor: 0,
            flights: std::collections::BTreeMap::new(),
            ending: Ending::Not,
            refused: false,
        }
    }
}

fn connection_change(connection: Connection) -> StateChange {
    StateChange { mask: CONNECTION_MASK, value: (connection as u32) << 4 }
}

/// P_CONN_ST_CHG_REQ exists.
const VERSION_CONNECTION_WIDE: u32 = 100;
