//! A node, and a peer that sends it whatever it likes, at any point of whatever they do together.

mod disk;
mod packets;
mod recovery;
mod side;
mod tape;
mod world;

use drx_bsr::core::{OnCongestion, Protocol, Settings};
use drx_bsr::digest::Algorithm;

use tape::Tape;
use world::{VOLUMES, World};

/// The node never panics, never touches what is beyond its volume, sends nothing once its connections are closed,
/// completes each request and order once, and remembers no more than its backlog tells. Afterwards it gets on with a
/// good peer again, until both disks are the same; with an operator's help where the node says that it needs it. And
/// as long as nothing was claimed that only the peer can know, without.
///
/// Input: settings, then what happens, a choice a byte: see [`World::step`].
pub fn node(input: &[u8]) -> usize {
    run(input, false)
}

/// The same, and tells of all that happens.
pub fn run(input: &[u8], loud: bool) -> usize {
    let mut tape = Tape::new(input);
    let settings = settings(&mut tape);
    let strict = tape.flag();
    let volume = VOLUMES[usize::from(tape.byte() < 48)];
    let mut world = World::new(settings, strict, tape.byte(), volume, loud);
    while !tape.is_at_end() {
        world.step(&mut tape);
    }
    world.recover(tape.flag());
    world.injected
}

fn settings(tape: &mut Tape<'_>) -> Settings {
    let version = tape.of(&[101, 101, 101, 101, 100, 99, 96, 95, 94, 91]);
    let flags = tape.byte();
    let is = |bit: u8| flags >> bit & 1 != 0;
    let mut settings =
        Settings { versions: (86, version), al_extents: 2, resync_rate: 0, ..Settings::default() };
    settings.protocol = tape.of(&[Protocol::C, Protocol::C, Protocol::B, Protocol::A]);
    settings.disk_flushes = is(0);
    settings.use_rle = is(1);
    settings.integrity = is(2).then_some(Algorithm::Crc32c);
    settings.checksum = is(3).then_some(Algorithm::Crc32c);
    settings.secret = is(4).then(|| (Algorithm::Sha1, b"geheim".to_vec()));
    settings.verify = (!is(5)).then_some(Algorithm::Crc32c);
    if is(6) {
        (settings.on_congestion, settings.congestion_fill) = (OnCongestion::PullAhead, 32 << 10);
    }
    if is(7) {
        (settings.max_epoch_size, settings.resync_window) = (2, 64 << 10);
    }
    settings
}
