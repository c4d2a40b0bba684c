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
    /// A new one, in which no packet is refused for the way it came.
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
            // What comes out of the line comes from another side than the answer will go to.
            for of in ["all", "default"] {
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

    /// Gives an interface an address, which can be used at once, and with it the network of 256 addresses or of 64
    /// bits that this is in.
    #[track_caller]
    pub fn add_address(&self, interface: &str, ip: IpAddr) {
        // Nobody else has it: it is not looked for first, which takes a second or two with IPv6.
        let rest = if ip.is_ipv4() { "/24" } else { "/64 nodad" };
        self.ip(&format!("addr add {ip}{rest} dev {interface}"));
    }

    /// Gives an interface a second address, by which this host is known for something. The kernel does not choose it
    /// for what is dialled from no particular address.
    #[track_caller]
    pub fn add_service(&self, interface: &str, ip: IpAddr) {
        // IPv4 chooses what came first. IPv6 would choose what is most like the address that is dialled.
        let rest = if ip.is_ipv4() { "/32" } else { "/128 nodad preferred_lft 0" };
        self.ip(&format!("addr add {ip}{rest} dev {interface}"));
    }

    /// Takes the second address away.
    #[track_caller]
    pub fn remove_service(&self, interface: &str, ip: IpAddr) {
        self.ip(&format!("addr del {ip}/{} dev {interface}", if ip.is_ipv4() { 32 } else { 128 }));
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
