//! Names of hosts, and of connections through proxies.

use super::super::tree::Word;

/// Whether two names mean one host, as `drbdadm` and `bsradm` compare them: in any case, and a name without a domain
/// is the same host in whatever domain.
pub(super) fn same_host(a: &str, b: &str) -> bool {
    let host = |name: &'_ str| name.find('.').map(|dot| name[..dot].to_owned());
    match (host(a), host(b)) {
        (Some(_), Some(_)) => a.eq_ignore_ascii_case(b),
        (short_a, short_b) => {
            let [a, b] = [short_a.as_deref().unwrap_or(a), short_b.as_deref().unwrap_or(b)];
            a.eq_ignore_ascii_case(b)
        }
    }
}

/// Whether one of these words names the host.
pub(super) fn names(words: &[&Word], host: &str) -> bool {
    words.iter().any(|word| same_host(&word.text, host))
}

/// Several names of one side in one word, as they stand in a connection's name (bsr-wire A.8).
pub(super) fn joined(words: &[&Word]) -> String {
    let words: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    words.join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_the_same_with_and_without_their_domain() {
        assert!(same_host("node1", "node1"));
        assert!(same_host("node1", "NODE1"));
        assert!(same_host("node1.example.com", "Node1"));
        assert!(same_host("node1", "node1.example.com"));
        assert!(same_host("node1.example.com", "node1.EXAMPLE.com"));
        assert!(!same_host("node1.example.com", "node1.example.org"));
        assert!(!same_host("node1", "node10"));
        assert!(!same_host("node1", "node"));
        assert!(!same_host("", "node"));
    }
}
