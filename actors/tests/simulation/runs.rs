//! Many seeds, each a world of its own on a thread of its own.

use std::ops::Range;
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, Once};
use std::thread;
use std::time::Duration;

use super::plan::Plan;
use super::trace::Trace;
use super::world::World;

/// What came of one seed.
pub struct Run {
    pub problem: Option<String>,
    /// Of everything that happened.
    pub hash: u64,
    /// The last of it.
    pub lines: Vec<String>,
    /// That the relays moved.
    pub bytes: u64,
    pub whole_endings: u64,
    /// All of them, and those with bytes, where they are counted.
    pub frames: (u64, u64),
}

pub fn run(seed: u64, lines: usize) -> Run {
    simulated(seed, Plan::of(seed), lines, |world| Box::pin(world.run()))
}

/// Both directions full, readers that stall: until so many frames have passed.
pub fn saturate(seed: u64, frames: u64) -> Run {
    simulated(seed, Plan::saturated(seed), super::LINES, move |world| Box::pin(world.saturate(frames)))
}

type Course = std::pin::Pin<Box<dyn Future<Output = ()>>>;

fn simulated(
    seed: u64,
    plan: Plan,
    lines: usize,
    course: impl FnOnce(std::rc::Rc<World>) -> Course + Send + 'static,
) -> Run {
    quiet_strikes();
    let (done, result) = channel();
    // A thread of its own: the relay keeps memory by thread, and chance is drawn by thread.
    let world = thread::spawn(move || {
        fastrand::seed(seed);
        let system = actix_rt::System::with_tokio_rt(|| {
            tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .expect("a runtime needs nothing")
        });
        let run = system.block_on(async move {
            let trace = Trace::new(lines);
            let world = World::new(plan, trace.clone());
            tokio::select! { biased;
                () = trace.failed() => {}
                () = course(std::rc::Rc::clone(&world)) => {}
            }
            let (problem, hash, lines, bytes) = trace.end();
            let whole_endings = world.books.borrow().whole_endings;
            let frames = &world.frames;
            let frames = (frames.0.load(Ordering::Relaxed), frames.1.load(Ordering::Relaxed));
            Run { problem, hash, lines, bytes, whole_endings, frames }
        });
        let _ = done.send(run); // who waited may have given up
    });
    match result.recv_timeout(LONGEST) {
        Ok(run) => run,
        Err(RecvTimeoutError::Timeout) => Run::lost("it goes on for ever in the same moment"),
        Err(RecvTimeoutError::Disconnected) => {
            let panic = world.join().expect_err("it has not answered");
            let what = panic.downcast_ref::<String>().cloned();
            Run::lost(&what.unwrap_or_else(|| "the world itself panicked".into()))
        }
    }
}

impl Run {
    fn lost(problem: &str) -> Run {
        Run {
            problem: Some(problem.into()),
            hash: 0,
            lines: Vec::new(),
            bytes: 0,
            whole_endings: 0,
            frames: (0, 0),
        }
    }
}

/// Runs all of them on all processors, and panics if any fails.
pub fn run_all(seeds: Range<u64>, one: impl Fn(u64) -> Run + Sync) {
    let next = AtomicU64::new(seeds.start);
    let (failed, total) = (Mutex::new(Vec::new()), Mutex::new([0; 4]));
    let threads = thread::available_parallelism().map_or(1, |count| count.get());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || failed.lock().unwrap().len() >= MOST_FAILURES {
                        return;
                    }
                    let run = one(seed);
                    let counts = [run.bytes >> 10, run.whole_endings, run.frames.0, run.frames.1];
                    total.lock().unwrap().iter_mut().zip(counts).for_each(|(total, count)| *total += count);
                    if let Some(problem) = run.problem {
                        failed.lock().unwrap().push((seed, problem, run.lines));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    let [kib, endings, frames, data] = total.into_inner().unwrap();
    let (runs, mib) = (seeds.end - seeds.start, kib >> 10);
    println!(
        "{runs} runs, {mib} MiB through the relays, {endings} orderly endings, {frames} frames counted, {data} of them DATA"
    );
    for (seed, problem, _) in &failed {
        println!("DRX_SEED={seed}: {problem}");
    }
    if let Some((seed, problem, lines)) = failed.first() {
        panic!("DRX_SEED={seed}: {problem}\nthe last of it:\n{}", lines.join("\n"));
    }
}

/// A panic that was ordered is no news.
fn quiet_strikes() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
            let ordered = text.is_some_and(|text| text.starts_with("struck: "));
            if !ordered {
                usual(info);
            }
        }));
    });
}

/// Of the real clock: a run takes a fraction of a second.
const LONGEST: Duration = Duration::from_secs(120);
const MOST_FAILURES: usize = 8;
