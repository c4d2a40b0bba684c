//! Addresses, as resource files write them: `10.0.0.1:7789`, `ipv4 10.0.0.1:7789`, `ipv6 [fd00::1]:7789`.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::kinds::quote;

use super::super::files::Fault;
use super::super::tree::{Span, Word};
use super::at::{At, Located};
use super::findings::Findings;

/// An address as it is written; whether it can be read shows when it is needed.
#[derive(Clone, Debug)]
pub(super) struct Address<'a> {
    family: Option<&'a Word>,
    /// The address with its port; none: nothing stands there.
    word: Option<&'a Word>,
    span: Span,
    key: String,
}

impl<'a> Address<'a> {
    /// Takes an address from the front of these words, which `at` has behind `keyword`.
    pub(super) fn take(at: &At<'_>, keyword: &Word, words: &mut &'a [Word]) -> Address<'a> {
        let family = words.split_first().filter(|(first, _)| FAMILIES.contains(&first.text.as_str()));
        let family = family.map(|(family, rest)| {
            *words = rest;
            family
        });
        let word = words.split_first().map(|(word, rest)| {
            *words = rest;
            word
        });
        let span = word.or(family).map_or(keyword.span, |word| word.span);
        let key = if at.keyword() == keyword.text {
            at.key.clone()
        } else {
            format!("{} > {}", at.key, keyword.text)
        };
        Address { family, word, span, key }
    }

    /// The address of a whole statement: `inside ipv4 10.0.0.1:7788;`
    pub(super) fn of(at: &At<'a>) -> Option<Address<'a>> {
        let keyword = at.statement.words.first()?;
        Some(Address::take(at, keyword, &mut at.arguments()))
    }

    /// What names a `floating` host.
    pub(super) fn text(&self) -> &'a str {
        self.word.map_or("", |word| &word.text)
    }

    /// Whether both say the same.
    pub(super) fn is(&self, other: &Address<'_>) -> bool {
        match (self.parse(), other.parse()) {
            (Ok(one), Ok(other)) => one == other,
            _ => false,
        }
    }

    /// What it says; none: the fault says why not.
    pub(super) fn read(&self, found: &mut Findings<'_>) -> Option<Located<SocketAddr>> {
        match self.parse() {
            Ok(value) => Some(Located { value, span: self.span, key: self.key.clone() }),
            Err((wrong, right)) => {
                found.wrong(Fault { span: self.span, key: self.key.clone(), wrong, right });
                None
            }
        }
    }

    fn parse(&self) -> Result<SocketAddr, (String, String)> {
        let right =
            || "write an IP address with a port, such as 10.77.1.2:7789 or ipv6 [fd00::2]:7789".to_owned();
        let Some(word) = self.word else { return Err(("has no address".to_owned(), right())) };
        let shown = quote(&word.text);
        let family = self.family.map_or("ipv4", |family| &family.text);
        let read = match family {
            "ipv4" => word.text.parse::<SocketAddrV4>().map(SocketAddr::V4).map_err(|_| {
                match word.text.parse::<SocketAddrV6>() {
                    Ok(_) => (
                        format!("{shown} is no IPv4 address with a port"),
                        format!("write ipv6 before it: ipv6 {}", word.text),
                    ),
                    Err(_) => (format!("{shown} is no IPv4 address with a port"), right()),
                }
            }),
            "ipv6" => word.text.parse::<SocketAddrV6>().map(SocketAddr::V6).map_err(|_| {
                let wrong = format!("{shown} is no IPv6 address with a port");
                if word.text.contains('%') {
                    (
                        wrong,
                        "write the interface as its number, such as [fe80::2%3]:7789 (`ip link`)".to_owned(),
                    )
                } else {
                    (wrong, "write one in brackets, such as ipv6 [fd00::2]:7789".to_owned())
                }
            }),
            other => Err((
                format!("{other} {} is no address of TCP over IP, which is all that is relayed", word.text),
                right(),
            )),
        }?;
        if read.port() == 0 {
            return Err((format!("{shown} has port 0, which is none"), right()));
        }
        Ok(read)
    }
}

/// What may stand before an address; `sci` is what `ssocks` was called before.
const FAMILIES: [&str; 5] = ["ipv4", "ipv6", "sdp", "ssocks", "sci"];
