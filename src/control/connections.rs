//! Connections that come and go over the control socket, as `proxy-up` and `proxy-down` want it
//! (docs/control.md 4).

use drx_actors::api::{Add, Added, Describe, Proxy, Refusal, Remove, Resize, ResourceSettings, SetProxy};
use drx_config::{Defaults, Resource, check_addition};
use slog::{Logger, debug, info, warn};
use std::net::IpAddr;
use tokio::sync::Mutex;

use crate::control::answer::{accepted, result, within};
use crate::control::compression::follow_plugins;
use crate::control::names::{Known, Names};
use crate::control::proxy::{MEMLIMIT, memlimit, set_option, set_plugin};
use crate::control::server::Server;
use crate::control::{ALL, Addition, Kind, Problem, ProxySettings, Request, Response};
use crate::settings::resource_settings;

/// What connections are made of that name no more than their addresses.
#[derive(Debug)]
pub struct Additions {
    defaults: Defaults,
    is_local: fn(IpAddr) -> bool,
    /// One change at a time: each looks first at what is there.
    turn: Mutex<()>,
}

impl Additions {
    /// `is_local` answers whether an address is this machine's.
    pub fn new(defaults: Defaults, is_local: fn(IpAddr) -> bool) -> Additions {
        Additions { defaults, is_local, turn: Mutex::default() }
    }
}

/// Adds a connection, unless it is there already.
pub(super) async fn add(server: &Server, addition: Addition, log: &Logger) -> Result<Response, Problem> {
    let _turn = server.additions.turn.lock().await;
    let present = described(server, ALL).await?;
    let Addition { name, inside, peer, outside, bsr, options } = addition;
    let Names { resource, remote, local } = names(&name, &present, &server.identity.node)?;
    let Defaults { bab, link, restart } = server.additions.defaults.clone();
    let mut added = Resource {
        name: resource,
        remote,
        local,
        bsr,
        inside,
        outside,
        peer,
        bab,
        link,
        restart,
        proxy: Default::default(),
    };
    let mut proxy = Proxy::default();
    for (option, value) in &options {
        match option.as_str() {
            MEMLIMIT => added.bab.size = memlimit(value)?,
            option => {
                set_option(&mut proxy, option, value)?;
            }
        }
    }
    let settings =
        resource_settings(&added).map_err(|error| Problem::new(Kind::Failed, error.to_string()))?;
    let settings = ResourceSettings { proxy, ..settings };
    let again = present.iter().any(|present| present.is_same_connection(&settings));
    if !again {
        let others: Vec<_> = present.iter().map(rules).collect();
        check_addition(&rules(&settings), &others, server.additions.is_local)
            .map_err(|wrong| refused(log, "add_connection", &name, Problem::new(Kind::Refused, wrong)))?;
        info!(log, "operator's command"; "command" => "add_connection", "name" => &name);
        for (option, value) in &settings.proxy.options {
            warn_of_kept(log, &name, option, value);
        }
    }
    match within(server.limits.answer, server.relay.add.send(Add(Box::new(settings)))).await? {
        Ok(Added::New) => {}
        Ok(Added::Same) => debug!(log, "the connection is there already"; "name" => &name),
        Err(refusal) => return Err(refused(log, "add_connection", &name, refusal.into())),
    }
    accepted("add_connection", name, true)
}

/// Has a connection removed; that there is none is no error.
pub(super) async fn remove(server: &Server, name: String, log: &Logger) -> Result<Response, Problem> {
    let _turn = server.additions.turn.lock().await;
    if described(server, &name).await?.iter().any(|present| present.connection() == name) {
        info!(log, "operator's command"; "command" => "remove_connection", "name" => &name);
    }
    let asked = server.relay.remove.send(Remove { connection: name.clone() });
    match within(server.limits.answer, asked).await? {
        Ok(()) => accepted("remove_connection", name, false),
        Err(Refusal::UnknownName(_)) => {
            debug!(log, "there is no such connection to be removed"; "name" => &name);
            accepted("remove_connection", name, true)
        }
        Err(refusal) => Err(refused(log, "remove_connection", &name, refusal.into())),
    }
}

/// What `proxy-up` has set of a connection.
pub(super) async fn proxy_settings(server: &Server, name: String) -> Result<Response, Problem> {
    let ResourceSettings { bab, proxy: Proxy { options, plugins }, .. } = one(server, &name).await?;
    result(&ProxySettings { name, memlimit: bab.size, options, plugins })
}

