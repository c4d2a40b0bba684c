//! Both connections, from the moment they stand to their end.

use std::time::Duration;

use super::epochs::Outbound;
use super::exchange::Exchange;
use super::handshake::{Agreed, Phase};
use super::replica::Inbound;
use super::source::Serving;
use super::target::Resync;
use super::verify::Verify;
use super::{Action, Breakage, Node, Severity, Time};
use crate::wire::{Connection, Packet, Sizes, Stream, Uuids};

/// What a node knows of the other one, and has under way with it, for as long as both connections stand.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) number: u64,
    pub(super) phase: Phase,
    pub(super) agreed: Agreed,
    pub(super) peer_sizes: Option<Sizes>,
    pub(super) peer_uuids: Option<Uuids>,
    /// The other node was made primary by force while both disks were inconsistent: its next state decides anew.
    pub(super) consider_resync: bool,
    /// Its user, or another resync, keeps the resync waiting.
    pub(super) peer_pauses: bool,
    pub(super) outbound: Outbound,
    pub(super) inbound: Inbound,
    pub(super) exchange: Exchange,
    pub(super) serving: Serving,
    pub(super) resync: Option<Resync>,
    pub(super) verify: Option<Verify>,
    pub(super) ahead_until: Option<Time>,
    /// Announcements that wait for a save.
    pub(super) announcing: u32,
    /// P_SYNC_UUID that came on data before the answer on meta to this node's wish to be invalidated.
    pub(super) early_sync_uuid: Option<u64>,
    /// Packets of the data connection, for [`super::Event::Sent`].
    pub(super) packets: u64,
    /// Of them, those that TCP has, and since when there has been none more.
    sent: u64,
    sent_since: Time,
    /// Of the acknowledgements, as DRBD counts them; nobody but the other node's log reads it.
    pub(super) sequence: u32,
    begun: Time,
    heard: Time,
    ping: Ping,
    /// Since when nothing came on data while both have to agree upon where to begin.
    pub(super) agreeing: Option<Time>,
    /// It asked for an orderly end, which has been granted: it will close.
    leaving: Option<Time>,
}

/// P_PING on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ping {
    None,
    Sent(Time),
}

impl Node {
    pub(super) fn opened(&mut self, resolve_conflicts: bool, challenge: Box<[u8; 64]>) {
        if self.state.connection != Connection::WFConnection || self.session.is_some() {
            self.push(Action::Close { flush: false });
            return;
        }
        self.sessions += 1;
        self.session = Some(Session {
            number: self.sessions,
            phase: Phase::Features,
            agreed: Agreed::new(resolve_conflicts, challenge),
            peer_sizes: None,
            peer_uuids: None,
            consider_resync: false,
            peer_pauses: false,
            outbound: Outbound::default(),
            inbound: Inbound::default(),
            exchange: Exchange::default(),
            serving: Serving::default(),
            resync: None,
            verify: None,
            ahead_until: None,
            announcing: 0,
            early_sync_uuid: None,
            packets: 0,
            sent: 0,
            sent_since: self.now,
            sequence: 0,
            begun: self.now,
            heard: self.now,
            ping: Ping::None,
            agreeing: None,
            leaving: None,
        });
        self.begin_handshake();
    }

    /// Sends on the present connections. Without any there is nobody to tell.
    pub(super) fn send(&mut self, stream: Stream, packet: Packet) {
        let Some(session) = &mut self.session else { return };
        if stream == Stream::Data {
            if session.packets == session.sent {
                session.sent_since = self.now;
            }
            session.packets += 1;
        }
        self.push(Action::Send { stream, packet });
    }

    pub(super) fn packet(&mut self, stream: Stream, packet: Packet) {
        let Some(session) = &mut self.session else { return };
        session.heard = self.now;
        if stream == Stream::Data
            && let Some(since) = &mut session.agreeing
        {
            *since = self.now;
        }
        if session.leaving.is_some() {
            return; // what it still sends, it does not take for arrived
        }
        match packet {
            Packet::Ping => self.send(Stream::Meta, Packet::PingAck),
            Packet::PingAck => self.pinged(),
            Packet::DelayProbe | Packet::UnplugRemote => {}
            packet if session.phase != Phase::Running => self.shake_hands(packet),
            packet => self.running(stream, packet),
        }
    }

