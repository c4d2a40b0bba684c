//! Which pings are held: short dialogues with a bsr, and the silences in them.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use drx_protocol::meta::Strange;
use drx_protocol::pings::{Pass, Pings};

const PING: &[u8] = &[0x86, 0x20, 0xec, 0x20, 0xff, 0xff, 0, 0x13, 0, 0, 0, 0, 0, 0, 0, 0];
const PING_ACK: &[u8] = &[0x86, 0x20, 0xec, 0x20, 0xff, 0xff, 0, 0x14, 0, 0, 0, 0, 0, 0, 0, 0];
/// Of a format that a bsr of version 100 and more does not speak.
const OLD_PING: &[u8] = &[0x83, 0x74, 2, 0x67, 0, 0x13, 0, 0];
const OLD_PING_ACK: &[u8] = &[0x83, 0x74, 2, 0x67, 0, 0x14, 0, 0];

/// bsr, with a clock.
struct Bsr {
    pings: Pings,
    now: Duration,
}

impl Bsr {
    /// A BSR: its meta begins with its features.
    fn new() -> Bsr {
        let mut bsr = Bsr { pings: Pings::new(Duration::ZERO), now: Duration::ZERO };
        let mut features = vec![0x86, 0x20, 0xec, 0x20, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 72, 0, 0, 0, 0];
        features.resize(88, 0);
        assert!(bsr.says(&features).answer.is_none());
        bsr
    }

    fn drbd() -> Bsr {
        Bsr { pings: Pings::new(Duration::ZERO), now: Duration::ZERO }
    }

    fn after(&mut self, seconds: f64) -> &mut Bsr {
        self.now += Duration::from_secs_f64(seconds);
        self
    }

    fn says(&mut self, bytes: &[u8]) -> Pass {
        self.pings.from_bsr(self.now, bytes)
    }

    /// Says it while nobody may answer: everything must go on as it is.
    fn only_says(&mut self, bytes: &[u8]) {
        let pass = self.says(bytes);
        assert!(pass.answer.is_none() && pass.skip == 0 && pass.kept.as_ref().is_empty());
    }

    /// Hears what the other side says, at once.
    fn hears(&mut self, bytes: &[u8]) {
        assert_eq!(self.pings.to_bsr(self.now, bytes), None);
        self.written(bytes.len() as u64, bytes.len() as u64);
    }

    fn written(&mut self, bytes: u64, theirs: u64) {
        assert_eq!(self.pings.written(self.now, bytes), theirs);
    }

    fn held(&mut self) -> &mut Bsr {
        self.pings.hold(self.now, Duration::from_secs(60));
        self
    }

    fn is_answered(&mut self, ping: &[u8]) -> bool {
        let pass = self.says(ping);
        let Some(answer) = pass.answer else {
            assert_eq!(pass.skip, 0);
            return false;
        };
        assert_eq!((answer.instead_of, pass.skip), (ping.len(), ping.len()));
        self.written(answer.bytes.as_ref().len() as u64, 0);
        true
    }
}

#[test]
fn idle_pings_are_answered_while_they_are_held() {
    let mut bsr = Bsr::new();
    assert!(!bsr.after(3.05).is_answered(PING), "the other side can answer");
    bsr.hears(PING_ACK);
    assert!(bsr.held().after(3.05).is_answered(PING));
    assert!(bsr.after(3.05).is_answered(PING));
    assert_eq!(bsr.pings.let_go().1, 2);
    assert!(!bsr.after(3.05).is_answered(PING));
}

#[test]
fn the_answer_has_the_format_of_the_ping() {
    let mut bsr = Bsr::drbd();
    let answer = bsr.held().after(10.05).says(OLD_PING).answer.unwrap();
    assert_eq!(answer.bytes.as_ref(), OLD_PING_ACK);
    let mut bsr = Bsr::new();
    let answer = bsr.held().after(3.05).says(PING).answer.unwrap();
    assert_eq!(answer.bytes.as_ref(), PING_ACK);
}

