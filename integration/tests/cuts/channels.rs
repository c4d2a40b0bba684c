//! What both relays say of the session's channels, before and after.

use drx_integration::pair::Pair;
use drx_integration::process::Process;
use drx_integration::wait::{LIMIT, until_ok};
use drx_protocol::names::Role;
use drx_protocol::report::ChannelReport;

use crate::cut::Lanes;

/// The session's four channels: data and meta, at both sites.
pub(crate) struct Channels(Vec<ChannelReport>);

impl Channels {
    pub(crate) fn of(pair: &Pair<Process>) -> Channels {
        let resources = [&pair.one, &pair.two].map(|site| site.resource().unwrap());
        let channels = resources.into_iter().flat_map(|resource| resource.channels);
        let mut channels: Vec<_> = channels.filter(|channel| channel.channel_type.is_some()).collect();
        channels.sort_by_key(|channel| (channel.connection.clone(), channel.channel_type));
        assert_eq!(channels.len(), 4, "{channels:?}");
        Channels(channels)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &ChannelReport> {
        self.0.iter()
    }

    fn pairs<'a>(
        &'a self,
        later: &'a Channels,
    ) -> impl Iterator<Item = (&'a ChannelReport, &'a ChannelReport)> {
        self.0.iter().zip(&later.0)
    }

    /// The break was noticed once by who dials, and whoever is dialled knows of it.
    pub(crate) fn resumed_once(&self, later: &Channels, lanes: Lanes) {
        for (before, after) in self.pairs(later) {
            let breaks = after.resumes - before.resumes;
            let expected = match (lanes.strike(before.channel_type.unwrap()), before.role) {
                (false, _) => 0..=0,
                (true, Role::Connector) => 1..=1,
                // A dial may have been taken whose answer came later than the next dial.
                (true, Role::Acceptor) => 1..=3,
            };
            assert!(expected.contains(&breaks), "{breaks} breaks: {after:?}");
        }
    }

    /// The same rounds, on the same links.
    pub(crate) fn went_on_as(&self, later: &Channels) {
        for (before, after) in self.pairs(later) {
            assert_eq!((before.link, before.attempt), (after.link, after.attempt));
            assert_eq!((before.restarts, before.failures), (after.restarts, after.failures));
            assert!(after.resumes > before.resumes);
        }
    }

    /// The logs have two lines for each break, and no other of these channels.
    pub(crate) fn said_so(&self, pair: &Pair<Process>) {
        for channel in &self.0 {
            let site = pair.site(usize::from(channel.connection.ends_with(&pair.two.places.node)));
            let lane = u8::from(channel.lane).to_string();
            let breaks = usize::try_from(channel.resumes).unwrap();
            let there_and_back = ["established -> resuming", "resuming -> established"].repeat(breaks);
            // The log's last lines may be on their way yet.
            until_ok(LIMIT, || {
                let log = site.node.log();
                assert!(!log.says(&["ERRO"]), "{log}");
                let steps = log.transitions().filter(|step| step.role == channel.role && step.lane == lane);
                let steps: Vec<_> = steps.map(|step| step.to_string()).collect();
                let up = steps.iter().position(|step| step == "establishing -> established");
                let since = up.map_or(&[][..], |up| &steps[up + 1..]);
                (since == there_and_back)
                    .then_some(())
                    .ok_or_else(|| format!("{} {lane}: not {breaks} breaks, but {since:?}", channel.role))
            });
        }
    }
}
