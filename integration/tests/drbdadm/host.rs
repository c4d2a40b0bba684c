//! A host with `drbdadm`, its resource file and its relay.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use drx_integration::block::Block;
use drx_integration::pair::{Places, places};
use drx_integration::process::Process;
use drx_integration::programs::{bsr_proxy_ctl, directory};
use tempfile::TempDir;

/// Which drbdadm: `drbdadm` itself becomes the older one when the kernel's DRBD is of that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// DRBD 9's.
    Nine,
    /// DRBD 8.4's.
    EightFour,
}

impl Tool {
    pub const ALL: [Tool; 2] = [Tool::Nine, Tool::EightFour];

    fn program(self) -> &'static str {
        match self {
            Tool::Nine => "drbdadm",
            Tool::EightFour => "/lib/drbd/drbdadm-84",
        }
    }
}

/// A host: its name, its relay, and its resource file.
pub struct Host {
    pub name: &'static str,
    pub relay: Process,
    pub tool: Tool,
    files: TempDir,
}

impl Host {
    /// With a relay that is told of no resource.
    pub fn new(name: &'static str) -> Host {
        Host::with(Tool::Nine, name)
    }

    /// The same with this drbdadm.
    pub fn with(tool: Tool, name: &'static str) -> Host {
        let relay = Process::start_empty(name, &["restart.max=200ms"]);
        Host { name, relay, tool, files: tempfile::tempdir().unwrap() }
    }

    /// Replaces its resource file.
    pub fn file(&self, text: &str) {
        // An address of 127.0.0.0/8 is this machine's without being on an interface, which drbdadm would miss.
        let global = "global { usage-count no; disable-ip-verification; }";
        fs::write(self.at("r0.res"), format!("{global}\n{text}")).unwrap();
    }

    /// Runs drbdadm as this host; none: it is not installed.
    pub fn drbdadm(&self, arguments: &[&str]) -> Option<Output> {
        let mut command = Command::new("timeout");
        command.env_clear().env("PATH", format!("{}:/usr/sbin:/sbin:/usr/bin:/bin", directory().display()));
        command.env("__DRBD_NODE__", self.name).env("DRX_CONTROL__SOCKET", self.relay.socket());
        // `drbdsetup show r0` prints the files `show` and `r0`, if they are there, and whatever else it is to do fails.
        command.current_dir(self.files.path()).args(["60", self.tool.program(), "--drbdsetup", "/bin/cat"]);
        command.args(["--drbdmeta", "/bin/false", "--config-file", "r0.res"]).args(arguments);
        let output = command.stdin(Stdio::null()).output().unwrap();
        if output.status.code() == Some(127) {
            assert!(std::env::var_os("REQUIRE_TOOLS").is_none(), "no {}", self.tool.program());
            println!("skipped: no {}", self.tool.program());
            return None;
        }
        Some(output)
    }

    /// The same, which must succeed, without a word of our program's.
    #[track_caller]
    pub fn adm(&self, arguments: &[&str]) -> Option<()> {
        let output = self.drbdadm(arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && !said.contains("proxy-ctl"),
            "{arguments:?}: {}\n{said}",
            output.status
        );
        Some(())
    }

    /// What the kernel has from now on, as `drbdsetup show` says it.
    pub fn kernel(&self, text: &str) {
        fs::write(self.at("show"), text).unwrap();
        fs::write(self.at("r0"), "").unwrap();
    }

    fn at(&self, file: &str) -> PathBuf {
        self.files.path().join(file)
    }

