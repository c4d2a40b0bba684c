//! From both connections to a common view of the data (bsr-wire B.4).

use bytes::Bytes;

use super::{Action, AfterSplitBrain, Node, SECTOR, Severity};
use crate::digest::Algorithm;
use crate::wire::{
    self, Connection, Disk, Features, Packet, ProtocolSettings, QueueLimits, Sizes, Stream, SyncParameters,
    Uuids,
};

/// How far the handshake is: what is waited for next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// P_CONNECTION_FEATURES.
    Features,
    /// P_AUTH_CHALLENGE.
    Challenge,
    /// P_AUTH_RESPONSE.
    Response,
    /// P_PROTOCOL.
    Settings,
    /// P_SYNC_PARAM, P_SIZES, P_UUIDS and P_STATE, which ends it.
    Reports,
    /// All of it is done.
    Running,
}

impl Phase {
    pub(super) fn is_before_settings(self) -> bool {
        self < Phase::Settings
    }
}

/// What both nodes speak.
#[derive(Debug)]
pub(super) struct Agreed {
    pub(super) version: u32,
    pub(super) features: u32,
    /// This node breaks ties.
    pub(super) resolve_conflicts: bool,
    challenge: Box<[u8; 64]>,
    /// data-integrity-alg of what comes.
    pub(super) integrity: Option<Algorithm>,
}

impl Agreed {
    pub(super) fn new(resolve_conflicts: bool, challenge: Box<[u8; 64]>) -> Agreed {
        Agreed { version: UNAGREED, features: 0, resolve_conflicts, challenge, integrity: None }
    }
}

impl Node {
    pub(super) fn begin_handshake(&mut self) {
        self.push(Action::Speak { version: UNAGREED, features: 0 });
        let (min, max) = self.settings.versions;
        self.send(Stream::Data, Packet::Features(Features { min, max, flags: FEATURES }));
    }

    pub(super) fn shake_hands(&mut self, packet: Packet) {
        let Some(phase) = self.session.as_ref().map(|session| session.phase) else { return };
        match (phase, packet) {
            (Phase::Features, Packet::Features(features)) => self.features_came(features),
            (Phase::Challenge, Packet::AuthChallenge(challenge)) => self.challenge_came(&challenge),
            (Phase::Response, Packet::AuthResponse(response)) => self.response_came(&response),
            (Phase::Settings, Packet::Protocol(settings)) => self.settings_came(&settings),
            (Phase::Reports, Packet::SyncParameters(parameters)) => self.parameters_came(&parameters),
            (Phase::Reports, Packet::Sizes(sizes)) => self.sizes_came(sizes),
            (Phase::Reports, Packet::Uuids(uuids)) => self.uuids_came(uuids),
            (Phase::Reports, Packet::State(word)) => self.state_came(word),
            (phase, packet) => {
                let name = format!("{packet:?}");
                let name = name.split(['(', ' ']).next().unwrap_or_default();
                let hint = match (phase, name) {
                    (Phase::Challenge, "Protocol") => ": no cram-hmac-alg is set there",
                    (Phase::Settings, "AuthChallenge") => ": no cram-hmac-alg is set here",
                    _ => "",
                };
                let why = format!("{name} came while {phase:?} was waited for{hint}");
                if hint.is_empty() { self.violated(why) } else { self.stand_alone(&why) }
            }
        }
    }

    pub(super) fn next(&mut self, phase: Phase) {
        if let Some(session) = &mut self.session {
            session.phase = phase;
        }
    }

