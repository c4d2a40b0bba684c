//! Which dials an acceptor takes (docs/link.md 6, rules 1, 2 and 4).

use crate::channel::Channel;
use crate::names::{Attempt, Epoch, LinkId};
use crate::rules::Rules;
use crate::state::State;

/// A connector's handshake, as far as it decides about its admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dial {
    /// The link it opens, or wants to carry on.
    pub link: LinkId,
    /// The life of the relay that dials.
    pub epoch: Epoch,
    /// Rises with every dial of that lane and epoch.
    pub number: u64,
    /// The round to be resumed, if it asks for that.
    pub resume: Option<Attempt>,
}

/// What becomes of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// A new link: [`Event::LinkUp`](crate::channel::Event::LinkUp).
    Fresh,
    /// The same round on a new transport: [`Event::LinkResumed`](crate::channel::Event::LinkResumed).
    Resume,
    /// Refused `busy`. The old link is lost: who dials afresh has given it up.
    Busy,
    /// Refused `unknown link`; the round that it wanted cannot be carried on, so the link is lost.
    Ended,
    /// Refused `unknown link`, nothing changes: it names another link.
    Unknown,
    /// Refused, nothing changes: a later dial came first.
    Overtaken,
}

/// What an acceptor remembers of the dials to its lane; outlives the channel's generations.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Admission {
    peer: Option<Epoch>,
    highest: u64,
    /// How often in a row an epoch before `peer` has dialled.
    older: u8,
    rules: Rules,
}

impl Admission {
    /// Nobody has dialled yet.
    pub fn new() -> Admission {
        Admission::with_rules(Rules::ALL)
    }

    #[doc(hidden)] // for the search that shows what each rule is for
    pub fn with_rules(rules: Rules) -> Admission {
        Admission { peer: None, highest: 0, older: 0, rules }
    }

    /// The life of the other relay that dialled last.
    pub fn peer(&self) -> Option<Epoch> {
        self.peer
    }

    #[doc(hidden)] // for the search: only the order of dials matters
    pub fn highest(&self) -> u64 {
        self.highest
    }

    #[doc(hidden)]
    pub fn renumber(&mut self, highest: u64) {
        self.highest = highest;
    }

    /// The other relay was heard of elsewhere: what dials here from a life before that one is late, too.
    pub fn lives(&mut self, epoch: Epoch) {
        if self.peer.is_none_or(|peer| peer < epoch) {
            (self.peer, self.highest, self.older) = (Some(epoch), 0, 0);
        }
    }

    /// Decides about a dial to `channel`.
    pub fn admit(&mut self, dial: &Dial, channel: &Channel) -> Verdict {
        if self.rules.late_dials_change_nothing && self.overtaken(dial) {
            return Verdict::Overtaken;
        }
        let known = self.peer == Some(dial.epoch);
        self.remember(dial);
        let current = channel.link().id() == Some(dial.link);
        match dial.resume {
            Some(attempt) => {
                let same = known && channel.resumable() && channel.attempt() == attempt;
                if !current {
                    Verdict::Unknown
                } else if same || !self.rules.resume_only_the_same_round {
                    Verdict::Resume
                } else {
                    Verdict::Ended
                }
            }
            None => {
                let idle = matches!(channel.state(), State::Bridging | State::Waiting);
                if idle || !self.rules.fresh_links_only_when_idle { Verdict::Fresh } else { Verdict::Busy }
            }
        }
    }

    /// A dial from before: a late handshake of this life, or of one that is over.
    fn overtaken(&mut self, dial: &Dial) -> bool {
        let Some(peer) = self.peer else { return false };
        if dial.epoch >= peer {
            self.older = 0;
            return dial.epoch == peer && dial.number <= self.highest;
        }
        self.older += 1;
        self.older < PATIENCE
    }

    fn remember(&mut self, dial: &Dial) {
        if self.peer != Some(dial.epoch) {
            self.peer = Some(dial.epoch);
            self.highest = 0;
            self.older = 0;
        }
        self.highest = self.highest.max(dial.number);
    }
}

impl Default for Admission {
    fn default() -> Admission {
        Admission::new()
    }
}

/// After so many dials in a row an earlier epoch is believed: they are no stragglers of a life that
/// is over, but a relay whose clock was set back. Otherwise it would be shut out until the clock has
/// caught up.
const PATIENCE: u8 = 16;
