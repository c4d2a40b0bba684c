//! `up`: a node as a program.

use std::io::{self, Write};
use std::path::Path;

use slog::{Level, Logger, info, o, warn};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::core::Order;
use crate::shell::control::{self, ControlSocket};
use crate::shell::logging;
use crate::shell::node::{self, End, Handle};
use crate::shell::settings::Settings;

/// Runs a node until it ends.
pub(super) fn up(settings: &Settings, standalone: bool, log: Option<&Path>) -> Result<(), Failure> {
    let (log, flush) = logging::open(log, Level::Info).map_err(|error| {
        Failure::new(format!("cannot open the log {:?}: {error}", log.unwrap_or(Path::new(""))))
    })?;
    logging::log_panics(log.clone());
    let ran = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::new)
        .and_then(|runtime| runtime.block_on(run(settings, standalone, &log)));
    drop(flush);
    ran
}

async fn run(settings: &Settings, standalone: bool, log: &Logger) -> Result<(), Failure> {
    // First of all: who comes second is told at once.
    let socket = match &settings.socket {
        Some(path) => Some(ControlSocket::claim(path).map_err(Failure::new)?),
        None => None,
    };
    // Before the node: a signal that comes meanwhile is not lost.
    let signals =
        |kind| signal(kind).map_err(|error| Failure::new(format!("cannot wait for signals: {error}")));
    let (mut terminate, mut interrupt) =
        (signals(SignalKind::terminate())?, signals(SignalKind::interrupt())?);
    let node = node::start(settings, !standalone, log).await.map_err(Failure::new)?;
    let log = log.new(o!("node" => settings.name.clone()));
    info!(log, "up: drx-bsr {}", env!("CARGO_PKG_VERSION"));
    let server = socket.map(|socket| tokio::spawn(control::serve(socket, node.clone(), log.clone())));

    let mut out = io::stdout();
    // Who started it may not listen.
    let _ = out.write_all(b"ready\n").and_then(|()| out.flush());

    let mut stopping = false;
    let end = loop {
        let why = tokio::select! {
            end = node.ended() => break end,
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        if stopping {
            warn!(log, "{}, again: ending at once", why);
            let node = node.clone();
            tokio::spawn(async move { node.kill().await });
            continue;
        }
        info!(log, "{}: going down", why);
        stopping = true;
        tokio::spawn(down(node.clone(), log.clone()));
    };
    if let Some(server) = server {
        match server.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(log, "the control socket could not be served: {}", error),
            Err(error) => warn!(log, "the control socket's server ended: {}", error),
        }
    }
    match end {
        End::Down => {
            info!(log, "down");
            Ok(())
        }
        End::Killed => Err(Failure::new("ended at once, as ordered")),
        End::Failed(what) => Err(Failure::new(what)),
    }
}

async fn down(node: Handle, log: Logger) {
    if let Err(refusal) = node.order(Order::Down).await {
        warn!(log, "cannot go down: {}", refusal);
    }
}
