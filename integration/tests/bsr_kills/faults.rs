//! What can happen, and how it becomes well again.

use std::thread;
use std::time::Duration;

use drx_bsr::shell::control::Request;
use drx_bsr::shell::status::Report;
use drx_integration::forwarder::{End, Hole};

use crate::world::{World, is_well};

impl World {
    /// Something, at any moment of whatever is going on.
    pub fn happen(&mut self) {
        let primary = self.primary.expect("there is a primary");
        match self.chance.u8(..20) {
            0..6 => self.kill_primary(),
            6..9 => {
                self.kill(1 - primary);
                self.write(24);
            }
            9..11 => self.kill_both(),
            11..14 => self.cut(),
            14 => self.be_away(),
            15 => self.fall_silent(),
            16 => self.hang(primary),
            17 => self.hang(1 - primary),
            _ => {
                // The one in the midst of what follows the other.
                self.cut();
                self.moment(20);
                let victim = self.chance.usize(..2);
                self.kill(victim);
            }
        }
    }

    /// Everything runs, there is a primary, and it is used.
    pub fn recover(&mut self) {
        if self.primary.is_some() {
            self.restart_all();
        } else if self.chance.bool() {
            // Who had everything goes on at once, whether the other one is there or not.
            let authority = self.authority;
            self.restart(authority);
            self.ordered(authority, &Request::Primary { force: false });
            self.primary = Some(authority);
            self.say(format!("node{authority} goes on"));
            self.start_load();
            self.write(24);
            self.restart_all();
        } else {
            self.restart_all();
            // A node that is just being resynced, too, may be primary: it reads from the other one what it has not yet.
            let resyncs = self.era.protocol == 'C' && self.chance.bool();
            match resyncs {
                true => self.until_both("connected", |report| CONNECTED.contains(&&*report.connection)),
                false => self.until_well(),
            }
            let new = self.chance.usize(..2);
            self.ordered(new, &Request::Primary { force: false });
            self.primary = Some(new);
            let report = self.nodes[new].status().unwrap();
            self.leans = report.disk != "UpToDate";
            self.say(format!("node{new} goes on, it is {}", words(&report)));
        }
        if self.load.is_none() {
            self.start_load();
        }
    }

    fn restart_all(&mut self) {
        let first = self.chance.usize(..2);
        for node in [first, 1 - first] {
            self.restart(node);
            self.moment(5);
        }
    }

    fn restart(&mut self, node: usize) {
        if !self.nodes[node].runs() {
            self.say(format!("node{node} restarts"));
            self.nodes[node].start();
        }
    }

    fn kill(&mut self, node: usize) {
        let report = self.nodes[node].status().unwrap();
        self.nodes[node].kill();
        self.tale.count("kills", 1);
        self.say(format!("node{node} is killed, it was {}", words(&report)));
        if self.primary == Some(node) {
            self.stop_load(false);
            self.primary = None;
            // A primary whose disk was not good yet had nothing that the other one has not.
            self.authority = if report.disk == "UpToDate" { node } else { 1 - node };
        }
    }

    fn kill_both(&mut self) {
        let first = self.chance.usize(..2);
        self.kill(first);
        self.moment(5);
        self.kill(1 - first);
    }

    /// The primary dies; if the other node has all that was acknowledged, it may take over.
    fn kill_primary(&mut self) {
        let primary = self.primary.expect("there is a primary");
        let other = 1 - primary;
        let [here, there] = [primary, other].map(|node| self.nodes[node].status().unwrap());
        let complete = self.has_all(&here, &there);
        self.kill(primary);
        let alone = self.nodes[other].until("alone", |report| report.connection == "WFConnection");
        // With protocol A it may have fallen behind in the last moment, and was told so.
        let complete = complete && (self.era.is_safe() || alone.disk == "UpToDate");
        if complete && self.chance.u8(..4) > 0 {
            self.take_over(other);
        } else if alone.disk != "UpToDate" {
            let refused = self.nodes[other].order(&Request::Primary { force: false });
            assert!(refused.is_err(), "a node takes over that has not all data; {}", self.told());
            self.tale.count("takeovers refused", 1);
        }
    }

    /// Whether the other node gets every write before it is acknowledged, and both know it.
    fn has_all(&self, here: &Report, there: &Report) -> bool {
        let replicates = ["Connected", "SyncTarget"].contains(&&*here.connection);
        match self.era.is_safe() {
            true => replicates && here.peer_disk == "UpToDate" && there.disk == "UpToDate",
            false => is_well(here) && is_well(there),
        }
    }

    fn take_over(&mut self, node: usize) {
        self.ordered(node, &Request::Primary { force: false });
        (self.primary, self.authority) = (Some(node), node);
        self.say(format!("node{node} takes over"));
        self.tale.count("takeovers", 1);
        let mut nbd = self.nodes[node].nbd();
        let volume = nbd.read_all().unwrap();
        nbd.leave().unwrap();
        // Protocol A may lose the last moments, but not one of them and keep what came after it.
        let until = (!self.era.is_safe()).then(|| self.model.lock().unwrap().last_seen(&volume));
        self.settle(&volume, until);
        self.start_load();
        self.write(24);
    }

    /// Connections end: those that one node has dialled, or all.
    fn cut(&mut self) {
        let which = [0..1, 1..2, 0..2][self.chance.usize(..3)].clone();
        let end = [End::Reset, End::Finish][self.chance.usize(..2)];
        self.say(format!("ways {which:?} are cut: {end:?}"));
        self.ways[which].iter().for_each(|way| way.cut(end));
        self.tale.count("cuts", 1);
    }

    /// The line is away for a while, in which the primary goes on alone.
    fn be_away(&mut self) {
        self.say("the line goes away");
        self.ways.iter().for_each(|way| way.close());
        self.write(24);
        self.ways.iter().for_each(|way| way.open());
        self.tale.count("times without a line", 1);
    }

    /// Nothing gets through: for a moment, or for so long that both nodes give up. What was sent comes out later.
    fn fall_silent(&mut self) {
        let long = self.chance.bool();
        self.say(format!("the line is silent, long: {long}"));
        // One that is long is for new connections, too: else it would be over before both have noticed.
        let hole = Hole { new: long || self.chance.bool(), ..Hole::WHOLE };
        self.ways.iter().for_each(|way| way.block(hole));
        if long {
            let given_up =
                |report: &Report| ["WFConnection", "WFReportParams"].contains(&&*report.connection);
            self.until_both("given up", given_up);
            self.write(24);
        } else {
            self.moment(400);
        }
        self.ways.iter().for_each(|way| way.unblock());
        self.tale.count("silences", 1);
    }

    /// A node does nothing: for a moment, or for so long that the other one gives up.
    fn hang(&mut self, node: usize) {
        let long = self.chance.bool();
        self.say(format!("node{node} hangs, long: {long}"));
        self.nodes[node].hang();
        if long {
            self.nodes[1 - node].until("given up", |report| report.connection == "WFConnection");
            if self.primary != Some(node) {
                self.write(24);
            }
        } else {
            self.moment(400);
        }
        self.nodes[node].go_on();
        self.tale.count("hangs", 1);
    }

    /// So many milliseconds at most: how long a fault lasts, not how long something is waited for.
    fn moment(&mut self, most: u64) {
        thread::sleep(Duration::from_micros(self.chance.u64(..most * 1000)));
    }
}

fn words(report: &Report) -> String {
    format!("{} {} {}/{}", report.role, report.connection, report.disk, report.peer_disk)
}

/// Whoever is so knows whose data counts.
const CONNECTED: [&str; 3] = ["Connected", "SyncSource", "SyncTarget"];
