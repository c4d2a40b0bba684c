//! A replicating node as a process: `drx-bsr`, ordered and watched over its control socket and its log.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::Duration;

use drx_bsr::shell::control::client::Client;
use drx_bsr::shell::control::{Answer, Request};
use drx_bsr::shell::status::Report;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::figures::Figures;
use crate::log::Log;
use crate::nbd::Nbd;
use crate::programs::drx_bsr;
use crate::wait::{LIMIT, until, until_ok};

/// What a node is told.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its name.
    pub name: String,
    /// node-id and peer-node-id; none: it opens as DRBD does.
    pub ids: Option<(u32, u32)>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it dials.
    pub peer: SocketAddr,
    /// Whether who connects must come from where it dials.
    pub verify_ip: bool,
    /// Bytes of its volume.
    pub bytes: u64,
    /// Lines of `[net]`.
    pub net: String,
    /// Lines of `[disk]`.
    pub disk: String,
}

/// A node: its files, and the process while it runs. Dropped, the process is ended.
#[derive(Debug)]
pub struct Peer {
    name: String,
    directory: TempDir,
    child: Option<Child>,
}

impl Peer {
    /// Makes its files. It does not run yet.
    #[track_caller]
    pub fn new(told: &Told) -> Peer {
        let directory = TempDir::with_prefix("drx-bsr-").unwrap();
        let node = Peer { name: told.name.clone(), directory, child: None };
        fs::write(node.path("toml"), toml(told)).unwrap();
        let created = node.command(&["create", "--size", &told.bytes.to_string()]);
        assert!(created.status.success(), "{}: {}", node.name, String::from_utf8_lossy(&created.stderr));
        node
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts it, and waits until it answers.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let errors = File::options().create(true).append(true).open(self.path("stderr")).unwrap();
        let mut command = self.program();
        command.arg("up").arg("--log").arg(self.path("log"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        self.child = Some(command.spawn().expect("drx-bsr starts"));
        until_ok(LIMIT, || {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().unwrap()) {
                panic!("{} ended with {status}:\n{}", self.name, self.errors());
            }
            self.status().map_err(|error| format!("{} does not answer: {error}", self.name))
        });
    }

    /// Whether it was started and not ended.
    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the node runs").id()
    }

    /// What /proc says of it.
    pub fn figures(&self) -> Figures {
        Figures::of(self.pid())
    }

    /// Ends it at once: what was in no file and in no socket is lost.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Lets it hang: its connections stand, and it does nothing.
    pub fn hang(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        // It was not waited for yet, so the number is its own.
        kill_process(pid, signal).unwrap();
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub fn ended(&mut self, limit: Duration) -> ExitStatus {
        let child = self.child.as_mut().expect("the node runs");
        let status = until(format_args!("{} ends", self.name), limit, || child.try_wait().unwrap());
        self.child = None;
        status
    }

    /// Ends it in order, and waits until it has.
    #[track_caller]
    pub fn down(&mut self) {
        let answer = self.order(&Request::Down {});
        assert_eq!(answer, Ok(()), "{} goes down", self.name);
        assert!(self.ended(LIMIT).success(), "{}", self.errors());
    }

    /// Orders something.
    ///
    /// # Errors
    /// The node's own words why it is not done, or why there is no answer.
    pub fn order(&self, request: &Request) -> Result<(), String> {
        match ask(&self.path("sock"), request)? {
            Answer::Done {} => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }

    /// How it is.
    ///
    /// # Errors
    /// It does not answer.
    pub fn status(&self) -> Result<Report, String> {
        status(&self.path("sock"))
    }

    /// The same for another thread.
    pub fn status_from_afar(&self) -> impl Fn() -> Result<Report, String> + Send + use<> {
        let socket = self.path("sock");
        move || status(&socket)
    }

    /// Waits until it is so.
    #[track_caller]
    pub fn until(&self, what: &str, condition: impl Fn(&Report) -> bool) -> Report {
        until_ok(LIMIT, || {
            let report = self.status()?;
            if condition(&report) { Ok(report) } else { Err(format!("{what}: {report}")) }
        })
    }

    /// A client of its volume, as soon as it may have one.
    #[track_caller]
    pub fn nbd(&self) -> Nbd {
        until_ok(LIMIT, || {
            Nbd::connect(&self.nbd_path()).map_err(|error| format!("{}: nbd: {error}", self.name))
        })
    }

    /// Where programs find its volume.
    pub fn nbd_path(&self) -> PathBuf {
        self.path("nbd")
    }

    /// The volume itself.
    pub fn volume(&self) -> PathBuf {
        self.path("img")
    }

    /// Runs a command of `drx-bsr` for it, to its end.
    pub fn command(&self, arguments: &[&str]) -> Output {
        self.program().args(arguments).stdin(Stdio::null()).output().expect("drx-bsr runs")
    }

    fn program(&self) -> Command {
        let mut command = Command::new(drx_bsr());
        command.env_clear().arg("--config").arg(self.path("toml"));
        command
    }

    /// What it has logged, over all of its lives.
    pub fn log(&self) -> Log {
        Log::new(fs::read_to_string(self.path("log")).unwrap_or_default())
    }

    /// What it has logged so far has so many lines.
    pub fn log_lines(&self) -> usize {
        self.log().lines().count()
    }

    /// What it wrote to standard error: nothing, unless it could not start.
    pub fn errors(&self) -> String {
        fs::read_to_string(self.path("stderr")).unwrap_or_default()
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.directory.path().join(format!("{}.{extension}", self.name))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if thread::panicking() {
            let (log, errors) = (self.log().tail(TAIL), self.errors());
            println!("--- the last lines of {} ---\n{log}{errors}", self.name);
        }
        if let Some(child) = &mut self.child {
            // One that has ended already needs no killing, but is waited for.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn status(socket: &Path) -> Result<Report, String> {
    match ask(socket, &Request::Status {})? {
        Answer::Status(report) => Ok(*report),
        other => Err(format!("{other:?}")),
    }
}

fn ask(socket: &Path, request: &Request) -> Result<Answer, String> {
    match Client::connect(socket, LIMIT).and_then(|mut client| client.call(request)) {
        Ok(Answer::Error(problem)) => Err(problem.reason),
        Ok(answer) => Ok(answer),
        Err(error) => Err(error.to_string()),
    }
}

/// The first byte at which two volumes differ; none: they are the same.
pub fn first_difference(one: &Path, two: &Path) -> Option<usize> {
    let (one, two) = (fs::read(one).unwrap(), fs::read(two).unwrap());
    if one == two {
        return None;
    }
    let place = one.iter().zip(&two).position(|(a, b)| a != b);
    Some(place.unwrap_or(one.len().min(two.len())))
}

fn toml(told: &Told) -> String {
    let Told { name, ids, address, peer, verify_ip, net, disk, .. } = told;
    let opening = match ids {
        Some((mine, peer)) => format!("opening = \"bsr\"\nnode-id = {mine}\npeer-node-id = {peer}\n"),
        None => "opening = \"drbd\"\n".to_owned(),
    };
    format!(
        "name = \"{name}\"\n{opening}volume = \"{name}.img\"\nmetadata = \"{name}.meta\"\nsocket = \"{name}.sock\"\n\
         nbd = \"unix:{name}.nbd\"\naddress = \"{address}\"\npeer = \"{peer}\"\nverify-ip = {verify_ip}\n\
         [net]\n{net}\n[disk]\n{disk}\n"
    )
}

/// Lines of the log that a test that failed shows.
const TAIL: usize = 120;
