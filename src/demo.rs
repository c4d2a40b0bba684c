//! `drxd demo`: two relays and two bsr on this machine, and what supervision does when things break.
//!
//! The relays are the daemon's own, configured by the text of two `drx.toml`; each bsr is a node of drx-bsr with
//! a volume in a file. Between the relays lies a line that can be cut. A real ext4 file system and a lot of random
//! blocks are written to the primary's volume; in the end both volumes are compared, bit for bit, and the exit
//! status says whether they are the same, and what they have to be, and everything recovered.
//!
//! ```text
//! embedded     the configuration
//! disks        the volumes, made and compared; image: the file system; content: what has to be on a volume
//! bsr          a node of drx-bsr, over all its lives
//! application  what writes to the primary
//! line         the line between the relays
//! show         what happens, in order
//! watch        what is seen of relays, bsr and application at one moment
//! frame        that in words; screen: where they are shown
//! verdict      what came out
//! background   a thread for bsr and line
//! ```

mod application;
mod background;
mod bsr;
mod content;
mod disks;
mod embedded;
mod frame;
mod image;
mod line;
mod screen;
mod show;
mod verdict;
mod watch;

use std::fs::DirBuilder;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf, absolute};
use std::process::ExitCode;

use drx_config::{Config, Errors, Level, Log};
use tokio::signal::unix::{SignalKind, signal};

use crate::logging::{self, OpenError};
use crate::settings::{SettingsError, settings};
use disks::{DiskError, Disks, VOLUME};
use embedded::{Addresses, Node};
use screen::Screen;
use show::{Show, Stage};

/// What the demo is told on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Write the configurations there, and show nothing.
    pub save: Option<PathBuf>,
    /// The relays' log goes to standard error instead of a file.
    pub log: bool,
}

