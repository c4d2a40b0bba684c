//! Two nodes, their two relays, and the network that is between them: each on a host of its own.

use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drx_bsr::shell::control::Request;
use drx_bsr::shell::status::Report;
use drx_integration::application::{End, Load, Model, SECTOR};
use drx_integration::hosts::sockets::{Connection, established};
use drx_integration::hosts::topology::{Families, Family, Topology};
use drx_integration::node::{Peer, Told, first_difference};
use drx_integration::pair::{Node, Places};
use drx_integration::process::Process;
use drx_integration::seed::seed;
use drx_integration::wait::{LIMIT, until, until_ok};
use drx_protocol::report::{ChannelReport, ResourceReport};
use fastrand::Rng;

/// What is to be replicated, and how.
pub struct Plan<'a> {
    /// Which IP the nodes speak.
    pub family: Family,
    /// Which one the relays speak to each other; none: the same.
    pub wan: Option<Family>,
    /// A, B or C.
    pub protocol: char,
    /// The nodes open as DRBD does: both data first.
    pub drbd: bool,
    /// Of both relays, beside [`RELAYS`].
    pub relays: &'a [&'a str],
    /// Of the volume.
    pub bytes: u64,
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Plan { family: Family::V4, wan: None, protocol: 'C', drbd: false, relays: &[], bytes: 8 << 20 }
    }
}

pub struct World {
    // Processes end before their hosts.
    pub nodes: [Peer; 2],
    pub relays: [Process; 2],
    pub places: [Places; 2],
    pub network: Topology,
    model: Arc<Mutex<Model>>,
    load: Option<Load>,
    chance: Rng,
    /// What had ended when that was looked at last.
    ends: [Ends; 2],
}

impl World {
    /// Relays and nodes run; nothing is waited for.
    #[track_caller]
    pub fn new(plan: &Plan) -> World {
        World::with(plan, |_, _| {})
    }

    /// The same on a network that is changed before anybody starts, and with other places.
    #[track_caller]
    pub fn with(plan: &Plan, change: impl FnOnce(&Topology, &mut [Scene; 2])) -> World {
        let mut chance = Rng::with_seed(seed());
        let families = Families { lan: plan.family, wan: plan.wan.unwrap_or(plan.family) };
        let network = Topology::new(families, chance.fork());
        let mut scenes = [0, 1].map(|number| Scene::of(&network, number));
        change(&network, &mut scenes);
        let settings = [RELAYS, plan.relays].concat();
        let relays = [0, 1].map(|number: usize| {
            network.sites[number].relay.enter(|| Process::start_new(&scenes[number].places, &settings))
        });
        let nodes = [0, 1].map(|number: usize| {
            let mut node = Peer::new(&told(plan, number, &scenes[number]));
            network.sites[number].node.enter(|| node.start());
            node
        });
        let sectors = usize::try_from(plan.bytes).unwrap() / SECTOR;
        World {
            nodes,
            relays,
            places: scenes.map(|scene| scene.places),
            network,
            model: Arc::new(Mutex::new(Model::new(sectors))),
            load: None,
            chance,
            ends: Default::default(),
        }
    }

    /// Both nodes are connected, and both disks are good; the first one is primary.
    #[track_caller]
    pub fn synced(plan: &Plan) -> World {
        let mut world = World::new(plan);
        world.sync(plan.bytes);
        world
    }

    /// Waits until the nodes are connected, and calls the first one's volume good.
    #[track_caller]
    pub fn sync(&mut self, bytes: u64) {
        self.until_both("connected", |report| report.connection == "Connected");
        assert_eq!(self.nodes[0].order(&Request::Primary { force: true }), Ok(()));
        self.until_well();
        for node in &self.nodes {
            let status = node.status().unwrap();
            assert_eq!(status.resync_sent + status.resync_received, bytes, "all of it, once; {status}");
        }
        self.forget_ends();
    }

    #[track_caller]
    pub fn until_well(&self) {
        self.until_both("well", is_well);
    }

    #[track_caller]
    pub fn until_both(&self, what: &str, condition: impl Fn(&Report) -> bool) {
        until_ok(LIMIT, || {
            for node in &self.nodes {
                let report = node.status()?;
                if !condition(&report) {
                    return Err(format!("{what}: {}: {report}", node.name()));
                }
            }
            Ok(())
        });
    }

    /// What ended until now is no news.
    pub fn forget_ends(&mut self) {
        self.ends = self.nodes.each_ref().map(Ends::of);
    }

    /// Whether a session of a node has ended since.
    pub fn has_lost(&self) -> bool {
        self.nodes.iter().zip(&self.ends).any(|(node, known)| Ends::of(node) != *known)
    }

    /// Waits until a session has ended at both nodes.
    #[track_caller]
    pub fn until_lost(&self) {
        until("a session ends at both nodes", LIMIT, || {
            self.nodes.iter().zip(&self.ends).all(|(node, known)| Ends::of(node) != *known).then_some(())
        });
    }

