//! Figures with units, short enough for a column.

/// A time span in two figures at most: `850 µs`, `51.2 ms`, `9.3 s`, `3m12s`, `2h05m`, `5d03h`; `-` for
/// what is no time span.
pub(super) fn time(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "-".to_owned();
    }
    // Each limit is where the rounded figure would need one more digit.
    if seconds < 0.000_999_5 {
        return format!("{:.0} µs", seconds * 1e6);
    }
    if seconds < 0.999_95 {
        return format!("{:.1} ms", seconds * 1e3);
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    // Saturates, which is 584 billion years.
    let seconds = seconds.round() as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (hours, days) {
        (0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (_, 0) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// A size as the configuration writes it: `512 B`, `12.0 MiB`.
pub fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut figure = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        // 1023.96 KiB would be written as 1024.0 KiB.
        if figure < 1023.95 {
            break;
        }
        figure /= 1024.0;
        unit = larger;
    }
    format!("{figure:.1} {unit}")
}

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_change_units_without_a_gap() {
        let cases = [
            (0.0, "0 µs"),
            (0.000_85, "850 µs"),
            (0.000_999_6, "1.0 ms"),
            (0.051_2, "51.2 ms"),
            (0.999_9, "999.9 ms"),
            (0.999_96, "1.0 s"),
            (59.94, "59.9 s"),
            (59.96, "1m00s"),
            (192.4, "3m12s"),
            (3599.6, "1h00m"),
            (7_530.0, "2h05m"),
            (86_399.9, "1d00h"),
            (442_800.0, "5d03h"),
            (-1.0, "-"),
            (f64::NAN, "-"),
            (f64::INFINITY, "-"),
        ];
        for (seconds, written) in cases {
            assert_eq!(time(seconds), written, "{seconds}");
        }
        assert!(time(f64::MAX).ends_with('h'));
    }

    #[test]
    fn sizes_change_units_without_a_gap() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (12 << 20, "12.0 MiB"),
            (64 << 20, "64.0 MiB"),
            (3 << 29, "1.5 GiB"),
            (1 << 40, "1.0 TiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, written) in cases {
            assert_eq!(size(bytes), written, "{bytes}");
        }
    }
}
