//! What both nodes have, and so whose data counts: sizes, generations, states (bsr-wire B.4, C.3).

use super::handshake::Phase;
use super::{Node, SECTOR, Severity, State};
use crate::uuid::{self, Decision, Generations, Handshake};
use crate::wire::{self, Connection, Disk, Packet, Role, Sizes, StateWord, Stream, Uuids};

impl Node {
    /// P_SIZES: the volume is as large as the smaller disk.
    pub(super) fn sizes_came(&mut self, theirs: Sizes) {
        let limits = [theirs.disk, theirs.user].into_iter().filter(|limit| *limit != 0);
        let agreed = limits.fold(self.volume / SECTOR, u64::min) * SECTOR;
        let in_use = self.state.is_connected() || self.state.disk >= Disk::Outdated;
        if agreed < self.size && in_use {
            let own = self.size;
            self.stand_alone(&format!(
                "the other disk is too small: {agreed} bytes, and {own} are in use here"
            ));
            return;
        }
        if let Some(session) = &mut self.session {
            session.peer_sizes = Some(theirs);
        }
        if agreed != self.size {
            let text =
                format!("the volume has {agreed} bytes, instead of {}: so it fits both disks", self.size);
            self.note(Severity::Info, text);
            self.bitmap.resize(agreed, true);
            self.size = agreed;
            // Before anything that says how large the volume is: in older pages what is new does not differ.
            self.save_all(false);
            if self.state.is_connected() {
                self.grown();
            }
        }
        self.save_head();
    }

    /// The volume has grown while it is in use: what is new is resynced, without an exchange of bitmaps.
    fn grown(&mut self) {
        let sizes = self.own_sizes();
        self.send(Stream::Data, Packet::Sizes(sizes));
        let State { role, peer, connection, disk, peer_disk } = self.state;
        if connection != Connection::Connected || disk.min(peer_disk) < Disk::UpToDate {
            return; // the bits are set: the next resync has them
        }
        let breaks_ties = self.session.as_ref().is_some_and(|session| session.agreed.resolve_conflicts);
        let source = if role == peer { breaks_ties } else { role == Role::Primary };
        self.change("the volume has grown", |state| {
            if source {
                (state.connection, state.peer_disk) = (Connection::SyncSource, Disk::Inconsistent);
            } else {
                state.connection = Connection::WFSyncUUID;
            }
        });
    }

    pub(super) fn uuids_came(&mut self, theirs: Uuids) {
        let Some(session) = &mut self.session else { return };
        session.peer_uuids = Some(theirs);
        let skip = session.agreed.version >= VERSION_SKIP_SYNC
            && self.state.connection == Connection::Connected
            && self.generations.current == uuid::JUST_CREATED
            && theirs.flags & wire::UUID_SKIP_INITIAL_SYNC != 0;
        if skip {
            self.note(
                Severity::Info,
                "an operator on the other node says that both disks are the same: no initial resync",
            );
            self.bitmap.clear_all();
            self.generations.current = theirs.current;
            self.generations.bitmap = 0;
            self.save_all(false);
            self.change("no initial resync", |state| {
                (state.disk, state.peer_disk) = (Disk::UpToDate, Disk::UpToDate)
            });
        }
    }

    /// P_STATE: what follows from it depends on how far both are.
    pub(super) fn state_came(&mut self, word: StateWord) {
        let Some(peer) = self.read_state(word) else {
            self.violated(format!("{word:?} is no state"));
            return;
        };
        if self.state.connection <= Connection::TearDown {
            return; // on its way out
        }
        let Some(uuids) = self.session.as_ref().map(|session| session.peer_uuids) else { return };
        let peer_disk = match (peer.disk, uuids) {
            (Disk::Negotiating, Some(uuids)) if uuids.flags & wire::UUID_INCONSISTENT != 0 => {
                Disk::Inconsistent
            }
            (Disk::Negotiating, _) => Disk::Consistent,
            (disk, _) => disk,
        };
        let Some(peer_disk) = self.ends_something(&peer, peer_disk) else { return };
        let old = self.state;
        let mut connection = match old.connection {
            Connection::WFReportParams => Connection::Connected,
            connection => connection,
        };
        if peer.connection == Connection::Ahead {
            if old.role == Role::Primary
                || peer.role != Role::Primary
                || old.connection < Connection::WFReportParams
            {
                self.violated("the other node is ahead, but not the one that is written to");
                return;
            }
            connection = Connection::Behind;
        }
        let contradicted = match (old.connection, peer.connection) {
            (Connection::WFBitMapS, Connection::WFBitMapS) => Some("source"),
            (Connection::WFBitMapT, Connection::WFBitMapT) => Some("target"),
            _ => None,
        };
        if let Some(both) = contradicted {
            self.stand_alone(&format!(
                "both nodes would be the resync's {both}: their generations contradict each other"
            ));
            return;
        }
        let consider =
            self.session.as_mut().is_some_and(|session| std::mem::take(&mut session.consider_resync));
        let decides = old.connection == Connection::WFReportParams
            || old.connection == Connection::Connected && peer.disk == Disk::Negotiating
            || old.connection == Connection::Connected
                && (Connection::StartingSyncS..=Connection::WFBitMapT).contains(&peer.connection)
            || consider;
        if decides && peer.disk >= Disk::Negotiating {
            let Some(uuids) = uuids else {
                self.violated("a state came before the generations");
                return;
            };
            match self.decide(&peer, peer_disk, uuids) {
                Some(decided) => connection = decided,
                None => return,
            }
        }
        if peer.role == Role::Primary && old.role == Role::Primary {
            self.stand_alone("both nodes are primary");
            return;
        }
        self.connected(old, peer, peer_disk, connection);
    }

