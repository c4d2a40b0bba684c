//! Values of a node's file, checked while they are read: so an error knows its line.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::core::AfterSplitBrain;
use crate::digest::Algorithm;

/// A size in bytes as people write it: a whole number, plain or with k, M, G or T (of 1024; KiB and so on are
/// the same), in any case. None: it is no size, or over `u64::MAX`.
pub fn size(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit: u64 = match unit.to_ascii_lowercase().as_str() {
        "" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// Writes a size so that [`size`] reads the same one: in the largest unit that divides it.
pub fn print_size(bytes: u64) -> String {
    let units = [("T", 40), ("G", 30), ("M", 20), ("k", 10)];
    match units.into_iter().find(|(_, shift)| bytes > 0 && bytes.is_multiple_of(1 << shift)) {
        Some((name, shift)) => format!("{}{name}", bytes >> shift),
        None => bytes.to_string(),
    }
}

/// A whole number from MIN to MAX.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number<const MIN: u32, const MAX: u32>(pub u32);

impl<const MIN: u32, const MAX: u32> Number<MIN, MAX> {
    pub(super) fn seconds(self) -> Duration {
        Duration::from_secs(self.0.into())
    }

    /// The unit that DRBD has for most of its times.
    pub(super) fn tenths(self) -> Duration {
        Duration::from_millis(100) * self.0
    }
}

/// A size in bytes from MIN to MAX, as a number or as people write it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size<const MIN: u32, const MAX: u32>(pub u32);

/// A size in bytes of any magnitude.
#[derive(Clone, Copy, Debug)]
pub(super) struct LongSize(pub u64);

/// Bytes a second. A bare number is in KiB/s, as DRBD has it; with a unit it is what it says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate(pub u64);

/// A hash that both nodes know by this name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hash(pub Algorithm);

/// What to do after a split brain with so many primaries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy<const PRIMARIES: usize>(pub AfterSplitBrain);

/// The name of a node: a word.
#[derive(Clone, Debug)]
pub(super) struct Name(pub String);

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Number<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(from)?;
        match u32::try_from(number) {
            Ok(number) if (MIN..=MAX).contains(&number) => Ok(Number(number)),
            _ => Err(D::Error::custom(format!("{number} is not within {MIN} to {MAX}"))),
        }
    }
}

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Size<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = from.deserialize_any(Bytes { bare: 1 })?;
        match u32::try_from(bytes) {
            Ok(bytes) if (MIN..=MAX).contains(&bytes) => Ok(Size(bytes)),
            _ => {
                let (min, max) = (print_size(MIN.into()), print_size(MAX.into()));
                Err(D::Error::custom(format!("{} is not within {min} to {max}", print_size(bytes))))
            }
        }
    }
}

impl<'de> Deserialize<'de> for LongSize {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Bytes { bare: 1 }).map(LongSize)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Bytes { bare: 1 << 10 }).map(Rate)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        Algorithm::of(&name)
            .map(Hash)
            .ok_or_else(|| D::Error::custom(format!("{name:?} is no hash that is known here")))
    }
}

impl<'de, const PRIMARIES: usize> Deserialize<'de> for Policy<PRIMARIES> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = String::deserialize(from)?;
        let mut may = POLICIES.iter().filter(|policy| policy.2.contains(&PRIMARIES));
        if let Some(policy) = may.clone().find(|policy| policy.0 == word) {
            return Ok(Policy(policy.1));
        }
        let first = may.next().map_or("", |policy| policy.0).to_owned();
        let words = may.fold(first, |words, policy| format!("{words}, {}", policy.0));
        Err(D::Error::custom(format!("{word:?} is none of {words}")))
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(word) {
            let what = format!("{name:?} is no name: 1 to {MAX_NAME} letters, digits, -, _ and . make one");
            return Err(D::Error::custom(what));
        }
        Ok(Name(name))
    }
}

/// Reads bytes; a bare number counts `bare` of them.
struct Bytes {
    bare: u64,
}

impl Visitor<'_> for Bytes {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = if self.bare == 1 { "bytes" } else { "KiB a second" };
        write!(f, "a whole number of {unit}, or a size such as \"64M\"")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        let bytes = u64::try_from(number).ok().and_then(|number| number.checked_mul(self.bare));
        bytes.ok_or_else(|| E::custom(format!("{number} is not within what is possible")))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        number
            .checked_mul(self.bare)
            .ok_or_else(|| E::custom(format!("{number} is not within what is possible")))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        // Digits alone would be bytes here and KiB a second without the quotes: nobody would remember.
        if self.bare != 1 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(E::custom(format!("{text:?} needs a unit, such as \"64M\"")));
        }
        size(text).ok_or_else(|| E::custom(format!("{text:?} is no size, such as 65536 or \"64M\"")))
    }
}

/// DRBD's words, and with how many primaries they make sense.
const POLICIES: [(&str, AfterSplitBrain, &[usize]); 11] = [
    ("disconnect", AfterSplitBrain::Disconnect, &[0, 1, 2]),
    ("discard-younger-primary", AfterSplitBrain::DiscardYoungerPrimary, &[0]),
    ("discard-older-primary", AfterSplitBrain::DiscardOlderPrimary, &[0]),
    ("discard-zero-changes", AfterSplitBrain::DiscardZeroChanges, &[0]),
    ("discard-least-changes", AfterSplitBrain::DiscardLeastChanges, &[0]),
    ("discard-local", AfterSplitBrain::DiscardLocal, &[0]),
    ("discard-remote", AfterSplitBrain::DiscardRemote, &[0]),
    ("consensus", AfterSplitBrain::Consensus, &[1]),
    ("discard-secondary", AfterSplitBrain::DiscardSecondary, &[1]),
    ("call-pri-lost-after-sb", AfterSplitBrain::CallPriLost, &[1, 2]),
    ("violently-as0p", AfterSplitBrain::Violently, &[1, 2]),
];
/// A name is part of log lines and of NBD's export names.
const MAX_NAME: usize = 63;
