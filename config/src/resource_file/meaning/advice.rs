//! Options of bsr's own that make it end a connection while the relay still has room, or that leave the room unused
//! (bsr-wire C.4, D.2 to D.4; docs/resource-files.md has the table).
//!
//! Only what a file says itself is looked at, and what it says is only named where it hurts on an ordinary line.

use std::time::Duration;

use crate::units::{print_size, print_time};

use super::super::files::Fault;
use super::Connection;
use super::at::Located;

/// What the relay brings to a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relay {
    /// `bab.size`, in bytes.
    pub(crate) bab: u64,
    pub(crate) resume_timeout: Duration,
    pub(crate) hold_pings: bool,
}

/// What will hurt.
pub(crate) fn advice(connection: &Connection, relay: Relay) -> Vec<Fault> {
    let rules = [
        request_timer,
        unused_room,
        ping_timeout,
        ping_interval,
        acknowledged_in_time,
        congestion,
        fixed_resync,
        resync_in_flight,
        connect_interval,
        writes_under_way,
    ];
    rules.into_iter().filter_map(|rule| rule(connection, relay)).collect()
}

/// bsr's request timer runs while a write waits in the BAB (bsr-wire D.2, E.5): by default 30 s for BSR, 42 s for DRBD.
fn request_timer(connection: &Connection, relay: Relay) -> Option<Fault> {
    let facts = &connection.facts;
    if protocol(connection) != 'A' {
        return None;
    }
    let [timeout, count] = [("timeout", 1), ("ko-count", 1)].map(|(name, unit)| facts.number(name, unit));
    let ring = facts.number("sndbuf-size", 1).filter(|size| size.value >= LEAST_RING);
    let backlog = relay.bab.saturating_add(ring.as_ref().map_or(0, |ring| ring.value));
    let tenths = timeout.as_ref().map_or(60, |timeout| timeout.value).clamp(1, 600);
    let times = count.as_ref().map_or(5, |count| count.value);
    let drained = Duration::from_secs(backlog.div_ceil(LINE));
    let given_up = Duration::from_millis(tenths.saturating_mul(times).saturating_mul(100));
    if times == 0 || drained <= given_up {
        return None;
    }
    let needed = |tenths: u64| (drained.as_secs() * 10).div_ceil(tenths);
    let right = match needed(tenths) {
        enough @ ..=200 => format!("write ko-count {enough} or more in net"),
        _ => match needed(600) {
            enough @ ..=200 => format!("write timeout 600 and ko-count {enough} or more in net"),
            _ => "write ko-count 0 in net, which turns that timer off".to_owned(),
        },
    };
    let full = print_size(backlog);
    let full = match ring {
        Some(_) => format!("a full BAB and bsr's own send buffer, together {full}, take"),
        None => format!("a full BAB of {full} takes"),
    };
    let wrong = format!(
        "{full} {} on a line of 100 Mbit/s, and bsr disconnects when a write is not acknowledged \
         within timeout × ko-count, here {}",
        print_time(drained),
        print_time(given_up)
    );
    let mut place = count.map(|count| count.with(())).or(timeout.map(|timeout| timeout.with(())));
    place = place.or(connection.memlimit.as_ref().map(|memlimit| memlimit.with(())));
    Some(fault(&place.unwrap_or(connection.name.with(())), wrong, right))
}

/// With B and C each write waits for the other side, so that few are ever on the way (bsr-wire D.2).
fn unused_room(connection: &Connection, relay: Relay) -> Option<Fault> {
    let written = connection.facts.text("protocol")?;
    let protocol = protocol(connection);
    let asked_for = connection.memlimit.as_ref()?.value > DEFAULT_BAB;
    let bab = print_size(relay.bab);
    let wrong = format!(
        "with protocol {protocol} each write waits for the other side, so that a BAB of {bab} stays empty"
    );
    let right = "write protocol A, or a smaller memlimit";
    (protocol != 'A' && asked_for).then(|| fault(written, wrong, right))
}

/// Pings are answered by the other bsr (bsr-wire C.4, D.2). DRBD's own default is 5.
fn ping_timeout(connection: &Connection, _: Relay) -> Option<Fault> {
    let tenths = connection.facts.number("ping-timeout", 1).filter(|tenths| tenths.value < 10)?;
    let wrong = format!(
        "bsr disconnects when its ping is not answered from the other side within {}, which one lost packet of the \
         line can take",
        print_time(Duration::from_millis(tenths.value * 100))
    );
    Some(fault(&tenths, wrong, "write ping-timeout 30 or more"))
}

/// While a link is resumed nobody answers pings, unless the relay is told to (link.md 6).
fn ping_interval(connection: &Connection, relay: Relay) -> Option<Fault> {
    let facts = &connection.facts;
    let seconds = facts.number("ping-int", 1)?;
    let tenths = facts.number("ping-timeout", 1).map_or(30, |tenths| tenths.value);
    let given_up = Duration::from_millis(
        (seconds.value.saturating_mul(1000)).saturating_add(tenths.saturating_mul(100)),
    );
    let hurts = tenths >= 10 && given_up < BSR_GIVES_UP.min(relay.resume_timeout) && !relay.hold_pings;
    let wrong = format!(
        "bsr gives up a broken link after ping-int and ping-timeout, {}, and resume_timeout is {}",
        print_time(given_up),
        print_time(relay.resume_timeout)
    );
    hurts.then(|| fault(&seconds, wrong, "write longer ones, or hold_pings = true in [link] of drx.toml"))
}

