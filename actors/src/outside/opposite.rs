//! Whether two connection names are the two ends of one connection.

/// Whether `theirs` is what the other end of `ours` is called: one is `RESOURCE-REMOTE-LOCAL`, the other
/// `RESOURCE-LOCAL-REMOTE`.
///
/// Each of the three may hold a `-` itself, and `proxy-up` gives the whole name alone: so each end may have taken its
/// name apart at other places than the other end. The whole names leave no doubt.
pub(super) fn are_opposite(ours: &str, theirs: &str) -> bool {
    let dashes = || ours.match_indices('-').map(|(at, _)| at);
    ours.len() == theirs.len()
        && dashes().any(|first| {
            let (resource, rest) = (&ours[..first], &ours[first + 1..]);
            // Most names differ before their first dash.
            let Some(theirs) = theirs.strip_prefix(resource).and_then(|rest| rest.strip_prefix('-')) else {
                return false;
            };
            rest.match_indices('-').any(|(second, _)| {
                let (remote, local) = (&rest[..second], &rest[second + 1..]);
                let whole = [resource, remote, local].iter().all(|name| !name.is_empty());
                let swapped = theirs.strip_prefix(local).and_then(|rest| rest.strip_prefix('-'));
                whole && swapped == Some(remote)
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_by_their_whole_names() {
        for (ours, theirs) in [
            ("r0-node2-node1", "r0-node1-node2"),
            ("r0-site-b-site-a", "r0-site-a-site-b"),
            ("db-0-node2-site-a", "db-0-site-a-node2"),
            ("r0-proxy-2_p2b-node1", "r0-node1-proxy-2_p2b"),
            ("r-é-ü", "r-ü-é"),
            ("a-b-b", "a-b-b"),
        ] {
            assert!(are_opposite(ours, theirs), "{ours} {theirs}");
            assert!(are_opposite(theirs, ours), "{theirs} {ours}");
        }
    }

    #[test]
    fn what_is_no_other_end_is_none() {
        for (ours, theirs) in [
            ("r0-node2-node1", "r0-node2-node1"),
            ("r0-node2-node1", "r1-node1-node2"),
            ("r0-node2-node1", "r0-node1-node3"),
            ("r0-node2-node1", "r0-node1-node22"),
            ("r0-site-b-site-a", "r0-site-b-site-a"),
            ("r0-site-b-site-a", "r1-site-a-site-b"),
            ("r0-b", "b-r0"),
            ("-b-a", "-a-b"),
            ("r--a", "r-a-"),
            ("", ""),
            ("--", "--"),
        ] {
            assert!(!are_opposite(ours, theirs), "{ours} {theirs}");
        }
    }
}
