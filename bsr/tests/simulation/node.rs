//! A node, its disk, and what goes in and out.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use drx_bsr::core::{Action, Change, Event, Id, Node, Order, Request, Settings, Time, What};
use drx_bsr::wire::Stream;
use drx_bsr::wire::decode::Decoder;
use drx_bsr::wire::encode::Encoder;

use crate::disk::Disk;

/// One side.
pub struct Side {
    pub name: &'static str,
    pub node: Option<Node>,
    pub disk: Disk,
    /// It looks for the other one, from this time on.
    pub opening: Option<Time>,
    /// Both connections stand, as it sees it.
    pub linked: bool,
    encoder: Encoder,
    decoder: Decoder,
    /// What comes in on each stream, as bytes.
    pub inbox: [BytesMut; 2],
    /// What goes out on each stream, a packet at a time.
    pub outbox: [VecDeque<BytesMut>; 2],
    sent: u64,
    pub completed: Vec<(Id, Option<Bytes>)>,
    pub orders: Vec<(Id, Result<(), String>)>,
    ids: Id,
    loud: bool,
}

impl Side {
    pub fn new(name: &'static str, bytes: usize, loud: bool) -> Side {
        Side {
            name,
            node: None,
            disk: Disk::new(bytes),
            opening: None,
            linked: false,
            encoder: Encoder::new(),
            decoder: Decoder::new(),
            inbox: Default::default(),
            outbox: Default::default(),
            sent: 0,
            completed: Vec::new(),
            orders: Vec::new(),
            ids: 0,
            loud,
        }
    }

    pub fn start(&mut self, settings: Settings, seed: u64, now: Time) {
        let volume = self.disk.volume.len() as u64;
        self.node = Some(Node::new(settings, volume, self.disk.load(), seed, now));
        self.act(now);
    }

    /// As a SIGKILL, or by the end of all power.
    pub fn kill(&mut self, random: &mut fastrand::Rng, power: bool) {
        self.say(if power { "has no power" } else { "killed" });
        self.node = None;
        self.opening = None;
        self.unlink();
        self.disk.crash(random);
        if power {
            self.disk.lose_power(random);
        }
    }

    pub fn unlink(&mut self) {
        self.linked = false;
        self.inbox = Default::default();
        self.outbox = Default::default();
    }

    pub fn link(&mut self, now: Time, resolve_conflicts: bool, challenge: [u8; 64]) {
        self.opening = None;
        self.linked = true;
        (self.encoder, self.decoder) = (Encoder::new(), Decoder::new());
        self.sent = 0;
        self.handle(now, Event::Opened { resolve_conflicts, challenge: Box::new(challenge) });
    }

    pub fn order(&mut self, now: Time, order: Order) -> Id {
        self.ids += 1;
        self.say(&format!("order {order:?}"));
        self.handle(now, Event::Order { id: self.ids, order });
        self.ids
    }

    pub fn next_id(&self) -> Id {
        self.ids + 1
    }

    pub fn request(&mut self, now: Time, request: Request) {
        self.ids += 1;
        self.handle(now, Event::Request { id: self.ids, request });
    }

    /// A packet leaves.
    pub fn take(&mut self, now: Time, stream: usize) -> Option<BytesMut> {
        let packet = self.outbox[stream].pop_front()?;
        if stream == 0 {
            self.sent += 1;
            self.handle(now, Event::Sent { packets: self.sent });
        }
        Some(packet)
    }

    /// Takes in one packet, if a whole one is here.
    pub fn read(&mut self, now: Time, stream: usize) {
        if !self.linked || self.node.is_none() {
            return;
        }
        let which = [Stream::Data, Stream::Meta][stream];
        match self.decoder.decode(which, &mut self.inbox[stream]) {
            Ok(Some(packet)) => {
                if self.loud {
                    let text = format!("{packet:?}");
                    self.say(&format!("{which:?} < {}", &text[..text.len().min(160)]));
                }
                self.handle(now, Event::Packet { stream: which, packet });
            }
            Ok(None) => {}
            Err(error) => panic!("{}: {error}", self.name),
        }
    }

    pub fn handle(&mut self, now: Time, event: Event) {
        if let Some(node) = &mut self.node {
            node.handle(now, event);
            self.act(now);
        }
    }

    fn act(&mut self, now: Time) {
        while let Some(action) = self.node.as_mut().and_then(Node::action) {
            match action {
                Action::Open { after } => self.opening = Some(now + after),
                Action::Close { .. } => {
                    self.opening = None;
                    self.unlink();
                }
                Action::Speak { version, features } => {
                    self.encoder.speak(version, features);
                    self.decoder.speak(version, features);
                }
                Action::Send { stream, packet } => {
                    let encoded = self.encoder.encode(stream, &packet);
                    let mut bytes = BytesMut::from(&encoded.head[..]);
                    bytes.extend_from_slice(&encoded.payload);
                    self.outbox[usize::from(stream == Stream::Meta)].push_back(bytes);
                }
                Action::Read { .. }
                | Action::Write { .. }
                | Action::Zero { .. }
                | Action::Flush { .. }
                | Action::Save(_) => {
                    self.disk.submit(action);
                }
                Action::Complete { id, result } => {
                    if let Err(error) = &result {
                        self.say(&format!("request {id}: {error}"));
                    }
                    self.completed.push((id, result.ok()));
                }
                Action::Done { id, result } => {
                    self.say(&format!("order {id}: {result:?}"));
                    self.orders.push((id, result.map_err(|refusal| refusal.to_string())));
                }
                Action::Changed(Change { what, from, to, why }) => {
                    let what = match what {
                        What::Connection => "connection",
                        What::Role => "role",
                        What::PeerRole => "peer role",
                        What::Disk => "disk",
                        What::PeerDisk => "peer disk",
                    };
                    self.say(&format!("{what}: {from} -> {to}; {why}"));
                }
                Action::Note(severity, text) => {
                    self.say(&format!("{severity:?}: {text}"));
                    assert!(!text.starts_with("protocol error"), "{}: {text}", self.name);
                }
            }
        }
    }

    pub fn say(&self, what: &str) {
        if self.loud {
            eprintln!("{}: {what}", self.name);
        }
    }
}
