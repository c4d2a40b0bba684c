//! A node's file: what is in it, and what is said of what must not be.
#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use drx_bsr::core::{self, AfterSplitBrain, OnCongestion, Protocol};
use drx_bsr::digest::Algorithm;
use drx_bsr::shell::nbd::Address;
use drx_bsr::shell::opening::Opening;
use drx_bsr::shell::settings::{self, Settings, parse, print_size, size};

const LEAST: &str = r#"
name = "n"
node-id = 1
peer-node-id = 0
volume = "v"
metadata = "m"
socket = "s"
address = "127.0.0.1:7789"
peer = "127.0.0.1:7788"
"#;

fn read(text: &str) -> Settings {
    parse(text, Path::new("/d/n.toml")).unwrap()
}

fn refused(text: &str) -> String {
    parse(text, Path::new("n.toml")).unwrap_err().to_string()
}

#[test]
fn what_is_not_set_is_as_in_bsr() {
    let settings = read(LEAST);
    assert_eq!(settings.core, core::Settings::default());
    assert_eq!(settings.name, "n");
    assert_eq!(settings.volume, PathBuf::from("/d/v"));
    assert_eq!(settings.metadata, PathBuf::from("/d/m"));
    assert_eq!(settings.socket, Some(PathBuf::from("/d/s")));
    assert_eq!(settings.nbd, None);
    let network = settings.network;
    assert_eq!(network.address, "127.0.0.1:7789".parse().unwrap());
    assert_eq!(network.peer, "127.0.0.1:7788".parse().unwrap());
    assert_eq!(network.first, Opening::NodeId { mine: 1, peer: 0 });
    assert!(network.verify_ip);
    assert_eq!(network.connect_int, Duration::from_secs(3));
    assert_eq!(network.socket_check_timeout, Duration::from_millis(500));
    assert_eq!(network.tcp_ack_timeout, Duration::from_secs(5));
    assert_eq!((network.sndbuf, network.rcvbuf), (None, None));
    let drbd = read(&format!("opening = \"drbd\"\n{LEAST}")).network;
    assert_eq!((drbd.first, drbd.verify_ip), (Opening::DataFirst, false));
    // Beside a file that is named without a directory.
    assert_eq!(parse(LEAST, Path::new("n.toml")).unwrap().socket, Some(PathBuf::from("s")));
}

#[test]
fn every_key_is_taken_in_its_unit() {
    let settings = read(&format!(
        r#"{LEAST}
nbd = "tcp:127.0.0.1:10809"
verify-ip = false
[net]
protocol = "A"
protocol-min = 90
protocol-max = 100
connect-int = 7
ping-int = 8
ping-timeout = 5
timeout = 12
socket-check-timeout = 1
ko-count = 0
tcp-ack-timeout = 0
sndbuf-size = "1M"
rcvbuf-size = 4096
cram-hmac-alg = "sha1"
shared-secret = "geheim"
data-integrity-alg = "crc32c"
verify-alg = "sha256"
csums-alg = "md5"
use-rle = false
max-epoch-size = 2
on-congestion = "pull-ahead"
congestion-fill = "2G"
congestion-extents = 500
after-sb-0pri = "discard-zero-changes"
after-sb-1pri = "consensus"
after-sb-2pri = "violently-as0p"
[disk]
al-extents = 67
c-max-rate = 4000
resync-window = "1M"
disk-flushes = false
"#
    ));
    assert_eq!(settings.nbd, Some(Address::Tcp("127.0.0.1:10809".parse().unwrap())));
    let network = settings.network;
    assert!(!network.verify_ip);
    assert_eq!(network.connect_int, Duration::from_secs(7));
    assert_eq!(network.socket_check_timeout, Duration::from_millis(100));
    assert_eq!(network.tcp_ack_timeout, Duration::ZERO);
    assert_eq!((network.sndbuf, network.rcvbuf), (Some(1 << 20), Some(4096)));
    let expected = core::Settings {
        protocol: Protocol::A,
        versions: (90, 100),
        secret: Some((Algorithm::Sha1, b"geheim".to_vec())),
        integrity: Some(Algorithm::Crc32c),
        verify: Some(Algorithm::Sha256),
        checksum: Some(Algorithm::Md5),
        after_split_brain: (
            AfterSplitBrain::DiscardZeroChanges,
            AfterSplitBrain::Consensus,
            AfterSplitBrain::Violently,
        ),
        use_rle: false,
        ping_int: Duration::from_secs(8),
        ping_timeout: Duration::from_millis(500),
        socket_check_timeout: Duration::from_millis(100),
        timeout: Duration::from_millis(1200),
        ko_count: 0,
        max_epoch_size: 2,
        al_extents: 67,
        on_congestion: OnCongestion::PullAhead,
        congestion_fill: 2 << 30,
        congestion_extents: 500,
        resync_rate: 4000 << 10,
        resync_window: 1 << 20,
        disk_flushes: false,
    };
    assert_eq!(settings.core, expected);
}