    /// A packet, once both nodes have said what they have.
    fn running(&mut self, stream: Stream, packet: Packet) {
        match packet {
            Packet::Protocol(_)
            | Packet::Features(_)
            | Packet::AuthChallenge(_)
            | Packet::AuthResponse(_)
            | Packet::Ping
            | Packet::PingAck
            | Packet::DelayProbe
            | Packet::UnplugRemote => {
                self.violated(format!("a packet of the handshake on {stream:?}, after it"));
            }
            Packet::ProtocolUpdate(settings) => self.settings_updated(&settings),
            Packet::SyncParameters(parameters) => self.parameters_updated(&parameters),
            Packet::Sizes(sizes) => self.sizes_came(sizes),
            Packet::Uuids(uuids) => self.uuids_came(uuids),
            Packet::State(word) => self.state_came(word),
            Packet::SyncUuid(uuid) => self.sync_uuid_came(uuid),
            Packet::StateChange(change) => self.peer_orders(change, false),
            Packet::ConnectionChange(change) => self.peer_orders(change, true),
            Packet::StateChangeReply(code) | Packet::ConnectionChangeReply(code) => self.peer_answers(code),

            Packet::Data(block) => self.peer_writes(block),
            Packet::Trim(block, size) => self.peer_zeroes(block, size, true),
            Packet::Zeroes(block, size) => self.peer_zeroes(block, size, false),
            Packet::WriteSame(block, size) => self.peer_repeats(block, size),
            Packet::Barrier(barrier) => self.epoch_ends(barrier),
            Packet::OutOfSync(range) => self.out_of_sync_came(range),

            Packet::Bitmap(_) | Packet::CompressedBitmap(..) => self.bitmap_came(&packet),

            Packet::DataRequest(request) => self.data_wanted(request),
            Packet::ResyncRequest(request) => self.resync_wanted(request, false),
            Packet::ThinRequest(request) => self.resync_wanted(request, true),
            Packet::ChecksumRequest(request, digest) => self.checksum_wanted(request, digest),
            Packet::DataReply(block) => self.data_came(block),
            Packet::ResyncReply(block) => self.resync_came(block),
            Packet::Deallocated(range) => self.deallocated_came(range),
            Packet::VerifyRequest(request) => self.verify_wanted(request),
            Packet::VerifyReply(request, digest) => self.verify_came(request, digest),

            Packet::Ack(kind, ack) => self.acknowledged(kind, ack),
            Packet::BarrierAck { barrier, set_size } => self.epoch_acknowledged(barrier, set_size),
        }
    }

    pub(super) fn broken(&mut self, breakage: Breakage) {
        let orderly = self.session.as_ref().is_some_and(|session| session.leaving.is_some());
        match breakage {
            Breakage::Lost { .. } if orderly => {
                self.end_session(Connection::TearDown, "the other node disconnected", true);
            }
            Breakage::Lost { stream: Stream::Data, what } => {
                self.end_session(Connection::BrokenPipe, &format!("data: {what}"), false);
            }
            Breakage::Lost { stream: Stream::Meta, what } => {
                self.end_session(Connection::NetworkFailure, &format!("meta: {what}"), false);
            }
            Breakage::Undecodable { stream, what } => {
                let name = if stream == Stream::Data { "data" } else { "meta" };
                self.violated(format!("{name}: {what}"));
            }
        }
    }

    /// The other node broke the protocol. Both connections end, and are opened again.
    pub(super) fn violated(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.note(Severity::Error, format!("protocol error: {what}"));
        self.end_session(Connection::ProtocolError, &what, false);
    }

    /// The other node may close now, and what this one said before is said.
    pub(super) fn let_go(&mut self) {
        if let Some(session) = &mut self.session {
            session.leaving = Some(self.now);
        }
        self.change("the other node disconnects", |state| state.connection = Connection::TearDown);
    }

    /// Ends it, and opens anew, unless it is to stand alone. `through` says what ended it (bsr-wire C.2).
    pub(super) fn end_session(&mut self, through: Connection, why: &str, flush: bool) {
        let Some(session) = self.session.take() else {
            if through == Connection::Disconnecting && self.state.connection != Connection::StandAlone {
                self.push(Action::Close { flush: false });
                self.change(why, |state| state.connection = Connection::Disconnecting);
                self.change(why, |state| state.connection = Connection::StandAlone);
            }
            return;
        };
        self.last_break = Some(format!("{through}: {why}"));
        let source = matches!(self.state.connection, Connection::SyncSource | Connection::PausedSyncS);
        if source && self.bitmap.weight() > 0 {
            self.generations.target_is_not_done();
        }
        // Before the states change: a new generation begins with them, and its bitmap has to have these blocks.
        self.writes_lost_peer();
        self.jobs_lost_peer(session.number);
        self.push(Action::Close { flush });
        self.change(why, |state| state.connection = through);
        self.reads_lost_peer();
        self.orders_lost_peer(why);
        if through == Connection::Disconnecting {
            self.change(why, |state| state.connection = Connection::StandAlone);
            return;
        }
        self.change("both connections are closed", |state| state.connection = Connection::Unconnected);
        let after = if session.phase == Phase::Running { Duration::ZERO } else { HANDSHAKE_FAILED };
        self.open(after);
    }

    /// Begins to open both connections.
    pub(super) fn open(&mut self, after: Duration) {
        self.attempts += 1;
        self.push(Action::Open { after });
        self.change("looking for the other node", |state| state.connection = Connection::WFConnection);
    }

    /// Asks for a sign of life of the other node's, on meta; at the latest when it comes, all that was sent on meta has
    /// been read.
    /// False: one is on its way already, and says nothing about what was sent after it.
    pub(super) fn ping(&mut self) -> bool {
        let now = self.now;
        match &mut self.session {
            Some(session) if session.ping == Ping::None => {
                session.ping = Ping::Sent(now);
                self.send(Stream::Meta, Packet::Ping);
                true
            }
            _ => false,
        }
    }

