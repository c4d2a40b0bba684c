//! A connection's name, `RESOURCE-REMOTE-LOCAL`, taken apart: each of the three may hold a `-` itself.

/// The three names of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) resource: String,
    pub(super) remote: String,
    pub(super) local: String,
}

/// Node names that can stand in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    /// This node's, first of all the one that it is configured with.
    pub(super) locals: &'a [&'a str],
    pub(super) remotes: &'a [&'a str],
}

impl Names {
    /// Known node names count first, of two that fit the longer one; what is not known has no `-`.
    pub(super) fn of(connection: &str, known: Known<'_>) -> Option<Names> {
        let locals = || known.locals.iter().filter_map(|local| cut(connection, local));
        let remotes = |rest| {
            let fit = known.remotes.iter().filter_map(move |remote| cut(rest, remote));
            fit.max_by_key(|(_, remote)| remote.len())
        };
        // Both are known; or the one; or the other; or none.
        let both = locals()
            .filter_map(|(rest, local)| Some((remotes(rest)?, local)))
            .max_by_key(|((_, remote), local)| (local.len(), remote.len()));
        let only_local = || {
            let (rest, local) = locals().max_by_key(|(_, local)| local.len())?;
            Some((last(rest)?, local))
        };
        let only_remote = || {
            let fit = known.remotes.iter().filter_map(|remote| within(connection, remote));
            fit.max_by_key(|((_, remote), local)| (remote.len(), local.len()))
        };
        let none = || {
            let (rest, local) = last(connection)?;
            Some((last(rest)?, local))
        };
        let ((resource, remote), local) = both.or_else(only_local).or_else(only_remote).or_else(none)?;
        Some(Names { resource: resource.to_owned(), remote: remote.to_owned(), local: local.to_owned() })
    }
}

/// What stands before `-NODE` at the end, and the node.
fn cut<'a>(text: &'a str, node: &'a str) -> Option<(&'a str, &'a str)> {
    let rest = text.strip_suffix(node)?.strip_suffix('-')?;
    (!rest.is_empty() && !node.is_empty()).then_some((rest, node))
}

/// The last `-`, with something on either side of it.
fn last(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once('-').filter(|(before, behind)| !before.is_empty() && !behind.is_empty())
}

/// `-NODE-` in the midst, nearest to the end: what stands before it, the node, and what stands behind it.
fn within<'a>(text: &'a str, node: &str) -> Option<((&'a str, &'a str), &'a str)> {
    if node.is_empty() {
        return None;
    }
    let at = text.rfind(&format!("-{node}-"))?;
    let (resource, rest) = (text.get(..at)?, text.get(at + 1..)?);
    let (remote, local) = (rest.get(..node.len())?, rest.get(node.len() + 1..)?);
    (!resource.is_empty() && !local.is_empty()).then_some(((resource, remote), local))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn split(connection: &str, locals: &[&str], remotes: &[&str]) -> Option<[String; 3]> {
        let names = Names::of(connection, Known { locals, remotes })?;
        Some([names.resource, names.remote, names.local])
    }

    #[test]
    fn what_is_known_counts_first() {
        let is = |connection, locals: &[&str], remotes: &[&str], expected: [&str; 3]| {
            assert_eq!(split(connection, locals, remotes).unwrap(), expected, "{connection}");
        };
        is("r0-node2-node1", &["node1"], &[], ["r0", "node2", "node1"]);
        is("r0-node2-node1", &["other"], &[], ["r0", "node2", "node1"]);
        is("db-0-node2-node1", &["node1"], &[], ["db-0", "node2", "node1"]);
        is("r0-node2-site-a", &["site-a"], &[], ["r0", "node2", "site-a"]);
        is("r0-site-b-site-a", &["site-a"], &["site-b"], ["r0", "site-b", "site-a"]);
        is("r0-site-b-node1", &["other"], &["site-b"], ["r0", "site-b", "node1"]);
        is("r0-site-b-site-a", &["other"], &["site-b"], ["r0", "site-b", "site-a"]);
        // Of two that fit the longer one.
        is("r0-b-a-c", &["c"], &["a", "b-a"], ["r0", "b-a", "c"]);
        is("r0-x-a-b", &["b", "a-b"], &["x"], ["r0", "x", "a-b"]);
        // A known name that leaves nothing for the others is not the one.
        is("node2-x-node1", &["node1"], &["node2-x"], ["node2", "x", "node1"]);
    }

    #[test]
    fn what_has_no_three_parts_is_none() {
        for connection in
            ["", "-", "--", "r0", "r0-node1", "r0-", "-r0-node1", "r0--node1", "r0-node2-", "--a"]
        {
            assert_eq!(split(connection, &["node1"], &["node2"]), None, "{connection}");
        }
    }

    proptest! {
        #[test]
        fn the_parts_are_the_whole(
            connection in "[ab-]{0,12}",
            locals in prop::collection::vec("[ab-]{0,4}", 0..3),
            remotes in prop::collection::vec("[ab-]{0,4}", 0..3),
        ) {
            let locals: Vec<&str> = locals.iter().map(String::as_str).collect();
            let remotes: Vec<&str> = remotes.iter().map(String::as_str).collect();
            if let Some(parts) = split(&connection, &locals, &remotes) {
                prop_assert!(parts.iter().all(|part| !part.is_empty()));
                prop_assert_eq!(parts.join("-"), connection);
            }
        }

        #[test]
        fn known_nodes_are_found(
            resource in "[ab-]{1,6}",
            remote in "[cd]{1,4}(-[cd]{1,4})?",
            local in "[ef]{1,4}(-[ef]{1,4})?",
        ) {
            let connection = format!("{resource}-{remote}-{local}");
            let parts = split(&connection, &["other", &local], &["third", &remote]).unwrap();
            prop_assert_eq!(parts, [resource, remote, local]);
        }
    }
}
