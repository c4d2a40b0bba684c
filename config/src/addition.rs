//! The rules for resources that are added while the relay runs: those of a configuration file.

use std::net::{IpAddr, SocketAddr};

use config::ValueKind;

use crate::checks::{ALL, Addresses, check_addresses, connection_name};
use crate::error::{Error, Place};
use crate::kinds::Checked;
use crate::resolve::Found;
use crate::schema;
use crate::spots::{Spot, Spots};

/// A resource's names and addresses; its keys of the same names say what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see `Resource`")]
pub struct Addition {
    pub name: String,
    pub remote: String,
    /// This node's name on it.
    pub local: String,
    pub bsr: SocketAddr,
    pub inside: SocketAddr,
    pub outside: SocketAddr,
    pub peer: SocketAddr,
}

impl Addition {
    fn place(&self) -> Place {
        Place::Running(self.connection())
    }

    fn connection(&self) -> String {
        connection_name(&self.name, &self.remote, &self.local)
    }

    /// Whether commands could tell it from another one that is there, with which it shares not all names.
    fn check_names(&self, present: &[Addition]) -> Result<(), String> {
        if self.name == ALL {
            return Err(format!("\"{ALL}\" is what commands call all resources; give it another name"));
        }
        let names = |of: &Addition| (of.name.clone(), of.remote.clone(), of.local.clone());
        for other in present.iter().filter(|other| names(other) != names(self)) {
            let clash = [self.connection(), other.connection()].into_iter().find(|name| {
                [&self.connection(), &self.name].contains(&name)
                    && [&other.connection(), &other.name].contains(&name)
            });
            if let Some(name) = clash {
                return Err(format!(
                    "\"{name}\" would name {}, too; give it another name",
                    other.connection()
                ));
            }
        }
        Ok(())
    }

    /// Its addresses, each of which is at this connection.
    fn addresses(&self, number: usize, spots: &mut Spots) -> Addresses {
        let mut found = |key: &str, order, value| {
            let spot = Spot::outside(self.place(), &schema::join("resource", key), (number, order));
            Some(Found { value, spot: Some(spots.add(spot)) })
        };
        Addresses {
            bsr: found("bsr", 0, self.bsr),
            inside: found("inside", 1, self.inside),
            outside: found("outside", 2, self.outside),
            peer: found("peer", 3, self.peer),
        }
    }

    /// What each value must be by itself.
    fn check_values(&self) -> Result<(), String> {
        let texts = [("name", &self.name), ("remote", &self.remote), ("local", &self.local)];
        for (key, text) in texts {
            // `local` is no key of a resource: it is what `node.name` is.
            let rule = if key == "local" { ("node", "name") } else { ("resource", key) };
            check_value(rule, key, text)?;
        }
        let addresses =
            [("bsr", self.bsr), ("inside", self.inside), ("outside", self.outside), ("peer", self.peer)];
        for (key, address) in addresses {
            check_value(("resource", key), key, &address.to_string())?;
        }
        Ok(())
    }
}

fn check_value(rule: (&str, &str), key: &str, text: &str) -> Result<Checked, String> {
    let known = schema::find(rule.0, rule.1).ok_or_else(|| format!("there is no key {key}"))?;
    let read = known.kind.read(&ValueKind::String(text.to_owned()));
    read.map_err(|wrong| format!("{key}: {wrong}; {}", known.kind.wanted()))
}