#[test]
fn the_samples_are_as_they_say() {
    let sample =
        |name| settings::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name)).unwrap();
    let (one, two) = (sample("node1.toml"), sample("node2.toml"));
    assert_eq!((one.network.peer, one.network.address), (two.network.address, two.network.peer));
    assert_eq!(one.core, two.core);
    // What is behind # as a default, or needed, or off when it is missing.
    let all = sample("all-keys.toml");
    let optional = core::Settings {
        secret: Some((Algorithm::Sha256, b"geheim".to_vec())),
        integrity: Some(Algorithm::Crc32c),
        verify: Some(Algorithm::Sha1),
        checksum: Some(Algorithm::Md5),
        ..core::Settings::default()
    };
    assert_eq!(all.core, optional);
    assert_eq!(
        Settings { nbd: None, ..all }.network,
        read(&LEAST.replace("= 1", "= 2").replace("= 0", "= 1").replace("= 2", "= 0")).network
    );
}

#[test]
fn an_error_names_its_place() {
    let cases = [
        ("nmae = 1", "unknown field `nmae`"),
        ("[net]\ntimout = 60", "n.toml:11:1: unknown field `timout`"),
        ("[disk]\nno-such-key = 60", "n.toml:11:1: unknown field"),
        ("[net]\ntimeout = 601", "n.toml:11:11: 601 is not within 1 to 600"),
        ("[net]\ntimeout = 0", "0 is not within 1 to 600"),
        ("[net]\ntimeout = -1", "-1 is not within 1 to 600"),
        ("[net]\ntimeout = \"60\"", "n.toml:11:11: invalid type: string"),
        ("[net]\nping-timeout = 301", "301 is not within 1 to 300"),
        ("[net]\nconnect-int = 121", "not within 1 to 120"),
        ("[net]\nping-int = 0", "not within 1 to 120"),
        ("[net]\nko-count = 201", "not within 0 to 200"),
        ("[net]\ntcp-ack-timeout = 301", "not within 0 to 300"),
        ("[net]\nsndbuf-size = \"11M\"", "11M is not within 0 to 10M"),
        ("[net]\nrcvbuf-size = \"lots\"", "\"lots\" is no size"),
        ("[net]\nprotocol = \"D\"", "unknown variant `D`, expected one of `A`, `B`, `C`"),
        ("[net]\nprotocol-min = 85", "85 is not within 86 to 101"),
        ("[net]\nprotocol-max = 102", "102 is not within 86 to 101"),
        ("[net]\nprotocol-min = 100\nprotocol-max = 99", "protocol-min 100 is higher than protocol-max 99"),
        ("[net]\nverify-alg = \"rot13\"", "n.toml:11:14: \"rot13\" is no hash that is known here"),
        ("[net]\ncram-hmac-alg = \"sha1\"", "needs net.shared-secret"),
        ("[net]\nshared-secret = \"x\"", "needs net.cram-hmac-alg"),
        ("[net]\ncram-hmac-alg = \"crc32c\"\nshared-secret = \"x\"", "keeps a secret"),
        ("[net]\ncram-hmac-alg = \"sha1\"\nshared-secret = \"\"", "has 0 bytes"),
        (
            "[net]\nafter-sb-0pri = \"consensus\"",
            "\"consensus\" is none of disconnect, discard-younger-primary",
        ),
        (
            "[net]\nafter-sb-2pri = \"discard-local\"",
            "none of disconnect, call-pri-lost-after-sb, violently-as0p",
        ),
        ("[net]\non-congestion = \"panic\"", "unknown variant `panic`"),
        ("[disk]\nal-extents = 6", "6 is not within 7 to 65534"),
        ("[disk]\nc-max-rate = \"100\"", "needs a unit"),
        ("[disk]\nc-max-rate = -1", "-1 is not within what is possible"),
        ("[disk]\nresync-window = 4096", "4k is not within 64k to 256M"),
        (
            "nbd = \"here\"",
            "n.toml:10:7: \"here\" is no place for an NBD server: write unix:PATH or tcp:IP:PORT",
        ),
        ("nbd = \"unix:\"", "no place"),
        ("nbd = \"tcp:localhost:1\"", "no place"),
        ("nbd = \"unix:s\"", "socket and nbd are the same path"),
        ("node-id = 1", "duplicate key"),
        ("opening = \"sideways\"", "unknown variant `sideways`"),
        ("= 1", "n.toml:10:1: "),
    ];
    for (more, expected) in cases {
        let said = refused(&format!("{LEAST}{more}\n"));
        assert!(said.contains(expected) && said.starts_with("n.toml:"), "{more:?}: {said}");
        assert!(!said.contains('\n'), "{said:?}");
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let cases = [
        ("peer-node-id = 0", "peer-node-id = 1", "node-id and peer-node-id are equal"),
        ("peer-node-id = 0", "", "opening = \"bsr\" needs node-id and peer-node-id"),
        ("node-id = 1", "node-id = 32", "32 is not within 0 to 31"),
        ("\"m\"", "\"v\"", "volume and metadata are the same file"),
        ("127.0.0.1:7788", "127.0.0.1:7789", "address and peer are equal"),
        ("127.0.0.1:7788", "[::1]:7789", "not of the same family"),
        ("127.0.0.1:7788", "0.0.0.0:7788", "no address that can be dialled"),
        ("127.0.0.1:7788", "127.0.0.1:0", "a port other than 0"),
        ("127.0.0.1:7788", "localhost:7788", "invalid socket address"),
        ("\"n\"", "\"two words\"", "\"two words\" is no name"),
        ("\"n\"", "\"\"", "is no name"),
        ("volume = \"v\"", "", "missing field `volume`"),
    ];
    for (from, to, expected) in cases {
        let text = LEAST.replacen(from, to, 1);
        assert_ne!(text, LEAST);
        let said = refused(&text);
        assert!(said.contains(expected), "{to:?}: {said}");
    }
    let long = format!("socket = \"{}\"", "x".repeat(108));
    let said = refused(&LEAST.replace("socket = \"s\"", &long));
    assert!(said.contains("has 108 bytes, a socket's path at most 107"), "{said}");
}

#[test]
fn a_file_that_is_none_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("n.toml");
    let said = || settings::read(&path).unwrap_err().to_string();
    assert!(said().contains("cannot be read"), "{}", said());
    std::fs::write(&path, [0xff]).unwrap();
    assert!(said().contains("is no text"), "{}", said());
    std::fs::write(&path, vec![b'#'; 65 << 10]).unwrap();
    assert!(said().contains("is larger than 64 KiB"), "{}", said());
}

#[test]
fn sizes_are_read_as_they_are_printed() {
    let sizes = [("0", 0), ("512", 512), ("1k", 1024), ("3M", 3 << 20), ("5G", 5 << 30), ("1T", 1 << 40)];
    for (text, bytes) in sizes {
        assert_eq!(size(text), Some(bytes));
        assert_eq!(print_size(bytes), text);
    }
    assert_eq!((size("4KiB"), size("4kib"), size("4K")), (Some(4096), Some(4096), Some(4096)));
    for wrong in ["", "k", "-1", "1.5M", "1 M", "1B", "1MB", "99999999999T", "18446744073709551616"] {
        assert_eq!(size(wrong), None, "{wrong}");
    }
}
