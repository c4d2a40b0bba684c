//! A node as it runs: a process with its files.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub const LIMIT: Duration = Duration::from_secs(60);

/// It is killed with its test.
pub struct Program {
    dir: TempDir,
    pub config: PathBuf,
    running: Option<Child>,
}

impl Program {
    /// `more` is for the section `[net]`.
    pub fn new(id: u32, address: SocketAddr, peer: SocketAddr, more: &str) -> Program {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("node.toml");
        let text = format!(
            "name = \"n{id}\"\nnode-id = {id}\npeer-node-id = {}\nvolume = \"disk.img\"\nmetadata = \"disk.meta\"\n\
             socket = \"sock\"\naddress = \"{address}\"\npeer = \"{peer}\"\n[net]\nconnect-int = 1\nping-int = 1\n\
             ping-timeout = 5\nsocket-check-timeout = 1\n{more}\n",
            1 - id
        );
        fs::write(&config, text).unwrap();
        Program { dir, config, running: None }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drx-bsr"));
        command.arg("-c").arg(&self.config).args(arguments).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
    }

    /// What it prints when it succeeds.
    #[track_caller]
    pub fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {complained}{}", self.log());
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it complains of when it does not: one line.
    #[track_caller]
    pub fn complaint(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let complained = String::from_utf8(output.stderr).unwrap();
        let status = output.status.code();
        assert!(matches!(status, Some(1..=3)), "{status:?} {arguments:?}: {complained}{}", self.log());
        assert!(complained.starts_with("drx-bsr: "), "{complained}");
        complained
    }

    /// Returns when it says that it is ready.
    #[track_caller]
    pub fn up(&mut self, options: &[&str]) {
        let complaint = self.tries_up(options);
        assert_eq!(complaint, None, "{}", self.log());
    }

    /// Returns when it says that it is ready; or what it complains of.
    pub fn tries_up(&mut self, options: &[&str]) -> Option<String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drx-bsr"));
        command.arg("-c").arg(&self.config).arg("up").arg("--log").arg(self.path("log")).args(options);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (mut complaints, mut complaint) = (child.stderr.take().unwrap(), String::new());
        let mut out = BufReader::new(child.stdout.take().unwrap());
        self.running = Some(child);
        let (said, saying) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let _ = out.read_line(&mut line);
            let _ = said.send(line);
        });
        if saying.recv_timeout(LIMIT).unwrap() == "ready\n" {
            return None;
        }
        // It has ended, or is about to.
        complaints.read_to_string(&mut complaint).unwrap();
        self.kill();
        Some(complaint)
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The log has a line with all these words, behind what it had before.
    #[track_caller]
    pub fn tells(&self, before: usize, words: &[&str]) {
        let told = |log: &str| {
            log.get(before..)
                .unwrap_or_default()
                .lines()
                .any(|line| words.iter().all(|words| line.contains(words)))
        };
        let told = eventually(|| told(&self.log()));
        assert!(told, "{words:?} is nowhere in: {}", self.log().get(before..).unwrap_or_default());
    }

    pub fn status(&self) -> Value {
        serde_json::from_str(&self.done(&["status", "--json"])).unwrap()
    }

    /// Memory in KiB.
    pub fn resident(&self) -> u64 {
        let id = self.running.as_ref().unwrap().id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// How many files it has open.
    pub fn files(&self) -> usize {
        let id = self.running.as_ref().unwrap().id();
        fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether it comes to be so within the limit.
pub fn eventually(mut is: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        if is() {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}
