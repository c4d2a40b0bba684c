//! The walk: every channel that can be reached, with every event fed to each of them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::LazyLock;

use drx_protocol::channel::{Action, Channel, Event, Kept, LinkState, Partner, Place};
use drx_protocol::ending::{EndReason, Ending};
use drx_protocol::names::{Attempt, ChannelType, LinkId, Role, Round};
use drx_protocol::state::State;

use crate::words::{self, Row};

/// What an event makes of a channel, as far as it can be seen from outside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outcome {
    pub to: State,
    /// What changes besides the state, and no action says.
    pub notes: Vec<&'static str>,
    pub actions: Vec<String>,
}

/// One cell of the matrix. `None` among the outcomes: the event says nothing there.
pub type Outcomes = BTreeSet<Option<Outcome>>;

/// The outcomes of one state and event, by the type that the channel has then.
pub type Cell = BTreeMap<Option<ChannelType>, Outcomes>;

/// What leads along an arrow, with the type that the channel has then.
pub type Leads = BTreeSet<(Row, Option<ChannelType>)>;

/// Everything that was found out about one role.
pub struct Walk {
    pub role: Role,
    /// Every channel that can be reached.
    pub channels: Vec<Channel>,
    /// Every state and event, with what follows.
    pub cells: BTreeMap<(State, Row), Cell>,
    /// Every arrow from one state to another, or to itself if something is done.
    pub arrows: BTreeMap<(State, State), Leads>,
}

impl Walk {
    /// The acceptor's walk and the connector's.
    pub fn both() -> &'static [Walk; 2] {
        static WALKS: LazyLock<[Walk; 2]> = LazyLock::new(|| Role::ALL.map(Walk::of));
        &WALKS
    }

    /// Walks from both ways in which a generation starts. A channel that says `Leave` is at its end:
    /// no event follows.
    fn of(role: Role) -> Walk {
        let mut walk = Walk { role, channels: Vec::new(), cells: BTreeMap::new(), arrows: BTreeMap::new() };
        let mut known: HashSet<Channel> = HashSet::new();
        let mut todo = vec![Channel::new(role), Channel::bridging(role)];
        while let Some(before) = todo.pop() {
            if !known.insert(before.clone()) {
                continue;
            }
            assert!(known.len() < MOST, "more than {MOST} channels: the walk is no longer bounded");
            for event in events().into_iter().filter(|event| can_come(event, &before)) {
                let mut after = before.clone();
                let actions = after.step(event);
                walk.note(&before, &event, actions.as_deref().map(|actions| (&after, actions)));
                let left = actions.is_none_or(|actions| actions.contains(&Action::Leave));
                if !left && after.attempt() <= LAST_ATTEMPT && !known.contains(&after) {
                    todo.push(after);
                }
            }
            walk.channels.push(before);
        }
        walk
    }

    fn note(&mut self, before: &Channel, event: &Event, after: Option<(&Channel, &[Action])>) {
        let row = words::row(event, before.attempt());
        let cell = self.cells.entry((before.state(), row)).or_default();
        let outcome = after.map(|(after, actions)| Outcome::new(before, after, actions));
        cell.entry(before.channel_type()).or_default().insert(outcome);
        if let Some((after, actions)) = after
            && (after.state() != before.state() || !actions.is_empty())
        {
            let arrow = self.arrows.entry((before.state(), after.state())).or_default();
            arrow.insert((row, before.channel_type()));
        }
    }
}

impl Outcome {
    fn new(before: &Channel, after: &Channel, actions: &[Action]) -> Outcome {
        let mut notes = Vec::new();
        if before.link() != after.link() {
            notes.push(match after.link() {
                LinkState::Up(_) => "link up",
                LinkState::Suspended(_) => "link suspended",
                LinkState::Down => "link down",
            });
        }
        if after.place() > before.place() {
            notes.push(if after.place() == Place::Down { "then down" } else { "then bridging" });
        }
        if after.attempt() != before.attempt() {
            notes.push(if after.attempt() == 0 { "attempts anew" } else { "next attempt" });
        }
        let shown = before.state() != after.state() || !notes.is_empty() || !actions.is_empty();
        if !shown && before != after {
            notes.push("remembered");
        }
        Outcome { to: after.state(), notes, actions: actions.iter().map(words::action).collect() }
    }
}

/// Every event is fed everywhere, also where no shell would feed it: what the machine does then
/// belongs to the matrix too. Only what a link brings cannot come where no link stands: a frame, an
/// acknowledgement, the news that it broke.
fn can_come(event: &Event, channel: &Channel) -> bool {
    let needs_link = matches!(event, Event::Offered { .. } | Event::Flushed | Event::LinkBroken)
        || event.attempt().is_some();
    !needs_link || channel.link().is_up()
}

/// Every event, each in all the forms that the machine tells apart. [`words::row`] does not compile
/// with an event that it does not know: a new one is added there and here.
pub fn events() -> Vec<Event> {
    let ending = Ending::new(EndReason::BsrClosed); // why does not decide where a channel goes
    let round = Round { link: LinkId(9), attempt: 1 };
    let mut events = vec![
        Event::Allocated,
        Event::LinkUp(LinkId(1)),
        Event::LinkBroken,
        Event::LinkLost,
        Event::LinkResumed,
        Event::Accepted,
        Event::NoFirstPacket,
        Event::Dialled,
        Event::LocalClosed,
        Event::LocalGone,
        Event::Flushed,
        Event::Delivered,
        Event::Released,
        Event::TimedOut,
        Event::Stop,
        Event::Next,
    ];
    for channel_type in [ChannelType::Data, ChannelType::Meta] {
        events.push(Event::FirstPacket(channel_type));
        events.extend(ATTEMPTS.map(|attempt| Event::Offered { attempt, channel_type }));
    }
    for attempt in ATTEMPTS {
        events.push(Event::PeerEstablished(attempt));
        events.push(Event::PeerFin { attempt, ending });
        events.push(Event::PeerAbort { attempt, ending });
    }
    for kept in [Kept::Outbound, Kept::Inbound, Kept::Received] {
        events.push(Event::PartnerEnded(Partner { round, kept }));
    }
    events
}

/// Past, present, next, and the one after that: a later offer withdraws a remembered one.
const LAST_ATTEMPT: Attempt = 2;
const ATTEMPTS: [Attempt; 3] = [1, 2, LAST_ATTEMPT + 1];

/// A few ten thousand are expected.
const MOST: usize = 200_000;