/// Whether a relay that has `present` may be given `added`, too. `is_local` answers whether an address is this
/// machine's.
///
/// # Errors
/// Everything that is wrong with it, and what would be right.
pub fn check_addition(
    added: &Addition,
    present: &[Addition],
    is_local: fn(IpAddr) -> bool,
) -> Result<(), String> {
    added.check_values()?;
    added.check_names(present)?;
    let mut spots = Spots::default();
    let all: Vec<_> = present
        .iter()
        .chain([added])
        .enumerate()
        .map(|(number, resource)| resource.addresses(number, &mut spots))
        .collect();
    check_addresses(&all, is_local, &mut spots);
    // What is wrong with the others is not its fault: perhaps this machine has new addresses since.
    let own = |error: &Error| error.place == added.place();
    let wrong: Vec<String> = spots
        .into_errors()
        .into_iter()
        .filter(own)
        .map(|error| format!("{}; {}", error.wrong, error.right))
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; and ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addition(name: &str, bsr: &str, inside: &str, outside: &str, peer: &str) -> Addition {
        let address = |text: &str| text.parse().expect("an address");
        Addition {
            name: name.to_owned(),
            remote: "node2".to_owned(),
            local: "node1".to_owned(),
            bsr: address(bsr),
            inside: address(inside),
            outside: address(outside),
            peer: address(peer),
        }
    }

    fn present() -> Vec<Addition> {
        vec![addition("r0", "10.77.1.2:7789", "10.77.1.1:7788", "10.77.9.1:7780", "10.77.9.2:7780")]
    }

    #[track_caller]
    fn refused(added: &Addition, words: &[&str]) {
        let why = check_addition(added, &present(), |_| false).expect_err("refused");
        for word in words {
            assert!(why.contains(word), "{word:?} is not in {why:?}");
        }
    }

    #[test]
    fn one_that_shares_outside_and_peer_is_welcome() {
        let added = addition("r1", "10.77.1.2:7799", "10.77.1.1:7798", "10.77.9.1:7780", "10.77.9.2:7780");
        assert_eq!(check_addition(&added, &present(), |_| false), Ok(()));
        assert_eq!(check_addition(&added, &[], |_| false), Ok(()));
    }

    #[test]
    fn a_name_that_commands_would_take_for_another_is_refused() {
        let [bsr, inside] = ["10.77.1.2:7799", "10.77.1.1:7798"];
        let named = |name: &str, remote: &str| {
            let own = addition(name, bsr, inside, "10.77.9.1:7780", "10.77.9.2:7780");
            Addition { remote: remote.to_owned(), ..own }
        };
        refused(&named("all", "node2"), &["\"all\" is what commands call all resources"]);
        refused(&named("r0-node2-node1", "x"), &["\"r0-node2-node1\" would name r0-node2-node1, too"]);
        let split = Addition { local: "node2-node1".to_owned(), ..named("r0", "") };
        let split = Addition { remote: "node2".to_owned(), local: "node1".to_owned(), ..split };
        assert_eq!(
            check_addition(&split, &present(), |_| false),
            Ok(()),
            "the same names are for others to judge"
        );
        let other = Addition { local: "node2-node1".to_owned(), ..named("r", "0") };
        let shared = Addition {
            name: "r-0".to_owned(),
            remote: "node2".to_owned(),
            local: "node1".to_owned(),
            ..other.clone()
        };
        let why = check_addition(&other, &[shared], |_| false).expect_err("both are r-0-node2-node1");
        assert!(why.contains("\"r-0-node2-node1\""), "{why}");
        assert_eq!(check_addition(&named("r0", "node3"), &present(), |_| false), Ok(()));
    }

    #[test]
    fn what_clashes_is_refused_and_names_the_other_connection() {
        let inside = addition("r1", "10.77.1.2:7799", "10.77.1.1:7788", "10.77.9.1:7780", "10.77.9.2:7780");
        refused(&inside, &["inside = 10.77.1.1:7788", "(of r0-node2-node1)", "a port of its own"]);
        let every = addition("r1", "10.77.1.2:7799", "0.0.0.0:7788", "10.77.9.1:7780", "10.77.9.2:7780");
        refused(&every, &["inside = 0.0.0.0:7788", "(of r0-node2-node1)"]);
        let outside = addition("r1", "10.77.1.2:7799", "10.77.9.1:7780", "10.77.9.1:7781", "10.77.9.2:7780");
        refused(&outside, &["outside = 10.77.9.1:7780 (of r0-node2-node1)"]);
        // bsr has its port on every address of its machine, which is 10.77.1.2's here.
        let port = addition("r1", "10.77.1.2:7799", "10.77.1.2:7789", "10.77.9.1:7780", "10.77.9.2:7780");
        refused(&port, &["bsr = 10.77.1.2:7789 (of r0-node2-node1)", "want the same port"]);
    }

    #[test]
    fn what_is_wrong_by_itself_is_refused() {
        let good = present().remove(0);
        let family = addition("r1", "10.77.1.2:7799", "[fd77::1]:7798", "10.77.9.1:7780", "10.77.9.2:7780");
        refused(&family, &["of the other address family"]);
        let itself = addition("r1", "10.77.1.2:7799", "10.77.1.1:7798", "10.77.9.1:7780", "10.77.9.1:7780");
        refused(&itself, &["would dial itself"]);
        refused(&Addition { name: "a b".to_owned(), ..good.clone() }, &["name: ", "holds a blank"]);
        refused(&Addition { local: "x/y".to_owned(), ..good.clone() }, &["local: ", "holds a `/`"]);
        refused(&Addition { remote: String::new(), ..good.clone() }, &["remote: is empty"]);
        let address = |text: &str| text.parse().expect("an address");
        refused(&Addition { bsr: address("0.0.0.0:7789"), ..good.clone() }, &["bsr: ", "nothing to dial"]);
        refused(&Addition { bsr: address("[fe80::2]:7789"), ..good.clone() }, &["bsr: ", "lacks the number"]);
        refused(&Addition { inside: address("10.77.1.1:0"), ..good }, &["inside: ", "port 0"]);
    }

    /// Two that clash with each other do not keep a third one out.
    #[test]
    fn only_its_own_faults_count() {
        let mut present = present();
        present.push(Addition { name: "r7".to_owned(), ..present[0].clone() });
        let added = addition("r1", "10.77.1.2:7799", "10.77.1.1:7798", "10.77.9.1:7780", "10.77.9.2:7780");
        assert_eq!(check_addition(&added, &present, |_| false), Ok(()));
    }
}
