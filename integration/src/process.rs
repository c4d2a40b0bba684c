//! A relay as a process: `drxd`, watched over its control socket and its log.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::Duration;

use drx_protocol::report::RelayReport;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::figures::Figures;
use crate::log::Log;
use crate::pair::{Node, Places};
use crate::programs::{drx_ctl, drxd};
use crate::wait::{LIMIT, until, until_ok};

/// One relay: its files, and the process while it runs. Dropped, the process is ended.
#[derive(Debug)]
pub struct Process {
    name: String,
    directory: TempDir,
    settings: Vec<String>,
    child: Option<Child>,
}

impl Process {
    /// Writes the relay's configuration, and starts it. `settings` are `KEY=VALUE`, as for `--set`.
    pub fn start_new(places: &Places, settings: &[&str]) -> Process {
        Process::configured(&places.node, resource(places), settings)
    }

    /// The same of a relay that is told of no resource.
    pub fn start_empty(node: &str, settings: &[&str]) -> Process {
        Process::configured(node, String::new(), settings)
    }

    fn configured(node: &str, resources: String, settings: &[&str]) -> Process {
        let directory = TempDir::with_prefix("drx-").unwrap();
        let mut process = Process {
            name: node.to_owned(),
            directory,
            settings: settings.iter().map(ToString::to_string).collect(),
            child: None,
        };
        fs::write(process.configuration(), process.toml() + &resources).unwrap();
        process.start();
        process
    }

    /// Starts the relay, and waits until it answers.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let errors = File::options().create(true).append(true).open(self.path("stderr")).unwrap();
        let mut command = Command::new(drxd());
        command.env_clear().arg("run").arg("--config").arg(self.configuration());
        for setting in &self.settings {
            command.arg("--set").arg(setting);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        self.child = Some(command.spawn().expect("drxd starts"));
        until_ok(LIMIT, || {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().unwrap()) {
                panic!("{} ended with {status}:\n{}", self.name, self.errors());
            }
            let answer = self.ask(&json!({ "command": "version" }));
            answer.map_err(|error| format!("{} does not answer: {error}", self.name))
        });
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the relay runs").id()
    }

    /// What /proc says of it.
    pub fn figures(&self) -> Figures {
        Figures::of(self.pid())
    }

    /// Ends it at once, as a power failure would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
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
        let child = self.child.as_mut().expect("the relay runs");
        let status = until(format_args!("{} ends", self.name), limit, || child.try_wait().unwrap());
        self.child = None;
        status
    }

    /// Sends a request over the control socket: its result, or the reason why not.
    pub fn ask(&self, request: &Value) -> Result<Value, String> {
        let words = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
        let mut stream = UnixStream::connect(self.socket()).map_err(words("connecting"))?;
        stream.set_read_timeout(Some(LIMIT)).map_err(words("timeout"))?;
        stream.write_all(format!("{request}\n").as_bytes()).map_err(words("asking"))?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).map_err(words("reading"))?;
        let mut answer: Value =
            serde_json::from_str(&answer).map_err(|error| format!("{answer:?}: {error}"))?;
        match answer["result"].take() {
            Value::Null => Err(answer["error"]["reason"].to_string()),
            result => Ok(result),
        }
    }

    /// Runs `drx-ctl` against it, to its end.
    pub fn ctl(&self, arguments: &[&str]) -> Output {
        self.ctl_command(arguments).output().expect("drx-ctl runs")
    }

    /// Begins to run `drx-ctl` against it.
    pub fn ctl_begin(&self, arguments: &[&str]) -> Child {
        self.ctl_command(arguments).spawn().expect("drx-ctl runs")
    }

    fn ctl_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(drx_ctl());
        command.env_clear().arg("--socket").arg(self.socket()).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
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

    /// Waits until some line of its log, after so many, has all of these words in it.
    #[track_caller]
    pub fn until_logged(&self, since: usize, words: &[&str]) {
        until(format_args!("{} logs {words:?}", self.name), LIMIT, || {
            self.log().since(since).says(words).then_some(())
        });
    }

    /// What it wrote to standard error: nothing, unless it could not start.
    pub fn errors(&self) -> String {
        fs::read_to_string(self.path("stderr")).unwrap_or_default()
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.directory.path().join(format!("{}.{extension}", self.name))
    }

    fn configuration(&self) -> PathBuf {
        self.path("toml")
    }

    /// Its control socket.
    pub fn socket(&self) -> PathBuf {
        self.path("sock")
    }

    fn toml(&self) -> String {
        [
            "[node]\n".to_owned(),
            quoted("name", &self.name),
            "[control]\n".to_owned(),
            quoted("socket", &self.socket().display()),
            "[log]\nlevel = \"debug\"\n".to_owned(),
            quoted("file", &self.path("log").display()),
        ]
        .concat()
    }
}

fn resource(places: &Places) -> String {
    let Places { node: _, resource, remote, bsr, inside, outside, peer } = places;
    [
        "[[resource]]\n".to_owned(),
        quoted("name", resource),
        quoted("remote", remote),
        quoted("bsr", bsr),
        quoted("inside", inside),
        quoted("outside", outside),
        quoted("peer", peer),
    ]
    .concat()
}

fn quoted(key: &str, value: &dyn Display) -> String {
    format!("{key} = \"{value}\"\n")
}

impl Node for Process {
    fn report(&self) -> Result<RelayReport, String> {
        let report = self.ask(&json!({ "command": "report" }))?;
        serde_json::from_value(report).map_err(|error| error.to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("--- the last lines of {} ---\n{}{}", self.name, self.log().tail(TAIL), self.errors());
        }
        if let Some(child) = &mut self.child {
            // One that has ended already needs no killing, but is waited for.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Lines of the log that a test that failed shows.
const TAIL: usize = 60;