    fn features_came(&mut self, theirs: Features) {
        let (min, max) = self.settings.versions;
        // A node from before the ranges tells one number.
        let theirs_max = if theirs.max == 0 { theirs.min } else { theirs.max };
        let version = max.min(theirs_max);
        if version < min || version < theirs.min {
            let theirs = format!("{} to {theirs_max}", theirs.min);
            self.stand_alone(&format!(
                "no common version: the other node speaks {theirs}, this one {min} to {max}"
            ));
            return;
        }
        let features = theirs.flags & FEATURES;
        let Some(session) = &mut self.session else { return };
        session.agreed.version = version;
        session.agreed.features = features;
        let challenge = session.agreed.challenge.clone();
        self.push(Action::Speak { version, features });
        if self.settings.secret.is_some() {
            self.send(Stream::Data, Packet::AuthChallenge(challenge));
            self.next(Phase::Challenge);
        } else {
            self.send_reports();
        }
    }

    fn challenge_came(&mut self, theirs: &[u8; 64]) {
        let own = self.session.as_ref().map(|session| session.agreed.challenge.clone());
        if own.as_deref() == Some(theirs) {
            // Somebody sends back what this node sends.
            self.stand_alone("the other node's challenge is this one's own: the connection leads back here");
            return;
        }
        match self.hmac(theirs) {
            Some(response) => {
                self.send(Stream::Data, Packet::AuthResponse(response));
                self.next(Phase::Response);
            }
            None => self.stand_alone("cram-hmac-alg is no hash for an HMAC"),
        }
    }

    fn response_came(&mut self, theirs: &Bytes) {
        let Some(challenge) = self.session.as_ref().map(|session| session.agreed.challenge.clone()) else {
            return;
        };
        let expected = self.hmac(&challenge[..]);
        if !expected.is_some_and(|expected| same(&expected, theirs)) {
            self.stand_alone("authentication failed: the other node has another shared-secret");
            return;
        }
        self.note(Severity::Info, "the other node is authenticated");
        self.send_reports();
    }

    fn hmac(&self, challenge: &[u8]) -> Option<Bytes> {
        let (algorithm, secret) = self.settings.secret.as_ref()?;
        algorithm.hmac(secret, challenge)
    }

    /// All of it at once: none of it depends on what the other node says.
    fn send_reports(&mut self) {
        self.next(Phase::Settings);
        let settings = self.own_settings();
        self.send(Stream::Data, Packet::Protocol(settings));
        let parameters = self.own_parameters();
        self.send(Stream::Data, Packet::SyncParameters(parameters));
        let sizes = self.own_sizes();
        self.send(Stream::Data, Packet::Sizes(sizes));
        self.send_uuids();
        // As it is at this moment: still looking for the other node.
        self.send_state();
        self.change("the other node speaks", |state| state.connection = Connection::WFReportParams);
    }

    fn own_settings(&self) -> ProtocolSettings {
        let (zero, one, two) = self.settings.after_split_brain;
        ProtocolSettings {
            protocol: self.settings.protocol as u32,
            after_sb_0p: zero as u32,
            after_sb_1p: one as u32,
            after_sb_2p: two as u32,
            flags: if self.discard_my_data { wire::DISCARD_MY_DATA } else { 0 },
            two_primaries: 0,
            integrity: name(self.settings.integrity),
        }
    }

    fn own_parameters(&self) -> SyncParameters {
        let rate = if self.settings.resync_rate == 0 { MAX_RATE } else { self.settings.resync_rate / 1024 };
        let rate = u32::try_from(rate.clamp(1, MAX_RATE)).unwrap_or(u32::MAX);
        SyncParameters {
            rate,
            verify: name(self.settings.verify),
            checksum: name(self.settings.checksum),
            plan_ahead: PLAN_AHEAD,
            delay_target: DELAY_TARGET,
            fill_target: FILL_TARGET,
            max_rate: rate,
        }
    }

    pub(super) fn own_sizes(&self) -> Sizes {
        let wants_limits =
            self.session.as_ref().is_some_and(|s| s.agreed.features & wire::FEATURE_WRITE_SAME != 0);
        let sectors = 512;
        Sizes {
            disk: self.volume / SECTOR,
            user: 0,
            current: self.size / SECTOR,
            max_block: super::MAX_REQUEST,
            queue_order: 0,
            flags: 0,
            limits: wants_limits.then_some(QueueLimits {
                physical_block: sectors,
                logical_block: sectors,
                alignment_offset: 0,
                io_min: sectors,
                io_opt: 0,
                discard: true,
                discard_zeroes: true,
                write_same: false,
            }),
        }
    }

