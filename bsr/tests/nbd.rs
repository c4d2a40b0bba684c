//! The NBD server, request by request, before a node whose volume is in memory.
#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used)]

#[path = "nbd/client.rs"]
mod client;
#[path = "nbd/memory.rs"]
mod memory;
#[path = "nbd/transmission.rs"]
mod transmission;

use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use client::*;
use drx_bsr::core::api::{Request, RequestError};
use drx_bsr::shell::nbd::{Address, Export, Server};
use memory::{Fixture, until};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};

const MIB: u32 = 1 << 20;
/// HAS_FLAGS, SEND_FLUSH, SEND_FUA, SEND_TRIM, SEND_WRITE_ZEROES, CAN_MULTI_CONN.
const FLAGS: [u8; 2] = [1, 0b0110_1101];

fn random(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

mod handshake {
    use super::*;

    #[tokio::test]
    async fn export_name_answers_with_the_size_and_124_zeros_unless_the_client_wants_none() {
        let fixture = Fixture::start(3 << 20);
        for (flags, zeros) in [(0, 124), (1, 124), (2, 0), (3, 0)] {
            for name in [&b""[..], b"node1"] {
                let mut client = Client::greeted(&fixture, flags).await;
                client.option(EXPORT_NAME, name).await;
                let mut expected = (3u64 << 20).to_be_bytes().to_vec();
                expected.extend(FLAGS);
                expected.extend(vec![0; zeros]);
                assert_eq!(client.take(expected.len()).await, expected);
                assert_eq!(client.read(512, 512).await, [0; 512]);
            }
        }
    }

    #[tokio::test]
    async fn export_name_of_what_there_is_not_closes() {
        let fixture = Fixture::start(MIB as usize);
        let mut client = Client::greeted(&fixture, 3).await;
        client.option(EXPORT_NAME, b"node2").await;
        assert_eq!(client.closed().await, b"");
        assert!(fixture.told("an export that there is not"));
    }

    #[tokio::test]
    async fn info_and_go_tell_size_flags_and_block_sizes() {
        let fixture = Fixture::start(MIB as usize);
        let mut client = Client::greeted(&fixture, 3).await;
        for (option, name) in [(INFO, &b"node1"[..]), (INFO, b""), (GO, b"node1")] {
            client.option(option, &go(name)).await;
            let mut export = vec![0, 0];
            export.extend(u64::from(MIB).to_be_bytes());
            export.extend(FLAGS);
            assert_eq!(client.option_reply(option).await, (REP_INFO, export));
            let sizes = [512u32, 4096, 32 << 20].map(u32::to_be_bytes).concat();
            assert_eq!(client.option_reply(option).await, (REP_INFO, [&[0, 3], &sizes[..]].concat()));
            assert_eq!(client.option_reply(option).await, (ACK, vec![]));
        }
        assert_eq!(client.read(0, 512).await, [0; 512]);
        assert_eq!(fixture.in_use.clients(), 1);
    }

    #[tokio::test]
    async fn what_it_cannot_do_is_refused_and_the_talk_goes_on() {
        let fixture = Fixture::start(MIB as usize);
        let mut client = Client::greeted(&fixture, 3).await;
        for option in [STARTTLS, STRUCTURED_REPLY, 9, 10, 0, 77, u32::MAX] {
            client.option(option, b"data").await;
            assert_eq!(client.option_reply(option).await.0, ERR_UNSUP);
        }
        client.option(GO, &go(b"node2")).await;
        assert_eq!(client.option_reply(GO).await.0, ERR_UNKNOWN);
        // No length, a name beyond the end, a list that is too short, one that is too long.
        for data in
            [&b""[..], &[0, 0, 0, 9, b'n', 0, 0], &[0, 0, 0, 0, 0, 1], &[0, 0, 0, 0, 0, 0, 0], &[255; 12]]
        {
            client.option(GO, data).await;
            assert_eq!(client.option_reply(GO).await.0, ERR_INVALID);
        }
        client.option(LIST, b"?").await;
        assert_eq!(client.option_reply(LIST).await.0, ERR_INVALID);
        client.option(LIST, b"").await;
        assert_eq!(client.option_reply(LIST).await, (SERVER, b"\0\0\0\x05node1".to_vec()));
        assert_eq!(client.option_reply(LIST).await, (ACK, vec![]));
        client.option(ABORT, b"").await;
        assert_eq!(client.option_reply(ABORT).await, (ACK, vec![]));
        assert_eq!(client.closed().await, b"");
        assert_eq!(fixture.log.lock().unwrap().len(), 0);
    }

    #[tokio::test]
    async fn a_secondary_lets_nobody_in() {
        let fixture = Fixture::start(MIB as usize);
        fixture.export.send_modify(|export| export.primary = false);
        let mut client = Client::greeted(&fixture, 3).await;
        for option in [INFO, GO] {
            client.option(option, &go(b"")).await;
            assert_eq!(client.option_reply(option).await, (ERR_POLICY, b"this node is not primary".to_vec()));
        }
        assert_eq!(fixture.in_use.clients(), 0);
        fixture.export.send_modify(|export| export.primary = true);
        client.option(GO, &go(b"")).await;
        assert_eq!(client.option_reply(GO).await.0, REP_INFO);

        fixture.export.send_modify(|export| export.primary = false);
        let mut client = Client::greeted(&fixture, 3).await;
        client.option(EXPORT_NAME, b"").await;
        assert_eq!(client.closed().await, b"");
    }

    #[tokio::test]
    async fn what_no_client_would_send_ends_it_with_the_reason_in_the_log() {
        let fixture = Fixture::start(MIB as usize);
        let cases: [(u32, Vec<u8>, &str); 5] = [
            (4, vec![], "client flags 0x4"),
            (0xffff_ffff, vec![], "client flags 0xffffffff"),
            (3, b"GET / HTTP/1.1\r\n\r\n".to_vec(), "474554202f204854 where an option begins"),
            (3, b"IHAVEOPT\0\0\0\x07\xff\xff\xff\xff".to_vec(), "option 7 with 4294967295 bytes"),
            (3, b"IHAVEOPT\0\0\0\x4d\0\0\0\0".repeat(65), "more than 64 options"),
        ];
        for (flags, bytes, reason) in cases {
            let mut client = Client::greeted(&fixture, flags).await;
            let _ = client.0.write_all(&bytes).await; // it may be closed already
            client.closed().await;
            until(reason, || fixture.told(reason)).await;
        }
        assert_eq!(fixture.in_use.clients(), 0);
        Client::start(&fixture).await;
    }

    #[tokio::test]
    async fn noise_ends_it_or_is_refused() {
        let fixture = Fixture::start(MIB as usize);
        let mut random = fastrand::Rng::with_seed(4);
        for _ in 0..300 {
            let mut client = Client::greeted(&fixture, random.u32(..4)).await;
            for _ in 0..random.usize(1..4) {
                let mut noise = vec![0; random.usize(..80)];
                random.fill(&mut noise);
                let mut option = b"IHAVEOPT\0\0\0".to_vec();
                option.push(random.u8(2..12)); // EXPORT_NAME would end it
                option.extend(
                    if random.u8(..8) == 0 { random.u32(..) } else { noise.len() as u32 }.to_be_bytes(),
                );
                let _ = client.0.write_all(&[option, noise].concat()).await;
            }
            let _ = client.0.shutdown().await;
            client.closed().await;
        }
        until("all have ended", || fixture.in_use.clients() == 0).await;
        Client::start(&fixture).await;
    }

    #[tokio::test]
    async fn who_says_nothing_is_dropped_after_ten_seconds() {
        let fixture = Fixture::start(MIB as usize);
        let mut client = Client::greeted(&fixture, 3).await;
        client.0.write_all(b"IHAVE").await.unwrap();
        assert_eq!(client.closed().await, b"");
        assert!(fixture.told("it has not chosen an export in time"));
    }

    #[tokio::test]
    async fn no_more_than_32_at_a_time() {
        let fixture = Fixture::start(MIB as usize);
        let mut clients = Vec::new();
        for _ in 0..32 {
            clients.push(Client::start(&fixture).await);
        }
        assert_eq!(Client(UnixStream::connect(fixture.path()).await.unwrap()).closed().await, b"");
        assert!(fixture.told("there are 32 already"));
        clients.pop();
        until("one has gone", || fixture.in_use.clients() == 31).await;
        until("its task, too", || fixture.told("has ended")).await;
        Client::start(&fixture).await;
    }
}

mod socket {
    use super::*;

    fn bind(address: &Address) -> std::io::Result<Server> {
        let (requests, _) = mpsc::channel(1);
        let (_, export) = watch::channel(Export::default());
        Server::bind(address, "node", requests, export, std::sync::Arc::new(|_, _| {}))
    }

    #[tokio::test]
    async fn is_for_this_user_alone_and_goes_with_the_server() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nbd");
        let server = bind(&Address::Unix(path.clone())).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(server);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn replaces_that_of_a_dead_process_but_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nbd");
        let address = Address::Unix(path.clone());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap()); // its path stays
        let _server = bind(&address).unwrap();
        let in_use = bind(&address).err().unwrap();
        assert_eq!(in_use.kind(), std::io::ErrorKind::AddrInUse);
        UnixStream::connect(&path).await.unwrap();

        let file = directory.path().join("file");
        std::fs::write(&file, "precious").unwrap();
        bind(&Address::Unix(file.clone())).err().unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"precious");
        bind(&Address::Unix(directory.path().join("n".repeat(200)))).err().unwrap();
    }

    #[tokio::test]
    async fn may_be_a_port() {
        let at = Address::Tcp("127.0.0.1:0".parse().unwrap());
        let fixture = Fixture::start_at(MIB as usize, &at, tempfile::tempdir().unwrap());
        let Address::Tcp(at) = fixture.address else { panic!() };
        assert_ne!(at.port(), 0);
        let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
        let mut hello = [0; 18];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut hello).await.unwrap();
        assert_eq!(&hello, b"NBDMAGICIHAVEOPT\0\x03");
    }
}
