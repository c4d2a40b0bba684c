//! Who is neither bsr nor the other relay: a session that runs notices nothing, and each log says why
//! somebody was refused.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use drx_integration::bsr::end_of;
use drx_integration::figures::Figures;
use drx_integration::hello::{
    HANDSHAKE_TIME, LANE, answer_to, connect_from, hello_to, message, name, with_byte,
};
use drx_integration::log::Log;
use drx_integration::pair::{Opening, Pair, Places, Session, check_both_ways};
use drx_integration::pattern::Pattern;
use drx_integration::process::Process;
use drx_integration::seed::seed;
use drx_integration::stranger::{Entrance, Nonsense, intrude};
use drx_integration::wait::{LIMIT, until};
use drx_protocol::handshake::{Answer, Hello, Refusal, Refused, VERSION, Versions, Welcome};
use drx_protocol::names::{Epoch, Lane};
use fastrand::Rng;

/// A thousand where the other relay connects, and a thousand where bsr does.
#[test]
fn two_thousand_strangers_do_not_disturb_a_session() {
    let seed = seed();
    let pair = Pair::of_processes(&[]);
    let session = pair.establish(Opening::DataByTwo);
    for site in [&pair.one, &pair.two] {
        for channel in ["channel: acceptor", "channel: connector"] {
            site.node.until_logged(0, &[channel, "lane: 0", "to: established"]);
        }
    }
    let before =
        [&pair.one, &pair.two].map(|site| (site.node.log_lines(), Figures::settled(site.node.pid())));
    let places = &pair.one.places;
    let hello = hello_to(places).encode().to_vec();
    let entrances = [(places.outside, Entrance::Outside(hello)), (places.inside, Entrance::Inside)];

    let over = AtomicBool::new(false);
    let rounds = thread::scope(|scope| {
        let running = scope.spawn(|| keep_running(&session, &over));
        for (at, entrance) in &entrances {
            let stayed = crowd(&pair, *at, entrance, seed);
            println!("{at}: {STRANGERS} were let in, {stayed} stayed");
        }
        over.store(true, Ordering::SeqCst);
        running.join().expect("every byte arrives")
    });
    println!("{rounds} rounds of {ROUND} bytes each way meanwhile");
    assert!(rounds > 0);

    let names = ["node1", "node2"];
    for ((site, (lines, figures)), name) in [&pair.one, &pair.two].into_iter().zip(before).zip(names) {
        let log = site.node.log().since(lines);
        assert!(!log.says(&["lane: 0", "transition"]), "{name}: the session left established:\n{log}");
        assert!(
            !log.says(&["channel: connector", "transition"]),
            "{name}: a stranger went over the link:\n{log}"
        );
        assert!(!log.says(&["ERRO"]) && !log.says(&["CRIT"]), "{name}: {log}");
        let warnings = log.lines().filter(|line| line.contains(" WARN ")).count();
        // Five about each address at each entrance, in a minute.
        assert!(warnings <= 2 * 5 * THREADS, "{name}: strangers fill the log with {warnings} warnings");
        // The last of them may still have the time that a handshake or a first packet has.
        until(format_args!("{name} has closed what strangers opened"), HANDSHAKE_TIME + LIMIT, || {
            (site.node.figures().files <= figures.files).then_some(())
        });
        let after = site.node.figures();
        println!("{name}: before {figures}; after {after}");
        assert!(after.resident < figures.resident + (16 << 20), "strangers cost memory");
    }
    session.check();
}

/// Sends and compares all the time; how many rounds there were.
fn keep_running(session: &Session, over: &AtomicBool) -> u64 {
    let mut rounds = 0;
    while !over.load(Ordering::SeqCst) {
        let (from, to) = (rounds * ROUND, (rounds + 1) * ROUND);
        for (index, [one, two]) in [(0, [0, 1]), (1, [1, 0])] {
            let pattern = Pattern::new(index);
            pattern.send(&session.data[one], from, to).expect("the session takes bytes");
            pattern.check(&session.data[two], from, to, ROUND as usize).expect("they arrive");
        }
        check_both_ways(&session.meta);
        rounds += 1;
    }
    rounds
}