    pub(super) fn send_uuids(&mut self) {
        let mut flags = 0;
        if self.discard_my_data {
            flags |= wire::UUID_DISCARD_MY_DATA;
        }
        if self.crashed_primary {
            flags |= wire::UUID_CRASHED_PRIMARY;
        }
        if self.state.disk == Disk::Inconsistent {
            flags |= wire::UUID_INCONSISTENT;
        }
        let uuids = Uuids {
            current: self.generations.current,
            bitmap: self.generations.bitmap,
            history: self.generations.history,
            dirty_bits: self.bitmap.weight(),
            flags,
        };
        self.send(Stream::Data, Packet::Uuids(uuids));
    }

    fn settings_came(&mut self, theirs: &ProtocolSettings) {
        let own = self.own_settings();
        let different = |what: &str, own: &dyn std::fmt::Display, theirs: &dyn std::fmt::Display| {
            format!("incompatible settings: {what} is {own} here and {theirs} there")
        };
        let problem = if theirs.protocol != own.protocol {
            Some(different("protocol", &letter(own.protocol), &letter(theirs.protocol)))
        } else if mirrored(theirs.after_sb_0p) != own.after_sb_0p {
            Some(different("after-sb-0pri", &own.after_sb_0p, &theirs.after_sb_0p))
        } else if mirrored(theirs.after_sb_1p) != own.after_sb_1p {
            Some(different("after-sb-1pri", &own.after_sb_1p, &theirs.after_sb_1p))
        } else if mirrored(theirs.after_sb_2p) != own.after_sb_2p {
            Some(different("after-sb-2pri", &own.after_sb_2p, &theirs.after_sb_2p))
        } else if theirs.two_primaries != 0 {
            Some(different("allow-two-primaries", &"no", &"yes"))
        } else if theirs.integrity != own.integrity && self.version() >= VERSION_INTEGRITY {
            Some(different("data-integrity-alg", &quoted(&own.integrity), &quoted(&theirs.integrity)))
        } else if theirs.flags & own.flags & wire::DISCARD_MY_DATA != 0 {
            Some("both nodes were told to discard their own data".to_owned())
        } else {
            None
        };
        if let Some(problem) = problem {
            self.stand_alone(&problem);
            return;
        }
        let integrity = self.settings.integrity;
        if let Some(session) = &mut self.session {
            session.agreed.integrity = integrity;
        }
        self.next(Phase::Reports);
    }

    /// P_PROTOCOL_UPDATE: of what may change while connected, only the digest of its data matters here.
    pub(super) fn settings_updated(&mut self, theirs: &ProtocolSettings) {
        let algorithm = Algorithm::of(&theirs.integrity);
        if algorithm.is_none() && !theirs.integrity.is_empty() {
            self.stand_alone(&format!(
                "data-integrity-alg is to become {}, which is unknown here",
                theirs.integrity
            ));
            return;
        }
        if let Some(session) = &mut self.session {
            session.agreed.integrity = algorithm;
        }
        self.note(
            Severity::Info,
            format!("the other node's data-integrity-alg is now {}", quoted(&theirs.integrity)),
        );
    }

    fn parameters_came(&mut self, theirs: &SyncParameters) {
        let version = self.version();
        let (verify, checksum) = (name(self.settings.verify), name(self.settings.checksum));
        if version >= VERSION_VERIFY && theirs.verify != verify {
            let (own, theirs) = (quoted(&verify), quoted(&theirs.verify));
            self.stand_alone(&format!("incompatible settings: verify-alg is {own} here and {theirs} there"));
        } else if version >= VERSION_CHECKSUM && theirs.checksum != checksum {
            let (own, theirs) = (quoted(&checksum), quoted(&theirs.checksum));
            self.stand_alone(&format!("incompatible settings: csums-alg is {own} here and {theirs} there"));
        }
    }

