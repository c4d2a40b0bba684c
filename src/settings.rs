//! From the configuration's words to the relay's.

use std::num::NonZero;

use drx_actors::api::{BabSettings, Backing, LinkSettings, Proxy, Reserve, ResourceSettings, Settings};
use drx_actors::net::Congestion;
use drx_config::{Bab, Checksum, Config, CongestionControl, Link, Resource, Restart};
use drx_protocol::codec::Compression;
use drx_protocol::restart::{self, Policy, PolicyError};

/// What the relay is to carry.
///
/// # Errors
/// A resource's `[restart]` that the relay's own check refuses.
pub fn settings(config: &Config) -> Result<Settings, SettingsError> {
    let resources: Result<Vec<_>, _> = config.resources.iter().map(resource_settings).collect();
    Ok(Settings {
        node: config.node.name.clone(),
        resources: resources?,
        bab_total: config.bab_total,
        // One for each core, as far as the system tells.
        arbiters: std::thread::available_parallelism().map_or(1, NonZero::get),
    })
}

/// A resource that the relay cannot be given.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("resource {resource:?}: restart.{error}")]
pub struct SettingsError {
    resource: String,
    error: PolicyError,
}

// Each structure is taken apart whole: a key that is added to the configuration and forgotten here
// does not compile.

/// One resource as the relay is given it.
///
/// # Errors
/// A `[restart]` that the relay's own check refuses.
pub fn resource_settings(resource: &Resource) -> Result<ResourceSettings, SettingsError> {
    let Resource { name, remote, local, bsr, inside, outside, peer, bab, link, restart, proxy } =
        resource.clone();
    let bab = self::bab(bab);
    let policy = policy(&restart).map_err(|error| SettingsError { resource: name.clone(), error })?;
    let link = self::link(link);
    let drx_config::Proxy { options, plugins } = proxy;
    let proxy = Proxy { options, plugins };
    Ok(ResourceSettings {
        name,
        remote,
        local,
        bsr,
        inside,
        outside,
        peer,
        bab,
        link,
        restart: policy,
        proxy,
    })
}

fn bab(bab: Bab) -> BabSettings {
    let Bab { size, reserve, backing, directory } = bab;
    let reserve = match reserve {
        drx_config::Reserve::Auto => Reserve::Auto,
        drx_config::Reserve::Percent(percent) => Reserve::Percent(percent),
        drx_config::Reserve::Bytes(bytes) => Reserve::Bytes(bytes),
    };
    let backing = match backing {
        drx_config::Backing::Memory => Backing::Memory,
        drx_config::Backing::Locked => Backing::Locked,
        drx_config::Backing::File => Backing::File(directory),
    };
    BabSettings { size, reserve, backing }
}

fn link(link: Link) -> LinkSettings {
    let Link {
        resume_timeout,
        close_pending_timeout,
        keepalive_interval,
        keepalive_timeout,
        connect_timeout,
        window,
        congestion_control,
        checksum,
        compression,
        hold_pings,
    } = link;
    LinkSettings {
        resume_timeout,
        hold_pings,
        close_pending_timeout,
        keepalive_interval,
        keepalive_timeout,
        connect_timeout,
        window,
        congestion: match congestion_control {
            CongestionControl::Auto => Congestion::Auto,
            CongestionControl::System => Congestion::System,
            CongestionControl::Named(name) => Congestion::Named(name),
        },
        checksum: match checksum {
            // On without TLS, which would do it too.
            Checksum::Auto | Checksum::On => true,
            Checksum::Off => false,
        },
        compression: self::compression(compression),
    }
}

/// What payloads are to be packed with.
pub fn compression(compression: drx_config::Compression) -> Compression {
    match compression {
        drx_config::Compression::None => Compression::None,
        drx_config::Compression::Lz4 => Compression::Lz4,
        drx_config::Compression::Zstd(level) => Compression::Zstd(level),
        drx_config::Compression::Auto => Compression::Auto,
    }
}

fn policy(restart: &Restart) -> Result<Policy, PolicyError> {
    let Restart { initial, max, factor, jitter, stable_after, max_failures, window } = *restart;
    Policy::new(restart::Settings { initial, max, factor, jitter, stable_after, max_failures, window })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use drx_config::Sources;

    use super::*;

    fn config(more: &str) -> Config {
        let text = format!(
            r#"
            [[resource]]
            name = "r0"
            remote = "node2"
            bsr = "10.77.1.2:7789"
            inside = "10.77.1.1:7788"
            outside = "10.77.9.1:7780"
            peer = "10.77.9.2:7780"
            {more}
            "#
        );
        drx_config::load(&Sources::new("node1").text("drx.toml", text)).unwrap()
    }

    #[test]
    fn every_value_arrives_at_its_place() {
        let settings = settings(&config(
            r#"
            [resource.bab]
            size = "32MiB"
            backing = "file"
            directory = "/srv/drx"
            reserve = "25%"
            [resource.link]
            resume_timeout = "11s"
            close_pending_timeout = "7s"
            keepalive_interval = "2s"
            keepalive_timeout = "9s"
            connect_timeout = "3s"
            window = "1MiB"
            congestion_control = "cubic"
            checksum = "off"
            compression = "zstd:7"
            hold_pings = true
            [resource.restart]
            initial = "200ms"
            max = "11s"
            factor = 3.0
            jitter = 0.5
            stable_after = "31s"
            max_failures = 6
            window = "61s"
            "#,
        ))
        .unwrap();
        let seconds = Duration::from_secs;
        let restart = restart::Settings {
            initial: Duration::from_millis(200),
            max: seconds(11),
            factor: 3.0,
            jitter: 0.5,
            stable_after: seconds(31),
            max_failures: 6,
            window: seconds(61),
        };
        assert_eq!(settings.node, "node1");
        assert!(settings.arbiters >= 1);
        assert_eq!(
            settings.resources,
            [ResourceSettings {
                name: "r0".to_owned(),
                remote: "node2".to_owned(),
                local: "node1".to_owned(),
                proxy: Proxy::default(),
                bsr: "10.77.1.2:7789".parse().unwrap(),
                inside: "10.77.1.1:7788".parse().unwrap(),
                outside: "10.77.9.1:7780".parse().unwrap(),
                peer: "10.77.9.2:7780".parse().unwrap(),
                bab: BabSettings {
                    size: 32 << 20,
                    reserve: Reserve::Percent(25),
                    backing: Backing::File("/srv/drx".into()),
                },
                link: LinkSettings {
                    resume_timeout: seconds(11),
                    hold_pings: true,
                    close_pending_timeout: seconds(7),
                    keepalive_interval: seconds(2),
                    keepalive_timeout: seconds(9),
                    connect_timeout: seconds(3),
                    window: 1 << 20,
                    congestion: Congestion::Named("cubic".to_owned()),
                    checksum: false,
                    compression: Compression::Zstd(7),
                },
                restart: Policy::new(restart).unwrap(),
            }]
        );
    }

    #[test]
    fn the_defaults_of_both_sides_agree() {
        let settings = settings(&config("")).unwrap();
        assert_eq!(settings.resources[0].restart, Policy::default());
        assert!(settings.resources[0].link.checksum, "without TLS the frames are checked");
        assert_eq!(settings.resources[0].link.congestion, Congestion::Auto);
    }

    #[test]
    fn what_the_policy_refuses_is_an_error_with_its_place() {
        let mut config = config("");
        config.resources[0].restart.initial = Duration::from_secs(60);
        let error = settings(&config).unwrap_err().to_string();
        assert!(error.starts_with("resource \"r0\": restart.initial"), "{error}");
    }
}
