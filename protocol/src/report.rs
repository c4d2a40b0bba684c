//! What the relay says of itself: the types that the control socket carries and `drx-ctl --json`
//! prints, and their rendering for people.
//!
//! The field names are a promise to scripts: one may be added, none is renamed or taken away. A value
//! that is not known is `null`.

use serde::{Deserialize, Serialize};

use crate::codec::Compression;
use crate::names::{Attempt, ChannelType, Lane, LinkId, Role};
use crate::state::{Standing, State};

mod arrow;
mod columns;
mod connections;
mod status;
mod units;

pub use connections::connections_table;
pub use status::status_text;
pub use units::size;

/// A whole relay at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RelayReport {
    /// This node's name.
    pub node: String,
    /// The version of the relay program.
    pub version: String,
    /// How long the relay has been running.
    pub uptime_seconds: f64,
    /// Its resources, in no particular order.
    pub resources: Vec<ResourceReport>,
}

/// One resource towards one peer relay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceReport {
    /// The resource's name.
    pub name: String,
    /// The other side's node name.
    pub remote: String,
    /// This side's node name.
    pub local: String,
    /// Whether a session stands: a data and a meta channel, both established.
    pub session: bool,
    /// What the states mean together: a [`Situation`](crate::situation::Situation)'s sentence.
    pub situation: String,
    /// What is wrong besides, a sentence each: "cannot listen on …".
    pub trouble: Vec<String>,
    /// How often one of its channels was restarted since the relay started.
    pub restarts: u64,
    /// Its channels, every lane of both roles, in no particular order.
    pub channels: Vec<ChannelReport>,
}

impl ResourceReport {
    /// The connection's name, `RESOURCE-REMOTE-LOCAL`, as `bsradm proxy-up` calls it.
    pub fn connection(&self) -> String {
        format!("{}-{}-{}", self.name, self.remote, self.local)
    }

    /// Whether `name` is this resource's name or its connection's. Names match whole: they may contain
    /// dashes themselves, so a connection's name cannot be taken apart.
    pub fn is_named(&self, name: &str) -> bool {
        name == self.name || name == self.connection()
    }
}

/// Keeps the resources that an operator's `name` means: those with this resource name (one per peer
/// relay), the one with this connection name, or every one for `all`. None left means: no such name.
pub fn select(mut resources: Vec<ResourceReport>, name: &str) -> Vec<ResourceReport> {
    resources.retain(|resource| name == "all" || resource.is_named(name));
    resources
}

/// One channel of a resource: a role on a lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChannelReport {
    /// The connection's name, `RESOURCE-REMOTE-LOCAL`.
    pub connection: String,
    /// Acceptor or connector.
    pub role: Role,
    /// 0 or 1.
    pub lane: Lane,
    /// Data or meta, once bsr has said so.
    pub channel_type: Option<ChannelType>,
    /// Where the channel stands.
    pub standing: Standing,
    /// Whether its link to the other DRX is up.
    pub link_up: bool,
    /// Whether the lane has, or is losing, its bsr: idle lanes 1 are not shown.
    pub in_use: bool,
    /// Its link's name, 32 hex digits.
    #[serde(with = "hex", default)]
    pub link: Option<LinkId>,
    /// The attempt's number on that link, 0 before the first.
    pub attempt: Attempt,
    /// How long it has been in this state.
    pub since_seconds: f64,
    /// Why it last stopped.
    pub last_stop: Option<String>,
    /// How often it was restarted since the relay started.
    pub restarts: u64,
    /// How many of these restarts a fault of the relay caused.
    pub failures: u64,
    /// The local bsr's address: of its connection, else the one that is dialled.
    pub bsr_address: Option<String>,
    /// This DRX's address, on the local bsr's side.
    pub local_address: Option<String>,
    /// The other DRX's address.
    pub remote_address: Option<String>,
    /// Its BAB.
    pub bab: BabReport,
    /// The link's round trip time, once measured.
    pub rtt_seconds: Option<f64>,
    /// What the other DRX says of its channel on this lane, at the other end of the link.
    pub remote: Option<Standing>,
    /// Bytes of bsr's sent to the other DRX.
    pub bytes_out: u64,
    /// Bytes of bsr's received from the other DRX.
    pub bytes_in: u64,
    /// How what it sends is packed.
    #[serde(default)]
    pub compression: CompressionReport,
    /// Frames of past attempts that were dropped.
    pub stale_frames: u64,
    /// How often its link was resumed since the relay started.
    #[serde(default)]
    pub resumes: u64,
    /// Connections at `inside` that closed before a usable first packet, since the relay started.
    #[serde(default)]
    pub strays: u64,
    /// bsr's pings that were answered here while the other side could not (`link.hold_pings`).
    #[serde(default)]
    pub held_pings: u64,
}

