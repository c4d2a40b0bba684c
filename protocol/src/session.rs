//! Sessions: which data and which meta channel of a resource belong together.
//!
//! A session is the newest established channel of each type, on whatever lanes and directions they
//! came (docs/channels.md 1). Losing one of them ends both; losing an older duplicate ends nothing.
//! The newest is the one whose connection to bsr came last, because bsr keeps that one (bsr-wire
//! A.3): a link may be so slow that an older duplicate becomes established after it.

use crate::channel::{Channel, EndedBy, Event, Kept, Partner};
use crate::ending::EndReason;
use crate::names::{ChannelType, Lane, Role, Round};
use crate::rules::Rules;
use crate::state::State;

/// One of a resource's four channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// The direction, as seen from here.
    pub role: Role,
    /// Its first or second channel.
    pub lane: Lane,
}

impl Slot {
    /// All four: acceptors first.
    pub const ALL: [Slot; 4] = [
        Slot { role: Role::Acceptor, lane: Lane::Zero },
        Slot { role: Role::Acceptor, lane: Lane::One },
        Slot { role: Role::Connector, lane: Lane::Zero },
        Slot { role: Role::Connector, lane: Lane::One },
    ];

    /// Its place in [`Slot::ALL`].
    pub fn index(self) -> usize {
        2 * (self.role as usize) + self.lane as usize
    }
}

/// What a channel is to be told about one of its rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    /// Which channel.
    pub slot: Slot,
    /// Which of its rounds.
    pub round: Round,
    /// What.
    pub told: Told,
}

/// What an [`Order`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Told {
    /// [`Event::PartnerEnded`].
    End(Partner),
    /// [`Event::Released`].
    Release,
}

impl Order {
    /// The event for the channel, unless it has gone on to another round: an order that comes late
    /// must not touch that one.
    pub fn event(self, channel: &Channel) -> Option<Event> {
        let same_link = channel.link().id().is_none_or(|link| link == self.round.link);
        (same_link && channel.attempt() == self.round.attempt).then_some(match self.told {
            Told::End(partner) => Event::PartnerEnded(partner),
            Told::Release => Event::Released,
        })
    }
}

/// The sessions of one resource, by its own sight. Owned by the resource supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sessions {
    channels: [Option<Member>; 4],
    /// The channels that bsr's connections came to, the newest last.
    order: Vec<Slot>,
    /// What bsr opened on channels that are not established yet.
    coming: [Option<ChannelType>; 4],
    rules: Rules,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Member {
    channel_type: ChannelType,
    round: Round,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Established,
    /// It left `established`, or was told to; `with` is the other channel of its session.
    Leaving {
        with: Option<Slot>,
    },
}

impl Sessions {
    /// Nothing is established.
    pub fn new() -> Sessions {
        Sessions::with_rules(Rules::ALL)
    }

    #[doc(hidden)] // for the search that shows what each rule is for
    pub fn with_rules(rules: Rules) -> Sessions {
        Sessions { channels: [None; 4], order: Vec::new(), coming: [None; 4], rules }
    }

    /// bsr connected to this channel, or took its dial: the newest connection is the one that bsr
    /// keeps, whichever becomes established first.
    pub fn connected(&mut self, slot: Slot) {
        self.order.retain(|&known| known != slot);
        self.order.push(slot);
    }

    /// bsr's first packet said what it opened there; the other side is still to be connected.
    pub fn coming(&mut self, slot: Slot, channel_type: ChannelType) {
        self.coming[slot.index()] = Some(channel_type);
    }

    /// A channel became established.
    pub fn established(&mut self, slot: Slot, channel_type: ChannelType, round: Round) {
        if !self.order.contains(&slot) {
            self.connected(slot);
        }
        self.coming[slot.index()] = None;
        self.channels[slot.index()] = Some(Member { channel_type, round, phase: Phase::Established });
    }

