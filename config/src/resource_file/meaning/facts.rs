//! Options of bsr's own, out of `net`, `disk` and `options`, that matter to a relay between.

use super::at::{At, Located};
use super::options::number;

/// Options in force on one connection, as far as a file says them: by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(Vec<(&'static str, Located<String>)>);

impl Facts {
    /// What a connection, a resource or `common` says.
    pub(super) fn of(scope: &At<'_>) -> Facts {
        let mut facts = Facts::default();
        for at in scope.statements() {
            match at.keyword() {
                // In the style of 8.3.
                "protocol" => facts.put("net", at),
                section @ ("net" | "disk" | "options") => {
                    at.statements().for_each(|at| facts.put(section, at))
                }
                _ => {}
            }
        }
        // What is said of a volume counts more.
        for at in scope.all("volume").flat_map(|volume| volume.all("disk").collect::<Vec<_>>()) {
            at.statements().for_each(|at| facts.put("disk", at));
        }
        facts
    }

    /// The same, with what `outer` says of everything else.
    pub(super) fn or(mut self, outer: &Facts) -> Facts {
        for (name, value) in &outer.0 {
            if self.text(name).is_none() {
                self.0.push((name, value.clone()));
            }
        }
        self
    }

    /// Of several the last counts.
    fn put(&mut self, section: &str, at: At<'_>) {
        let known = KNOWN.into_iter().find(|known| *known == (section, at.keyword()));
        let (Some((_, name)), Some(word)) = (known, at.arguments().first()) else { return };
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, Located { value: word.text.clone(), span: word.span, key: at.key }));
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
