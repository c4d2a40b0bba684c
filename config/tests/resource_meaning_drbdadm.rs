//! Our reading against that of the real `drbdadm`, which says in a dry run what it would tell a proxy. Skipped, visibly,
//! where it is not installed; with `REQUIRE_TOOLS=1` that is a failure.
#![allow(clippy::unwrap_used)]

#[path = "resource_meaning/mod.rs"]
mod words;

#[path = "resource_meaning/generated.rs"]
mod generated;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use drx_config::resource_file::{Connection, Located, Meaning, meaning, read};
use proptest::prelude::*;

/// A connection as `proxy-up` makes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    /// inside, the peer's outside, the own outside, bsr.
    addresses: Vec<SocketAddr>,
    /// The last of each name counts.
    options: BTreeMap<String, String>,
    plugins: Vec<String>,
}

/// Connections by name. Where a proxy serves several hosts `drbdadm` gives several the same name.
type Connections = BTreeMap<String, BTreeSet<Told>>;

/// What the tool said.
struct Answer {
    connections: Connections,
    /// It said that it ignores names of connections, which `bsradm` does not (bsr-wire A.8).
    ignores_names: bool,
}

/// Stacked resources are spoken of only with -S, and all others only without.
fn modes(file: &Path) -> &'static [&'static [&'static str]] {
    let text = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
    if text.contains("stacked-on-top-of") { &[&[], &["-S"]] } else { &[&[]] }
}

