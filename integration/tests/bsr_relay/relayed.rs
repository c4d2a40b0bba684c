//! Two nodes, and the two relays between them.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use drx_bsr::shell::control::Request;
use drx_bsr::shell::status::Report;
use drx_integration::application::{End, Load, Model, SECTOR};
use drx_integration::node::{Peer, Told, first_difference};
use drx_integration::pair::Pair;
use drx_integration::process::Process;
use drx_integration::seed::seed;
use drx_integration::wait::{LIMIT, until};
use fastrand::Rng;

/// What is to be replicated, and how.
pub struct Plan<'a> {
    /// A, B or C.
    pub protocol: char,
    /// The nodes open as DRBD does: both data first.
    pub drbd: bool,
    /// Of both relays.
    pub relays: &'a [&'a str],
    /// Further lines of the nodes' `[net]`.
    pub net: &'a str,
    /// Of the volume.
    pub bytes: u64,
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Plan { protocol: 'C', drbd: false, relays: &["restart.max=200ms"], net: "", bytes: 16 << 20 }
    }
}

pub struct Relayed {
    pub pair: Pair<Process>,
    pub nodes: [Peer; 2],
    pub model: Arc<Mutex<Model>>,
    pub primary: usize,
    load: Option<Load>,
    chance: Rng,
    /// Why the last session had ended when they were all well for the first time.
    breaks: [Option<String>; 2],
}

impl Relayed {
    /// Both nodes are connected, and both disks are good; the first one is primary.
    #[track_caller]
    pub fn new(plan: &Plan) -> Relayed {
        let mut pair = Pair::of_processes(plan.relays);
        let Plan { protocol, net, bytes, .. } = plan;
        let mut node = |number: u8| {
            let site = if number == 0 { &mut pair.one } else { &mut pair.two };
            // The port is the node's.
            site.bsr.deafen();
            let mut node = Peer::new(&Told {
                name: site.places.node.clone(),
                ids: (!plan.drbd).then(|| (number.into(), (1 - number).into())),
                address: site.places.bsr,
                peer: site.places.inside,
                verify_ip: true,
                bytes: *bytes,
                net: format!("protocol = \"{protocol}\"\nverify-alg = \"crc32c\"\nconnect-int = 1\n{net}"),
                disk: "c-max-rate = 0".to_owned(),
            });
            node.start();
            node
        };
        let nodes = [node(0), node(1)];
        let sectors = usize::try_from(*bytes).unwrap() / SECTOR;
        let mut relayed = Relayed {
            pair,
            nodes,
            model: Arc::new(Mutex::new(Model::new(sectors))),
            primary: 0,
            load: None,
            chance: Rng::with_seed(seed()),
            breaks: [None, None],
        };
        relayed.until_both("connected", |report| report.connection == "Connected");
        // Nobody has data yet: one side has to be called good.
        assert_eq!(relayed.nodes[0].order(&Request::Primary { force: true }), Ok(()));
        relayed.until_well();
        for node in &relayed.nodes {
            let status = node.status().unwrap();
            assert_eq!(status.resync_sent + status.resync_received, *bytes, "all of it, once; {status}");
        }
        relayed.breaks = relayed.last_breaks();
        relayed
    }

    #[track_caller]
    pub fn until_well(&self) {
        self.until_both("well", is_well);
    }

    #[track_caller]
    pub fn until_both(&self, what: &str, condition: impl Fn(&Report) -> bool) {
        until(what, LIMIT, || {
            let report = |node: &Peer| node.status().unwrap();
            self.nodes.iter().all(|node| condition(&report(node))).then_some(())
        });
    }

    /// Whether a session has ended, as either node sees it.
    pub fn has_lost(&self) -> bool {
        self.last_breaks() != self.breaks
    }

    fn last_breaks(&self) -> [Option<String>; 2] {
        self.nodes.each_ref().map(|node| node.status().unwrap().last_break)
    }

    pub fn start_load(&mut self) {
        let node = &self.nodes[self.primary];
        let (nbd, status) = (node.nbd(), node.status_from_afar());
        // One that is gone is noticed by the next request.
        let in_flight = move || status().map_or(0, |report| report.in_flight);
        self.load = Some(Load::start(nbd, in_flight, Arc::clone(&self.model), self.chance.fork()));
    }

    /// Waits until so many more requests were answered.
    #[track_caller]
    pub fn write(&self, more: u64) {
        let load = self.load.as_ref().expect("somebody writes");
        let goal = load.answers() + more;
        // Who has read something wrong says so when it is joined.
        let done = || (load.answers() >= goal || load.has_ended()).then_some(());
        until(format_args!("{more} requests are answered"), LIMIT, done);
    }

    /// The application ends; without its server, if that was killed.
    #[track_caller]
    pub fn stop_load(&mut self, end: End) {
        let ended = self.load.take().expect("somebody writes").stop();
        assert_eq!(ended, (end, 0));
    }

    /// Nobody writes: an online verify finds no difference, and both volumes are the same, and what they ought to be.
    #[track_caller]
    pub fn compare(&mut self) {
        self.until_both("calm", |report| is_well(report) && report.in_flight == 0 && report.requests == 0);
        let node = &self.nodes[self.primary];
        let verified = node.command(&["verify", "--wait"]);
        assert_eq!(String::from_utf8_lossy(&verified.stdout), "0 bytes differ\n", "{verified:?}");
        self.until_well();
        let [one, two] = self.volumes();
        assert_eq!(first_difference(&one, &two), None, "the first byte that differs");
        let mut model = self.model.lock().unwrap();
        let volume = fs::read(one).unwrap();
        assert_eq!(model.check(0, &volume, model.now()), Ok(()));
        model.settle(&volume);
    }

    pub fn volumes(&self) -> [PathBuf; 2] {
        self.nodes.each_ref().map(Peer::volume)
    }

    /// The line between the relays goes away, and those that dial meet nobody.
    pub fn cut_line(&self) {
        self.pair.way_to_one.close();
        self.pair.way_to_two.close();
    }

    pub fn mend_line(&self) {
        self.pair.way_to_one.open();
        self.pair.way_to_two.open();
    }
}

pub fn is_well(report: &Report) -> bool {
    report.connection == "Connected" && report.disk == "UpToDate" && report.peer_disk == "UpToDate"
}