    /// An application begins to write on the first node.
    pub fn start_load(&mut self) {
        let node = &self.nodes[0];
        let (nbd, status) = (node.nbd(), node.status_from_afar());
        let in_flight = move || status().map_or(0, |report| report.in_flight);
        self.load = Some(Load::start(nbd, in_flight, Arc::clone(&self.model), self.chance.fork()));
    }

    /// Waits until so many more of its requests were answered.
    #[track_caller]
    pub fn write(&self, more: u64) {
        let load = self.load.as_ref().expect("somebody writes");
        let goal = load.answers() + more;
        let done = || (load.answers() >= goal || load.has_ended()).then_some(());
        until(format_args!("{more} requests are answered"), LIMIT, done);
    }

    #[track_caller]
    pub fn stop_load(&mut self) {
        let ended = self.load.take().expect("somebody writes").stop();
        assert_eq!(ended, (End::Told, 0));
    }

    /// Nobody writes: both volumes are the same, and what they ought to be.
    #[track_caller]
    pub fn compare(&mut self) {
        self.until_both("calm", |report| is_well(report) && report.in_flight == 0 && report.requests == 0);
        let verified = self.nodes[0].command(&["verify", "--wait"]);
        assert_eq!(String::from_utf8_lossy(&verified.stdout), "0 bytes differ\n", "{verified:?}");
        let [one, two] = self.nodes.each_ref().map(Peer::volume);
        assert_eq!(first_difference(&one, &two), None, "the first byte that differs");
        let mut model = self.model.lock().unwrap();
        let volume = fs::read(one).unwrap();
        assert_eq!(model.check(0, &volume, model.now()), Ok(()));
        model.settle(&volume);
    }

    /// How the resource stands at a relay.
    ///
    /// # Errors
    /// It does not answer.
    pub fn resource(&self, site: usize) -> Result<ResourceReport, String> {
        let mut report = self.relays[site].report()?;
        assert_eq!(report.resources.len(), 1);
        Ok(report.resources.remove(0))
    }

    /// Waits until a relay says so of the resource.
    #[track_caller]
    pub fn until_resource(&self, site: usize, what: &str, condition: impl Fn(&ResourceReport) -> bool) {
        until_ok(LIMIT, || {
            let report = self.resource(site)?;
            if condition(&report) { Ok(()) } else { Err(format!("{what}: relay {}: {report:?}", site + 1)) }
        });
    }

    /// The channels of both relays.
    pub fn channels(&self) -> Vec<ChannelReport> {
        [0, 1].into_iter().flat_map(|site| self.resource(site).unwrap().channels).collect()
    }

    pub fn resumes(&self) -> u64 {
        self.channels().iter().map(|channel| channel.resumes).sum()
    }

    /// Starts a relay again.
    #[track_caller]
    pub fn start_relay(&mut self, site: usize) {
        let World { network, relays, .. } = self;
        network.sites[site].relay.enter(|| relays[site].start());
    }

    /// Waits until both relays see each other, on every lane.
    #[track_caller]
    pub fn until_linked(&self) {
        for site in [0, 1] {
            self.until_resource(site, "linked", |report| {
                report.channels.iter().all(|channel| channel.link_up)
            });
        }
    }

    /// The connections of a relay's host, as its kernel has them.
    pub fn connections(&self, site: usize) -> Vec<Connection> {
        established(&self.network.sites[site].relay)
    }
}

/// The sessions of a node that have ended. Its status knows the last one at once; its log comes later and has all.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ends {
    last: Option<String>,
    logged: usize,
}

impl Ends {
    fn of(node: &Peer) -> Ends {
        let logged = node.log().lines().filter(|line| line.contains("to: Unconnected, why: both")).count();
        Ends { last: node.status().unwrap().last_break, logged }
    }
}

/// A site, as its relay and its node are told of it.
pub struct Scene {
    pub places: Places,
    /// Where the node listens.
    pub address: SocketAddr,
    /// Where it dials.
    pub peer: SocketAddr,
}

impl Scene {
    fn of(network: &Topology, number: usize) -> Scene {
        let places = network.places(number);
        let (address, peer) = (places.bsr, places.inside);
        Scene { places, address, peer }
    }
}

fn told(plan: &Plan, number: usize, scene: &Scene) -> Told {
    let id = u32::try_from(number).unwrap();
    Told {
        name: scene.places.node.clone(),
        ids: (!plan.drbd).then_some((id, 1 - id)),
        address: scene.address,
        peer: scene.peer,
        // Only its own relay's inside may dial it.
        verify_ip: true,
        bytes: plan.bytes,
        net: format!("protocol = \"{}\"\nverify-alg = \"crc32c\"\nconnect-int = 1\n", plan.protocol),
        disk: "c-max-rate = 0".to_owned(),
    }
}

pub fn is_well(report: &Report) -> bool {
    report.connection == "Connected" && report.disk == "UpToDate" && report.peer_disk == "UpToDate"
}

/// Of all relays here: what is refused is soon tried again.
const RELAYS: &[&str] = &["restart.max=200ms"];
/// By when something has happened that is due.
pub const SLACK: Duration = Duration::from_secs(2);