/// Asks `drbdadm` on behalf of a host; none if it cannot read the file or is not there.
fn ask(file: &Path, host: &str) -> Option<Result<Answer, String>> {
    let mut answer = Answer { connections: Connections::new(), ignores_names: false };
    for stacked in modes(file) {
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("timeout");
        command.env("PATH", path).env("__DRBD_NODE__", host);
        command.args(["20", "drbdadm"]).args(*stacked).args(["-d", "-c"]).arg(file).args(["proxy-up", "all"]);
        let output = command.output().unwrap();
        let [out, err] =
            [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        match output.status.code() {
            Some(127) => {
                assert!(std::env::var_os("REQUIRE_TOOLS").is_none(), "no drbdadm");
                println!("skipped: no drbdadm");
                return None;
            }
            Some(0) => {}
            // Nothing of it is this host's.
            Some(1) if err.contains("nothing stacked") || err.contains("no normal resources defined") => {}
            _ => return Some(Err(err)),
        }
        answer.ignores_names |= err.contains("explicitly named connections");
        for line in out.lines() {
            told(&mut answer.connections, &commands(line));
        }
    }
    Some(Ok(answer))
}

/// The words of a command line, which are separated by blanks; those within a word have a backslash before them.
fn commands(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => words.last_mut().unwrap().extend(chars.next()),
            ' ' => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words
}

/// Takes one call of drbd-proxy-ctl.
fn told(connections: &mut Connections, words: &[String]) {
    let mut set: BTreeMap<String, Told> = BTreeMap::new();
    for command in words.iter().skip(1).filter(|word| *word != "-c") {
        let parts: Vec<&str> = command.split(' ').collect();
        match parts[..] {
            ["add", "connection", name, ref addresses @ ..] => {
                let addresses = addresses.iter().map(|address| parse(address)).collect();
                let told = Told { addresses, ..Told::default() };
                connections.entry(name.to_owned()).or_default().insert(told);
            }
            ["set", "plugin", _, _, "END"] => {}
            ["set", "plugin", name, number, ref line @ ..] => {
                let plugins = &mut set.entry(name.to_owned()).or_default().plugins;
                assert_eq!(number, plugins.len().to_string());
                plugins.push(line.join(" "));
            }
            ["set", option, name, value] => {
                set.entry(name.to_owned()).or_default().options.insert(option.to_owned(), value.to_owned());
            }
            _ => panic!("{command:?} is unknown"),
        }
    }
    for (name, Told { options, plugins, .. }) in set {
        // It is set right behind the `add`.
        let known = connections.get_mut(&name).unwrap();
        let bare =
            known.iter().find(|told| told.options.is_empty() && told.plugins.is_empty()).unwrap().clone();
        known.remove(&bare);
        known.insert(Told { options, plugins, ..bare });
    }
}

/// `drbdadm` writes IPv6 addresses without their brackets.
fn parse(address: &str) -> SocketAddr {
    let (ip, port) = address.rsplit_once(':').unwrap();
    // The interface of an address is a name here and a number there.
    let ip = ip.split('%').next().unwrap();
    SocketAddr::new(ip.parse().unwrap(), port.parse().unwrap())
}

/// The same out of our reading, with the value of `memlimit` as bytes.
fn ours(meaning: &Meaning, name: fn(&Connection) -> String) -> Connections {
    let mut all = Connections::new();
    for connection in &meaning.connections {
        let Connection { inside, peer, outside, bsr, memlimit, options, plugins, .. } = connection;
        let plain = |address: &Option<Located<SocketAddr>>| {
            let address = address.as_ref().unwrap().value;
            SocketAddr::new(address.ip(), address.port())
        };
        let addresses = [inside, peer, outside, bsr].map(plain).to_vec();
        let memlimit = memlimit.iter().map(|memlimit| ("memlimit".to_owned(), memlimit.value.to_string()));
        let options = options.iter().map(|(name, value)| (name.clone(), value.value.clone()));
        let plugins = plugins.iter().map(|line| line.value.clone()).collect();
        let told = Told { addresses, options: memlimit.chain(options).collect(), plugins };
        all.entry(name(connection)).or_default().insert(told);
    }
    all
}

/// `memlimit` as bytes.
fn in_bytes(theirs: Connections) -> Connections {
    let bytes = |text: &str| {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match &text[digits.len()..] {
            "" => 1,
            "s" => 512,
            "k" | "K" => 1 << 10,
            "m" | "M" => 1 << 20,
            "g" | "G" => 1_u64 << 30,
            unit => panic!("the unit {unit:?} is unknown"),
        };
        (digits.parse::<u64>().unwrap() * unit).to_string()
    };
    let all = theirs.into_iter().map(|(name, told)| {
        let told = told.into_iter().map(|mut told| {
            if let Some(memlimit) = told.options.get_mut("memlimit") {
                *memlimit = bytes(memlimit);
            }
            told
        });
        (name, told.collect())
    });
    all.collect()
}

/// Compares a file's readings on behalf of each host that it names, by each of its names. How many connections that
/// were, or why the tool
/// does not read it; none without the tool.
fn compare(file: &Path, known: &[String]) -> Option<Result<usize, String>> {
    let reading = read(file).unwrap();
    let names = |node: &str| meaning(&reading, node, words::interface);
    let of_proxies = names("").parts.into_iter().flat_map(|part| part.hosts);
    let hosts: BTreeSet<String> = of_proxies.chain(known.iter().cloned()).collect();
    let mut compared = 0;
    for host in hosts {
        let answer = match ask(file, &host)? {
            Ok(answer) => answer,
            Err(why) => return Some(Err(why)),
        };
        let own = names(&host);
        let wrong: Vec<String> = reading
            .faults
            .iter()
            .chain(&own.faults)
            .map(|fault| reading.files.error(fault).to_string())
            .collect();
        assert!(wrong.is_empty(), "drbdadm reads {}:\n{}", file.display(), wrong.join("\n"));
        let theirs = in_bytes(answer.connections);
        let of_one_name = theirs.values().any(|told| told.len() > 1);
        let nameless =
            |connections: &Connections| connections.values().flatten().cloned().collect::<BTreeSet<_>>();
        if of_one_name || answer.ignores_names {
            assert_eq!(nameless(&ours(&own, words::name)), nameless(&theirs), "{host} in {}", file.display());
        } else {
            let text = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
            assert_eq!(ours(&own, words::name), theirs, "{host} in {}\n{text}", file.display());
        }
        compared += own.connections.len();
    }
    Some(Ok(compared))
}

/// Every good file of the corpus that `drbdadm` reads.
#[test]
fn the_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/resource_files/good");
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "res")).collect();
    files.sort();
    let (mut compared, mut refused) = (0, Vec::new());
    for file in &files {
        match compare(file, &[]) {
            None => return,
            Some(Ok(connections)) => compared += connections,
            Some(Err(why)) => {
                let name = file.file_name().unwrap().to_string_lossy().into_owned();
                let why = why.lines().rfind(|line| line.contains(".res:")).unwrap_or_default().to_owned();
                println!("drbdadm does not read {name}: {why}");
                refused.push(name);
            }
        }
    }
    println!("{} files, {compared} connections compared, {} not read by drbdadm", files.len(), refused.len());
    assert!(compared >= 20, "{compared} connections are few");
    assert!(refused.len() * 3 < files.len(), "drbdadm should read most of them");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Files of all styles, with options wherever they may stand.
    #[test]
    fn generated_files(configuration in generated::configuration()) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("generated.res");
        std::fs::write(&file, configuration.text()).unwrap();
        match compare(&file, &configuration.hosts()) {
            Some(Ok(connections)) => prop_assert!(connections >= 2 * configuration.pairs()),
            Some(Err(why)) => prop_assert!(false, "drbdadm does not read it: {}\n{}", why, configuration.text()),
            None => {}
        }
    }
}
