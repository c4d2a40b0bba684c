//! One host: a network namespace.
//!
//! It has a name only while it is made. What keeps it is a descriptor of this process and the processes in it, so
//! that nothing is left of it, however a test ends.

use std::fs::{self, File};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace, with its loopback up.
#[derive(Debug)]
pub struct Namespace {
    file: File,
}

impl Namespace {
    /// A new one. New addresses in it can be used at once, and no packet is refused for the way it came.
    ///
    /// # Panics
    /// `ip netns` or a setting fails.
    #[track_caller]
    pub fn new() -> Namespace {
        let name = format!("drx-{}-{}", process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        ip(&["netns", "add", &name]);
        let file = File::open(format!("/run/netns/{name}"));
        ip(&["netns", "del", &name]);
        let namespace = Namespace { file: file.unwrap() };
        namespace.enter(|| {
            // Otherwise an IPv6 address is tentative for a second or two.
            for of in ["all", "default"] {
                set(&format!("ipv6/conf/{of}/accept_dad"), "0");
                set(&format!("ipv4/conf/{of}/rp_filter"), "0");
            }
        });
        namespace.ip("link set lo up");
        namespace
    }

    /// Packets are passed on here, as by a router.
    #[track_caller]
    pub fn forward(&self) {
        self.enter(|| {
            set("ipv4/ip_forward", "1");
            set("ipv4/conf/all/send_redirects", "0");
            set("ipv6/conf/all/forwarding", "1");
        });
    }

    /// Does something as on this host: sockets, processes, files of /proc/thread-self are its own.
    ///
    /// # Panics
    /// As `work` does.
    #[track_caller]
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        };
        // A thread of its own: there is no way back that could be forgotten.
        let done = thread::scope(|scope| scope.spawn(inside).join());
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Runs `ip` on this host; its output.
    ///
    /// # Panics
    /// It fails.
    #[track_caller]
    pub fn ip(&self, arguments: &str) -> String {
        let arguments: Vec<_> = arguments.split(' ').collect();
        self.enter(|| ip(&arguments))
    }

    /// Gives an interface an address: `10.77.1.2/24`, `fd77::1/64`.
    #[track_caller]
    pub fn add_address(&self, interface: &str, address: IpAddr, prefix: u8) {
        self.ip(&format!("addr add {address}/{prefix} dev {interface}"));
    }

    /// Takes an address from an interface.
    #[track_caller]
    pub fn remove_address(&self, interface: &str, address: IpAddr, prefix: u8) {
        self.ip(&format!("addr del {address}/{prefix} dev {interface}"));
    }

    /// The kernel's number of an interface: the scope of its link-local addresses.
    #[track_caller]
    pub fn index(&self, interface: &str) -> u32 {
        // "7: lan@if3: <BROADCAST,…"
        let shown = self.ip(&format!("-oneline link show dev {interface}"));
        shown.split(':').next().and_then(|number| number.parse().ok()).expect("a number at the beginning")
    }

    /// Joins an interface of this host and one of another by a cable. Both are up.
    #[track_caller]
    pub fn wire(&self, interface: &str, other: &Namespace, others: &str) {
        let there = format!("/proc/{}/fd/{}", process::id(), other.file.as_raw_fd());
        self.ip(&format!("link add {interface} type veth peer name {others} netns {there}"));
        self.ip(&format!("link set {interface} up"));
        other.ip(&format!("link set {others} up"));
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Namespace::new()
    }
}

#[track_caller]
fn ip(arguments: &[&str]) -> String {
    let output = Command::new("ip").args(arguments).output().expect("ip runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {errors}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

/// A setting of the namespace that this thread is in.
#[track_caller]
fn set(key: &str, value: &str) {
    let path = format!("/proc/sys/net/{key}");
    fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// Names are used for a moment, and never twice.
static MADE: AtomicU32 = AtomicU32::new(0);
