//! What every connection was told, with its addresses.

use std::net::SocketAddr;

use drx_actors::api::{Describe, ResourceSettings};
use serde::{Deserialize, Serialize};

use crate::control::answer::within;
use crate::control::server::Server;
use crate::control::{ALL, Problem, ProxySettings};

/// The response to [`Request::Configuration`](crate::control::Request::Configuration).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Every connection, by name.
    pub connections: Vec<Configured>,
}

/// A connection, whether a file or `proxy-up` added it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configured {
    /// Where the local bsr connects.
    pub inside: SocketAddr,
    /// The other DRX's `outside`.
    pub peer: SocketAddr,
    /// Where the other DRX connects.
    pub outside: SocketAddr,
    /// Where the local bsr listens.
    pub bsr: SocketAddr,
    /// Its name, and what `proxy-up` has set or would set.
    #[serde(flatten)]
    pub settings: ProxySettings,
}

/// Asks the relay.
pub(super) async fn answer(server: &Server) -> Result<Configuration, Problem> {
    let asked = server.relay.describe.send(Describe { name: ALL.to_owned() });
    let described = within(server.limits.answer, asked).await?;
    let mut connections: Vec<_> = described.into_iter().map(configured).collect();
    connections.sort_by(|a, b| a.settings.name.cmp(&b.settings.name));
    Ok(Configuration { connections })
}

fn configured(settings: ResourceSettings) -> Configured {
    let ResourceSettings { name, remote, local, bsr, inside, outside, peer, bab, proxy, .. } = settings;
    let settings = ProxySettings {
        name: format!("{name}-{remote}-{local}"),
        memlimit: bab.size,
        options: proxy.options,
        plugins: proxy.plugins,
    };
    Configured { inside, peer, outside, bsr, settings }
}
