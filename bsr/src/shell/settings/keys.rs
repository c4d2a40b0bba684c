//! The keys of a node's file, and their ranges (bsr-wire C.4).

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::de::{Deserialize, Deserializer, Error};

use super::units::{Hash, LongSize, Name, Number, Policy, Rate, Size};
use crate::core::{OnCongestion, Protocol, Settings};
use crate::digest::Algorithm;
use crate::shell::nbd::Address;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct File {
    pub(super) name: Name,
    pub(super) node_id: Option<Number<0, 31>>,
    pub(super) peer_node_id: Option<Number<0, 31>>,
    pub(super) volume: PathBuf,
    pub(super) metadata: PathBuf,
    pub(super) socket: PathBuf,
    pub(super) address: SocketAddr,
    pub(super) peer: SocketAddr,
    #[serde(default)]
    pub(super) opening: Opening,
    pub(super) verify_ip: Option<bool>,
    #[serde(default, deserialize_with = "nbd")]
    pub(super) nbd: Option<Address>,
    #[serde(default)]
    pub(super) net: Net,
    #[serde(default)]
    pub(super) disk: Disk,
}

#[derive(Clone, Copy, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Opening {
    #[default]
    Bsr,
    Drbd,
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct Net {
    protocol: Option<ProtocolKey>,
    pub(super) connect_int: Option<Number<1, 120>>,
    ping_int: Option<Number<1, 120>>,
    ping_timeout: Option<Number<1, 300>>,
    timeout: Option<Number<1, 600>>,
    socket_check_timeout: Option<Number<1, 300>>,
    ko_count: Option<Number<0, 200>>,
    pub(super) tcp_ack_timeout: Option<Number<0, 300>>,
    pub(super) sndbuf_size: Option<Buffer>,
    pub(super) rcvbuf_size: Option<Buffer>,
    cram_hmac_alg: Option<Hash>,
    shared_secret: Option<String>,
    data_integrity_alg: Option<Hash>,
    verify_alg: Option<Hash>,
    csums_alg: Option<Hash>,
    use_rle: Option<bool>,
    max_epoch_size: Option<Number<1, 20_000>>,
    on_congestion: Option<OnCongestionKey>,
    congestion_fill: Option<LongSize>,
    congestion_extents: Option<Number<0, 65_534>>,
    #[serde(rename = "after-sb-0pri")]
    after_sb_0pri: Option<Policy<0>>,
    #[serde(rename = "after-sb-1pri")]
    after_sb_1pri: Option<Policy<1>>,
    #[serde(rename = "after-sb-2pri")]
    after_sb_2pri: Option<Policy<2>>,
    protocol_min: Option<Number<86, 101>>,
    protocol_max: Option<Number<86, 101>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct Disk {
    al_extents: Option<Number<7, 65_534>>,
    c_max_rate: Option<Rate>,
    resync_window: Option<Size<{ 64 << 10 }, { 256 << 20 }>>,
    disk_flushes: Option<bool>,
}

#[derive(Clone, Copy, serde::Deserialize)]
enum ProtocolKey {
    A,
    B,
    C,
}

#[derive(Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OnCongestionKey {
    Block,
    PullAhead,
    Disconnect,
}

impl File {
    /// What the core needs of it; what is not set is as its default.
    pub(super) fn core(&self) -> Result<Settings, String> {
        let (net, disk, default) = (&self.net, &self.disk, Settings::default());
        let (low, high) = default.versions;
        let versions =
            (net.protocol_min.map_or(low, |min| min.0), net.protocol_max.map_or(high, |max| max.0));
        if versions.0 > versions.1 {
            return Err(format!("protocol-min {} is higher than protocol-max {}", versions.0, versions.1));
        }
        let sb = default.after_split_brain;
        Ok(Settings {
            protocol: net.protocol.map_or(default.protocol, |key| match key {
                ProtocolKey::A => Protocol::A,
                ProtocolKey::B => Protocol::B,
                ProtocolKey::C => Protocol::C,
            }),
            versions,
            secret: self.secret()?,
            integrity: net.data_integrity_alg.map(|hash| hash.0),
            verify: net.verify_alg.map(|hash| hash.0),
            checksum: net.csums_alg.map(|hash| hash.0),
            after_split_brain: (
                net.after_sb_0pri.map_or(sb.0, |policy| policy.0),
                net.after_sb_1pri.map_or(sb.1, |policy| policy.0),
                net.after_sb_2pri.map_or(sb.2, |policy| policy.0),
            ),
            use_rle: net.use_rle.unwrap_or(default.use_rle),
            ping_int: net.ping_int.map_or(default.ping_int, Number::seconds),
            ping_timeout: net.ping_timeout.map_or(default.ping_timeout, Number::tenths),
            socket_check_timeout: net
                .socket_check_timeout
                .map_or(default.socket_check_timeout, Number::tenths),
            timeout: net.timeout.map_or(default.timeout, Number::tenths),
            ko_count: net.ko_count.map_or(default.ko_count, |count| count.0),
            max_epoch_size: net.max_epoch_size.map_or(default.max_epoch_size, |size| size.0),
            al_extents: disk.al_extents.map_or(default.al_extents, |extents| extents.0),
            on_congestion: net.on_congestion.map_or(default.on_congestion, |key| match key {
                OnCongestionKey::Block => OnCongestion::Block,
                OnCongestionKey::PullAhead => OnCongestion::PullAhead,
                OnCongestionKey::Disconnect => OnCongestion::Disconnect,
            }),
            congestion_fill: net.congestion_fill.map_or(default.congestion_fill, |fill| fill.0),
            congestion_extents: net
                .congestion_extents
                .map_or(default.congestion_extents, |extents| extents.0),
            resync_rate: disk.c_max_rate.map_or(default.resync_rate, |rate| rate.0),
            resync_window: disk.resync_window.map_or(default.resync_window, |window| window.0),
            disk_flushes: disk.disk_flushes.unwrap_or(default.disk_flushes),
        })
    }

    fn secret(&self) -> Result<Option<(Algorithm, Vec<u8>)>, String> {
        match (self.net.cram_hmac_alg, &self.net.shared_secret) {
            (None, None) => Ok(None),
            (Some(_), None) => Err("net.cram-hmac-alg needs net.shared-secret".to_owned()),
            (None, Some(_)) => Err("net.shared-secret needs net.cram-hmac-alg".to_owned()),
            (Some(Hash(Algorithm::Crc32c)), Some(_)) => {
                Err("net.cram-hmac-alg: crc32c is no hash that keeps a secret".to_owned())
            }
            (Some(_), Some(secret)) if secret.is_empty() || secret.len() > MAX_SECRET => {
                Err(format!("net.shared-secret has {} bytes, not 1 to {MAX_SECRET}", secret.len()))
            }
            (Some(Hash(algorithm)), Some(secret)) => Ok(Some((algorithm, secret.clone().into_bytes()))),
        }
    }
}

fn nbd<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Address>, D::Error> {
    let text = String::deserialize(from)?;
    let address = match text.split_once(':') {
        Some(("unix", path)) if !path.is_empty() => Some(Address::Unix(PathBuf::from(path))),
        Some(("tcp", address)) => address.parse().ok().map(Address::Tcp),
        _ => None,
    };
    let wrong = || {
        D::Error::custom(format!("{text:?} is no place for an NBD server: write unix:PATH or tcp:IP:PORT"))
    };
    address.map(Some).ok_or_else(wrong)
}

/// What is set on a socket, with DRBD 8.4's limit.
pub(super) type Buffer = Size<0, { 10 << 20 }>;
/// As the kernels have it.
const MAX_SECRET: usize = 64;
