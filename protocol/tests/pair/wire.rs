//! One TCP connection between the relays: ordered, until it breaks.

use drx_protocol::admission::Dial;
use drx_protocol::ending::Ending;
use drx_protocol::names::{Attempt, ChannelType, LinkId};

use super::Side;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    Hello(Dial, u64),
    Welcome { link: LinkId, next: u64 },
    Refused,
    Offer(Attempt, ChannelType),
    Established(Attempt),
    Data { attempt: Attempt, offset: u64, from: u8 },
    Ack { attempt: Attempt, acknowledged: u64 },
    Fin { attempt: Attempt, offset: u64, ending: Ending },
    Abort { attempt: Attempt, ending: Ending },
    /// End of file, or a reset.
    Closed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wire {
    pub id: u8,
    to_a: Vec<Message>,
    to_b: Vec<Message>,
    open_a: bool,
    open_b: bool,
    snapped: bool,
}

impl Wire {
    pub fn dialled(id: u8, hello: Message) -> Wire {
        Wire { id, to_a: vec![hello], to_b: Vec::new(), open_a: true, open_b: true, snapped: false }
    }

    fn queue(&mut self, to: Side) -> &mut Vec<Message> {
        match to {
            Side::A => &mut self.to_a,
            Side::B => &mut self.to_b,
        }
    }

    fn open(&mut self, side: Side) -> &mut bool {
        match side {
            Side::A => &mut self.open_a,
            Side::B => &mut self.open_b,
        }
    }

    /// What is sent into a broken or closed connection is lost without a sign.
    pub fn send(&mut self, from: Side, message: Message) {
        if *self.open(from) && !self.snapped && *self.open(from.other()) {
            self.queue(from.other()).push(message);
        }
    }

    pub fn close(&mut self, side: Side) {
        if std::mem::replace(self.open(side), false) {
            self.queue(side).clear();
            if *self.open(side.other()) && !self.snapped {
                self.queue(side.other()).push(Message::Closed);
            }
        }
    }

    /// It breaks: what was under way is lost, and each side notices when it does.
    pub fn snap(&mut self) {
        self.snapped = true;
        for side in [Side::A, Side::B] {
            self.queue(side).clear();
            if *self.open(side) {
                self.queue(side).push(Message::Closed);
            }
        }
    }

    pub fn receive(&mut self, side: Side) -> Option<Message> {
        let queue = self.queue(side);
        (!queue.is_empty()).then(|| queue.remove(0))
    }

    pub fn pending(&self, side: Side) -> bool {
        match side {
            Side::A => !self.to_a.is_empty(),
            Side::B => !self.to_b.is_empty(),
        }
    }

    pub fn is_whole(&self) -> bool {
        self.open_a && self.open_b && !self.snapped
    }

    pub fn is_over(&self) -> bool {
        !self.open_a && !self.open_b && self.to_a.is_empty() && self.to_b.is_empty()
    }

    fn messages(&self) -> impl Iterator<Item = &Message> {
        self.to_a.iter().chain(&self.to_b)
    }

    pub fn links(&self) -> Vec<LinkId> {
        self.messages()
            .flat_map(|message| match message {
                Message::Hello(dial, _) => vec![dial.link],
                Message::Welcome { link, .. } => vec![*link],
                _ => Vec::new(),
            })
            .collect()
    }

    pub fn tags(&self) -> Vec<u8> {
        self.messages()
            .filter_map(|message| match message {
                Message::Data { from, .. } => Some(*from),
                _ => None,
            })
            .collect()
    }

    pub fn dial_numbers(&self, epoch: u64) -> Vec<u64> {
        self.messages()
            .filter_map(|message| match message {
                Message::Hello(dial, _) if dial.epoch.started == epoch => Some(dial.number),
                _ => None,
            })
            .collect()
    }

    pub fn rename(&mut self, link: &impl Fn(LinkId) -> LinkId, tag: &impl Fn(u8) -> u8) {
        for message in self.to_a.iter_mut().chain(&mut self.to_b) {
            match message {
                Message::Hello(dial, _) => dial.link = link(dial.link),
                Message::Welcome { link: id, .. } => *id = link(*id),
                Message::Data { from, .. } => *from = tag(*from),
                _ => {}
            }
        }
    }

    pub fn renumber(&mut self, epoch: u64, rank: &impl Fn(u64) -> u64) {
        for message in self.to_a.iter_mut() {
            if let Message::Hello(dial, _) = message
                && dial.epoch.started == epoch
            {
                dial.number = rank(dial.number);
            }
        }
    }
}
