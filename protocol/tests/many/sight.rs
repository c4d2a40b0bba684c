//! What can be seen of a world.

use drx_protocol::names::{ChannelType, Role};
use drx_protocol::session::{Slot, open_lane};
use drx_protocol::state::State;

use super::bsr::{Held, TYPES};
use super::end::{End, Local, Message};
use super::{Resource, Side, across};

impl Resource {
    pub(super) fn end(&self, side: Side, slot: Slot) -> &End {
        &self.relays[side as usize].ends[slot.index()]
    }

    /// Whether both ends still have the same link, as far as they know.
    pub(super) fn is_linked(&self, side: Side, slot: Slot) -> bool {
        let (here, there) = (self.end(side, slot), self.end(side.other(), across(slot)));
        let whole = |end: &End| !end.inbox.contains(&Message::Closed);
        here.link().is_some() && here.link() == there.link() && whole(here) && whole(there)
    }

    pub(super) fn open_lane(&self, side: Side) -> Option<Slot> {
        let channels = Slot::ALL.map(|slot| (slot, self.end(side, slot).channel.state(), false));
        open_lane(&channels, self.rules).map(|lane| Slot { role: Role::Acceptor, lane })
    }

    /// Whether relay and bsr have noticed of each other what there is to notice. That takes them no
    /// time, compared with the second after which a bsr tries again.
    pub(super) fn is_settled(&self, side: Side) -> bool {
        let noticed = |end: &End| !matches!(end.local, Local::BsrGone | Local::Closing);
        let relay = &self.relays[side as usize];
        let bsr = &self.bsrs[side as usize];
        relay.orders.is_empty()
            && relay.ends.iter().all(|end| noticed(end))
            && TYPES.iter().all(|&channel_type| bsr.held(channel_type) != Some(Held::Dead))
    }

    /// Whether nothing is under way between the relays.
    pub(super) fn is_quiet(&self) -> bool {
        Side::BOTH.into_iter().all(|side| self.is_settled(side))
            && self.relays.iter().flat_map(|relay| &relay.ends).all(|end| end.inbox.is_empty())
    }

    pub(super) fn is_joined(&self, slot: Slot, channel_type: ChannelType) -> bool {
        let (a, b) = (self.end(Side::A, slot), self.end(Side::B, across(slot)));
        self.is_linked(Side::A, slot)
            && a.is(State::Established)
            && b.is(State::Established)
            && a.channel.round() == b.channel.round()
            && a.local == Local::Open
            && b.local == Local::Open
            && self.bsrs[0].at(channel_type) == Some(slot)
            && self.bsrs[1].at(channel_type) == Some(across(slot))
    }

    pub(super) fn session_at_a(&self) -> Option<[Slot; 2]> {
        self.relays[0].sessions.newest().map(|(data, meta)| [data, meta])
    }

    /// Both bsr hold data and meta, joined to each other, and both relays know it for one session.
    pub(super) fn are_together(&self) -> bool {
        let Some([data, meta]) = self.session_at_a() else { return false };
        self.relays[1].sessions.newest() == Some((across(data), across(meta)))
            && self.bsrs.iter().all(|bsr| bsr.connected)
            && self.is_joined(data, ChannelType::Data)
            && self.is_joined(meta, ChannelType::Meta)
    }
}
