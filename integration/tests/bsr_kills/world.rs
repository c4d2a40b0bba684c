//! Two nodes, the line between them, and an application on whichever is primary.

use std::fs;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use drx_bsr::shell::control::Request;
use drx_bsr::shell::status::Report;
use drx_integration::application::{End, Load, Model, SECTOR};
use drx_integration::block::Block;
use drx_integration::forwarder::Forwarder;
use drx_integration::node::{Peer, Told, first_difference};
use drx_integration::wait::LIMIT;
use fastrand::Rng;

use crate::tale::Tale;

/// What both nodes are told for as long as a world lives.
pub struct Era {
    pub protocol: char,
    bsr: bool,
    net: String,
    disk: String,
    bytes: u64,
}

pub struct World {
    pub era: Era,
    pub chance: Rng,
    pub nodes: [Peer; 2],
    /// The way by which node 0, node 1 dials.
    pub ways: [Forwarder; 2],
    pub model: Arc<Mutex<Model>>,
    /// Which node applications use.
    pub primary: Option<usize>,
    /// Which node certainly has all that was acknowledged.
    pub authority: usize,
    pub load: Option<Load>,
    /// The primary's own disk was not good when it became primary: without the other node its requests may fail.
    pub leans: bool,
    pub tale: Tale,
    /// What happened, for whoever has to understand it.
    story: Vec<String>,
    _block: Block,
}

impl Era {
    pub fn any(chance: &mut Rng) -> Era {
        let protocol = ['A', 'B', 'C', 'C', 'C', 'C'][chance.usize(..6)];
        // Short times: a line that is silent is noticed after 2 s.
        let mut net = format!(
            "protocol = \"{protocol}\"\nconnect-int = 1\nping-int = 1\nping-timeout = 10\nsocket-check-timeout = 2\n\
             verify-alg = \"crc32c\"\n"
        );
        let mut also = |chance: &mut Rng, of: u8, line: &str| {
            if chance.u8(..of) == 0 {
                net += line;
                net += "\n";
            }
        };
        also(chance, 3, "csums-alg = \"md5\"");
        also(chance, 3, "data-integrity-alg = \"crc32c\"");
        also(chance, 3, "use-rle = false");
        also(chance, 3, "cram-hmac-alg = \"sha256\"\nshared-secret = \"geheim\"");
        also(chance, 4, "max-epoch-size = 3");
        also(chance, 4, "protocol-max = 96");
        if protocol == 'A' {
            also(chance, 2, "on-congestion = \"pull-ahead\"\ncongestion-fill = \"256k\"");
        }
        let disk = format!(
            "disk-flushes = {}\nal-extents = {}\nc-max-rate = {}\nresync-window = \"{}\"\n",
            chance.bool(),
            chance.u8(7..12),
            ["0", "\"200M\"", "\"60M\""][chance.usize(..3)],
            ["256k", "4M"][chance.usize(..2)],
        );
        // More extents than the activity log has places; the last one, and the last block, are not whole.
        let bytes = (chance.u64(33..41) << 20) + chance.u64(..16) * SECTOR as u64;
        Era { protocol, bsr: chance.bool(), net, disk, bytes }
    }

    /// What was acknowledged is on the other node as soon as it is, even if that alone survives.
    pub fn is_safe(&self) -> bool {
        self.protocol != 'A'
    }
}

impl World {
    pub fn new(era: Era, mut chance: Rng) -> World {
        let block = Block::take();
        let address = |node: u8| block.address(11 + node, 7789);
        let ways = [0, 1].map(|node| Forwarder::new(block.address(31 + node, 7780), address(1 - node)));
        let mut nodes = [0, 1].map(|node: u8| {
            Peer::new(&Told {
                name: format!("node{node}"),
                ids: era.bsr.then(|| (node.into(), (1 - node).into())),
                address: address(node),
                peer: ways[usize::from(node)].address(),
                // The forwarder dials from an address of its own.
                verify_ip: false,
                bytes: era.bytes,
                net: era.net.clone(),
                disk: era.disk.clone(),
            })
        });
        nodes.iter_mut().for_each(Peer::start);
        let model = Model::new(usize::try_from(era.bytes).unwrap() / SECTOR);
        let first = chance.usize(..2);
        let mut world = World {
            era,
            chance,
            nodes,
            ways,
            model: Arc::new(Mutex::new(model)),
            primary: None,
            authority: first,
            load: None,
            leans: false,
            tale: Tale::default(),
            story: Vec::new(),
            _block: block,
        };
        let text = format!("{}{}{} bytes", world.era.net, world.era.disk, world.era.bytes);
        world.say(text);
        world.until_both("connected", |report| report.connection == "Connected");
        // Nobody has data yet: one side has to be called good.
        assert_eq!(world.nodes[first].order(&Request::Primary { force: true }), Ok(()));
        world.primary = Some(first);
        world.start_load();
        world
    }

    pub fn say(&mut self, what: impl Into<String>) {
        self.story.push(what.into());
    }

    /// One thing happens, and what died lives again.
    pub fn round(&mut self) {
        self.write(48);
        self.happen();
        self.recover();
        if self.chance.u8(..3) > 0 {
            self.until_well();
        }
    }

    /// Waits until so many requests at most were answered.
    pub fn write(&mut self, most: u64) {
        let more = self.chance.u64(..=most);
        let Some(load) = &self.load else { return };
        let goal = load.answers() + more;
        // Who has read something wrong says so when it is joined.
        self.wait("requests to be answered", || load.answers() >= goal || load.has_ended());
    }

