//! Options of a proxy that are kept for `show proxy-settings`, and do nothing else yet.

use super::super::files::Fault;
use super::Connection;
use super::at::Located;

/// What of a connection's options has no effect.
pub(crate) fn kept(connection: &Connection) -> Vec<Fault> {
    let options = connection.options.iter().map(|(name, value)| {
        let wrong = format!("{name} {} is kept and has no effect yet", value.value);
        fault(value, wrong, "leave it for tools that read it back, or take it out")
    });
    let plugins = connection.plugins.iter().map(|line| {
        let plugin = line.value.split(' ').next().unwrap_or_default();
        let wrong = match plugin {
            "zstd" | "lz4" => format!("{} is kept, and the link is not compressed yet", line.value),
            "zlib" | "lzma" => {
                format!(
                    "{} is kept, and the link is not compressed yet; it will be zstd at a like level",
                    line.value
                )
            }
            _ => format!(
                "the plugin {} is unknown to this relay, which keeps it and does nothing with it",
                line.value
            ),
        };
        fault(line, wrong, "leave it as it is, or take it out")
    });
    options.chain(plugins).collect()
}

fn fault(place: &Located<String>, wrong: String, right: &str) -> Fault {
    Fault { span: place.span, key: place.key.clone(), wrong, right: right.to_owned() }
}