/// Counted in seconds times the kernel's HZ, taken as milliseconds: 5 is 1.25 s at HZ=250 (bsr-wire A.6). A full BAB
/// takes drips that keep that alive, not less.
fn acknowledged_in_time(connection: &Connection, _: Relay) -> Option<Fault> {
    let seconds =
        connection.facts.number("tcp_ack_timeout", 1).filter(|seconds| (1..5).contains(&seconds.value))?;
    let wrong = format!(
        "bsr resets a connection that takes nothing for {} (at HZ=250), as a full BAB does",
        print_time(Duration::from_millis(seconds.value * 250))
    );
    Some(fault(&seconds, wrong, "leave it at 5, or write tcp_ack_timeout 300"))
}

/// What waits in the BAB is in flight to bsr (bsr-wire D.4).
fn congestion(connection: &Connection, relay: Relay) -> Option<Fault> {
    let facts = &connection.facts;
    let policy = facts.text("on-congestion")?;
    // Without a unit these are bytes to BSR and sectors to DRBD: only what holds for both is said.
    let [least, most] =
        [1, 512].map(|unit| facts.number("congestion-fill", unit).filter(|fill| fill.value > 0));
    let (least, most) = (least?, most?);
    let bab = print_size(relay.bab);
    match policy.value.as_str() {
        "disconnect" if most.value < relay.bab => {
            let wrong = format!(
                "bsr disconnects with {} in flight, which a BAB of {bab} has room for",
                print_size(least.value)
            );
            Some(fault(
                &least,
                wrong,
                format!("write on-congestion pull-ahead, or congestion-fill {bab} or more"),
            ))
        }
        "pull-ahead" if least.value > relay.bab => {
            let wrong = format!(
                "bsr pulls ahead only with {} in flight, and a BAB of {bab} is full before: bsr's writers wait then, \
                 or it disconnects",
                print_size(least.value)
            );
            let right = format!(
                "write congestion-fill {}, a little less than memlimit",
                whole_megabytes(relay.bab / 10 * 9)
            );
            Some(fault(&least, wrong, right))
        }
        _ => None,
    }
}

/// A relay reads eagerly, so that nothing but bsr's own controller keeps a resync from filling the BAB (bsr-wire D.5).
fn fixed_resync(connection: &Connection, relay: Relay) -> Option<Fault> {
    let facts = &connection.facts;
    let plan = facts.number("c-plan-ahead", 1).filter(|plan| plan.value == 0)?;
    let rate = facts.number("resync-rate", 1024).filter(|rate| rate.value > LINE)?;
    let wrong = format!(
        "without it a resync sends {} a second whatever the line takes, and new writes wait behind a full BAB of {}",
        print_size(rate.value),
        print_size(relay.bab)
    );
    Some(fault(&plan, wrong, "write c-plan-ahead 20, or a resync-rate that the line takes"))
}

/// What a resync keeps under way is in the BAB, before every new write (bsr-wire C.4, D.1).
fn resync_in_flight(connection: &Connection, relay: Relay) -> Option<Fault> {
    let target =
        connection.facts.number("c-fill-target", 512).filter(|target| target.value > relay.bab / 2)?;
    let wrong = format!(
        "a resync keeps {} under way, more than half of a BAB of {}, and new writes wait behind it",
        print_size(target.value),
        print_size(relay.bab)
    );
    Some(fault(&target, wrong, "write what the line holds: its bytes a second times its round trip"))
}

/// A node waits so long for the other one's dial before it dials the second stream itself, and that crosses
/// (bsr-wire A.4).
fn connect_interval(connection: &Connection, _: Relay) -> Option<Fault> {
    let seconds = connection.facts.number("connect-int", 1).filter(|seconds| seconds.value < 3)?;
    let wrong =
        format!("bsr waits only {}s for what comes through two relays and a long line", seconds.value);
    Some(fault(&seconds, wrong, "write connect-int 3 or more"))
}

/// BSR counts writes that the other side has not acknowledged, and disconnects at the limit unless it is told to block
/// (bsr-wire D.4).
fn writes_under_way(connection: &Connection, relay: Relay) -> Option<Fault> {
    let facts = &connection.facts;
    let count = facts.number("max-req-write-count", 1)?;
    let blocks = facts.text("on-req-write-congestion").is_some_and(|policy| policy.value == "block");
    let covered = count.value.saturating_mul(4 << 10);
    let wrong = format!(
        "bsr disconnects with {} writes under way: at 4KiB each that is {} of a BAB of {}",
        count.value,
        print_size(covered),
        print_size(relay.bab)
    );
    let right = "write on-req-write-congestion block, or a larger count";
    (!blocks && protocol(connection) == 'A' && covered < relay.bab).then(|| fault(&count, wrong, right))
}

/// `C` unless the file says otherwise.
fn protocol(connection: &Connection) -> char {
    let written = connection.facts.text("protocol").and_then(|protocol| protocol.value.chars().next());
    written.map_or('C', |protocol| protocol.to_ascii_uppercase())
}

/// A size as resource files write it.
fn whole_megabytes(bytes: u64) -> String {
    format!("{}M", (bytes >> 20).max(1))
}

fn fault<T>(at: &Located<T>, wrong: String, right: impl Into<String>) -> Fault {
    Fault { span: at.span, key: at.key.clone(), wrong, right: right.into() }
}

/// 100 Mbit/s in bytes a second: a long line is rarely faster.
const LINE: u64 = 12_500_000;
/// From this size on `sndbuf-size` is BSR's own send buffer (bsr-wire D.3).
const LEAST_RING: u64 = 10 << 20;
/// `bab.size` where nothing is said.
const DEFAULT_BAB: u64 = 64 << 20;
/// BSR's defaults of ping-int and ping-timeout, 3 s each.
const BSR_GIVES_UP: Duration = Duration::from_secs(6);
