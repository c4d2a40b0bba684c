//! The node, and what it wants done.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use drx_bsr::bitmap::Bitmap;
use drx_bsr::core::{
    Action, Breakage, Event, Node, Order, Refusal, Request, RequestError, Settings, State, Time,
};
use drx_bsr::metadata::{Head, Loaded};
use drx_bsr::uuid::Generations;
use drx_bsr::wire::{
    BlockAck, Connection, DataBlock, Disk, Features, Packet, ProtocolSettings, Role, Sizes, StateWord,
    Stream, SyncParameters, Uuids,
};

/// Bytes of the volume: 64 blocks of 4 KiB.
pub const VOLUME: u64 = 256 << 10;

/// Both nodes' generation, where nothing else is said.
pub const GENERATION: u64 = 0x1111_2222_3333_4444;

pub struct Stage {
    pub node: Node,
    pub now: Time,
    pub settings: Settings,
    pub sent: VecDeque<(Stream, Packet)>,
    pub disk: VecDeque<Action>,
    pub completed: Vec<(u64, Result<Bytes, RequestError>)>,
    pub orders: Vec<(u64, Result<(), Refusal>)>,
    pub log: Vec<String>,
    pub opening: Option<Duration>,
    pub closed: bool,
    pub version: u32,
    ids: u64,
    data_packets: u64,
}

/// A disk that has what the other one has.
pub fn good() -> Head {
    Head {
        generations: Generations { current: GENERATION, ..Generations::default() },
        size: VOLUME,
        agreed: VOLUME / 512,
        consistent: true,
        was_up_to_date: true,
        ..Head::default()
    }
}

impl Stage {
    /// A node that stands alone.
    pub fn new(settings: Settings, head: Head) -> Stage {
        let loaded = Loaded { head, bitmap: Bitmap::new(VOLUME), activity: Vec::new() };
        let mut stage = Stage {
            node: Node::new(settings.clone(), VOLUME, loaded, 7, Time::ZERO),
            now: Time::ZERO,
            settings,
            sent: VecDeque::new(),
            disk: VecDeque::new(),
            completed: Vec::new(),
            orders: Vec::new(),
            log: Vec::new(),
            opening: None,
            closed: false,
            version: 80,
            ids: 0,
            data_packets: 0,
        };
        stage.act();
        stage
    }

    /// One that has just got both connections; it has said what it speaks.
    pub fn opened(settings: Settings, head: Head) -> Stage {
        let mut stage = Stage::new(settings, head);
        stage.order(Order::Connect { discard_my_data: false });
        stage.open();
        stage
    }

    /// One that is connected, both disks being the same.
    pub fn connected(settings: Settings) -> Stage {
        let mut stage = Stage::opened(settings, good());
        stage.greet(101);
        stage.report(Role::Secondary, Disk::UpToDate, uuids(GENERATION));
        stage.all_done();
        assert_eq!(stage.state().connection, Connection::Connected, "{:#?}", stage.log);
        stage.sent.clear();
        stage.log.clear();
        stage
    }

    /// The same, as primary.
    pub fn primary(settings: Settings) -> Stage {
        let mut stage = Stage::connected(settings);
        stage.order(Order::Primary { force: false });
        stage.gets(Packet::StateChangeReply(1));
        stage.all_done();
        assert_eq!(stage.state().role, Role::Primary, "{:#?}", stage.log);
        stage.sent.clear();
        stage
    }

    pub fn open(&mut self) {
        self.closed = false;
        self.opening = None;
        self.data_packets = 0;
        self.handle(Event::Opened { resolve_conflicts: false, challenge: Box::new([1; 64]) });
    }

    /// The peer says which versions it speaks.
    pub fn greet(&mut self, max: u32) {
        self.gets(Packet::Features(Features { min: 86, max, flags: 15 }));
    }

    /// The peer says what it has, as a node with the same settings would.
    pub fn report(&mut self, role: Role, disk: Disk, uuids: Uuids) {
        let settings = self.settings.clone();
        let name = |algorithm: Option<drx_bsr::digest::Algorithm>| {
            algorithm.map_or(String::new(), |a| a.name().to_owned())
        };
        self.gets(Packet::Protocol(ProtocolSettings {
            protocol: settings.protocol as u32,
            integrity: name(settings.integrity),
            ..ProtocolSettings::default()
        }));
        self.gets(Packet::SyncParameters(SyncParameters {
            verify: name(settings.verify),
            checksum: name(settings.checksum),
            ..SyncParameters::default()
        }));
        self.gets(Packet::Sizes(Sizes {
            disk: VOLUME / 512,
            current: VOLUME / 512,
            max_block: 1 << 20,
            ..Sizes::default()
        }));
        self.gets(Packet::Uuids(uuids));
        self.says(role, Connection::WFConnection, disk, Disk::Unknown);
    }

    /// P_STATE of the peer's.
    pub fn says(&mut self, role: Role, connection: Connection, disk: Disk, peer_disk: Disk) {
        self.gets(Packet::State(StateWord::new(role, Role::Secondary, connection, disk, peer_disk)));
    }