    /// A channel left `established`: its partner ends with it, and meta waits for data.
    pub fn ended(&mut self, slot: Slot, by: EndedBy) -> Vec<Order> {
        let Some(member) = self.channels[slot.index()].filter(|member| member.phase == Phase::Established)
        else {
            return Vec::new(); // it was told to end, and says that it did
        };
        let replaced = matches!(by, EndedBy::Remote(_)) && self.is_replaced(slot, member.channel_type);
        let partner = self.partner(slot).filter(|&partner| !replaced && self.is_meant(partner, by));
        self.leave(slot, partner);
        let mut orders = Vec::new();
        if let Some(partner) = partner {
            let target = self.leave(partner, Some(slot));
            let kept = match by {
                EndedBy::Local | EndedBy::Operator => Kept::Outbound,
                EndedBy::Remote(ending) if ending.reason == EndReason::LinkLost => Kept::Received,
                EndedBy::Remote(_) => Kept::Inbound,
                EndedBy::LinkLost | EndedBy::Failure | EndedBy::Partner => Kept::Received,
            };
            let told = Told::End(Partner { round: member.round, kept });
            orders.extend(target.map(|round| Order { slot: partner, round, told }));
        }
        self.release(&mut orders);
        orders
    }

    /// A channel came to its end, and its connection to bsr with it: it is a member of nothing any more.
    pub fn left(&mut self, slot: Slot) -> Vec<Order> {
        let mut orders = Vec::new();
        self.order.retain(|&known| known != slot);
        self.coming[slot.index()] = None;
        if self.channels[slot.index()].take().is_some() {
            self.release(&mut orders);
        }
        orders
    }

    /// The channel that stands or falls with this one.
    pub fn partner(&self, slot: Slot) -> Option<Slot> {
        let member = self.channels[slot.index()]?;
        let (data, meta) = self.newest()?;
        match member.channel_type {
            ChannelType::Data => (data == slot).then_some(meta),
            ChannelType::Meta => (meta == slot).then_some(data),
        }
    }

    /// The whole session, data first, if there is one.
    pub fn newest(&self) -> Option<(Slot, Slot)> {
        Some((self.newest_of(ChannelType::Data)?, self.newest_of(ChannelType::Meta)?))
    }

    fn newest_of(&self, channel_type: ChannelType) -> Option<Slot> {
        self.order.iter().copied().rev().find(|slot| {
            self.channels[slot.index()].is_some_and(|member| {
                member.channel_type == channel_type && member.phase == Phase::Established
            })
        })
    }

    /// Whether our bsr has opened the same again since. The other bsr closes its older one as soon as
    /// it sees the newer, and that word may be here before the newer one is established: it ends
    /// nothing else. (If the session is really over, meta hears of it on its own link.)
    fn is_replaced(&self, slot: Slot, channel_type: ChannelType) -> bool {
        let later = self.order.iter().skip_while(|&&known| known != slot).skip(1);
        later.into_iter().any(|later| self.coming[later.index()] == Some(channel_type))
    }

    /// A stop that the other DRX explains by a partner means that one only (rule 6): the two relays
    /// may have paired the channels differently.
    fn is_meant(&self, partner: Slot, by: EndedBy) -> bool {
        let EndedBy::Remote(ending) = by else { return by != EndedBy::Partner };
        match ending.partner {
            Some(named) if self.rules.stops_name_the_partner => {
                self.channels[partner.index()].is_some_and(|member| member.round == named)
            }
            _ => true,
        }
    }

    /// Lets every leaving meta channel go whose data channel is through.
    fn release(&mut self, orders: &mut Vec<Order>) {
        for slot in Slot::ALL {
            let Some(Member { channel_type: ChannelType::Meta, phase: Phase::Leaving { with }, round }) =
                self.channels[slot.index()]
            else {
                continue;
            };
            if with.is_none_or(|data| self.channels[data.index()].is_none()) {
                self.channels[slot.index()] = None;
                orders.push(Order { slot, round, told: Told::Release });
            }
        }
    }

    fn leave(&mut self, slot: Slot, with: Option<Slot>) -> Option<Round> {
        let member = self.channels[slot.index()].as_mut()?;
        member.phase = Phase::Leaving { with };
        Some(member.round)
    }
}

impl Default for Sessions {
    fn default() -> Sessions {
        Sessions::new()
    }
}

