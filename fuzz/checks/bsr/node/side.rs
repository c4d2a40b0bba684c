//! A node with its disk, and what it promises whatever comes.

use std::collections::{BTreeSet, VecDeque};

use bytes::BytesMut;
use drx_bsr::core::{Action, Breakage, Event, Id, Node, Order, Request, Settings, State, Time, What};
use drx_bsr::wire::{Connection, Decoder, Disk as DiskState, Encoder, Packet, Stream};

use super::disk::Disk;

/// One side. It is driven as the shell drives it.
pub struct Side {
    pub node: Node,
    pub disk: Disk,
    pub settings: Settings,
    /// It looks for the other one, from this time on.
    pub opening: Option<Time>,
    /// Both connections stand, as it sees it.
    pub linked: bool,
    encoder: Encoder,
    decoder: Decoder,
    /// What comes in on each stream.
    pub inbox: [BytesMut; 2],
    /// What goes out on each stream, a packet at a time.
    pub outbox: [VecDeque<BytesMut>; 2],
    /// The last ones that went out on either: what an attacker knows.
    pub said: VecDeque<(Stream, Packet)>,
    sent: u64,
    asked: BTreeSet<Id>,
    ordered: BTreeSet<Id>,
    ids: Id,
    loud: bool,
}

impl Side {
    pub fn new(settings: Settings, volume: Vec<u8>, loud: bool) -> Side {
        let disk = Disk::new(volume);
        let node = Node::new(settings.clone(), disk.volume.len() as u64, disk.load(), 1, Time::ZERO);
        let mut side = Side {
            node,
            disk,
            settings,
            opening: None,
            linked: false,
            encoder: Encoder::new(),
            decoder: Decoder::new(),
            inbox: Default::default(),
            outbox: Default::default(),
            said: VecDeque::new(),
            sent: 0,
            asked: BTreeSet::new(),
            ordered: BTreeSet::new(),
            ids: 0,
            loud,
        };
        side.act(Time::ZERO);
        side
    }

    /// As a SIGKILL, and up again.
    pub fn restart(&mut self, seed: u64, now: Time) {
        self.disk.crash();
        self.unlink();
        (self.opening, self.asked, self.ordered) = (None, BTreeSet::new(), BTreeSet::new());
        self.node =
            Node::new(self.settings.clone(), self.disk.volume.len() as u64, self.disk.load(), seed, now);
        self.act(now);
    }