    /// A state that ends a resync or a verify, or is of the past; otherwise the disk that the other node has.
    fn ends_something(&mut self, peer: &State, mut peer_disk: Disk) -> Option<Disk> {
        use Connection as C;
        let own = self.state;
        let was_behind = matches!(own.peer_disk, Disk::Inconsistent | Disk::Consistent);
        if was_behind
            && peer_disk == Disk::UpToDate
            && own.connection > C::Connected
            && own.disk == Disk::UpToDate
        {
            if peer.connection > C::Connected && peer.connection < C::SyncSource {
                peer_disk = Disk::Inconsistent; // it still prepares: its disk is not what it will be
            } else if own.connection >= C::SyncSource && peer.connection == C::Connected {
                self.source_finished();
                return None;
            }
        }
        let failed = self.counters.resync_failed > 0 && peer_disk == Disk::Inconsistent;
        if own.connection == C::SyncSource && peer.connection == C::Connected && failed {
            self.resync_over(false);
            return None;
        }
        if own.connection == C::VerifyT && peer.connection == C::Connected && peer_disk == Disk::UpToDate {
            self.verify_finished();
            return None;
        }
        let done_here = own.connection == C::Connected && own.peer_disk == Disk::UpToDate;
        if done_here && peer_disk == Disk::Inconsistent && peer.connection > C::SyncSource {
            peer_disk = Disk::UpToDate; // it has not noticed yet that the resync is over
        }
        Some(peer_disk)
    }

    /// Whose data counts. None: nobody's; the session is over.
    fn decide(&mut self, peer: &State, peer_disk: Disk, uuids: Uuids) -> Option<Connection> {
        let agreed = &self.session.as_ref()?.agreed;
        let mut handshake = Handshake {
            mine: self.generations,
            dirty_bits: self.bitmap.weight(),
            role: self.state.role,
            disk: self.state.disk,
            crashed_primary: self.crashed_primary,
            discard_my_data: self.discard_my_data,
            peer: uuids,
            peer_role: peer.role,
            peer_disk,
            resolve_conflicts: agreed.resolve_conflicts,
            version: agreed.version,
            features: agreed.features,
            after_split_brain: self.settings.after_split_brain,
        };
        let (comparison, decision) = handshake.decide();
        let (before, theirs) = (self.generations, uuids);
        // A resync's end that one of them missed is put right by the comparison.
        self.generations = handshake.mine;
        if let Some(session) = &mut self.session {
            session.peer_uuids = Some(handshake.peer);
        }
        let (code, rule) = (comparison.code, comparison.rule);
        let theirs = Generations::from(&theirs);
        let text =
            format!("generations: here {before}, there {theirs}; rule {rule} says {code}: {decision:?}");
        self.note(Severity::Info, text);
        let (connection, full) = match decision {
            Decision::NoSync => {
                self.save_head();
                return Some(Connection::Connected);
            }
            Decision::Source { full } => (Connection::WFBitMapS, full),
            Decision::Target { full } => (Connection::WFBitMapT, full),
            Decision::Refused(reason) => {
                self.stand_alone(&reason.to_string());
                return None;
            }
        };
        if full {
            self.bitmap.set_all();
            self.save_all(false);
        }
        Some(connection)
    }

    /// Both know what the other has.
    fn connected(&mut self, old: State, peer: State, peer_disk: Disk, connection: Connection) {
        let fresh = old.connection == Connection::WFReportParams;
        if fresh {
            self.next(Phase::Running);
            self.attempts = 0;
            self.discard_my_data = false;
        }
        if let Some(session) = &mut self.session {
            session.peer_pauses = false;
        }
        let why = if fresh { "both nodes have said what they have" } else { "the other node's state" };
        self.change(why, |state| {
            state.connection = connection;
            state.peer = peer.role;
            state.peer_disk = peer_disk;
        });
        if fresh {
            self.send_state();
        } else if connection > Connection::Connected
            && old.connection == Connection::Connected
            && peer.connection <= Connection::Connected
            && connection != Connection::Behind
        {
            // The other node has not decided yet: it needs to know.
            self.send_uuids();
            self.send_state();
        }
        self.save_head();
    }
}

/// The initial resync may be skipped.
const VERSION_SKIP_SYNC: u32 = 90;
