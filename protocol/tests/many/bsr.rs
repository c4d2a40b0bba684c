//! A bsr: it wants one data and one meta connection, and knows no more of them than its own sockets
//! (bsr-wire A.1, A.3, A.7).

use drx_protocol::names::ChannelType;
use drx_protocol::session::Slot;

pub const TYPES: [ChannelType; 2] = [ChannelType::Data, ChannelType::Meta];

/// A connection as bsr sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Held {
    /// To this channel of its relay.
    At(Slot),
    /// The relay has forgotten it; bsr has not noticed yet.
    Dead,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bsr {
    held: [Option<Held>; 2],
    /// It has both and replicates: it listens no more, and losing one drops the other.
    pub connected: bool,
    /// It has lost a connection, and waits a second before it tries again.
    pub waits: bool,
}

impl Bsr {
    pub fn held(&self, channel_type: ChannelType) -> Option<Held> {
        self.held[channel_type as usize]
    }

    pub fn at(&self, channel_type: ChannelType) -> Option<Slot> {
        match self.held(channel_type)? {
            Held::At(slot) => Some(slot),
            Held::Dead => None,
        }
    }

    /// Takes a connection; the one before it is closed: the newest wins.
    pub fn hold(&mut self, channel_type: ChannelType, slot: Slot) -> Option<Slot> {
        let before = self.at(channel_type);
        self.held[channel_type as usize] = Some(Held::At(slot));
        before
    }

    /// Which of its connections goes to this channel.
    pub fn type_at(&self, slot: Slot) -> Option<ChannelType> {
        TYPES.into_iter().find(|&channel_type| self.at(channel_type) == Some(slot))
    }

    /// The relay has forgotten the connection to this channel.
    pub fn forgotten(&mut self, slot: Slot) {
        if let Some(channel_type) = self.type_at(slot) {
            self.held[channel_type as usize] = Some(Held::Dead);
        }
    }

    /// A connection is gone: which others it closes now.
    pub fn lose(&mut self, channel_type: ChannelType) -> Vec<Slot> {
        if self.connected {
            return self.drop_all();
        }
        self.waits = true;
        let lost = self.at(channel_type);
        self.held[channel_type as usize] = None;
        lost.into_iter().collect()
    }

    pub fn drop_all(&mut self) -> Vec<Slot> {
        let lost = TYPES.into_iter().filter_map(|channel_type| self.at(channel_type)).collect();
        *self = Bsr { waits: true, ..Bsr::default() };
        lost
    }
}
