//! Two nodes with files, a line between them that can fail, an application that writes all the time, and kills: of
//! either node, of both, of the line, whatever they are doing. Again and again both volumes have to become the same, with
//! nothing missing that was acknowledged; and where the primary dies, the other node may take over and has it, too.
//!
//! `DRX_SEED` repeats a run, as far as two processes can be told what to do; `DRX_BSR_KILLS=1000` makes it so long.
#![allow(clippy::unwrap_used)]

mod faults;
mod tale;
mod world;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use drx_integration::seed::{number, seed};
use tale::Tale;
use world::{Era, World};

/// What is acknowledged is not lost, whatever dies.
#[test]
fn kills() {
    let events = number("DRX_BSR_KILLS").unwrap_or(24);
    let per_era = events.div_ceil(4).clamp(1, 50);
    let seed = seed();
    // Another era has other settings, and other chances. One of them alone: its seed, and as many events.
    let eras: VecDeque<(u64, u64)> = (0..events.div_ceil(per_era))
        .map(|era| (seed.wrapping_add(era), per_era.min(events - era * per_era)))
        .collect();
    let (eras, total, began) = (Mutex::new(eras), Mutex::new(Tale::default()), Instant::now());
    let failed = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some((seed, events)) = next(&eras) {
                    let told = catch_unwind(AssertUnwindSafe(|| run(seed, events)));
                    match told {
                        Ok(tale) => total.lock().unwrap().add(&tale),
                        Err(panic) => {
                            println!("DRX_SEED={seed} DRX_BSR_KILLS={events} is the era that failed");
                            eras.lock().unwrap().clear();
                            failed.lock().unwrap().get_or_insert(panic);
                        }
                    }
                }
            });
        }
    });
    println!("{} in {:.0?}", total.into_inner().unwrap(), began.elapsed());
    if let Some(panic) = failed.into_inner().unwrap() {
        resume_unwind(panic);
    }
}

fn next(eras: &Mutex<VecDeque<(u64, u64)>>) -> Option<(u64, u64)> {
    eras.lock().unwrap().pop_front()
}

fn run(seed: u64, events: u64) -> Tale {
    let began = Instant::now();
    let mut chance = fastrand::Rng::with_seed(seed);
    let era = Era::any(&mut chance);
    let mut world = World::new(era, chance);
    for event in 0..events {
        world.round();
        if event % TO_CALM == TO_CALM - 1 {
            world.calm();
        }
    }
    world.calm();
    let tale = world.end();
    println!("DRX_SEED={seed} DRX_BSR_KILLS={events}: {tale} in {:.0?}", began.elapsed());
    tale
}

/// Pairs of nodes at a time: most of the time they wait.
const AT_A_TIME: usize = 4;
/// Events until both volumes are compared.
const TO_CALM: u64 = 8;