/// Changes an option or a plugin of a connection, unless it is so already.
pub(super) async fn change(server: &Server, request: Request, log: &Logger) -> Result<Response, Problem> {
    let _turn = server.additions.turn.lock().await;
    match request {
        Request::SetOption { name, option, value } if option == MEMLIMIT => {
            let size = memlimit(&value)?;
            if one(server, &name).await?.bab.size != size {
                info!(log, "operator's command"; "command" => "set_option", "name" => &name,
                    "option" => &option, "value" => &value);
                let asked = server.relay.resize.send(Resize { name: name.clone(), size });
                if let Err(refusal) = within(server.limits.answer, asked).await? {
                    return Err(refused(log, "set_option", &name, refusal.into()));
                }
            }
            accepted("set_option", name, true)
        }
        Request::SetOption { name, option, value } => {
            let mut proxy = one(server, &name).await?.proxy;
            if set_option(&mut proxy, &option, &value)? {
                keep(server, &name, proxy, log).await?;
                warn_of_kept(log, &name, &option, &value);
            }
            accepted("set_option", name, true)
        }
        Request::SetPlugin { name, position, line } => {
            let mut settings = one(server, &name).await?;
            if set_plugin(&mut settings.proxy, position, &line)? {
                info!(log, "operator's command"; "command" => "set_plugin", "name" => &name,
                    "position" => position, "line" => &line);
                let default = server.additions.defaults.link.compression;
                // In force before it is kept: what is kept changes nothing when it is said again.
                follow_plugins(server, &settings, default, log).await?;
                keep(server, &name, settings.proxy, log).await?;
            }
            accepted("set_plugin", name, true)
        }
        _ => Err(Problem::new(Kind::Failed, "this is no change of a connection")),
    }
}

async fn keep(server: &Server, name: &str, proxy: Proxy, log: &Logger) -> Result<(), Problem> {
    let asked = server.relay.set_proxy.send(SetProxy { connection: name.to_owned(), proxy });
    let kept = within(server.limits.answer, asked).await?;
    kept.map_err(|refusal| refused(log, "set_proxy", name, refusal.into()))
}

async fn described(server: &Server, name: &str) -> Result<Vec<ResourceSettings>, Problem> {
    within(server.limits.answer, server.relay.describe.send(Describe { name: name.to_owned() })).await
}

/// The connection of exactly this name.
async fn one(server: &Server, name: &str) -> Result<ResourceSettings, Problem> {
    let described = described(server, name).await?.into_iter();
    let mut own = described.filter(|settings| settings.connection() == name);
    own.next().ok_or_else(|| Refusal::UnknownName(name.to_owned()).into())
}

/// A connection that is there keeps the names that it has.
fn names(connection: &str, present: &[ResourceSettings], node: &str) -> Result<Names, Problem> {
    if let Some(same) = present.iter().find(|settings| settings.connection() == connection) {
        let ResourceSettings { name, remote, local, .. } = same.clone();
        return Ok(Names { resource: name, remote, local });
    }
    let locals: Vec<&str> =
        std::iter::once(node).chain(present.iter().map(|settings| settings.local.as_str())).collect();
    let remotes: Vec<&str> = present.iter().map(|settings| settings.remote.as_str()).collect();
    let names = Names::of(connection, Known { locals: &locals, remotes: &remotes });
    names.ok_or_else(|| {
        let wrong = format!(
            "{connection:?} is no name of a connection; write RESOURCE-REMOTE-LOCAL, with the \
            names of the other node and of this one"
        );
        Problem::new(Kind::BadValue, wrong)
    })
}

/// What the rules of a configuration need to know of it.
fn rules(settings: &ResourceSettings) -> drx_config::Addition {
    let ResourceSettings { name, remote, local, bsr, inside, outside, peer, .. } = settings.clone();
    drx_config::Addition { name, remote, local, bsr, inside, outside, peer }
}

fn refused(log: &Logger, command: &str, name: &str, problem: Problem) -> Problem {
    info!(log, "operator's command refused"; "command" => command, "name" => name, "why" => %problem);
    problem
}

fn warn_of_kept(log: &Logger, name: &str, option: &str, value: &str) {
    warn!(log, "kept, but not in force: this relay does not have it yet"; "name" => name,
        "option" => option, "value" => value);
}
