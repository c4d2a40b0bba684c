//! The daemon's answers in words for people.

use drx_protocol::report::{RelayReport, connections_table, size, status_text};
use serde_json::value::RawValue;

use crate::control::{Accepted, InForce, Set, Setting, Version};
use crate::ctl::command::Command;

/// What `command` prints of its result, each line with its newline.
pub(super) fn text(command: &Command, result: &RawValue, verbose: bool) -> Result<String, serde_json::Error> {
    let json = result.get();
    Ok(match command {
        Command::Connections { .. } => {
            let report: RelayReport = serde_json::from_str(json)?;
            connections_table(&report.resources, verbose)
        }
        Command::Status { .. } => status(&serde_json::from_str(json)?, verbose),
        Command::Up { .. } | Command::Down { .. } | Command::Restart { .. } | Command::Shutdown => {
            let Accepted { command, name, finished } = serde_json::from_str(json)?;
            let done = if finished { "done" } else { "begun" };
            match command.as_str() {
                "shutdown" => format!("shutdown: {done}\n"),
                _ => format!("{command} {name}: {done}\n"),
            }
        }
        Command::Set { value, .. } => {
            let Set { key, in_force, .. } = serde_json::from_str(json)?;
            match value.as_str() {
                // What is no connection's is what it was set to.
                value if in_force.is_empty() => format!("{key} is {value}\n"),
                _ => in_force.iter().map(|in_force| set(&key, in_force)).collect(),
            }
        }
        Command::Version => {
            let Version { version, node } = serde_json::from_str(json)?;
            format!("drxd {version} on {node}\n")
        }
    })
}

fn set(key: &str, InForce { connection, value, used }: &InForce) -> String {
    let (value, full) = match (value, used) {
        (Setting::Bytes(value), Some(used)) if used > value => {
            (size(*value), format!("; {} are held, so bsr waits until they are fewer", size(*used)))
        }
        (Setting::Bytes(value), _) => (size(*value), String::new()),
        (Setting::Word(value), _) => (value.clone(), String::new()),
    };
    format!("{connection}: {key} is {value}{full}\n")
}

fn status(report: &RelayReport, verbose: bool) -> String {
    let mut parts: Vec<String> = report.resources.iter().map(status_text).collect();
    if parts.is_empty() {
        parts.push("There are no resources.\n".to_owned());
    }
    if verbose {
        let RelayReport { node, version, uptime_seconds, .. } = report;
        parts.insert(0, format!("{node}: drxd {version}, running for {uptime_seconds:.0} s\n"));
        parts.push(connections_table(&report.resources, true));
    }
    parts.join("\n")
}
