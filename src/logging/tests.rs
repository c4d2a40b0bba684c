#![allow(clippy::unwrap_used)]

use std::fs;
use std::sync::{Arc, Mutex};

use drx_config::Level;
use slog::{debug, error, info, trace, warn};

use super::queue::QUEUE;
use super::*;

fn open_file(path: &std::path::Path, level: Level) -> (Logger, Flush) {
    open(&Log { level, file: Some(path.to_owned()) }).unwrap()
}

/// `2026-11-02 14:03:07.123 +01:00 `, and what follows it.
fn without_stamp(line: &str) -> &str {
    let (stamp, rest) = line.split_at("2026-11-02 14:03:07.123 +01:00 ".len());
    let form: String = stamp.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(form.replace(" -", " +"), "0000-00-00 00:00:00.000 +00:00 ");
    rest
}

#[test]
fn a_record_is_a_line_with_its_keys_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("drx.log");
    let (log, flush) = open_file(&path, Level::Info);
    let resource = log.new(o!("node" => "node1", "resource" => "r0"));
    let channel = resource.new(o!("channel" => "acceptor", "lane" => 0, "attempt" => 7));
    info!(channel, "transition"; "from" => "waiting", "to" => "connected", "why" => "bsr came in");
    warn!(log, "nothing else");
    drop(flush);

    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<_> = text.lines().map(without_stamp).collect();
    assert_eq!(
        lines,
        [
            "INFO transition, node: node1, resource: r0, channel: acceptor, lane: 0, attempt: 7, \
             from: waiting, to: connected, why: bsr came in",
            "WARN nothing else",
        ]
    );
    assert!(text.ends_with('\n'));
}

#[test]
fn what_is_less_severe_than_the_level_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let written = |level| {
        let path = dir.path().join(format!("{level:?}"));
        let (log, flush) = open_file(&path, level);
        crit!(log, "c");
        error!(log, "e");
        warn!(log, "w");
        info!(log, "i");
        debug!(log, "d");
        trace!(log, "t");
        drop(flush);
        fs::read_to_string(path).unwrap().lines().map(|line| &without_stamp(line)[5..]).collect::<String>()
    };
    assert_eq!(written(Level::Critical), "c");
    assert_eq!(written(Level::Error), "ce");
    assert_eq!(written(Level::Warning), "cew");
    assert_eq!(written(Level::Info), "cewi");
    assert_eq!(written(Level::Debug), "cewid");
    assert_eq!(written(Level::Trace), "cewidt");
}

#[test]
fn a_file_is_continued() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("drx.log");
    for message in ["first", "second"] {
        let (log, flush) = open_file(&path, Level::Info);
        info!(log, "{message}");
        drop(flush);
    }
    let text = fs::read_to_string(path).unwrap();
    assert_eq!(text.lines().map(without_stamp).collect::<Vec<_>>(), ["INFO first", "INFO second"]);
}

#[test]
fn foreign_text_neither_breaks_the_line_nor_commands_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("drx.log");
    let (log, flush) = open_file(&path, Level::Info);
    info!(log, "one\ntwo"; "peer" => "a\r\nb\u{1b}[31mred\u{9b}0m\tend, grün");
    drop(flush);
    let text = fs::read_to_string(path).unwrap();
    assert_eq!(
        text.lines().map(without_stamp).collect::<Vec<_>>(),
        ["INFO one two, peer: a  b [31mred 0m end, grün"]
    );
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = Some(dir.path().join("missing/drx.log"));
    let error = open(&Log { level: Level::Info, file }).unwrap_err().to_string();
    assert!(error.contains("missing/drx.log") && error.contains("No such file"), "{error}");
}

