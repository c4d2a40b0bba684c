//! Options of a proxy that are kept for `show proxy-settings` and do nothing else yet, and plugins that do something else.

use super::super::files::Fault;
use super::Connection;
use super::at::Located;
use crate::plugins::Plugins;

/// What of a connection's options has no effect, or another one than is written.
pub(crate) fn kept(connection: &Connection, plugins: &Plugins) -> Vec<Fault> {
    let options = connection.options.iter().map(|(name, value)| {
        let wrong = format!("{name} {} is kept and has no effect yet", value.value);
        fault(value, wrong, "leave it for tools that read it back, or take it out")
    });
    let plugins = plugins.remarks.iter().filter_map(|(number, remark)| {
        let line = connection.plugins.get(*number)?;
        Some(fault(line, remark.clone(), "leave it as it is, or write zstd level N or lz4"))
    });
    options.chain(plugins).collect()
}

fn fault(place: &Located<String>, wrong: String, right: &str) -> Fault {
    Fault { span: place.span, key: place.key.clone(), wrong, right: right.to_owned() }
}
