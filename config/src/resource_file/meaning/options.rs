//! `proxy { … }` and `options { … }`: sizes, switches and plugins, and who inherits them from whom.

use crate::kinds::quote;
use crate::schema::nearest;

use super::super::files::Fault;
use super::super::tree::Word;
use super::at::{At, Located};
use super::findings::Findings;

/// One section's options as they stand there.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    settings: Vec<(&'static str, Located<String>)>,
    plugins: Vec<Located<String>>,
}

/// A proxy's options: its own, the resource's where it has none, and those of `common` where neither has.
#[derive(Clone, Debug, Default)]
pub(super) struct Inherited {
    pub(super) memlimit: Option<Located<u64>>,
    pub(super) settings: Vec<(String, Located<String>)>,
    pub(super) plugins: Vec<Located<String>>,
}

impl Options {
    /// Reads what stands in the section's braces.
    pub(super) fn read(section: &At<'_>, found: &mut Findings<'_>) -> Options {
        let mut options = Options::default();
        for at in section.statements() {
            let keyword = at.keyword();
            if keyword == "plugin" && at.statement.body.is_some() {
                // The tools forget an earlier one.
                options.plugins = plugins(&at);
                if options.plugins.len() > MAX_LINES {
                    found.wrong(at.fault("this is too much", format!("at most {MAX_LINES} lines are read")));
                    options.plugins.truncate(MAX_LINES);
                }
                continue;
            }
            if options.settings.len() == MAX_LINES {
                found.wrong(at.fault("this is too much", format!("at most {MAX_LINES} options are read")));
                break;
            }
            let Some(name) = OPTIONS.into_iter().find(|name| *name == keyword) else {
                let shown = quote(keyword);
                let right = match nearest(keyword, OPTIONS.into_iter().chain(["plugin"])) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("known here: {}, plugin", OPTIONS.join(", ")),
                };
                found.wrong(at.fault(format!("{shown} is no option of a proxy"), right));
                continue;
            };
            match at.arguments() {
                [value] if at.statement.body.is_none() => match number(&value.text) {
                    Some(_) => options.settings.push((name, located(&at, value))),
                    None => {
                        let wrong = format!("{} is no number", quote(&value.text));
                        found.wrong(at.fault_at(value.span, wrong, RIGHT_NUMBER));
                    }
                },
                [] => found.wrong(at.fault("has no value", format!("write {name} NUMBER;"))),
                [value, ..] => {
                    let wrong = format!("more than {} stands behind it", quote(&value.text));
                    found.wrong(at.fault(wrong, "write one number and `;`"));
                }
            }
        }
        options
    }

    /// What a proxy is run with.
    ///
    /// As the tools do it: of several in the proxy's own section the last counts; several in `proxy` of a resource or
    /// of `common` must be the same; plugins of the outer section come before those of the inner one, each moved to
    /// the front in turn, unless the inner one has the same line.
    pub(super) fn inherit(
        own: &Options,
        resource: Option<&Options>,
        common: Option<&Options>,
        found: &mut Findings<'_>,
    ) -> Inherited {
        let mut inherited = Inherited::default();
        for name in OPTIONS {
            let setting = match own.find(name).next_back() {
                Some(setting) => Some(setting),
                None => {
                    let outer = [resource, common].into_iter().flatten();
                    let first = outer.map(|options| options.only(name, found)).find(Option::is_some);
                    first.flatten()
                }
            };
            let Some(setting) = setting else { continue };
            if name == "memlimit" {
                // It was seen to be a number.
                inherited.memlimit = number(&setting.value).map(|bytes| setting.with(bytes));
            } else {
                inherited.settings.push((name.to_owned(), setting.clone()));
            }
        }
        let none = Vec::new();
        let [resource, common] =
            [resource, common].map(|options| options.map_or(&none, |options| &options.plugins));
        inherited.plugins = own.plugins.clone();
        let mut outer = resource.clone();
        put_before(&mut outer, common);
        put_before(&mut inherited.plugins, &outer);
        inherited
    }

    fn find(&self, name: &str) -> impl DoubleEndedIterator<Item = &Located<String>> {
        self.settings.iter().filter(move |(known, _)| *known == name).map(|(_, setting)| setting)
    }

    /// The one of this name, for those who inherit it.
    fn only(&self, name: &str, found: &mut Findings<'_>) -> Option<&Located<String>> {
        let mut all = self.find(name);
        let first = all.next()?;
        for other in all.filter(|other| number(&other.value) != number(&first.value)) {
            let wrong = format!("stands here a second time, first at {}", found.place(first.span));
            let right = "keep one of them".to_owned();
            found.wrong(Fault { span: other.span, key: other.key.clone(), wrong, right });
        }
        Some(first)
    }
}

/// A number as the tools read it, with its unit: k, M, G of 1024, or s for sectors of 512.
///
/// What is too large becomes `u64::MAX`, for the range check to refuse. `None`: not a number.
pub(super) fn number(text: &str) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(at);
    let shift = match unit {
        "" => 0,
        "s" => 9,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return None,
    };
    if digits.is_empty() {
        return None;
    }
    // Digits alone fail only where they are too many.
    let value = digits.parse::<u64>().unwrap_or(u64::MAX);
    Some(value.saturating_mul(1 << shift))
}

fn plugins(section: &At<'_>) -> Vec<Located<String>> {
    let lines = section.statements().filter(|at| !at.statement.words.is_empty());
    lines
        .map(|at| {
            let words: Vec<&str> = at.statement.words.iter().map(|word| word.text.as_str()).collect();
            Located { value: words.join(" "), span: at.statement.span(), key: section.key.clone() }
        })
        .collect()
}

fn put_before(inner: &mut Vec<Located<String>>, outer: &[Located<String>]) {
    for line in outer {
        if !inner.iter().any(|known| known.value == line.value) {
            inner.insert(0, line.clone());
        }
    }
}

fn located(at: &At<'_>, word: &Word) -> Located<String> {
    Located { value: word.text.clone(), span: word.span, key: at.key.clone() }
}

/// bsr-wire A.8, PROXY-OPT.
const OPTIONS: [&str; 7] =
    ["memlimit", "read-loops", "compression", "bwlimit", "sndbuf-size", "rcvbuf-size", "ping-timeout"];
/// Many times what a proxy has.
const MAX_LINES: usize = 64;
const RIGHT_NUMBER: &str = "write a whole number, if need be with k, M or G, such as 128M";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_units_of_the_tools() {
        let read =
            [("0", 0), ("05", 5), ("3s", 1536), ("2k", 2048), ("2K", 2048), ("5M", 5 << 20), ("3g", 3 << 30)];
        for (text, value) in read {
            assert_eq!(number(text), Some(value), "{text}");
        }
        assert_eq!(number("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(number("18446744073709551615G"), Some(u64::MAX));
        for text in ["", "M", "5T", "5MiB", "5MB", "0x5", "-5", "+5", "5.5M", "5 M", "5M "] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