    /// A packet comes, on the connection that it belongs on.
    pub fn gets(&mut self, packet: Packet) {
        let meta = matches!(
            packet,
            Packet::Ping
                | Packet::PingAck
                | Packet::Ack(..)
                | Packet::BarrierAck { .. }
                | Packet::StateChangeReply(_)
                | Packet::ConnectionChangeReply(_)
        );
        let stream = if meta { Stream::Meta } else { Stream::Data };
        self.handle(Event::Packet { stream, packet });
    }

    pub fn handle(&mut self, event: Event) {
        self.node.handle(self.now, event);
        self.act();
    }

    /// Time passes; what is due happens when it is due.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.node.deadline().filter(|due| *due <= end) {
            let before = (self.now, self.sent.len(), self.closed);
            self.now = due.max(self.now);
            self.handle(Event::Timer);
            let stuck =
                before == (self.now, self.sent.len(), self.closed) && self.node.deadline() == Some(due);
            assert!(!stuck, "the deadline {due:?} is over, and nothing happens");
        }
        self.now = end;
    }

    pub fn order(&mut self, order: Order) -> u64 {
        self.ids += 1;
        self.handle(Event::Order { id: self.ids, order });
        self.ids
    }

    pub fn request(&mut self, request: Request) -> u64 {
        self.ids += 1;
        self.handle(Event::Request { id: self.ids, request });
        self.ids
    }

    /// Writes `blocks` of 4 KiB.
    pub fn write(&mut self, block: u64, blocks: u64) -> u64 {
        let data = Bytes::from(vec![7; (blocks * 4096) as usize]);
        self.request(Request::Write { offset: block * 4096, data, fua: false })
    }

    /// The disk does the first thing that it was told.
    pub fn done(&mut self) -> Action {
        let action = self.disk.pop_front().expect("the disk has something to do");
        let answer = match &action {
            Action::Read { token, length, .. } => Some((*token, Bytes::from(vec![0; *length as usize]))),
            Action::Write { token, .. } | Action::Zero { token, .. } | Action::Flush { token } => {
                Some((*token, Bytes::new()))
            }
            Action::Save(save) => (save.token != 0).then_some((save.token, Bytes::new())),
            other => panic!("{other:?}"),
        };
        if let Some((token, data)) = answer {
            self.handle(Event::DiskDone { token, result: Ok(data) });
        }
        action
    }

    /// It does all.
    pub fn all_done(&mut self) {
        while !self.disk.is_empty() {
            self.done();
        }
    }

    /// TCP takes all that was sent.
    pub fn taken(&mut self) {
        self.handle(Event::Sent { packets: self.data_packets });
    }

    /// The next packet that the node sends.
    #[track_caller]
    pub fn next(&mut self) -> Packet {
        self.sent.pop_front().expect("a packet").1
    }

    /// The next write that the node sends; other packets before it are skipped.
    #[track_caller]
    pub fn next_write(&mut self) -> DataBlock {
        loop {
            if let Packet::Data(block) = self.next() {
                return block;
            }
        }
    }

    pub fn state(&self) -> State {
        self.node.state()
    }

    #[track_caller]
    pub fn is(&self, connection: Connection) {
        assert_eq!(self.state().connection, connection, "{:#?}", self.log);
    }

    /// Whether the log has a line with these words.
    #[track_caller]
    pub fn told(&self, words: &str) {
        assert!(self.log.iter().any(|line| line.contains(words)), "{words}: {:#?}", self.log);
    }

    pub fn breaks(&mut self, stream: Stream) {
        self.handle(Event::Broken(Breakage::Lost { stream, what: "reset".to_owned() }));
    }

    /// How an order or a request ended; none: not yet.
    pub fn result(&self, id: u64) -> Option<Result<(), String>> {
        let order = self
            .orders
            .iter()
            .find(|(done, _)| *done == id)
            .map(|(_, result)| result.clone().map_err(|e| e.to_string()));
        let request = self.completed.iter().find(|(done, _)| *done == id);
        order.or(request.map(|(_, result)| result.clone().map(|_| ()).map_err(|e| e.to_string())))
    }

    fn act(&mut self) {
        while let Some(action) = self.node.action() {
            assert!(
                !self.closed || !matches!(action, Action::Send { .. }),
                "sent after the close: {action:?}"
            );
            match action {
                Action::Open { after } => self.opening = Some(after),
                Action::Close { .. } => {
                    self.closed = true;
                    self.opening = None;
                }
                Action::Speak { version, .. } => self.version = version,
                Action::Send { stream, packet } => {
                    self.data_packets += u64::from(stream == Stream::Data);
                    self.sent.push_back((stream, packet));
                }
                Action::Complete { id, result } => self.completed.push((id, result)),
                Action::Done { id, result } => self.orders.push((id, result)),
                Action::Changed(change) => {
                    self.log.push(format!("{} -> {}; {}", change.from, change.to, change.why))
                }
                Action::Note(severity, text) => self.log.push(format!("{severity:?}: {text}")),
                disk => self.disk.push_back(disk),
            }
        }
    }
}

pub fn uuids(current: u64) -> Uuids {
    Uuids { current, ..Uuids::default() }
}

/// The acknowledgement of a write.
pub fn ack(block: &DataBlock) -> BlockAck {
    BlockAck { sector: block.sector, block_id: block.block_id, size: block.payload.len() as u32, sequence: 1 }
}