    fn pinged(&mut self) {
        if let Some(session) = &mut self.session {
            session.ping = Ping::None;
            self.resync_pinged();
            self.verify_pinged();
        }
    }

    /// All that has to happen because of the time.
    pub(super) fn timers(&mut self) {
        let Some(session) = &self.session else { return };
        let (begun, heard, ping, phase) = (session.begun, session.heard, session.ping, session.phase);
        if phase.is_before_settings() && self.now >= begun + self.handshake_limit() {
            let why = "the other node did not say what it speaks in time";
            self.end_session(Connection::NetworkFailure, why, false);
            return;
        }
        if self.report_deadline().is_some_and(|deadline| deadline <= self.now) {
            let limit = (self.settings.timeout * self.settings.ko_count).as_secs_f32();
            let why = format!("the other node did not say what it has in {limit} s (timeout x ko-count)");
            self.end_session(Connection::Timeout, &why, false);
            return;
        }
        let Some(session) = &self.session else { return };
        if let Some(leaving) = session.leaving
            && self.now >= leaving + self.settings.ping_timeout
        {
            self.end_session(Connection::TearDown, "the other node disconnected, but did not close", true);
            return;
        }
        match ping {
            // Anything that comes meanwhile is a sign of life (bsr-wire B.9).
            Ping::Sent(at) if self.now >= at.max(heard) + self.settings.ping_timeout => {
                let waited = self.settings.ping_timeout.as_secs_f32();
                self.end_session(
                    Connection::NetworkFailure,
                    &format!("no answer to a ping in {waited} s"),
                    false,
                );
                return;
            }
            Ping::None if !phase.is_before_settings() && self.now >= heard + self.settings.ping_int => {
                self.ping();
            }
            _ => {}
        }
        if self.send_deadline().is_some_and(|deadline| deadline <= self.now) {
            let limit = (self.settings.timeout * self.settings.ko_count).as_secs_f32();
            let why = format!("the other node has read nothing from data for {limit} s (timeout x ko-count)");
            self.end_session(Connection::Timeout, &why, false);
            return;
        }
        if self.agreeing_deadline().is_some_and(|deadline| deadline <= self.now) {
            let (state, limit) =
                (self.state.connection, self.settings.timeout * self.settings.ko_count.max(1));
            let why = format!("still {state}, and nothing came on data for {} s", limit.as_secs_f32());
            self.end_session(Connection::Timeout, &why, false);
            return;
        }
        self.request_timer();
        self.order_timer();
        self.ahead_timer();
    }

    /// So many packets are in TCP's hands.
    pub(super) fn sent(&mut self, packets: u64) {
        if let Some(session) = &mut self.session {
            (session.sent, session.sent_since) = (packets, self.now);
        }
        self.writes_sent(packets);
        self.answers_sent(packets);
    }

    /// When TCP has taken nothing for timeout x ko-count, the other node counts as gone (bsr-wire D.2).
    fn send_deadline(&self) -> Option<Time> {
        let limit = self.settings.timeout * self.settings.ko_count;
        let session = self.session.as_ref()?;
        (session.packets > session.sent && !limit.is_zero()).then(|| session.sent_since + limit)
    }

    /// In these states both wait for each other: a step that was lost would keep them there, and applications waiting.
    fn agreeing_deadline(&self) -> Option<Time> {
        let limit = self.settings.timeout * self.settings.ko_count.max(1);
        self.session.as_ref()?.agreeing.map(|since| since + limit)
    }

    /// Until the reports are complete applications wait, and no other node can connect.
    fn report_deadline(&self) -> Option<Time> {
        let limit = self.settings.timeout * self.settings.ko_count;
        let session = self.session.as_ref()?;
        (session.phase != Phase::Running && !limit.is_zero()).then(|| session.begun + limit)
    }

    /// When [`super::Event::Timer`] is due; none: never.
    pub fn deadline(&self) -> Option<Time> {
        let session = self.session.as_ref()?;
        let alive = match session.ping {
            _ if session.phase.is_before_settings() => session.begun + self.handshake_limit(),
            Ping::Sent(at) => at.max(session.heard) + self.settings.ping_timeout,
            Ping::None => session.heard + self.settings.ping_int,
        };
        let leaving = session.leaving.map(|at| at + self.settings.ping_timeout);
        let pace = session.resync.as_ref().and_then(|resync| resync.next(self.now));
        let shaking = [self.report_deadline(), self.agreeing_deadline()];
        let work = [self.send_deadline(), self.request_deadline(), self.order_deadline()];
        [Some(alive), leaving, pace, session.ahead_until]
            .into_iter()
            .chain(shaking)
            .chain(work)
            .flatten()
            .min()
    }

    fn handshake_limit(&self) -> Duration {
        self.settings.socket_check_timeout * HANDSHAKE_CHECKS
    }
}

/// P_CONNECTION_FEATURES is wanted within so many socket-check-timeouts (bsr-wire A.4).
const HANDSHAKE_CHECKS: u32 = 4;
/// The pause after a handshake that failed (bsr-wire A.4).
const HANDSHAKE_FAILED: Duration = Duration::from_secs(1);
