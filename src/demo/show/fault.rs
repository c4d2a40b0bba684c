//! What is broken, in words.

use drx_protocol::names::ChannelType;

use super::super::watch::Moment;

/// What is broken; sides count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Back before `resume_timeout`: bsr must not notice.
    FlapLine,
    /// Away for longer.
    CutLine,
    /// The secondary.
    KillSecondary(usize),
    /// The other side becomes primary.
    KillPrimary(usize),
    PanicChannel(usize),
    PanicBab(usize),
}

impl Fault {
    pub(super) fn what(self, before: &Moment) -> String {
        match self {
            Fault::FlapLine => "the line between the two relays flaps".to_owned(),
            Fault::CutLine => {
                "the line between the two relays is cut for longer than resume_timeout".to_owned()
            }
            Fault::KillSecondary(side) => format!("bsr{} is killed", side + 1),
            Fault::KillPrimary(side) => format!("bsr{}, the primary, is killed", side + 1),
            Fault::PanicChannel(side) => {
                let role = before.carrier(side, ChannelType::Data).map(|slot| slot.role.to_string());
                let role = role.as_deref().unwrap_or("channel");
                format!("the {role} of node{} that carries data panics", side + 1)
            }
            Fault::PanicBab(side) => format!("the BAB of node{}'s data channel panics", side + 1),
        }
    }

    /// What a recovery's time is counted from.
    pub(super) fn since(self) -> &'static str {
        match self {
            Fault::FlapLine | Fault::CutLine => "after the line was healed",
            Fault::KillSecondary(_) | Fault::KillPrimary(_) => "after it was started again",
            Fault::PanicChannel(_) | Fault::PanicBab(_) => "after the panic",
        }
    }

    /// Whether somebody has to repair it: then it lasts for a while.
    pub(super) fn lasts(self) -> bool {
        !matches!(self, Fault::PanicChannel(_) | Fault::PanicBab(_))
    }
}

/// One after the other. bsr1 is primary, until bsr2 takes over.
pub(super) const FAULTS: [Fault; 6] = [
    Fault::FlapLine,
    Fault::CutLine,
    Fault::KillSecondary(1),
    Fault::KillPrimary(0),
    Fault::PanicChannel(0),
    Fault::PanicBab(1),
];