    /// Runs `bsr-proxy-ctl`.
    #[track_caller]
    pub fn ctl(&self, command: &str) -> String {
        let mut ctl = Command::new(bsr_proxy_ctl());
        let output =
            ctl.env_clear().arg("--socket").arg(self.relay.socket()).args(["-c", command]).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until the log has everything that has happened: it is written later, but in order.
    #[track_caller]
    pub fn settle(&self) {
        let lines = self.relay.log_lines();
        self.ctl("set loglevel trace");
        self.ctl("set loglevel debug");
        self.relay.until_logged(lines, &["log.level, value: debug"]);
    }

    /// What the relay logged at `info` and above since a moment: neither the steps of channels nor what `settle` does.
    pub fn log_since(&self, lines: usize) -> Vec<String> {
        let noise = ["DEBG", "TRCE", "transition", "trying again", "can be reached again", "key: log.level"];
        let log = self.relay.log().since(lines);
        log.lines().filter(|line| !noise.iter().any(|word| line.contains(word))).map(str::to_owned).collect()
    }
}

/// Both sides' addresses, in the words of a resource file.
pub struct Words {
    /// The relays' places.
    pub places: [Places; 2],
    tool: Tool,
    _block: Block,
}

impl Words {
    pub fn new() -> Words {
        Words::for_tool(Tool::Nine)
    }

    /// In the words of this drbdadm.
    pub fn for_tool(tool: Tool) -> Words {
        let block = Block::take();
        Words { places: places(&block), tool, _block: block }
    }

    /// `inside` and `outside` of a side.
    fn proxy(&self, side: usize) -> String {
        let Places { inside, outside, .. } = &self.places[side];
        format!("inside {inside}; outside {outside};")
    }

    /// 8.4 style, with these lines in the resource and in `options` of node1's proxy.
    pub fn old(&self, resource: &str, options: &str) -> String {
        let on = |side: usize, options: &str| {
            let Places { node, bsr, .. } = &self.places[side];
            let proxy = self.proxy(side);
            let id = if self.tool == Tool::Nine { format!("node-id {side};") } else { String::new() };
            let options = if options.is_empty() { String::new() } else { format!("options {{ {options} }}") };
            format!("  on {node} {{ {id} address {bsr}; proxy on {node} {{ {proxy} {options} }} }}\n")
        };
        format!(
            "resource r0 {{\n  protocol A;\n  device /dev/drbd1; disk /dev/sda1; meta-disk internal;\n  \
             {resource}\n{}{}}}\n",
            on(0, options),
            on(1, "")
        )
    }

    /// The same in 9 style.
    pub fn new_style(&self, resource: &str, options: &str) -> String {
        let on = |side: usize| {
            let Places { node, bsr, .. } = &self.places[side];
            format!("  on {node} {{ node-id {side}; address {bsr}; }}\n")
        };
        let via = |side: usize, options: &str| {
            let (node, proxy) = (&self.places[side].node, self.proxy(side));
            format!("    host {node} via proxy on {node} {{ {proxy} options {{ {options} }} }}\n")
        };
        format!(
            "resource r0 {{\n  net {{ protocol A; }}\n  device /dev/drbd1; disk /dev/sda1; meta-disk internal;\n  \
             {resource}\n{}{}  connection {{\n{}{}  }}\n}}\n",
            on(0),
            on(1),
            via(0, options),
            via(1, "")
        )
    }

    /// What the kernel of node1 would say when everything is up.
    pub fn kernel(&self) -> String {
        let Places { bsr, inside, .. } = &self.places[0];
        let volume = "volume 0 { device minor 1; disk \"/dev/sda1\"; meta-disk internal; }";
        match self.tool {
            Tool::Nine => format!(
                "resource \"r0\" {{ _this_host {{ node-id 0; {volume} }}\n connection {{ _peer_node_id 1;\n path {{ \
                 _this_host ipv4 {bsr}; _remote_host ipv4 {inside}; }}\n net {{ protocol A; _name \"node2\"; }} }} }}\n"
            ),
            Tool::EightFour => format!(
                "resource r0 {{ options {{ }}\n net {{ protocol A; }}\n _remote_host {{ address ipv4 {inside}; }}\n \
                 _this_host {{ address ipv4 {bsr}; {volume} }} }}\n"
            ),
        }
    }

    /// What `show` says of it at node1.
    pub fn shown(&self, settings: &[&str]) -> String {
        let Places { inside, peer, outside, bsr, .. } = &self.places[0];
        let mut lines = vec![format!("add connection {NAME} {inside} {peer} {outside} {bsr}\n")];
        lines.extend(settings.iter().map(|setting| format!("set {setting}\n")));
        lines.concat()
    }
}

/// The connection at node1.
pub const NAME: &str = "r0-node2-node1";
