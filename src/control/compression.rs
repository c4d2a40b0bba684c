//! Changing `link.compression` while the relay runs, as an operator says it or as lines of `plugin` do.

use drx_actors::api::{Compress, ResourceSettings};
use drx_config::Plugins;
use slog::{Logger, info, warn};

use crate::control::answer::within;
use crate::control::server::Server;
use crate::control::{InForce, Kind, Problem, Set, Setting};
use crate::settings::compression;

/// The setting's name, and how operators shorten it.
pub(super) const KEY: &str = "link.compression";
pub(super) const SHORT: &str = "compression";

/// Sets it, for one connection or many.
pub(super) async fn set(server: &Server, name: String, value: &str, log: &Logger) -> Result<Set, Problem> {
    let wanted = drx_config::compression(value).map_err(|wrong| Problem::new(Kind::BadValue, wrong))?;
    info!(log, "operator's command"; "command" => "set", "name" => &name, "key" => KEY, "value" => value);
    if let Some(slowness) = wanted.slowness() {
        warn!(log, "{slowness}"; "name" => &name);
    }
    let compress = Compress { name: name.clone(), compression: compression(wanted) };
    let connections = tell(server, compress).await.inspect_err(|problem| {
        info!(log, "operator's command refused"; "command" => "set", "name" => &name, "why" => %problem);
    })?;
    let value = compression(wanted).to_string();
    let in_force = connections.into_iter().map(|connection| InForce {
        connection,
        value: Setting::Word(value.clone()),
        used: None,
    });
    Ok(Set { command: "set".to_owned(), name, key: KEY.to_owned(), in_force: in_force.collect() })
}

/// Puts in force what a connection's lines of `plugin` ask for; without any, what the configuration says.
pub(super) async fn follow_plugins(
    server: &Server,
    settings: &ResourceSettings,
    default: drx_config::Compression,
    log: &Logger,
) -> Result<(), Problem> {
    let connection = settings.connection();
    let plugins = Plugins::read(&settings.proxy.plugins);
    for (number, remark) in &plugins.remarks {
        warn!(log, "plugin {number}: {remark}"; "name" => &connection);
    }
    let compression = compression(plugins.compression.unwrap_or(default));
    if settings.link.compression != compression {
        tell(server, Compress { name: connection, compression }).await?;
    }
    Ok(())
}

async fn tell(server: &Server, compress: Compress) -> Result<Vec<String>, Problem> {
    within(server.limits.answer, server.relay.compress.send(compress)).await?.map_err(Problem::from)
}
