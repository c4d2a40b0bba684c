//! What happened in a run: the last of it in words, all of it as one number.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use slog::KV;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Shared by the whole world of one run.
#[derive(Clone)]
pub struct Trace(Arc<Shared>);

struct Shared {
    kept: Mutex<Kept>,
    failed: Notify,
}

struct Kept {
    started: Instant,
    hash: DefaultHasher,
    lines: VecDeque<String>,
    most: usize,
    states: BTreeMap<Lane, String>,
    problem: Option<String>,
    bytes: u64,
}

/// Node, resource, role, lane: as the log names them.
pub type Lane = (String, String, String, String);

impl Trace {
    /// Begins now; keeps so many lines.
    pub fn new(most: usize) -> Trace {
        let kept = Kept {
            started: Instant::now(),
            hash: DefaultHasher::new(),
            lines: VecDeque::new(),
            most,
            states: BTreeMap::new(),
            problem: None,
            bytes: 0,
        };
        Trace(Arc::new(Shared { kept: Mutex::new(kept), failed: Notify::new() }))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().expect("nobody panics while writing the trace")
    }

    pub fn elapsed(&self) -> Duration {
        self.kept().started.elapsed()
    }

    pub fn say(&self, text: impl AsRef<str>) {
        let mut kept = self.kept();
        let line = format!("{:9.3} {}", kept.started.elapsed().as_secs_f64(), text.as_ref());
        kept.hash.write(line.as_bytes());
        if kept.lines.len() == kept.most {
            kept.lines.pop_front();
        }
        kept.lines.push_back(line);
    }

    /// Bytes that a relay read or wrote.
    pub fn bytes(&self, stream: u64, way: u8, bytes: &[u8]) {
        let mut kept = self.kept();
        let now = kept.started.elapsed().as_nanos() as u64;
        kept.hash.write_u64(now);
        kept.hash.write_u64(stream << 8 | u64::from(way));
        kept.hash.write(bytes);
        kept.bytes += bytes.len() as u64;
    }

    /// The first problem ends the run.
    pub fn fail(&self, problem: impl Into<String>) {
        let problem = problem.into();
        self.say(format!("PROBLEM {problem}"));
        self.kept().problem.get_or_insert(problem);
        self.0.failed.notify_one();
    }

    pub async fn failed(&self) {
        self.0.failed.notified().await;
    }

    /// A relay begins: what was known of the one before is over.
    pub fn forget(&self, node: &str) {
        self.kept().states.retain(|lane, _| lane.0 != node);
    }

    /// Whether a lane of this resource stands there, by the relay's own log.
    pub fn any_in(&self, node: &str, resource: &str, role: Option<&str>, state: &str) -> bool {
        let meant =
            |lane: &Lane| lane.0 == node && lane.1 == resource && role.is_none_or(|role| role == lane.2);
        self.kept().states.iter().any(|(lane, at)| meant(lane) && at == state)
    }

    /// The problem, the number, the last lines, and how many bytes the relays moved.
    pub fn end(&self) -> (Option<String>, u64, Vec<String>, u64) {
        let kept = self.kept();
        let lines = kept.lines.iter().cloned().collect();
        (kept.problem.clone(), kept.hash.finish(), lines, kept.bytes)
    }

    pub fn log(&self, node: &str) -> slog::Logger {
        slog::Logger::root(Drain(self.clone()), slog::o!("node" => node.to_owned()))
    }
}

/// The relays' logs.
struct Drain(Trace);

impl slog::Drain for Drain {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &slog::Record<'_>, values: &slog::OwnedKVList) -> Result<(), slog::Never> {
        let mut pairs = Pairs::default();
        let _ = values.serialize(record, &mut pairs);
        let _ = record.kv().serialize(record, &mut pairs);
        let message = record.msg().to_string();
        if message == "transition" {
            let lane = ["node", "resource", "channel", "lane"].map(|key| pairs.of(key));
            let [node, resource, role, number] = lane;
            self.0.kept().states.insert((node, resource, role, number), pairs.of("to"));
        }
        let text = pairs.0.iter().rev().fold(String::new(), |mut text, (key, value)| {
            let _ = write!(text, " {key}={value}");
            text
        });
        self.0.say(format!("{} {message}{text}", record.level().as_short_str()));
        // Both relays are ours, and no line changes bytes: none of this may happen.
        let unasked = text.contains("panicked") && !text.contains("struck: ");
        let broken = message.contains("protocol error") || message.contains("no usable handshake");
        // A hello may have been lost on its way, and strangers say what they like.
        let broken = broken && !text.contains("no handshake within") && !text.contains(STRANGER);
        if unasked || broken {
            self.0.fail(format!("a relay says: {message}{text}"));
        }
        Ok(())
    }
}

/// Where those come from who are neither bsr nor relay.
pub const STRANGER: &str = "10.77.66.6";

#[derive(Default)]
struct Pairs(Vec<(slog::Key, String)>);

impl Pairs {
    fn of(&self, key: &str) -> String {
        self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone()).unwrap_or_default()
    }
}

impl slog::Serializer for Pairs {
    fn emit_arguments(&mut self, key: slog::Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
        self.0.push((key, value.to_string()));
        Ok(())
    }
}
