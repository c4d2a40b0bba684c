#![allow(clippy::unwrap_used)]
#[path = "../../fuzz/checks/bsr/mod.rs"]
#[allow(dead_code)]
mod checks;
use std::sync::Mutex;
static LAST: Mutex<String> = Mutex::new(String::new());
#[test]
fn survey() {
    std::panic::set_hook(Box::new(|info| {
        let bt = std::backtrace::Backtrace::force_capture().to_string();
        let frames: Vec<&str> = bt
            .lines()
            .filter(|l| {
                l.contains(" at ")
                    && (l.contains("src/core") || l.contains("bsr/src") || l.contains("src/bitmap"))
                    && !l.contains("rustc")
            })
            .take(2)
            .map(str::trim)
            .collect();
        *LAST.lock().unwrap() = format!(
            "{} | {} | {}",
            info.location().unwrap(),
            info.payload_as_str().unwrap_or("?").chars().take(260).collect::<String>(),
            frames.join(" < ")
        );
    }));
    let seeds: u64 = std::env::var("DRX_SEEDS").unwrap().parse().unwrap();
    let mut all = std::collections::BTreeMap::<String, (u64, Vec<u64>, String)>::new();
    for seed in 0..seeds {
        let mut random = fastrand::Rng::with_seed(seed);
        let most = [200, 1000, 4000][random.usize(..3)];
        let length = random.usize(8..most);
        let tape: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
        let begin = std::time::Instant::now();
        if std::panic::catch_unwind(|| checks::node::run(&tape, false)).is_err() {
            let last = LAST.lock().unwrap().clone();
            let key = last.split(" | ").next().unwrap().to_owned() + last.rsplit(" | ").next().unwrap();
            let e = all.entry(key).or_insert((0, vec![], last));
            e.0 += 1;
            if e.1.len() < 6 {
                e.1.push(seed);
            }
        }
        if begin.elapsed().as_secs() > 5 {
            println!("seed {seed} took {:?}", begin.elapsed());
        }
    }
    for (_, (n, seeds, last)) in all {
        println!("{n} {seeds:?}\n    {last}");
    }
}