    /// A user changed them on the other node: they count here, too.
    pub(super) fn parameters_updated(&mut self, theirs: &SyncParameters) {
        for (what, name) in [("verify-alg", &theirs.verify), ("csums-alg", &theirs.checksum)] {
            if !name.is_empty() && Algorithm::of(name).is_none() {
                self.stand_alone(&format!("{what} is to become {name}, which is unknown here"));
                return;
            }
        }
        self.settings.verify = Algorithm::of(&theirs.verify);
        self.settings.checksum = Algorithm::of(&theirs.checksum);
    }

    /// The largest block, in bytes, that the other node takes (bsr-wire B.1).
    pub(super) fn most_block(&self) -> u32 {
        let Some(session) = self.session.as_ref().filter(|_| self.state.is_connected()) else {
            return super::MAX_REQUEST;
        };
        let theirs = session.peer_sizes.map_or(super::MAX_REQUEST, |sizes| sizes.max_block);
        let most = match session.agreed.version {
            ..95 => 32 << 10,
            95..100 => 128 << 10,
            _ => super::MAX_REQUEST,
        };
        // Less than a block of 4 KiB is nothing that a node can mean.
        most.min(theirs.max(LEAST_BLOCK) / LEAST_BLOCK * LEAST_BLOCK)
    }

    /// The version that both speak.
    pub(super) fn version(&self) -> u32 {
        self.session.as_ref().map_or(UNAGREED, |session| session.agreed.version)
    }
}

fn name(algorithm: Option<Algorithm>) -> String {
    algorithm.map_or(String::new(), |algorithm| algorithm.name().to_owned())
}

fn quoted(name: &str) -> String {
    if name.is_empty() { "not set".to_owned() } else { name.to_owned() }
}

fn letter(protocol: u32) -> char {
    match protocol {
        1 => 'A',
        2 => 'B',
        3 => 'C',
        _ => '?',
    }
}

/// What the other node calls local is remote here.
fn mirrored(number: u32) -> u32 {
    const LOCAL: u32 = AfterSplitBrain::DiscardLocal as u32;
    const REMOTE: u32 = AfterSplitBrain::DiscardRemote as u32;
    match number {
        LOCAL => REMOTE,
        REMOTE => LOCAL,
        other => other,
    }
}

/// In a time that does not tell where they differ.
fn same(expected: &[u8], given: &[u8]) -> bool {
    expected.len() == given.len()
        && expected.iter().zip(given).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

/// The version of headers and bodies before one is agreed upon (bsr-wire B.1).
const UNAGREED: u32 = 80;
const FEATURES: u32 =
    wire::FEATURE_TRIM | wire::FEATURE_THIN_RESYNC | wire::FEATURE_WRITE_SAME | wire::FEATURE_ZEROES;
/// P_PROTOCOL has data-integrity-alg.
const VERSION_INTEGRITY: u32 = 87;
/// P_SYNC_PARAM has verify-alg.
const VERSION_VERIFY: u32 = 88;
/// P_SYNC_PARAM89 has csums-alg.
const VERSION_CHECKSUM: u32 = 89;
/// KiB/s: the most that c-max-rate can be.
const MAX_RATE: u64 = 4 << 20;
/// Bytes.
const LEAST_BLOCK: u32 = 4096;
/// 0.1 s: c-plan-ahead. 0: a fixed rate, as this node's own resync has it. A DRBD takes over what its peer says, and its
/// controller, with the default of 20, begins at 3 MiB/s.
const PLAN_AHEAD: u32 = 0;
/// 0.1 s: c-delay-target's default.
const DELAY_TARGET: u32 = 10;
/// Sectors: c-fill-target's default.
const FILL_TARGET: u32 = 100;
