//! The rules that an exhaustive search over two ends asked for (docs/link.md 6).
//!
//! A relay follows all of them. Each can be left out here, and only here, so that the search can
//! show the hole it closes: `protocol/tests/` does so for every one.

/// Which rules are followed. [`Rules::ALL`] in every relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    /// 1: a handshake that does not resume is taken only in `bridging` and `waiting`.
    pub fresh_links_only_when_idle: bool,
    /// 2: a resume needs the same link, both epochs, the same attempt, and a round that still stands.
    pub resume_only_the_same_round: bool,
    /// 3: attempt numbers and the remembered offer belong to a link.
    pub rounds_belong_to_a_link: bool,
    /// 4: a dial that was overtaken is refused and changes nothing.
    pub late_dials_change_nothing: bool,
    /// 5: an end whose bsr is gone discards what comes and acknowledges it as written.
    pub gone_ends_discard: bool,
    /// 6: a stop because the partner ended names the partner, and ends only that one.
    pub stops_name_the_partner: bool,
    /// 7: while a lane says goodbye its direction's other lane refuses bsr.
    pub goodbyes_close_the_door: bool,
}

impl Rules {
    /// What a relay follows.
    pub const ALL: Rules = Rules {
        fresh_links_only_when_idle: true,
        resume_only_the_same_round: true,
        rounds_belong_to_a_link: true,
        late_dials_change_nothing: true,
        gone_ends_discard: true,
        stops_name_the_partner: true,
        goodbyes_close_the_door: true,
    };
}
