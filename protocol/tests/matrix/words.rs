//! Events, actions and outcomes in words.

use drx_protocol::channel::{Action, Close, EndedBy, Event, Finish, Kept};
use drx_protocol::names::Attempt;

/// An event as the matrix names it: those that speak of a round by whether that is the present one.
pub type Row = &'static str;

/// The row that an event belongs to, at a channel whose present round is `present`.
pub fn row(event: &Event, present: Attempt) -> Row {
    let this_round = event.attempt() == Some(present);
    match event {
        Event::Allocated => "Allocated",
        Event::LinkUp(_) => "LinkUp",
        Event::LinkBroken => "LinkBroken",
        Event::LinkLost => "LinkLost",
        Event::LinkResumed => "LinkResumed",
        Event::Accepted => "Accepted",
        Event::FirstPacket(_) => "FirstPacket",
        Event::NoFirstPacket => "NoFirstPacket",
        Event::Offered { attempt, .. } if *attempt > present => "Offered (later)",
        Event::Offered { .. } => "Offered (known)",
        Event::Dialled => "Dialled",
        Event::PeerEstablished(_) if this_round => "PeerEstablished",
        Event::PeerEstablished(_) => "PeerEstablished (other)",
        Event::LocalClosed => "LocalClosed",
        Event::LocalGone => "LocalGone",
        Event::Flushed => "Flushed",
        Event::Delivered => "Delivered",
        Event::PeerFin { .. } if this_round => "PeerFin",
        Event::PeerFin { .. } => "PeerFin (other)",
        Event::PeerAbort { .. } if this_round => "PeerAbort",
        Event::PeerAbort { .. } => "PeerAbort (other)",
        Event::PartnerEnded(partner) => match partner.kept {
            Kept::Outbound => "PartnerEnded (outbound)",
            Kept::Inbound => "PartnerEnded (inbound)",
            Kept::Received => "PartnerEnded (received)",
        },
        Event::Released => "Released",
        Event::TimedOut => "TimedOut",
        Event::Stop => "Stop",
        Event::Next => "Next",
    }
}

/// The event without what its row adds in brackets.
pub fn event(row: Row) -> &'static str {
    row.split(" (").next().unwrap_or(row)
}

/// Every row, in the order of the way up and down.
pub const ROWS: [Row; 28] = [
    "Next",
    "Allocated",
    "LinkUp",
    "Accepted",
    "FirstPacket",
    "NoFirstPacket",
    "Offered (later)",
    "Offered (known)",
    "Dialled",
    "PeerEstablished",
    "PeerEstablished (other)",
    "LinkBroken",
    "LinkResumed",
    "LinkLost",
    "LocalClosed",
    "PeerFin",
    "PeerFin (other)",
    "PeerAbort",
    "PeerAbort (other)",
    "PartnerEnded (outbound)",
    "PartnerEnded (inbound)",
    "PartnerEnded (received)",
    "Flushed",
    "Delivered",
    "Released",
    "LocalGone",
    "TimedOut",
    "Stop",
];

/// An action, without the numbers that differ from round to round.
pub fn action(action: &Action) -> String {
    match action {
        Action::OpenLink => "OpenLink".into(),
        Action::Redial => "Redial".into(),
        Action::DropLink => "DropLink".into(),
        Action::ReadFirstPacket => "ReadFirstPacket".into(),
        Action::Offer => "Offer".into(),
        Action::DialLocal(_) => "DialLocal".into(),
        Action::CancelDial => "CancelDial".into(),
        Action::SayEstablished => "SayEstablished".into(),
        Action::Relay => "Relay".into(),
        Action::StopReading => "StopReading".into(),
        Action::Discard => "Discard".into(),
        Action::Finish(finish, ending) => {
            let how = match finish {
                Finish::Flush => "flush",
                Finish::Cut => "cut",
            };
            format!("Finish({how}, {:?})", ending.reason)
        }
        Action::Abort(ending) => format!("Abort({:?})", ending.reason),
        Action::CloseLocal(Close::Gently) => "CloseLocal(gently)".into(),
        Action::CloseLocal(Close::Hard) => "CloseLocal(hard)".into(),
        Action::Tell(by) => {
            let by = match by {
                EndedBy::Local => "local",
                EndedBy::Remote(_) => "remote",
                EndedBy::LinkLost => "link lost",
                EndedBy::Partner => "partner",
                EndedBy::Operator => "operator",
                EndedBy::Failure => "failure",
            };
            format!("Tell({by})")
        }
        Action::StartTimer => "StartTimer".into(),
        Action::Restart => "Restart".into(),
        Action::Leave => "Leave".into(),
    }
}