/// Every one of them comes in; how many stayed.
fn crowd(pair: &Pair<Process>, at: SocketAddr, entrance: &Entrance, seed: u64) -> usize {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let from = pair.block.address(200 + thread as u8, 7900).ip();
                let mut chance = Rng::with_seed(seed ^ thread as u64);
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    for _ in 0..STRANGERS / THREADS {
                        let nonsense = Nonsense::ALL[chance.usize(..Nonsense::ALL.len())];
                        // At inside one at a time is let in, and one that stays keeps all others out.
                        let stayed = until("a stranger is let in", LIMIT, || {
                            intrude(from, at, entrance, nonsense, &mut chance).ok()
                        });
                        if matches!(entrance, Entrance::Outside(_)) {
                            kept.extend(stayed);
                        }
                    }
                    kept.len()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

/// What each of two relays with these places logs until it says all of the words.
fn both_say(change: impl Fn(&mut Places), dialler: &[&str], acceptor: &[&str]) {
    let pair = Pair::new(|places| {
        let mut places = places.clone();
        if places.node == "node2" {
            change(&mut places);
        }
        Process::start_new(&places, &[])
    });
    // One dials, two refuses; the other way round it is the same.
    pair.one.node.until_logged(0, dialler);
    pair.two.node.until_logged(0, acceptor);
    for log in [pair.one.node.log(), pair.two.node.log()] {
        assert!(!log.says(&["to: bridged"]), "no link comes of it:\n{log}");
    }
}

#[test]
fn another_resource_is_refused_in_both_logs() {
    both_say(
        |two| two.resource = "r9".to_owned(),
        &["channel: connector", "refused, unknown resource: node2 has no resource r0"],
        &["refused a dial of another DRX", "resource: r0", "why: unknown resource"],
    );
}

#[test]
fn another_node_is_refused_in_both_logs() {
    both_say(
        |two| two.node = "node9".to_owned(),
        &["channel: connector", "refused, names do not match: this node is node9, not node2"],
        &["refused a dial of another DRX", "why: names do not match"],
    );
    both_say(
        |two| two.remote = "node9".to_owned(),
        &[
            "channel: connector",
            "refused, names do not match: resource r0 is shared with node9, not with node1",
        ],
        &["refused a dial of another DRX", "why: names do not match"],
    );
}

/// One relay whose other side is played by hand. Each case comes from an address of its own, because
/// a log says only so much about one of them.
struct Alone {
    pair: Pair<Process>,
    hosts: u8,
}

impl Alone {
    fn new() -> Alone {
        Alone { pair: Pair::of_processes(&[]), hosts: 100 }
    }

    fn next_host(&mut self) -> IpAddr {
        self.hosts += 1;
        self.pair.block.address(self.hosts, 7900).ip()
    }

    /// What the relay answers to these bytes, and what it logs then.
    fn answer(&mut self, bytes: &[u8], logged: &[&str]) -> Option<Answer> {
        let (host, site) = (self.next_host(), &self.pair.one);
        let lines = site.node.log_lines();
        let stream = connect_from(host, site.places.outside).unwrap();
        let answer = answer_to(&stream, bytes);
        let from = host.to_string();
        let words: Vec<_> = logged.iter().copied().chain([&*from]).collect();
        site.node.until_logged(lines, &words);
        answer
    }
}

#[test]
fn strange_handshakes_are_refused_with_a_reason() {
    let mut alone = Alone::new();
    let hello = hello_to(&alone.pair.one.places);
    let refused = |answer: Option<Answer>| match answer {
        Some(Answer::Refused(refused)) => refused,
        other => panic!("not refused: {other:?}"),
    };

    let of = |change: fn(&mut Hello)| {
        let mut hello = hello.clone();
        change(&mut hello);
        hello.encode()
    };
    let answer = alone.answer(&of(|hello| hello.resource = name("r9")), &["unknown resource"]);
    assert_eq!(refused(answer).refusal, Refusal::UnknownResource);
    let answer = alone.answer(&of(|hello| hello.from = name("node9")), &["names do not match"]);
    assert_eq!(refused(answer).refusal, Refusal::NamesDoNotMatch);
    let answer = alone.answer(&of(|hello| hello.to = name("node9")), &["names do not match"]);
    assert_eq!(refused(answer).refusal, Refusal::NamesDoNotMatch);
    let newer = of(|hello| hello.versions = Versions { min: VERSION + 1, max: VERSION + 2 });
    let refusal = refused(alone.answer(&newer, &["WARN", "version"]));
    assert_eq!(refusal.refusal, Refusal::Version);
    assert!(refusal.sentence().contains("version 1 is spoken here"), "{}", refusal.sentence());

    // What no relay says is not answered, but logged.
    let lane = with_byte(&hello, LANE, 7);
    assert_eq!(alone.answer(&lane, &["WARN", "lane 7 does not exist"]), None);
    let mut oversized = hello.encode().to_vec();
    oversized[10..12].copy_from_slice(&[0xff; 2]);
    assert_eq!(alone.answer(&oversized, &["WARN", "no usable handshake", "4096"]), None);
    let mut damaged = hello.encode().to_vec();
    damaged[20] ^= 1;
    assert_eq!(alone.answer(&damaged, &["WARN", "no usable handshake", "checksum"]), None);
    assert_eq!(alone.answer(b"GET / HTTP/1.1\r\n\r\n", &["WARN", "no usable handshake", "47 45 54"]), None);

    // Cut off: by an end of file, and by silence.
    let half = &hello.encode()[..40];
    let (host, site) = (alone.next_host(), &alone.pair.one);
    let lines = site.node.log_lines();
    let mut stream = connect_from(host, site.places.outside).unwrap();
    stream.write_all(half).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(message(&stream), None);
    site.node.until_logged(lines, &["no handshake", &host.to_string(), "closed the connection"]);

    let host = alone.next_host();
    let site = &alone.pair.one;
    let began = Instant::now();
    let mut stream = connect_from(host, site.places.outside).unwrap();
    stream.write_all(half).unwrap();
    let (_, bytes, at) = end_of(&stream);
    let waited = at - began;
    assert_eq!(bytes, 0);
    assert!(waited > HANDSHAKE_TIME - SLACK && waited < HANDSHAKE_TIME + SLACK, "{waited:?}");
    site.node.until_logged(lines, &["WARN", &host.to_string(), "no handshake within 5 s"]);

    let log = site.node.log();
    assert!(!log.says(&["ERRO"]) && !log.says(&["CRIT"]), "{log}");
    alone.pair.establish(Opening::DataByTwo);
}

/// The other side answers a dial as no relay does: the log says what, and the dials go on.
#[test]
fn strange_answers_are_logged_and_dialled_again() {
    let mut listener = None;
    let pair = Pair::new(|places| {
        let mut places = places.clone();
        if places.node == "node1" {
            let by_hand = TcpListener::bind(SocketAddr::new(places.inside.ip(), 7999)).unwrap();
            places.peer = by_hand.local_addr().unwrap();
            listener = Some(by_hand);
        }
        Process::start_new(&places, &["restart.max=200ms"])
    });
    let listener = listener.unwrap();
    let welcome = |hello: &Hello| Welcome {
        version: VERSION,
        lane: hello.lane,
        resumed: None,
        checksums: true,
        link: hello.link,
        epoch: Epoch { started: 1, counter: 0 },
        next_offset: 0,
        window: 1 << 20,
        codecs: Vec::new(),
    };
    let other_lane = |hello: &Hello| if hello.lane == Lane::Zero { Lane::One } else { Lane::Zero };
    let refused = |refusal, sentence| Answer::Refused(Refused::new(refusal, sentence));
    let cases: [(&Says<'_>, &str); 8] = [
        (
            &|_| refused(Refusal::Version, "version 7 is spoken here").encode().to_vec(),
            "refused, version: version 7",
        ),
        (
            &|_| refused(Refusal::UnknownResource, "not here").encode().to_vec(),
            "refused, unknown resource: not here",
        ),
        (&|_| refused(Refusal::Other(77), "later").encode().to_vec(), "refused, code 77: later"),
        (
            &|hello| Answer::Welcome(Welcome { lane: other_lane(hello), ..welcome(hello) }).encode().to_vec(),
            "its WELCOME is for another dial",
        ),
        (&|hello| Answer::Welcome(Welcome { version: 9, ..welcome(hello) }).encode().to_vec(), "version"),
        (&|hello| Answer::Welcome(welcome(hello)).encode()[..30].to_vec(), "closed the connection"),
        (&|hello| hello.encode().to_vec(), "HELLO"),
        (&|_| b"220 mail.example.org ESMTP\r\n".to_vec(), "32 32 30"),
    ];
    for (answer, logged) in cases {
        let lines = pair.one.node.log_lines();
        // Both lanes dial, and are told the same.
        until(format_args!("the log has {logged:?}"), LIMIT, || {
            let (mut stream, _) = listener.accept().unwrap();
            let hello = Hello::decode(&message(&stream)?).unwrap();
            stream.write_all(&answer(&hello)).unwrap();
            drop(stream);
            pair.one.node.log().since(lines).says(&["channel: connector", logged]).then_some(())
        });
    }
    let log: Log = pair.one.node.log();
    assert!(!log.says(&["channel: connector", "to: bridged"]), "{log}");
}

/// What is said to a HELLO.
type Says<'a> = dyn Fn(&Hello) -> Vec<u8> + 'a;

const STRANGERS: usize = 1000;
const THREADS: usize = 8;
/// Bytes each way in a round of the session that runs.
const ROUND: u64 = 64 * 1024;
/// How late a timer may be on a machine that has other work.
const SLACK: Duration = Duration::from_millis(1500);
