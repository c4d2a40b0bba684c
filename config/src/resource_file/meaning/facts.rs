//! Options of bsr's own, out of `net`, `disk` and `options`, that matter to a relay between.

use super::super::tree::Statement;
use super::at::{At, Located};
use super::options::number;

/// Options in force on one connection, as far as a file says them: by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(Vec<(&'static str, Located<String>)>);

impl Facts {
    /// What the connection says, or else the resource, or else `common`.
    pub(super) fn of(connection: &At<'_>, resource: &At<'_>, common: Option<&At<'_>>) -> Facts {
        let own = (!std::ptr::eq(connection.statement, resource.statement)).then_some(connection);
        let scopes: Vec<&At<'_>> = own.into_iter().chain([resource]).chain(common).collect();
        let find = |(section, name): (&str, &'static str)| {
            let found = scopes.iter().find_map(|scope| find(scope, section, name));
            found.map(|found| (name, found))
        };
        Facts(KNOWN.into_iter().filter_map(find).collect())
    }

    /// An option as it is written.
    pub(crate) fn text(&self, name: &str) -> Option<&Located<String>> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// An option that is a number. `unit`: what one without a unit counts in, as a factor.
    pub(crate) fn number(&self, name: &str, unit: u64) -> Option<Located<u64>> {
        let text = self.text(name)?;
        let bare = text.value.ends_with(|c: char| c.is_ascii_digit());
        number(&text.value).map(|value| text.with(value.saturating_mul(if bare { unit } else { 1 })))
    }
}

/// An option in one of these sections of a scope, or in those of its volumes.
fn find(scope: &At<'_>, section: &str, name: &str) -> Option<Located<String>> {
    let of = |statement: &Statement| statement.arguments().first().map(|word| (word.text.clone(), word.span));
    // In the style of 8.3 it stands in the resource itself.
    if name == "protocol"
        && let Some(at) = scope.all(name).last()
        && let Some((value, span)) = of(at.statement)
    {
        return Some(Located { value, span, key: at.key });
    }
    let within = scope.all("volume").flat_map(|volume| volume.all(section).collect::<Vec<_>>());
    let mut found = None;
    for at in scope.all(section).chain(within).flat_map(|at| at.all(name).collect::<Vec<_>>()) {
        if let Some((value, span)) = of(at.statement) {
            found = Some(Located { value, span, key: at.key });
        }
    }
    found
}

/// The options that are looked at, with their sections (bsr-wire C.4).
const KNOWN: [(&str, &str); 15] = [
    ("net", "protocol"),
    ("net", "timeout"),
    ("net", "ko-count"),
    ("net", "ping-int"),
    ("net", "ping-timeout"),
    ("net", "connect-int"),
    ("net", "tcp_ack_timeout"),
    ("net", "sndbuf-size"),
    ("net", "on-congestion"),
    ("net", "congestion-fill"),
    ("disk", "c-plan-ahead"),
    ("disk", "c-fill-target"),
    ("disk", "resync-rate"),
    ("options", "max-req-write-count"),
    ("options", "on-req-write-congestion"),
];