#[test]
fn pings_are_held_no_longer_than_allowed() {
    let mut bsr = Bsr::new();
    bsr.pings.hold(bsr.now, Duration::from_secs(5));
    assert!(bsr.after(3.05).is_answered(PING));
    bsr.pings.hold(bsr.now, Duration::from_secs(60)); // it was begun long ago
    assert!(!bsr.after(3.05).is_answered(PING));
}

#[test]
fn a_ping_is_not_idle_if_bsr_heard_something_before_it() {
    let mut bsr = Bsr::new();
    bsr.held().after(2.0).hears(PING_ACK);
    assert!(!bsr.after(2.0).is_answered(PING), "it comes too early for one");
}

/// The ping that ends a resync comes right behind the last acknowledgement.
#[test]
fn a_ping_is_not_idle_if_bsr_said_something_before_it() {
    let mut ack = PING.to_vec();
    (ack[7], ack[11]) = (0x17, 24);
    ack.resize(40, 0);
    let mut bsr = Bsr::new();
    bsr.held().after(9.0).only_says(&ack);
    assert!(!bsr.after(0.9).is_answered(PING));
    // In one piece.
    let mut bsr = Bsr::new();
    bsr.held().after(9.0).only_says(&[&ack[..], PING].concat());
    // Its answer is still to come, and another one would be taken for it.
    assert!(!bsr.after(3.0).is_answered(PING));
    bsr.hears(PING_ACK);
    assert!(!bsr.after(3.0).is_answered(PING));
    bsr.hears(PING_ACK);
    bsr.hears(PING_ACK);
    assert!(bsr.after(3.0).is_answered(PING));
    // A second ping behind an idle one is none.
    let mut bsr = Bsr::new();
    let pass = bsr.held().after(9.0).says(&[PING, PING, &ack].concat());
    assert_eq!((pass.skip, pass.answer.unwrap().instead_of), (PING.len(), PING.len()));
}

#[test]
fn nothing_is_said_to_bsr_within_a_packet() {
    let mut bsr = Bsr::new();
    let (begin, rest) = PING_ACK.split_at(9);
    bsr.hears(begin);
    assert!(!bsr.held().after(5.0).is_answered(PING));
    bsr.hears(rest);
    assert!(bsr.after(5.0).is_answered(PING));
}

#[test]
fn nothing_is_said_to_bsr_while_something_is_on_its_way() {
    let mut bsr = Bsr::new();
    assert_eq!(bsr.pings.to_bsr(bsr.now, PING_ACK), None);
    assert!(!bsr.held().after(5.0).is_answered(PING));
    bsr.written(16, 16);
    bsr.hears(PING_ACK);
    let answer = bsr.after(5.0).says(PING).answer.unwrap();
    // The answer is on its way, and behind it something of the other side's.
    assert_eq!(bsr.pings.to_bsr(bsr.now, PING_ACK), None);
    assert!(!bsr.after(5.0).is_answered(PING));
    bsr.written(10, 0);
    bsr.written(10, 4);
    bsr.written(answer.bytes.as_ref().len() as u64 - 4, 12);
}

#[test]
fn a_ping_that_comes_in_pieces_is_held_back_until_it_is_known() {
    let mut bsr = Bsr::new();
    bsr.held().after(3.0);
    for at in 0..PING.len() - 1 {
        let pass = bsr.says(&PING[at..=at]);
        assert!(pass.answer.is_none() && pass.skip == 1);
    }
    let answer = bsr.says(&PING[15..]).answer.unwrap();
    assert_eq!(answer.instead_of, 16);
    bsr.written(16, 0);
    // Another packet in pieces goes on whole.
    assert_eq!(bsr.after(3.0).says(&PING_ACK[..7]).skip, 7);
    let pass = bsr.says(&PING_ACK[7..]);
    assert_eq!((pass.kept.as_ref(), pass.skip), (&PING_ACK[..7], 0));
}

