//! `drxd demo`: two relays and two peers on this machine, and what supervision does when things break.
//!
//! The relays are the daemon's own, configured by the text of two `drx.toml`; the peers behave like
//! BSR towards them. Between the relays lies a line that can be cut. Every byte that a peer receives is
//! verified, and the exit status says whether all of them were right and everything recovered.
//!
//! ```text
//! embedded    the configuration
//! peer        a bsr in user space; tests use it, too
//! line        the line between the relays
//! show        what happens, in order
//! watch       what is seen of relays and peers at one moment
//! frame       that in words; screen: where they are shown
//! verdict     what came out
//! background  a thread for peers and line
//! ```

mod background;
mod embedded;
mod frame;
pub mod line;
pub mod peer;
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

use crate::logging::{self, OpenError};
use crate::settings::{SettingsError, settings};
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

/// Runs the demo. Succeeds only if everything recovered and every byte was verified.
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
    #[error(transparent)]
    Log(#[from] OpenError),
    #[error("cannot start: {0}")]
    Start(io::Error),
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
    let stage = stage(&addresses, &configs)?;

    // Lines of a log among those of a frame that is redrawn would garble both.
    let mut screen = Screen::open(log_to_stderr && io::stderr().is_terminal());
    introduce(&mut screen, &nodes, &addresses);
    let file = if log_to_stderr { None } else { Some(log_directory()?.join("relays.log")) };
    if let Some(file) = &file {
        screen.tell(&format!("The relays' log: {}\n", file.display()));
    }
    let (log, _flush) = logging::open(&Log { level: Level::Info, file })?;
    // The panics are part of the show.
    logging::log_panics(log.clone());

    actix::System::new().block_on(async {
        let show = Show::start(stage, screen, &log).map_err(Trouble::Start)?;
        Ok(show.run().await)
    })
}

/// The relays' settings, as the daemon makes them, with the line between the two.
fn stage(addresses: &Addresses, configs: &[Config; 2]) -> Result<Stage, Trouble> {
    let mut relays = [settings(&configs[0])?, settings(&configs[1])?];
    for (relay, line) in relays.iter_mut().zip(addresses.line) {
        relay.arbiters = 1; // there is one resource
        for resource in &mut relay.resources {
            resource.peer = line;
        }
    }
    Ok(Stage { addresses: *addresses, relays })
}

fn introduce(screen: &mut Screen, nodes: &[Node; 2], addresses: &Addresses) {
    for Node { file, text } in nodes {
        let rule = "-".repeat(RULE - file.len());
        screen.tell(&format!("--- {file} {rule}\n{text}"));
    }
    let [one, two] = addresses.line;
    screen.tell(&format!(
        "{}\nTwo relays with these configurations, each with a bsr made of software, all in this process. Their\n\
         `peer` leads over a line of the demo's, {one} and {two}, which can be cut.\n\
         `drxd demo --save DIR` writes such a pair of files for two real daemons.",
        "-".repeat(RULE + 5)
    ));
}

/// A new directory for this user alone. It stays: who wonders what happened reads the log.
fn log_directory() -> Result<PathBuf, Trouble> {
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
