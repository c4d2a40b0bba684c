//! What /proc says of a process.

use std::fs;

use crate::wait::{LIMIT, until};

/// A process at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Open file descriptors.
    pub files: usize,
    /// Sockets among them.
    pub sockets: usize,
    /// Threads.
    pub threads: u64,
    /// Resident memory, bytes.
    pub resident: u64,
    /// The most it ever was, bytes.
    pub peak: u64,
}

impl Figures {
    /// Those of a process that runs, once it opens and closes nothing any more: the end of a question over
    /// the control socket, say, which its asker does not wait for.
    pub fn settled(pid: u32) -> Figures {
        let (mut last, mut same) = (Figures::of(pid), 0);
        until(format_args!("the files of process {pid} stay the same"), LIMIT, || {
            let now = Figures::of(pid);
            same = if now.files == last.files { same + 1 } else { 0 };
            last = now;
            (same >= LOOKS).then_some(now)
        })
    }

    /// Those of a process that runs.
    pub fn of(pid: u32) -> Figures {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel says it");
            line.trim_end_matches("kB").trim().parse::<u64>().expect("a number")
        };
        let links: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd"))
            .expect("the process is ours")
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .collect();
        let sockets = links.iter().filter(|link| link.to_string_lossy().starts_with("socket:")).count();
        Figures {
            files: links.len(),
            sockets,
            threads: number("Threads:"),
            resident: number("VmRSS:") * 1024,
            peak: number("VmHWM:") * 1024,
        }
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "{} files, {} sockets, {} threads, {:.1} MiB resident, {:.1} MiB at most",
            self.files,
            self.sockets,
            self.threads,
            mib(self.resident),
            mib(self.peak)
        )
    }
}

/// Looks without a change, some 100 ms.
const LOOKS: u32 = 30;
