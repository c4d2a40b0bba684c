//! What is shown: on a terminal a frame that is redrawn in place below the lines that were told,
//! anywhere else plain lines.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Standard output, which may be gone: the demo goes on, since its exit status says the same.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: bool,
    /// Lines of the frame that stand there now.
    drawn: usize,
    next: Instant,
}

/// What the frame shows now.
#[derive(Debug)]
pub(super) struct Frame {
    /// All of it.
    pub(super) full: Vec<String>,
    /// What matters most, for a small terminal, and between the full ones where nothing can be redrawn.
    pub(super) brief: Vec<String>,
}

impl Screen {
    /// Standard output as it is; `plain`: without redrawing anything.
    pub(super) fn open(plain: bool) -> Screen {
        Screen { terminal: io::stdout().is_terminal() && !plain, drawn: 0, next: Instant::now() }
    }

    /// Tells something that stays.
    pub(super) fn tell(&mut self, text: &str) {
        let erased = self.erased();
        write(&format!("{erased}{text}\n"));
    }

    /// Whether it is time for the next frame.
    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// Shows a frame: in place of the last one, or its brief form as plain lines.
    pub(super) fn draw(&mut self, frame: &Frame) {
        if !self.terminal {
            self.next = Instant::now() + PLAIN;
            return write(&lines(&frame.brief, usize::MAX));
        }
        self.next = Instant::now() + REDRAW;
        let (columns, rows) = size();
        // One row is left for the cursor.
        let shown = if frame.full.len() < rows { &frame.full } else { &frame.brief };
        let erased = self.erased();
        write(&format!("{erased}{}", lines(shown, columns)));
        self.drawn = shown.len();
    }

    /// Shows a frame whole where nothing is redrawn: the moments worth seeing.
    pub(super) fn record(&mut self, frame: &Frame) {
        if !self.terminal {
            self.keep(frame);
        }
    }

    /// Shows a frame whole, to stay.
    pub(super) fn keep(&mut self, frame: &Frame) {
        let erased = self.erased();
        write(&format!("{erased}{}", lines(&frame.full, usize::MAX)));
    }

    fn erased(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            // Up to the frame's first line, and everything from there on is cleared.
            drawn => format!("\x1b[{drawn}A\r\x1b[J"),
        }
    }
}

/// One line each, cut to fit: a line that wraps would be two lines when it is redrawn.
fn lines(lines: &[String], columns: usize) -> String {
    lines.iter().flat_map(|line| line.chars().take(columns).chain(['\n'])).collect()
}

fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}

fn write(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Ten times a second looks alive.
const REDRAW: Duration = Duration::from_millis(100);
/// Plain lines stay, so there are fewer of them.
const PLAIN: Duration = Duration::from_secs(1);
