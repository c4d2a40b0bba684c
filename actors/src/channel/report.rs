//! What a channel says of itself.

use actix::{Context, Handler, MessageResult};
use drx_protocol::State;
use drx_protocol::names::{ChannelType, Role};
use drx_protocol::report::{BabReport, ChannelReport, CompressionReport};

use super::ChannelActor;
use crate::messages::Report;

impl Handler<Report> for ChannelActor {
    type Result = MessageResult<Report>;

    fn handle(&mut self, _: Report, _: &mut Context<Self>) -> MessageResult<Report> {
        MessageResult(self.report())
    }
}

impl ChannelActor {
    fn compression(&self) -> CompressionReport {
        let wanted = self.terms.compression.get();
        CompressionReport { wanted, ..self.counters.compression.get() }
    }

    fn report(&self) -> ChannelReport {
        let settings = &self.terms.settings;
        let counters = &self.counters;
        let machine = &self.machine;
        let restarts = self.memory.restarts.borrow();
        let dialled = (self.slot.role == Role::Connector).then(|| settings.bsr.to_string());
        let idle = matches!(
            machine.state(),
            State::Allocating | State::Bridging | State::Bridged | State::Waiting | State::Connecting
        );
        let size = self.terms.budget(machine.channel_type().unwrap_or(ChannelType::Data)).size();
        ChannelReport {
            connection: settings.connection(),
            role: self.slot.role,
            lane: self.slot.lane,
            channel_type: machine.channel_type(),
            standing: self.standing(),
            link_up: self.link.is_some(),
            // A connector that dials bsr is in use as well.
            in_use: !idle || machine.channel_type().is_some(),
            link: machine.link().id(),
            attempt: machine.attempt(),
            since_seconds: self.since.elapsed().as_secs_f64(),
            last_stop: self.memory.last_stop.borrow().clone(),
            restarts: self.generation.saturating_sub(1),
            failures: restarts.failures(),
            bsr_address: self.addresses.bsr.clone().or(dialled),
            local_address: Some(self.addresses.local.clone().unwrap_or_else(|| settings.inside.to_string())),
            remote_address: Some(self.addresses.remote.clone().unwrap_or_else(|| settings.peer.to_string())),
            bab: BabReport {
                size,
                used: counters.held.get(),
                oldest_unacknowledged_seconds: counters
                    .oldest
                    .get()
                    .map(|since| since.elapsed().as_secs_f64()),
                high_mark: size - settings.bab.reserve.of(size),
                dripping: counters.dripping.get(),
                full_in_seconds: counters.forecast.full_in(size).map(|time| time.as_secs_f64()),
            },
            rtt_seconds: counters.rtt.get().map(|rtt| rtt.as_secs_f64()),
            remote: self.remote,
            bytes_out: counters.bytes_out.get(),
            bytes_in: counters.bytes_in.get(),
            compression: self.compression(),
            stale_frames: counters.stale_frames.get(),
            resumes: self.memory.resumes.get(),
            strays: self.memory.strays.get(),
            held_pings: counters.held_pings.get(),
        }
    }
}