    pub fn start_load(&mut self) {
        let primary = self.primary.expect("there is a primary");
        let (nbd, status) = (self.nodes[primary].nbd(), self.nodes[primary].status_from_afar());
        // One that is gone is noticed by the next request.
        let in_flight = move || status().map_or(0, |report| report.in_flight);
        self.load = Some(Load::start(nbd, in_flight, Arc::clone(&self.model), self.chance.fork()));
    }

    /// Lets the application end, whose node lives (or was killed).
    pub fn stop_load(&mut self, lives: bool) {
        let Some(load) = self.load.take() else { return };
        let answers = load.answers();
        let (end, errors) = load.stop();
        assert_eq!(end == End::Told, lives, "the application's server is there; {}", self.told());
        assert!(errors == 0 || self.leans, "{errors} requests have failed; {}", self.told());
        self.leans = false;
        self.tale.count("requests", answers);
        self.tale.count("failed requests", errors);
    }

    /// Both are connected, and both disks are good.
    pub fn until_well(&mut self) {
        self.until_both("well", is_well);
    }

    pub fn until_both(&self, what: &str, condition: impl Fn(&Report) -> bool) {
        self.wait(what, || {
            self.nodes.iter().all(|node| {
                let report = node.status().unwrap();
                assert_ne!(report.connection, "StandAlone", "nobody has ordered that; {}", self.told());
                condition(&report)
            })
        });
    }

    /// Waits for it, or tells all there is to tell.
    pub fn wait(&self, what: &str, condition: impl Fn() -> bool) {
        let began = Instant::now();
        while !condition() {
            assert!(began.elapsed() < LIMIT, "waited for {what} in vain; {}", self.told());
            thread::sleep(BETWEEN);
        }
    }

    /// No faults, and nobody writes: both volumes are the same, and what they ought to be.
    pub fn calm(&mut self) {
        self.stop_load(true);
        // Well, and nothing under way any more.
        self.until_both("calm", |report| is_well(report) && report.in_flight == 0 && report.requests == 0);
        if self.chance.u8(..3) == 0 {
            self.verify();
        }
        for report in self.nodes.iter().map(|node| node.status().unwrap()) {
            assert_eq!(report.out_of_sync, 0, "{}", self.told());
        }
        let [one, two] = self.nodes.each_ref().map(Peer::volume);
        let difference = || first_difference(&one, &two).map(|at| at / SECTOR);
        if self.era.protocol == 'B' {
            // What it has received, a node may still have to write.
            self.wait("both volumes to be the same", || difference().is_none());
        }
        assert_eq!(difference(), None, "the first sector that differs; {}", self.told());
        let volume = fs::read(one).unwrap();
        self.settle(&volume, None);
        self.tale.count("comparisons", 1);
        self.say("calm");
        if self.chance.bool() {
            self.switch();
        }
        self.start_load();
    }

    /// The volume is as the model knows it, and the model knows from now on that it is so. With `until`, what was
    /// acknowledged later may be lost.
    pub fn settle(&mut self, volume: &[u8], until: Option<u64>) {
        let mut model = self.model.lock().unwrap();
        let checked = model.check(0, volume, until.unwrap_or(model.now()));
        if let Err(what) = checked {
            drop(model);
            panic!("{what}; {}", self.told());
        }
        model.settle(volume);
    }

    fn verify(&mut self) {
        let primary = self.primary.expect("there is a primary");
        assert_eq!(self.nodes[primary].order(&Request::Verify {}), Ok(()), "{}", self.told());
        self.until_both("verified", |report| {
            is_well(report) && report.verify.is_some_and(|verify| !verify.running && verify.left == 0)
        });
        let verify = self.nodes[primary].status().unwrap().verify.unwrap();
        assert_eq!(verify.different, 0, "{}", self.told());
        self.tale.count("verifies", 1);
    }

    /// The primary steps down, and the other node, or itself again, comes next.
    fn switch(&mut self) {
        let (old, new) = (self.primary.expect("there is a primary"), self.chance.usize(..2));
        self.ordered(old, &Request::Secondary {});
        self.ordered(new, &Request::Primary { force: false });
        (self.primary, self.authority) = (Some(new), new);
        self.say(format!("node{new} after node{old}"));
        self.tale.count("switches", 1);
    }

    /// Orders it until it is done: between two states it is refused.
    pub fn ordered(&self, node: usize, request: &Request) {
        let what = format!("node{node} to do {request:?}");
        self.wait(&what, || {
            let done = self.nodes[node].order(request).is_ok();
            if !done {
                thread::sleep(AGAIN);
            }
            done
        });
    }

    /// For who has to understand what went wrong.
    pub fn told(&self) -> String {
        let status = |node: &Peer| node.status().map_or_else(|error| error, |report| report.to_string());
        let tail = self.story.len().saturating_sub(STORY).max(1);
        format!(
            "{}\n{}{}{}",
            self.story[0],
            self.story[tail..].iter().map(|line| format!("  {line}\n")).collect::<String>(),
            status(&self.nodes[0]),
            status(&self.nodes[1])
        )
    }

    pub fn end(mut self) -> Tale {
        self.stop_load(true);
        for node in &self.nodes {
            let (log, errors) = (node.log(), node.errors());
            assert!(!log.says(&["CRIT"]) && !log.says(&["protocol error"]), "{log}");
            assert_eq!(errors, "");
        }
        self.tale
    }
}

pub fn is_well(report: &Report) -> bool {
    report.connection == "Connected" && report.disk == "UpToDate" && report.peer_disk == "UpToDate"
}

/// Between two looks at a condition.
const BETWEEN: Duration = Duration::from_millis(3);
/// Between two orders: each is in the log.
const AGAIN: Duration = Duration::from_millis(30);
/// Lines of the story that are told.
const STORY: usize = 16;
