//! The five states, what each implies for the others, and what follows a change.

use super::{Action, Change, Node, Severity, State, What};
use crate::wire::{Connection, Disk, Packet, Role, StateWord, Stream};

impl State {
    /// Whether the nodes have agreed on who has which data.
    pub fn is_connected(&self) -> bool {
        self.connection >= Connection::Connected
    }

    /// What a node in these states says of itself.
    pub fn word(&self) -> StateWord {
        StateWord::new(self.role, self.peer, self.connection, self.disk, self.peer_disk)
    }

    /// The same, with what cannot be set right: a connection implies certain disks (bsr-wire C.1, D.4).
    fn implied(mut self) -> State {
        use Connection as C;
        if self.connection < C::Connected {
            self.peer = Role::Unknown;
            if self.peer_disk > Disk::Unknown || self.peer_disk < Disk::Inconsistent {
                self.peer_disk = Disk::Unknown;
            }
            return self;
        }
        if self.connection > C::Connected && self.peer_disk <= Disk::Failed {
            self.connection = C::Connected; // without its disk there is nothing to be resynced or compared
        }
        let (disk, peer_disk) = match self.connection {
            C::WFBitMapT | C::PausedSyncT | C::StartingSyncT | C::WFSyncUUID | C::Behind => {
                ((Disk::Inconsistent, Disk::Outdated), (Disk::UpToDate, Disk::UpToDate))
            }
            C::SyncTarget => ((Disk::Inconsistent, Disk::Inconsistent), (Disk::UpToDate, Disk::UpToDate)),
            C::WFBitMapS | C::PausedSyncS | C::StartingSyncS | C::Ahead => {
                ((Disk::UpToDate, Disk::UpToDate), (Disk::Inconsistent, Disk::Consistent))
            }
            C::SyncSource => ((Disk::UpToDate, Disk::UpToDate), (Disk::Inconsistent, Disk::Inconsistent)),
            C::VerifyS | C::VerifyT => ((Disk::UpToDate, Disk::UpToDate), (Disk::UpToDate, Disk::UpToDate)),
            // Connected: data that is known to be the same is as good here as there.
            _ => {
                if known_good(self.disk) && self.peer_disk == Disk::UpToDate {
                    self.disk = Disk::UpToDate;
                }
                if known_good(self.peer_disk) && self.disk == Disk::UpToDate {
                    self.peer_disk = Disk::UpToDate;
                }
                return self;
            }
        };
        self.disk = self.disk.clamp(disk.0, disk.1);
        self.peer_disk = self.peer_disk.clamp(peer_disk.0, peer_disk.1);
        self
    }
}

fn known_good(disk: Disk) -> bool {
    matches!(disk, Disk::Outdated | Disk::Consistent)
}

impl Node {
    /// Changes states, tells the log, and does what follows.
    pub(super) fn change(&mut self, why: &str, set: impl FnOnce(&mut State)) {
        self.change_unsaved(why, set);
        self.save_head();
    }

    /// The same, for a change that is to be kept together with something else.
    pub(super) fn change_unsaved(&mut self, why: &str, set: impl FnOnce(&mut State)) {
        let old = self.state;
        let mut new = old;
        set(&mut new);
        let new = new.implied();
        if new == old {
            return;
        }
        self.state = new;
        self.tell(What::Connection, old.connection, new.connection, why);
        self.tell(What::Role, old.role, new.role, why);
        self.tell(What::PeerRole, old.peer, new.peer, why);
        self.tell(What::Disk, old.disk, new.disk, why);
        self.tell(What::PeerDisk, old.peer_disk, new.peer_disk, why);
        self.changed(old, new);
    }

    fn tell<S: PartialEq + ToString>(&mut self, what: What, from: S, to: S, why: &str) {
        if from != to {
            let change = Change { what, from: from.to_string(), to: to.to_string(), why: why.to_owned() };
            self.push(Action::Changed(change));
        }
    }

    /// What follows, whoever changed it.
    fn changed(&mut self, old: State, new: State) {
        use Connection as C;
        // Applications write here only from now on: those of this node, or of a primary that has lost its own disk.
        let begins = lost(old.peer_disk, new.peer_disk)
            || old.peer != Role::Primary && new.peer == Role::Primary && new.peer_disk <= Disk::Failed;
        let used = new.role == Role::Primary || new.peer == Role::Primary;
        // While both are connected, only a resync's beginning makes the other disk outdated.
        let shared = !new.is_connected() && self.generations.may_be_shared();
        if begins && used && new.disk == Disk::UpToDate && (self.generations.bitmap == 0 || shared) {
            // This data goes its own way: the bitmap tells the differences since here.
            let fresh = self.random.next();
            self.generations.rotate_for_new(fresh);
            if new.connection >= C::Connected {
                // It takes over the generation at the end of a resync, as it was told.
                self.send_uuids();
            }
        }
        if new.disk == Disk::UpToDate && new.peer_disk == Disk::UpToDate && new.connection == C::Connected {
            self.crashed_primary = false;
        }
        if let Some(session) = &mut self.session {
            let agreeing = matches!(new.connection, C::WFBitMapS | C::WFBitMapT | C::WFSyncUUID);
            session.agreeing = agreeing.then_some(self.now);
        }
        match new.connection {
            C::WFBitMapS if old.connection != C::WFBitMapS => self.send_bitmap(),
            C::SyncSource if !matches!(old.connection, C::SyncSource | C::PausedSyncS) => self.begin_source(),
            C::SyncTarget if !matches!(old.connection, C::SyncTarget | C::PausedSyncT) => self.begin_target(),
            _ => {}
        }
        let ended = new.connection <= C::Connected || new.connection == C::Behind;
        if old.connection > C::Connected && old.connection != new.connection && ended {
            self.resync_left(old.connection);
        }
    }

    /// Says to the other node what this one's states are.
    pub(super) fn send_state(&mut self) {
        let word = self.state.word();
        self.send(Stream::Data, Packet::State(word));
    }

    /// The state that a packet tells, as this node's words; none if a number in it is no state's.
    pub(super) fn read_state(&mut self, word: StateWord) -> Option<State> {
        let read = State {
            role: word.role()?,
            peer: word.peer()?,
            connection: word.connection()?,
            disk: word.disk()?,
            peer_disk: word.peer_disk()?,
        };
        Some(read)
    }

    /// Not connected any more, and not to be again before an operator says so.
    pub(super) fn stand_alone(&mut self, why: &str) {
        self.note(Severity::Error, format!("{why}: no further attempts until an operator says connect"));
        self.end_session(Connection::Disconnecting, why, false);
    }
}

/// Whether a copy that was there is so no longer.
fn lost(old: Disk, new: Disk) -> bool {
    let there = |disk| disk >= Disk::Inconsistent && disk != Disk::Unknown && disk != Disk::Outdated;
    there(old) && !there(new)
}
