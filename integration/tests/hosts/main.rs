//! Two `drxd` and two `drx-bsr` on four hosts: network namespaces with real addresses, and real TCP between them.
//! Needs root; without it the tests are skipped, and with `REQUIRE_TOOLS=1` that is a failure.
#![allow(clippy::unwrap_used)]

mod addresses;
mod dials;
mod interfaces;
mod line;
mod scopes;
mod strangers;
mod world;

use drx_integration::hosts::needs;
use drx_integration::hosts::topology::Family;

/// Runs a test with IPv4 and with IPv6, one after the other.
fn on_both_families(test: impl Fn(Family)) {
    if needs::are_met() {
        Family::ALL.into_iter().for_each(test);
    }
}