#[test]
fn what_was_held_back_goes_on_when_pings_are_not_held_any_more() {
    let mut bsr = Bsr::new();
    assert_eq!(bsr.held().after(3.0).says(&PING[..9]).skip, 9);
    let (kept, answered) = bsr.pings.let_go();
    assert_eq!((kept.as_ref(), answered), (&PING[..9], 0));
    bsr.held().only_says(&PING[9..]);
}

#[test]
fn a_ping_of_which_a_part_went_on_goes_on() {
    let mut bsr = Bsr::new();
    bsr.after(3.0).only_says(&PING[..9]);
    bsr.held().only_says(&PING[9..]);
}

#[test]
fn nothing_is_answered_behind_what_is_not_understood() {
    let mut bsr = Bsr::new();
    let pass = bsr.held().after(3.0).says(b"hello");
    assert_eq!((pass.strange, pass.skip), (Some(Strange::NoPacket { at: 88 }), 0));
    bsr.after(3.0).only_says(PING);
    assert!(bsr.says(PING).strange.is_none(), "said once");

    let mut bsr = Bsr::new();
    assert_eq!(bsr.held().after(3.0).says(&PING[..3]).skip, 3);
    let pass = bsr.says(b"hello");
    assert_eq!((pass.kept.as_ref(), pass.skip), (&PING[..3], 0), "nothing of it is lost");
    assert_eq!(pass.strange, Some(Strange::NoPacket { at: 88 }));
    bsr.only_says(PING);

    let mut bsr = Bsr::new();
    assert_eq!(bsr.pings.to_bsr(bsr.now, b"hello"), Some(Strange::NoPacket { at: 0 }));
    assert_eq!(bsr.pings.to_bsr(bsr.now, b"hello"), None);
    bsr.written(10, 10);
    assert!(!bsr.held().after(3.0).is_answered(PING));
}

#[test]
fn what_was_held_back_goes_on_when_the_other_direction_is_not_understood() {
    let mut bsr = Bsr::new();
    assert_eq!(bsr.held().after(3.0).says(&PING[..5]).skip, 5);
    assert!(bsr.pings.to_bsr(bsr.now, b"hello").is_some());
    let pass = bsr.says(&PING[5..]);
    assert_eq!((pass.kept.as_ref(), pass.skip), (&PING[..5], 0));
}

#[test]
fn two_directions_of_different_formats_are_not_understood() {
    let mut bsr = Bsr::new();
    bsr.hears(OLD_PING_ACK);
    let pass = bsr.held().after(3.05).says(PING);
    assert_eq!(pass.strange, Some(Strange::Mixed));
    assert!(pass.answer.is_none() && pass.skip == 0);
}

/// DRBD's `ping-int` is 10 s, unless its pings show something else.
#[test]
fn ping_int_is_learnt_from_two_pings_after_the_same_silence() {
    let mut bsr = Bsr::drbd();
    assert!(!bsr.held().after(3.05).is_answered(PING));
    bsr.pings.let_go();
    bsr.hears(PING_ACK);
    assert!(!bsr.after(3.07).is_answered(PING));
    assert_eq!(bsr.pings.ping_int(), Duration::from_secs(3));
    bsr.hears(PING_ACK);
    assert!(!bsr.held().after(2.8).is_answered(PING));
    bsr.hears(PING_ACK);
    assert!(bsr.after(3.02).is_answered(PING));

    // One ping at another time shows nothing.
    let mut bsr = Bsr::new();
    bsr.after(1.5).only_says(PING);
    bsr.hears(PING_ACK);
    bsr.after(3.05).only_says(PING);
    bsr.hears(PING_ACK);
    bsr.after(1.5).only_says(PING);
    assert_eq!(bsr.pings.ping_int(), Duration::from_secs(3));
}

/// Of two bsr only one pings while all is well.
#[test]
fn ping_int_is_learnt_from_the_other_bsr_too() {
    let mut bsr = Bsr::new();
    for _ in 0..2 {
        bsr.after(5.05).hears(PING);
        bsr.only_says(PING_ACK);
    }
    assert!(!bsr.held().after(4.5).is_answered(PING));
    assert_eq!(bsr.pings.ping_int(), Duration::from_secs(5));
}
