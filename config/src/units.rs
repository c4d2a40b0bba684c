//! Times and sizes as people write them, both ways and without loss.

use std::time::Duration;

use serde::Serializer;

/// Reads a time: a whole or decimal number with `ms`, `s`, `m` or `h`, or a bare `0`.
///
/// What is finer than a nanosecond is cut off; what is too long for a `Duration` becomes the longest
/// one, for the range check to refuse. `None`: not a time.
pub fn parse_time(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let unit = TIME_UNITS.iter().find(|(name, _)| *name == unit)?.1;
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) => (whole, digits(fraction)?),
        None => (number, ""),
    };
    let mut nanos = saturating_number(digits(whole)?).saturating_mul(unit);
    // 10¹³ × 3.6 × 10¹² stays far below 2¹²⁸.
    let fraction = &fraction[..fraction.len().min(MAX_FRACTION)];
    nanos = nanos.saturating_add(saturating_number(fraction) * unit / 10_u128.pow(fraction.len() as u32));
    Some(duration(nanos))
}

/// Writes a time so that [`parse_time`] reads the same one: in the largest unit that needs no decimals.
pub fn print_time(time: Duration) -> String {
    let nanos = time.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    for (name, unit) in TIME_UNITS {
        if nanos.is_multiple_of(unit) {
            return format!("{}{name}", nanos / unit);
        }
    }
    let decimals = format!("{:06}", nanos % MS);
    format!("{}.{}ms", nanos / MS, decimals.trim_end_matches('0'))
}

/// Reads a size in bytes: a whole number, plain or with `k`/`KiB`, `M`/`MiB`, `G`/`GiB`, `T`/`TiB` of
/// 1024, in any case.
///
/// What is over `u64::MAX` becomes that, for the range check to refuse. `None`: not a size.
pub fn parse_size(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" => 1,
        "k" | "kib" => KIB,
        "m" | "mib" => KIB.pow(2),
        "g" | "gib" => KIB.pow(3),
        "t" | "tib" => KIB.pow(4),
        _ => return None,
    };
    let bytes = saturating_number(digits(number)?).saturating_mul(unit.into());
    Some(u64::try_from(bytes).unwrap_or(u64::MAX))
}

/// Writes a size so that [`parse_size`] reads the same one: in the largest unit that divides it.
pub fn print_size(bytes: u64) -> String {
    let unit = [("TiB", 4), ("GiB", 3), ("MiB", 2), ("KiB", 1)]
        .into_iter()
        .find(|(_, power)| bytes > 0 && bytes.is_multiple_of(KIB.pow(*power)));
    match unit {
        Some((name, power)) => format!("{}{name}", bytes / KIB.pow(power)),
        None => bytes.to_string(),
    }
}

pub(crate) fn serialize_time<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&print_time(*time))
}

pub(crate) fn serialize_size<S: Serializer, T: Copy + Into<u64>>(
    bytes: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&print_size((*bytes).into()))
}

fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then_some(text)
}

fn saturating_number(digits: &str) -> u128 {
    digits.bytes().fold(0, |sum: u128, b| sum.saturating_mul(10).saturating_add((b - b'0').into()))
}

fn duration(nanos: u128) -> Duration {
    match u64::try_from(nanos / SECOND) {
        // The remainder of a division by 10⁹ fits into 32 bits.
        Ok(seconds) => Duration::new(seconds, (nanos % SECOND) as u32),
        Err(_) => Duration::MAX,
    }
}

const KIB: u64 = 1024;
const MS: u128 = 1_000_000;
const SECOND: u128 = 1_000_000_000;
const TIME_UNITS: [(&str, u128); 4] = [("h", 3600 * SECOND), ("m", 60 * SECOND), ("s", SECOND), ("ms", MS)];
/// Decimals that can matter: an hour has 3.6 × 10¹² ns.
const MAX_FRACTION: usize = 13;