/// Runs the demo. Succeeds only if everything recovered, and both volumes are what they have to be.
pub fn run(options: &Options) -> ExitCode {
    let done = match &options.save {
        Some(directory) => save(directory).map(|()| true),
        None => show(options.log),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Standard error may be gone: then there is nobody to tell.
            let _ = writeln!(io::stderr(), "drxd: demo: {error}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("no free addresses on the loopback interface: {0}")]
    Addresses(io::Error),
    #[error("its own configuration is wrong:\n{0}")]
    Configuration(#[from] Errors),
    #[error("its own configuration is wrong: {0}")]
    Settings(#[from] SettingsError),
    #[error("cannot write to {directory:?}: {error}")]
    Directory { directory: PathBuf, error: io::Error },
    #[error("no volumes: {0}")]
    Disks(#[from] DiskError),
    #[error(transparent)]
    Log(#[from] OpenError),
    #[error("cannot start: {0}")]
    Start(io::Error),
    #[error("interrupted")]
    Interrupted,
}

fn save(directory: &Path) -> Result<(), Trouble> {
    let cannot = |error| Trouble::Directory { directory: directory.to_owned(), error };
    let directory = absolute(directory).map_err(cannot)?;
    let nodes = embedded::nodes(&Addresses::free().map_err(Trouble::Addresses)?, Some(&directory));
    for node in &nodes {
        embedded::load(node)?;
    }
    let paths = embedded::save(&nodes, &directory).map_err(cannot)?;
    let mut screen = Screen::open(false);
    screen.tell("Two daemons with these configurations are a pair. Run each in a terminal of its own:\n");
    for path in &paths {
        screen.tell(&format!("    drxd run --config {}", path.display()));
    }
    screen.tell("\nand ask either of them how it stands:\n");
    for path in &paths {
        screen.tell(&format!("    drx-ctl --socket {} status", path.with_extension("sock").display()));
    }
    screen
        .tell("\nbsr connects to `inside` and listens at `bsr`; until it does, they say that it is missing.");
    Ok(())
}

fn show(log_to_stderr: bool) -> Result<bool, Trouble> {
    let addresses = Addresses::free().map_err(Trouble::Addresses)?;
    let nodes = embedded::nodes(&addresses, None);
    let configs = [embedded::load(&nodes[0])?, embedded::load(&nodes[1])?];
    let directory = new_directory()?;
    let mut disks = Disks::create(&directory)?;
    let stage = stage(&addresses, &configs, &disks)?;

    // Lines of a log among those of a frame that is redrawn would garble both.
    let mut screen = Screen::open(log_to_stderr && io::stderr().is_terminal());
    introduce(&mut screen, &nodes, &addresses, &directory);
    let file = |name| Some(directory.join(name));
    let relays = if log_to_stderr { None } else { file("relays.log") };
    for (whose, file) in [("The relays' log: ", &relays), ("The bsrs' log:   ", &file("bsr.log"))] {
        if let Some(file) = file {
            screen.tell(&format!("{whose}{}", file.display()));
        }
    }
    screen.tell("");
    let (log, _flush) = logging::open(&Log { level: Level::Info, file: relays })?;
    let (bsr_log, _flush_bsr) = logging::open(&Log { level: Level::Info, file: file("bsr.log") })?;
    // The panics are part of the show.
    logging::log_panics(log.clone());

    let passed = actix::System::new().block_on(async {
        let interrupted = interrupted().map_err(Trouble::Start)?;
        let show = Show::start(stage, screen, &log, &bsr_log).map_err(Trouble::Start)?;
        tokio::select! {
            passed = show.run() => Ok(passed),
            () = interrupted => Err(Trouble::Interrupted),
        }
    });
    if let Ok(false) = passed {
        disks.keep();
        // Standard error may be gone: then there is nobody to tell.
        let _ = writeln!(io::stderr(), "drxd: demo: logs and volumes stay in {}", directory.display());
    }
    passed
}

/// Completes with SIGINT or SIGTERM: what is to be removed is removed then.
fn interrupted() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// The relays' settings, as the daemon makes them, with the line between the two.
fn stage(addresses: &Addresses, configs: &[Config; 2], disks: &Disks) -> Result<Stage, Trouble> {
    let mut relays = [settings(&configs[0])?, settings(&configs[1])?];
    for (relay, line) in relays.iter_mut().zip(addresses.line) {
        relay.arbiters = 1; // there is one resource
        for resource in &mut relay.resources {
            resource.peer = line;
        }
    }
    Ok(Stage { addresses: *addresses, relays, disks: disks.disks.clone() })
}

fn introduce(screen: &mut Screen, nodes: &[Node; 2], addresses: &Addresses, directory: &Path) {
    for Node { file, text } in nodes {
        let rule = "-".repeat(RULE - file.len());
        screen.tell(&format!("--- {file} {rule}\n{text}"));
    }
    let [one, two] = addresses.line;
    screen.tell(&format!(
        "{}\nTwo relays with these configurations, each with a drx-bsr, all in this process. Each bsr has a volume of\n\
         {} in {}.\n\
         The relays' `peer` leads over a line of the demo's, {one} and {two}, which can be cut.\n\
         `drxd demo --save DIR` writes such a pair of files for two real daemons.",
        "-".repeat(RULE + 5),
        frame::size(VOLUME as f64),
        directory.display(),
    ));
}

/// A new directory for this user alone. It stays, with the logs: who wonders what happened reads them.
fn new_directory() -> Result<PathBuf, Trouble> {
    let base = std::env::temp_dir();
    let mut tries = 0;
    loop {
        let directory = base.join(format!("drxd-demo-{:08x}", fastrand::u32(..)));
        match DirBuilder::new().mode(0o700).create(&directory) {
            Ok(()) => return Ok(directory),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < DIRECTORY_TRIES => {
                tries += 1
            }
            Err(error) => return Err(Trouble::Directory { directory, error }),
        }
    }
}

/// Names that may be taken.
const DIRECTORY_TRIES: u32 = 16;
/// The width of a rule, without its beginning.
const RULE: usize = 86;
