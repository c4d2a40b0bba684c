//! Addresses, as resource files write them: `10.0.0.1:7789`, `ipv4 10.0.0.1:7789`, `ipv6 [fd00::1]:7789`.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::kinds::{lacks_interface, quote};

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
        (self.family(), self.text()) == (other.family(), other.text())
    }

    /// What it says; none: the fault says why not. `used`: by this relay, which needs more of it than that it is one.
    pub(super) fn read(&self, used: bool, found: &mut Findings<'_>) -> Option<Located<SocketAddr>> {
        let fault = |wrong, right| Fault { span: self.span, key: self.key.clone(), wrong, right };
        match self.parse(found.interface) {
            Ok(value) => return Some(Located { value, span: self.span, key: self.key.clone() }),
            Err(Unreadable::Wrong(wrong, right)) => found.wrong(fault(wrong, right)),
            Err(Unreadable::Foreign(wrong, right)) if used => found.wrong(fault(wrong, right)),
            Err(Unreadable::Foreign(..)) => {}
        }
        None
    }

    fn family(&self) -> &'a str {
        self.family.map_or("ipv4", |family| &family.text)
    }

    fn parse(&self, interface: fn(&str) -> Option<u32>) -> Result<SocketAddr, Unreadable> {
        let text = self.text();
        let shown = quote(text);
        let wrong = |wrong| Unreadable::Wrong(wrong, RIGHT.to_owned());
        let read = match self.family() {
            _ if self.word.is_none() => return Err(wrong("has no address".to_owned())),
            "ipv4" => match (text.parse::<SocketAddrV4>(), text.parse::<SocketAddrV6>()) {
                (Ok(address), _) => SocketAddr::V4(address),
                (Err(_), Ok(_)) => {
                    let right = format!("write ipv6 before it: ipv6 {text}");
                    return Err(Unreadable::Wrong(format!("{shown} is no IPv4 address with a port"), right));
                }
                (Err(_), Err(_)) => return Err(wrong(format!("{shown} is no IPv4 address with a port"))),
            },
            "ipv6" => {
                // Where an address is of one link only, the interface follows it: [fe80::1%eth0]:7789.
                let zone = text.split_once('%').and_then(|(_, rest)| rest.split_once(']'));
                let plain = zone.map(|(zone, _)| text.replacen(&format!("%{zone}"), "", 1));
                let mut address: SocketAddrV6 = match plain.as_deref().unwrap_or(text).parse() {
                    Ok(address) => address,
                    Err(_) => return Err(wrong(format!("{shown} is no IPv6 address with a port"))),
                };
                if let Some((zone, _)) = zone {
                    let Some(number) = zone.parse().ok().or_else(|| interface(zone)) else {
                        let right = "name an interface of this machine, or write its number".to_owned();
                        return Err(Unreadable::Foreign(
                            format!("there is no interface {}", quote(zone)),
                            right,
                        ));
                    };
                    address.set_scope_id(number);
                }
                SocketAddr::V6(address)
            }
            other => {
                let wrong =
                    format!("{other} {text} is no address of TCP over IP, which is all that is relayed");
                return Err(Unreadable::Foreign(wrong, RIGHT.to_owned()));
            }
        };
        match read {
            _ if read.port() == 0 => Err(wrong(format!("{shown} has port 0, which is none"))),
            // What another relay makes of its own is its affair.
            SocketAddr::V6(address) if lacks_interface(address) => {
                let (ip, port) = (address.ip(), address.port());
                let right = format!("write ipv6 [ADDRESS%INTERFACE]:PORT, such as ipv6 [{ip}%eth0]:{port}");
                Err(Unreadable::Foreign(format!("{text} is link-local and lacks its interface"), right))
            }
            _ => Ok(read),
        }
    }
}

/// Why an address is none for this relay, and what would be right.
enum Unreadable {
    /// It is none for anybody.
    Wrong(String, String),
    /// It may well be one for another host.
    Foreign(String, String),
}

const RIGHT: &str = "write an IP address with a port, such as 10.77.1.2:7789 or ipv6 [fd00::2]:7789";
/// What may stand before an address; `sci` is what `ssocks` was called before.
const FAMILIES: [&str; 5] = ["ipv4", "ipv6", "sdp", "ssocks", "sci"];
