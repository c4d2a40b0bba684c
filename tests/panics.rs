//! A panic's line in the log. One test, because the hook is the whole process's.
#![allow(clippy::unwrap_used)]

use std::thread;

use slog::o;

#[test]
fn a_panic_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("drx.log");
    let settings = drx_config::Log { level: drx_config::Level::Info, file: Some(path.clone()) };
    let (log, flush) = drx::logging::open(&settings).unwrap();
    drx::logging::log_panics(log.new(o!("node" => "node1")));
    let threads = [
        thread::Builder::new().name("first".to_owned()).spawn(|| panic!("a text")),
        thread::Builder::new().name("second".to_owned()).spawn(|| panic!("of {} lines\nand more", 2)),
        thread::Builder::new().name("third".to_owned()).spawn(|| std::panic::panic_any(7)),
    ];
    for thread in threads {
        thread.unwrap().join().unwrap_err();
    }
    let _ = std::panic::take_hook();
    drop(flush);

    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
    for (message, thread) in
        [("a text", "first"), ("of 2 lines and more", "second"), ("(not a text)", "third")]
    {
        let line = text.lines().find(|line| line.ends_with(&format!("thread: {thread}"))).unwrap();
        assert!(
            line.contains(&format!(" CRIT panic: {message}, node: node1, at: tests/panics.rs:")),
            "{line}"
        );
    }
}