    /// Its metadata are made anew, by an operator who has given up what it knew.
    pub fn create(&mut self, seed: u64, now: Time) {
        self.disk = Disk::new(std::mem::take(&mut self.disk.volume));
        self.restart(seed, now);
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

    pub fn order(&mut self, now: Time, order: Order) {
        self.ids += 1;
        self.ordered.insert(self.ids);
        self.handle(now, Event::Order { id: self.ids, order });
    }

    pub fn request(&mut self, now: Time, request: Request) {
        self.ids += 1;
        self.asked.insert(self.ids);
        self.handle(now, Event::Request { id: self.ids, request });
    }

    /// Nobody waits for anything.
    pub fn is_idle(&self) -> bool {
        self.asked.is_empty() && self.ordered.is_empty() && self.disk.waiting() == 0
    }

    /// Requests that are not completed.
    pub fn asked(&self) -> usize {
        self.asked.len()
    }

    pub fn is_well(&self) -> bool {
        let State { connection, disk, peer_disk, .. } = self.node.state();
        connection == Connection::Connected && (disk, peer_disk) == (DiskState::UpToDate, DiskState::UpToDate)
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

    /// Takes in one packet, if a whole one is here and the shell would read it. False: there is none.
    pub fn read(&mut self, now: Time, stream: usize) -> bool {
        let slow = self.node.backlog() >= BACKLOG && stream == 0;
        if !self.linked || slow || self.outbox.iter().any(|packets| packets.len() >= UNSENT) {
            return false;
        }
        let which = STREAMS[stream];
        match self.decoder.decode(which, &mut self.inbox[stream]) {
            Ok(Some(packet)) => {
                if self.loud {
                    let text = format!("{packet:?}");
                    eprintln!("  {which:?} < {}", &text[..text.len().min(200)]);
                }
                self.handle(now, Event::Packet { stream: which, packet });
                true
            }
            Ok(None) => false,
            Err(error) => {
                let what = error.to_string();
                assert!(what.len() <= 300, "a reason is a line in a log");
                self.unlink();
                self.handle(now, Event::Broken(Breakage::Undecodable { stream: which, what }));
                true
            }
        }
    }

    /// What these bytes would be to it.
    pub fn understood(&self, stream: Stream, mut bytes: BytesMut) -> Option<Packet> {
        self.decoder.clone().decode(stream, &mut bytes).ok().flatten()
    }

    /// The bytes of a packet from the other node.
    pub fn bytes_of(&self, stream: Stream, packet: &Packet) -> BytesMut {
        let encoded = self.encoder.encode(stream, packet);
        BytesMut::from(&[encoded.head, encoded.payload].concat()[..])
    }

    pub fn broken(&mut self, now: Time, stream: usize) {
        self.unlink();
        let what = "reset".to_owned();
        self.handle(now, Event::Broken(Breakage::Lost { stream: STREAMS[stream], what }));
    }

    pub fn handle(&mut self, now: Time, event: Event) {
        let connecting = matches!(event, Event::Opened { .. });
        self.node.handle(now, event);
        let sent = self.act(now);
        assert!(connecting || sent <= MOST_AT_ONCE, "{sent} packets at once");
        let State { connection, disk, .. } = self.node.state();
        assert!(disk >= DiskState::Inconsistent, "it has a disk");
        // A state for the time between two others is never left behind.
        assert!(connection == Connection::StandAlone || connection >= Connection::TearDown, "{connection}");
        let open = self.linked || self.opening.is_some();
        assert_eq!(open, connection != Connection::StandAlone, "{connection}, but linked: {}", self.linked);
        let jobs = self.disk.waiting() as u64;
        // Each of its own requests is some operations: it is in parts of 4 KiB at least, with a save and a flush each.
        let own = self.asked.len() as u64 * 3 * 256 + SAVES;
        assert!(
            jobs <= self.node.backlog() / 512 + own,
            "{jobs} operations, backlog {}",
            self.node.backlog()
        );
    }

    fn act(&mut self, now: Time) -> usize {
        let mut sent = 0;
        while let Some(action) = self.node.action() {
            match action {
                Action::Open { after } => {
                    assert!(!self.linked && self.opening.is_none(), "it has, or looks for, connections");
                    self.opening = Some(now + after);
                }
                Action::Close { .. } => {
                    self.opening = None;
                    self.unlink();
                }
                Action::Speak { version, features } => {
                    assert!(self.linked);
                    self.encoder.speak(version, features);
                    self.decoder.speak(version, features);
                }
                Action::Send { stream, packet } => {
                    assert!(self.linked, "{packet:?} is sent to nobody");
                    sent += 1;
                    let bytes = self.bytes_of(stream, &packet);
                    self.outbox[usize::from(stream == Stream::Meta)].push_back(bytes);
                    self.said.truncate(SAID);
                    self.said.push_front((stream, packet));
                }
                Action::Complete { id, .. } => {
                    assert!(self.asked.remove(&id), "request {id} is completed twice");
                }
                Action::Done { id, .. } => assert!(self.ordered.remove(&id), "order {id} is done twice"),
                Action::Changed(change) => {
                    let good = ["the resync is done", "an operator wants it", "no initial resync"];
                    let better = change.what == What::Disk && change.from == "Inconsistent";
                    assert!(!better || good.contains(&&change.why[..]), "{change:?}");
                    self.say(|| {
                        format!("{:?}: {} -> {}; {}", change.what, change.from, change.to, change.why)
                    });
                }
                Action::Note(_, text) => {
                    assert!(text.len() <= 500, "a note is a line in a log: {text}");
                    self.say(|| text);
                }
                disk => self.disk.submit(disk),
            }
        }
        sent
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.loud {
            eprintln!("  {}", what());
        }
    }
}

pub const STREAMS: [Stream; 2] = [Stream::Data, Stream::Meta];
/// As the shell's, but less: so that it is reached.
const BACKLOG: u64 = 256 << 10;
const UNSENT: usize = 1024;
/// A packet may bring about a bitmap, a window of a verify, a window of a resync in requests of 4 KiB.
const MOST_AT_ONCE: usize = 4096;
const SAVES: u64 = 64;
const SAID: usize = 32;
