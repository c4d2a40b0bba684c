//! What a resource says of itself.

use std::time::Duration;

use actix::{Context, Handler, Message, ResponseFuture};
use drx_protocol::names::{Lane as LaneName, Role};
use drx_protocol::report::{BabReport, ChannelReport, CompressionReport, ResourceReport};
use drx_protocol::session::Slot;
use drx_protocol::situation::{RemoteStanding, Situation};
use drx_protocol::{Standing, State};
use futures_util::future::join_all;
use tokio::time::timeout;

use super::{Lane, Resource};
use crate::messages::Report;

/// Asks a resource for its report.
#[derive(Message)]
#[rtype(result = "ResourceReport")]
pub(crate) struct ReportAll;

impl Handler<ReportAll> for Resource {
    type Result = ResponseFuture<ResourceReport>;

    fn handle(&mut self, _: ReportAll, _: &mut Context<Self>) -> ResponseFuture<ResourceReport> {
        let settings = &self.terms.settings;
        let mut report = ResourceReport {
            name: settings.name.clone(),
            remote: settings.remote.clone(),
            local: settings.local.clone(),
            session: self.sessions.newest().is_some(),
            situation: String::new(),
            trouble: self.troubles(),
            restarts: self.lanes.iter().map(|lane| lane.generation.saturating_sub(1)).sum(),
            channels: Vec::new(),
        };
        let session = self.sessions.newest();
        // A channel without an actor, or one that does not answer, is told of by its supervisor.
        let asked: Vec<_> = self
            .lanes
            .iter()
            .map(|lane| (lane.child.as_ref().map(|child| child.addr().send(Report)), self.stand_in(lane)))
            .collect();
        Box::pin(async move {
            report.channels = join_all(asked.into_iter().map(|(asked, stand_in)| async {
                match asked {
                    Some(asked) => match timeout(ANSWERS_WITHIN, asked).await {
                        Ok(Ok(answer)) => answer,
                        _ => stand_in,
                    },
                    None => stand_in,
                }
            }))
            .await;
            report.situation = situation(&report.channels, session).sentence().to_owned();
            report
        })
    }
}

impl Resource {
    /// Why no channel runs, if that is meant so.
    pub(super) fn off_standing(&self) -> Option<Standing> {
        match (self.failed, self.up) {
            (true, _) => Some(Standing::Failed),
            (false, false) if !self.restarting => Some(Standing::Down),
            _ => None,
        }
    }

    fn troubles(&self) -> Vec<String> {
        let mut troubles: Vec<String> =
            self.inside_trouble.iter().chain(&self.outside_trouble).cloned().collect();
        troubles.extend(self.reservation.trouble());
        for trouble in self.lanes.iter().filter_map(|lane| lane.trouble.as_ref()) {
            if !troubles.contains(trouble) {
                troubles.push(trouble.clone()); // both lanes have the same to say
            }
        }
        troubles
    }

    fn stand_in(&self, lane: &Lane) -> ChannelReport {
        let settings = &self.terms.settings;
        let off = self.off_standing().filter(|_| lane.child.is_none());
        ChannelReport {
            connection: settings.connection(),
            role: lane.slot.role,
            lane: lane.slot.lane,
            channel_type: None,
            standing: off.unwrap_or(Standing::In(lane.state)),
            link_up: false,
            in_use: false,
            link: None,
            attempt: 0,
            since_seconds: lane.since.elapsed().as_secs_f64(),
            last_stop: lane.memory.last_stop.borrow().clone(),
            restarts: lane.generation.saturating_sub(1),
            failures: lane.memory.restarts.borrow().failures(),
            bsr_address: (lane.slot.role == Role::Connector).then(|| settings.bsr.to_string()),
            local_address: Some(settings.inside.to_string()),
            remote_address: Some(settings.peer.to_string()),
            bab: BabReport {
                size: self.terms.data.size(),
                high_mark: self.terms.data.size() - settings.bab.reserve.of(self.terms.data.size()),
                ..BabReport::default()
            },
            rtt_seconds: None,
            remote: None,
            bytes_out: 0,
            bytes_in: 0,
            compression: CompressionReport {
                wanted: self.terms.compression.get(),
                ..CompressionReport::default()
            },
            stale_frames: 0,
            resumes: lane.memory.resumes.get(),
            strays: lane.memory.strays.get(),
            held_pings: 0,
        }
    }
}

/// The situation of the lanes that carry the session, or of lane 0 while none does.
fn situation(channels: &[ChannelReport], session: Option<(Slot, Slot)>) -> Situation {
    let lane_of = |role: Role| {
        let busiest = channels
            .iter()
            .filter(|channel| channel.role == role && channel.lane == LaneName::One && channel.in_use)
            .find(|_| {
                let first = channels.iter().find(|c| c.role == role && c.lane == LaneName::Zero);
                first.is_some_and(|first| !first.in_use)
            });
        busiest.or_else(|| channels.iter().find(|c| c.role == role && c.lane == LaneName::Zero))
    };
    let standing = |channel: Option<&ChannelReport>| {
        channel.map_or(Standing::In(State::Stopped), |channel| channel.standing)
    };
    let (acceptor, connector) = (lane_of(Role::Acceptor), lane_of(Role::Connector));
    // At the other end of our connector's link is the other DRX's acceptor, and the other way round.
    let remote = connector.and_then(|c| c.remote).zip(acceptor.and_then(|c| c.remote));
    let remote = remote.map(|(acceptor, connector)| RemoteStanding { acceptor, connector });
    Situation::of(standing(acceptor), standing(connector), session.is_some(), remote)
}

/// A channel that is busy still answers in milliseconds; one that is stuck does not hold up the rest.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);
