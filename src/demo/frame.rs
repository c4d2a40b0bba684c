//! A moment in words.

use std::time::Duration;

use drx_bsr::core::Status;
use drx_protocol::report::connections_table;

use super::bsr::Tally;
use super::screen::Frame;
use super::watch::Moment;

/// How far the show has come.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// Steps done.
    pub(super) done: usize,
    /// Steps there are.
    pub(super) steps: usize,
    /// What happens now.
    pub(super) now: String,
    /// Since the show began.
    pub(super) elapsed: Duration,
    /// Since this step began.
    pub(super) in_step: Duration,
}

/// What is shown of this moment.
pub(super) fn frame(moment: &Moment, progress: &Progress, rates: [f64; 2]) -> Frame {
    let mut full = Vec::new();
    for (side, relay) in moment.relays.iter().enumerate() {
        full.extend(connections_table(&relay.resources, false).lines().map(str::to_owned));
        full.push(format!(" {}: {}", relay.node, moment.situation(side)));
    }
    full.extend((1..).zip(&moment.bsrs).map(|(number, bsr)| bsr_line(number, bsr)));
    for (name, from, to) in DIRECTIONS {
        let bsr = &moment.bsrs[to];
        full.push(format!(
            " {name} {:>10}/s   {} resynced, {} writes ({}) replicated, {} under way",
            size(rates[to]),
            size(bsr.resynced as f64),
            bsr.writes,
            size(bsr.written as f64),
            moment.bsrs[from].now.as_ref().map_or(0, |now| now.requests),
        ));
    }
    full.push(format!(" {} {}/{}  {}", bar(progress), progress.done, progress.steps, progress.now));
    let situations = match [moment.situation(0), moment.situation(1)] {
        [one, two] if one == two => format!("both: {one}"),
        [one, two] => format!("node1: {one}; node2: {two}"),
    };
    let brief = vec![format!(
        "{:>5.1} s  {} {:>10}/s  {} {:>10}/s  {situations}",
        progress.elapsed.as_secs_f64(),
        DIRECTIONS[0].0,
        size(rates[1]),
        DIRECTIONS[1].0,
        size(rates[0]),
    )];
    Frame { full, brief }
}

/// How a bsr is.
fn bsr_line(number: usize, bsr: &Tally) -> String {
    match &bsr.now {
        Some(Status { state, out_of_sync, .. }) => format!(
            " bsr{number}: {:9} {:12} {:12} {:>10} out of sync",
            state.role,
            state.connection,
            state.disk,
            size(*out_of_sync as f64)
        ),
        None => format!(" bsr{number}: not running"),
    }
}

/// A size in the largest unit that leaves a figure before the point.
pub(super) fn size(bytes: f64) -> String {
    let mut figure = bytes.max(0.0);
    for unit in ["B", "KiB", "MiB"] {
        if figure < 1023.95 {
            return format!("{figure:.1} {unit}");
        }
        figure /= 1024.0;
    }
    format!("{figure:.1} GiB")
}

/// A time span in seconds.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn bar(progress: &Progress) -> String {
    // A step never looks finished before it is.
    let within = (progress.in_step.as_secs_f64() / USUAL_STEP.as_secs_f64()).min(0.9);
    let share = (progress.done as f64 + within) / progress.steps.max(1) as f64;
    let filled = ((share * BAR as f64) as usize).min(BAR);
    format!("[{}{}]", "#".repeat(filled), "-".repeat(BAR - filled))
}

/// Who sends to whom: a name, and the sides.
pub(super) const DIRECTIONS: [(&str, usize, usize); 2] = [("bsr1 -> bsr2", 0, 1), ("bsr2 -> bsr1", 1, 0)];
const BAR: usize = 30;
const USUAL_STEP: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_change_units_without_a_gap() {
        let cases = [
            (0.0, "0.0 B"),
            (1023.9, "1023.9 B"),
            (1023.96, "1.0 KiB"),
            (1_572_864.0, "1.5 MiB"),
            (5e12, "4656.6 GiB"),
            (-1.0, "0.0 B"),
        ];
        for (bytes, written) in cases {
            assert_eq!(size(bytes), written, "{bytes}");
        }
    }

    #[test]
    fn the_bar_grows_with_steps_and_time_and_never_overflows() {
        let bar = |done, seconds| {
            let in_step = Duration::from_secs(seconds);
            let bar = bar(&Progress { done, steps: 6, now: String::new(), elapsed: in_step, in_step });
            assert_eq!(bar.len(), BAR + 2);
            bar.matches('#').count()
        };
        assert_eq!((bar(0, 0), bar(3, 0), bar(6, 0), bar(6, 99)), (0, 15, 30, 30));
        assert!(bar(2, 99) < bar(3, 0));
    }
}