/// A writer that waits for a permission before each line, and may refuse it.
struct Gate {
    permits: mpsc::Receiver<io::Result<()>>,
    /// One for each line that begins to be written.
    waiting: mpsc::Sender<()>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Write for Gate {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.waiting.send(());
        // A dropped sender lets everything through.
        self.permits.recv().unwrap_or(Ok(()))?;
        self.written.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Gated {
    log: Logger,
    flush: Flush,
    permits: mpsc::Sender<io::Result<()>>,
    waiting: mpsc::Receiver<()>,
    written: Arc<Mutex<Vec<u8>>>,
}

fn gated() -> Gated {
    let (permits, permitted) = mpsc::channel();
    let (begun, waiting) = mpsc::channel();
    let written = Arc::new(Mutex::new(Vec::new()));
    let gate = Gate { permits: permitted, waiting: begun, written: Arc::clone(&written) };
    let (log, flush) = to_writer(gate, Threshold::new(Level::Info));
    Gated { log, flush, permits, waiting, written }
}

impl Gated {
    fn finish(self) -> String {
        let Gated { log, flush, permits, written, .. } = self;
        drop((log, permits));
        drop(flush);
        String::from_utf8(written.lock().unwrap().clone()).unwrap()
    }
}

#[test]
fn a_log_that_hangs_blocks_nobody_and_counts_what_it_drops() {
    let gated = gated();
    info!(gated.log, "0");
    // The writing thread holds the first record now: the queue is empty.
    gated.waiting.recv_timeout(PATIENCE).unwrap();
    for i in 1..=QUEUE + 100 {
        info!(gated.log, "{i}");
    }
    let text = gated.finish();

    let lines: Vec<_> = text.lines().map(without_stamp).collect();
    assert_eq!(lines.len(), 1 + 1 + QUEUE);
    assert_eq!(lines[0], "INFO 0");
    assert_eq!(
        lines[1],
        "ERRO log lines were dropped: they came faster than they could be written, lines: 100"
    );
    assert_eq!(lines[2], "INFO 1");
    assert_eq!(lines[QUEUE + 1], format!("INFO {QUEUE}"));
}

#[test]
fn lines_that_cannot_be_written_are_counted_and_the_log_goes_on() {
    let gated = gated();
    for _ in 0..2 {
        gated.permits.send(Err(io::Error::from(io::ErrorKind::StorageFull))).unwrap();
    }
    info!(gated.log, "a");
    info!(gated.log, "b");
    gated.waiting.recv_timeout(PATIENCE).unwrap();
    gated.waiting.recv_timeout(PATIENCE).unwrap();
    info!(gated.log, "c");
    info!(gated.log, "d");
    let text = gated.finish();
    let lines: Vec<_> = text.lines().map(without_stamp).collect();
    // The notice in front of `b` was refused, too.
    assert_eq!(lines, ["INFO b", "ERRO log lines could not be written, lines: 1", "INFO c", "INFO d"]);
}

#[test]
fn a_time_is_that_of_the_event_not_of_its_writing() {
    let gated = gated();
    info!(gated.log, "first");
    gated.waiting.recv_timeout(PATIENCE).unwrap();
    info!(gated.log, "second");
    let logged = chrono::Local::now();
    while chrono::Local::now() <= logged + chrono::TimeDelta::milliseconds(1) {
        thread::yield_now();
    }
    let text = gated.finish();
    let stamp = &text.lines().nth(1).unwrap()[.."2026-11-02 14:03:07.123 +01:00".len()];
    let stamp = chrono::DateTime::parse_from_str(stamp, "%Y-%m-%d %H:%M:%S%.3f %:z").unwrap();
    assert!(stamp <= logged, "{stamp} is later than {logged}");
}

/// An error in the midst of a record: what a terminal that is gone gives.
struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::other("hung up"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_error_in_the_midst_of_a_record_is_reported_at_its_end() {
    let format = FullFormat::new(OneLine(PlainDecorator::new(Broken))).use_original_order().build();
    let fixed = slog::record_static!(slog::Level::Info, "");
    let message = format_args!("message");
    let values = o!("a" => 1, "b" => 2).into();
    let error = format.log(&slog::Record::new(&fixed, &message, slog::b!()), &values).unwrap_err();
    assert_eq!(error.to_string(), "hung up");
}

const PATIENCE: Duration = Duration::from_secs(20);