impl ChannelReport {
    /// Whether bsr's bytes flow, or will flow again once the link is resumed.
    pub fn is_established(&self) -> bool {
        matches!(self.standing, Standing::In(State::Established) | Standing::Resuming)
    }
}

/// How a channel packs what it sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompressionReport {
    /// As the operator wants it.
    pub wanted: Compression,
    /// With what it packs; with `auto`, what that has chosen.
    pub with: Compression,
    /// Bytes of bsr's that were given to the link since the channel started; those that were sent again count again.
    pub payload: u64,
    /// Bytes that they were on the link, packed.
    pub wire: u64,
}

impl CompressionReport {
    /// How many times smaller what was sent became. None: nothing was sent.
    pub fn ratio(&self) -> Option<f64> {
        (self.wire > 0).then(|| self.payload as f64 / self.wire as f64)
    }
}

/// A channel's BAB.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BabReport {
    /// Bytes it may hold.
    pub size: u64,
    /// Bytes it holds: received from bsr, not acknowledged by the other DRX.
    pub used: u64,
    /// How long its oldest byte has waited for its acknowledgement: what a loss now would cost.
    pub oldest_unacknowledged_seconds: Option<f64>,
    /// Bytes above which bsr is read only in drips.
    #[serde(default)]
    pub high_mark: u64,
    /// Whether bsr is read in drips, or not at all, because the BAB is full.
    #[serde(default)]
    pub dripping: bool,
    /// When it is full if it goes on filling as in the last seconds. Not known: it does not fill.
    #[serde(default)]
    pub full_in_seconds: Option<f64>,
}

/// The channels of a resource that are shown, with the resource's own order: data, meta, undefined;
/// acceptor before connector; then by lane.
fn shown_channels(resource: &ResourceReport, verbose: bool) -> Vec<&ChannelReport> {
    let shown = |channel: &&ChannelReport| verbose || channel.lane == Lane::Zero || channel.in_use;
    let mut channels: Vec<_> = resource.channels.iter().filter(shown).collect();
    // `None` would come first.
    channels.sort_by_key(|c| (c.channel_type.is_none(), c.channel_type, c.role, c.lane));
    channels
}

/// Data, meta, or `-` while undefined.
fn type_word(channel: &ChannelReport) -> String {
    channel.channel_type.map_or("-".to_owned(), |channel_type| channel_type.to_string())
}

/// `text` on one line and without terminal commands: it may come from the other DRX.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A link's name in JSON: as a number it would lose digits in most readers.
mod hex {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    use crate::names::LinkId;

    pub(super) fn serialize<S: Serializer>(link: &Option<LinkId>, to: S) -> Result<S::Ok, S::Error> {
        match link {
            Some(link) => to.serialize_some(&format!("{:032x}", link.0)),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<LinkId>, D::Error> {
        let Some(digits) = Option::<String>::deserialize(from)? else { return Ok(None) };
        // `from_str_radix` alone would take a sign and fewer digits.
        if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(D::Error::custom(format!("a link's name has 32 hex digits, not `{digits}`")));
        }
        u128::from_str_radix(&digits, 16).map(|link| Some(LinkId(link))).map_err(D::Error::custom)
    }
}