/// The acceptor lane that takes bsr's next connection, if bsr is let in at all: `inside` is listened
/// on while there is one.
///
/// Refused otherwise (docs/channels.md 2, rule 1): with both lanes taken; while a lane of that
/// direction says goodbye (docs/link.md 6, rule 7); while any lane of the resource is in
/// `close_pending`, because the other bsr still holds its old connection.
pub fn open_lane(channels: &[(Slot, State, bool)], rules: Rules) -> Option<Lane> {
    let blocked = rules.goodbyes_close_the_door
        && channels.iter().any(|&(slot, state, leaving)| match slot.role {
            Role::Acceptor => leaving || matches!(state, State::ClosePending | State::Stopping),
            Role::Connector => state == State::ClosePending,
        });
    if blocked {
        return None;
    }
    channels
        .iter()
        .filter(|(slot, state, _)| slot.role == Role::Acceptor && *state == State::Waiting)
        .map(|(slot, ..)| slot.lane)
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ending::Ending;
    use crate::names::ChannelType::{Data, Meta};
    use crate::names::LinkId;

    const IN_0: Slot = Slot::ALL[0];
    const IN_1: Slot = Slot::ALL[1];
    const OUT_0: Slot = Slot::ALL[2];
    const OUT_1: Slot = Slot::ALL[3];

    /// The first round on a link of its own.
    fn round(slot: Slot) -> Round {
        Round { link: LinkId(slot.index() as u128), attempt: 1 }
    }

    fn with(channels: &[(Slot, ChannelType)]) -> Sessions {
        let mut sessions = Sessions::new();
        for &(slot, channel_type) in channels {
            sessions.connected(slot);
            sessions.established(slot, channel_type, round(slot));
        }
        sessions
    }

    fn end(slot: Slot, ended: Slot, kept: Kept) -> Order {
        let told = Told::End(Partner { round: round(ended), kept });
        Order { slot, round: round(slot), told }
    }

    fn release(slot: Slot) -> Order {
        Order { slot, round: round(slot), told: Told::Release }
    }

    fn remote(partner: Option<Slot>) -> EndedBy {
        let ending =
            partner.map_or(Ending::new(EndReason::BsrClosed), |slot| Ending::because_of(round(slot)));
        EndedBy::Remote(ending)
    }

    #[test]
    fn the_directions_and_lanes_do_not_matter() {
        for data in Slot::ALL {
            for meta in Slot::ALL.into_iter().filter(|&meta| meta != data) {
                let sessions = with(&[(meta, Meta), (data, Data)]);
                assert_eq!(sessions.newest(), Some((data, meta)));
                assert_eq!(sessions.partner(data), Some(meta));
                assert_eq!(sessions.partner(meta), Some(data));
            }
        }
    }

    #[test]
    fn one_channel_is_no_session() {
        let mut sessions = with(&[(IN_0, Data), (OUT_0, Data)]);
        assert_eq!(sessions.newest(), None);
        assert_eq!(sessions.ended(OUT_0, EndedBy::Local), []);
    }

    #[test]
    fn losing_an_older_duplicate_ends_nothing() {
        let mut sessions = with(&[(IN_0, Data), (IN_1, Meta), (OUT_0, Data), (OUT_1, Meta)]);
        assert_eq!(sessions.newest(), Some((OUT_0, OUT_1)));
        assert_eq!(sessions.ended(IN_0, EndedBy::Local), []);
        assert_eq!(sessions.ended(IN_1, EndedBy::LinkLost), [release(IN_1)]);
        assert_eq!(sessions.newest(), Some((OUT_0, OUT_1)));
    }

    #[test]
    fn an_older_connection_stays_older_when_it_is_established_later() {
        let mut sessions = Sessions::new();
        for slot in [IN_0, OUT_0, OUT_1] {
            sessions.connected(slot);
        }
        sessions.established(OUT_0, Data, round(OUT_0));
        sessions.established(OUT_1, Meta, round(OUT_1));
        sessions.established(IN_0, Data, round(IN_0));
        assert_eq!(sessions.newest(), Some((OUT_0, OUT_1)));
        assert_eq!(sessions.ended(IN_0, EndedBy::Local), []);
    }

    #[test]
    fn an_older_connection_may_end_before_its_successor_stands() {
        let mut sessions = with(&[(IN_0, Data), (OUT_0, Meta)]);
        sessions.connected(IN_1);
        sessions.coming(IN_1, Data);
        // The other bsr has seen the newer one and closed the older.
        assert_eq!(sessions.ended(IN_0, remote(None)), []);
        sessions.left(IN_0);
        sessions.established(IN_1, Data, round(IN_1));
        assert_eq!(sessions.newest(), Some((IN_1, OUT_0)));
        // Whatever else is coming changes nothing.
        let mut sessions = with(&[(IN_0, Data), (OUT_0, Meta)]);
        sessions.connected(IN_1);
        sessions.coming(IN_1, Meta);
        assert_eq!(sessions.ended(IN_0, remote(None)), [end(OUT_0, IN_0, Kept::Inbound)]);
    }

    #[test]
    fn the_next_connection_of_a_channel_is_a_new_one() {
        let mut sessions = with(&[(IN_0, Data), (OUT_0, Data), (IN_1, Meta)]);
        sessions.ended(IN_0, EndedBy::Local);
        sessions.left(IN_0);
        sessions.connected(IN_0);
        sessions.established(IN_0, Data, Round { attempt: 2, ..round(IN_0) });
        assert_eq!(sessions.newest(), Some((IN_0, IN_1)));
    }

    #[test]
    fn meta_waits_until_data_is_through() {
        let mut sessions = with(&[(IN_0, Data), (OUT_0, Meta)]);
        assert_eq!(sessions.ended(OUT_0, EndedBy::Local), [end(IN_0, OUT_0, Kept::Outbound)]);
        assert_eq!(sessions.ended(IN_0, EndedBy::Partner), []);
        assert_eq!(sessions.left(IN_0), [release(OUT_0)]);
        assert_eq!(sessions.left(OUT_0), []);
    }

    #[test]
    fn meta_is_told_first_and_released_later() {
        let mut sessions = with(&[(IN_0, Data), (OUT_0, Meta)]);
        assert_eq!(sessions.ended(IN_0, remote(None)), [end(OUT_0, IN_0, Kept::Inbound)]);
        assert_eq!(sessions.newest(), None);
        assert_eq!(sessions.left(IN_0), [release(OUT_0)]);
    }

    #[test]
    fn what_is_kept_depends_on_who_is_gone() {
        let link_lost = EndedBy::Remote(Ending::new(EndReason::LinkLost));
        for (by, kept) in [
            (EndedBy::Local, Kept::Outbound),
            (EndedBy::Operator, Kept::Outbound),
            (remote(None), Kept::Inbound),
            (link_lost, Kept::Received),
            (EndedBy::LinkLost, Kept::Received),
            (EndedBy::Failure, Kept::Received),
        ] {
            assert_eq!(
                with(&[(IN_0, Data), (IN_1, Meta)]).ended(IN_0, by),
                [end(IN_1, IN_0, kept)],
                "{by:?}"
            );
        }
    }

    #[test]
    fn a_stop_ends_only_the_partner_that_it_names() {
        let channels = [(IN_0, Data), (IN_1, Meta), (OUT_0, Data)];
        let mut sessions = with(&channels);
        assert_eq!(sessions.ended(IN_1, remote(Some(IN_0))), [release(IN_1)]);
        assert_eq!(with(&channels).ended(IN_1, remote(Some(OUT_0))), [end(OUT_0, IN_1, Kept::Inbound)]);
    }

    #[test]
    fn an_order_does_not_touch_another_round() {
        let mut channel = Channel::new(Role::Acceptor);
        let up = Event::LinkUp(round(IN_0).link);
        for event in [Event::Allocated, up, Event::Next, Event::Accepted, Event::FirstPacket(Meta)] {
            channel.step(event);
        }
        assert_eq!(channel.round(), Some(round(IN_0)));
        assert_eq!(release(IN_0).event(&channel), Some(Event::Released));
        assert_eq!(release(IN_1).event(&channel), None);
        let later = Round { attempt: 2, ..round(IN_0) };
        assert_eq!(Order { round: later, ..release(IN_0) }.event(&channel), None);
    }

    #[test]
    fn bsr_is_let_in_by_the_first_free_lane() {
        let states = |states: [State; 4]| Slot::ALL.map(|slot| (slot, states[slot.index()], false));
        let open = |of: [State; 4]| open_lane(&states(of), Rules::ALL);
        use State::*;
        assert_eq!(open([Waiting, Waiting, Connecting, Connecting]), Some(Lane::Zero));
        assert_eq!(open([Established, Waiting, Connecting, Connecting]), Some(Lane::One));
        assert_eq!(open([Bridging, Waiting, Connecting, Connecting]), Some(Lane::One));
        assert_eq!(open([Established, Establishing, Connecting, Connecting]), None);
        assert_eq!(open([Stopping, Waiting, Connecting, Connecting]), None);
        assert_eq!(open([Waiting, Waiting, ClosePending, Connecting]), None);
        assert_eq!(open([Waiting, Waiting, Stopping, Connecting]), Some(Lane::Zero));
        let mut leaving = states([Established, Waiting, Connecting, Connecting]);
        leaving[0].2 = true;
        assert_eq!(open_lane(&leaving, Rules::ALL), None);
    }
}
