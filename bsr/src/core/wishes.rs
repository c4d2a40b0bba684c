//! Changes of state that the other node wants, and the codes by which nodes agree or refuse (bsr-wire B.9).

use super::verify::Verify;
use super::{Node, Refusal, Severity};
use crate::wire::state::{CONNECTION_MASK, DISK_MASK, ROLE_MASK};
use crate::wire::{Connection, Disk, Packet, Role, StateChange, StateWord, Stream};

impl Node {
    /// P_STATE_CHG_REQ, P_CONN_ST_CHG_REQ.
    pub(super) fn peer_orders(&mut self, change: StateChange, connection_wide: bool) {
        let word = StateWord(change.value);
        let concerns = |mask: u32| change.mask & mask != 0;
        let role = if concerns(ROLE_MASK) { word.role() } else { None };
        let connection = if concerns(CONNECTION_MASK) { word.connection() } else { None };
        let code = if self.orders.is_asking()
            && self.session.as_ref().is_some_and(|s| s.agreed.resolve_conflicts)
        {
            CONCURRENT // both ask at once: this node's wish comes first
        } else if role == Some(Role::Primary) && self.state.role == Role::Primary {
            TWO_PRIMARIES
        } else {
            match connection {
                Some(Connection::VerifyS) if self.settings.verify.is_none() => NO_VERIFY_ALG,
                Some(Connection::VerifyS) if self.not_connected_and_good().is_some() => RESYNC_RUNNING,
                Some(Connection::StartingSyncS | Connection::StartingSyncT)
                    if self.state.connection != Connection::Connected =>
                {
                    RESYNC_RUNNING
                }
                // What is on its way may be on no other disk.
                Some(Connection::StartingSyncS) if !self.requests.is_stable() => IN_TRANSIENT_STATE,
                Some(Connection::StartingSyncT) if self.state.disk != Disk::UpToDate => NO_UP_TO_DATE_DISK,
                Some(Connection::StartingSyncS) if self.state.peer_disk != Disk::UpToDate => {
                    NO_UP_TO_DATE_DISK
                }
                _ => SUCCESS,
            }
        };
        let answer = if connection_wide {
            Packet::ConnectionChangeReply(code)
        } else {
            Packet::StateChangeReply(code)
        };
        self.send(Stream::Meta, answer);
        if code < SUCCESS {
            self.note(Severity::Info, format!("refused the other node's wish {change:?}: {}", refusal(code)));
            return;
        }
        if let Some(role) = role {
            let forced = concerns(DISK_MASK) && word.disk() == Some(Disk::UpToDate);
            let both_bad =
                self.state.disk == Disk::Inconsistent && self.state.peer_disk == Disk::Inconsistent;
            if let Some(session) = &mut self.session
                && both_bad
                && role == Role::Primary
            {
                session.consider_resync = true;
            }
            self.change("the other node's operator wants it", |state| {
                state.peer = role;
                if forced {
                    state.peer_disk = Disk::UpToDate;
                }
            });
        }
        match connection {
            Some(Connection::Disconnecting) => self.let_go(),
            Some(Connection::VerifyS) => self.begin_verify(Verify::Target { left: None }),
            Some(Connection::StartingSyncS) => self.full_resync(Connection::StartingSyncT),
            Some(Connection::StartingSyncT) => self.full_resync(Connection::StartingSyncS),
            _ => {}
        }
    }
}

/// What a negative answer says.
pub(super) fn refusal(code: i32) -> Refusal {
    let what = match code {
        TWO_PRIMARIES => return Refusal::TwoPrimaries,
        NO_UP_TO_DATE_DISK => return Refusal::NoUpToDateDisk,
        -4 => "it has no disk",
        -5 => "it sees no disk here",
        -6 => "its disk would be outdated",
        -7 => "it is primary and needs this node",
        RESYNC_RUNNING => "a resync or a verify is running",
        -10 => "it says no",
        -12 => "its volume is in use",
        NO_VERIFY_ALG => "it has no verify-alg",
        -15 => "it needs a connection",
        -17 => "it does not know that",
        IN_TRANSIENT_STATE => "it is between two states, try again",
        CONCURRENT => "it wants something itself, try again",
        other => return Refusal::Peer(format!("code {other}")),
    };
    Refusal::Peer(what.to_owned())
}

/// An answer of at least this is a yes.
pub(super) const SUCCESS: i32 = 1;
const TWO_PRIMARIES: i32 = -1;
const NO_UP_TO_DATE_DISK: i32 = -2;
const RESYNC_RUNNING: i32 = -8;
const NO_VERIFY_ALG: i32 = -14;
const IN_TRANSIENT_STATE: i32 = -18;
const CONCURRENT: i32 = -19;
