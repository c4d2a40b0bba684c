//! Changing `log.level` while the daemon runs.

use drx_config::{Level, log_level};
use slog::{Logger, info};

use crate::control::server::Server;
use crate::control::{ALL, Kind, Problem, Set};

/// The setting's name.
pub(super) const KEY: &str = "log.level";

/// Sets it, for all of the daemon.
pub(super) fn set(server: &Server, name: &str, value: &str, log: &Logger) -> Result<Set, Problem> {
    if name != ALL {
        return Err(Problem::new(Kind::BadValue, format!("{KEY} is the whole daemon's: set it for {ALL:?}")));
    }
    let level = log_level(value).map_err(|wrong| Problem::new(Kind::BadValue, wrong))?;
    let before = server.threshold.level();
    if level != before {
        // A log that falls silent says so first, and one that begins to talk, too.
        server.threshold.set(before.max(level).max(Level::Info));
        info!(log, "operator's command"; "command" => "set", "name" => name, "key" => KEY, "value" => value);
        server.threshold.set(level);
    }
    Ok(Set { command: "set".to_owned(), name: name.to_owned(), key: KEY.to_owned(), in_force: Vec::new() })
}
