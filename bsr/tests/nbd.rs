//! The NBD server, request by request, before a node whose volume is in memory.
#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used)]

#[path = "nbd/client.rs"]
mod client;
#[path = "nbd/memory.rs"]
mod memory;

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

mod transmission {
    use super::*;

    #[tokio::test]
    async fn what_is_written_is_read() {
        let fixture = Fixture::start(8 << 20);
        let mut client = Client::start(&fixture).await;
        let data = random(4096, 1);
        assert_eq!(client.write(0, 8192, &data).await, 0);
        assert_eq!(client.read(8192, 4096).await, data);
        assert_eq!(client.read(8192 + 512, 512).await, data[512..1024]);
        assert_eq!(
            fixture.asked(),
            [
                Request::Write { offset: 8192, data: Bytes::new(), fua: false },
                Request::Read { offset: 8192, length: 4096 },
                Request::Read { offset: 8192 + 512, length: 512 },
            ]
        );
    }

    #[tokio::test]
    async fn the_largest_requests_are_split() {
        let fixture = Fixture::start(40 << 20);
        let mut client = Client::start(&fixture).await;
        let data = random(32 << 20, 2);
        let offset = 5 * 512;
        assert_eq!(client.write(FUA, offset, &data).await, 0);
        let parts = (0..32).map(|part| offset + part * u64::from(MIB));
        let writes = parts.clone().map(|offset| Request::Write { offset, data: Bytes::new(), fua: true });
        assert_eq!(fixture.asked(), writes.collect::<Vec<_>>());
        assert_eq!(client.read(offset, 32 << 20).await, data);
        assert_eq!(
            fixture.asked(),
            parts.map(|offset| Request::Read { offset, length: MIB }).collect::<Vec<_>>()
        );
        // Not a multiple of a part.
        assert_eq!(client.read(offset, MIB + 512).await, data[..MIB as usize + 512]);
    }

    #[tokio::test]
    async fn zeros_and_trims_become_zero_requests_and_their_fua_a_flush() {
        let fixture = Fixture::start(300 << 20);
        let mut client = Client::start(&fixture).await;
        fixture.memory.lock().unwrap().volume.fill(0xee);
        for (command, flags, discard) in [
            (TRIM, 0, true),
            (TRIM, FUA, true),
            (WRITE_ZEROES, 0, true),
            (WRITE_ZEROES, FUA | NO_HOLE, false),
        ] {
            assert_eq!(client.request(command, flags, 1024, 4096, b"").await, 0);
            let mut expected = vec![Request::Zero { offset: 1024, length: 4096, discard }];
            expected.extend((flags & FUA != 0).then_some(Request::Flush));
            assert_eq!(fixture.asked(), expected);
        }
        // These may be larger than a write.
        assert_eq!(client.request(WRITE_ZEROES, 0, 0, 300 << 20, b"").await, 0);
        assert_eq!(fixture.asked().len(), 300);
        assert!(fixture.memory.lock().unwrap().volume.iter().all(|byte| *byte == 0));
    }

    #[tokio::test]
    async fn a_flush_is_asked_for() {
        let fixture = Fixture::start(MIB as usize);
        let mut client = Client::start(&fixture).await;
        assert_eq!(client.request(FLUSH, 0, 0, 0, b"").await, 0);
        assert_eq!(client.request(FLUSH, FUA, 0, 0, b"").await, 0); // on any command
        assert_eq!(client.request(FLUSH, 0, 512, 0, b"").await, 22);
        assert_eq!(fixture.asked(), [Request::Flush, Request::Flush]);
    }

    #[tokio::test]
    async fn what_cannot_be_is_an_error_and_the_next_request_is_found() {
        let fixture = Fixture::start(MIB as usize);
        let mut client = Client::start(&fixture).await;
        let (einval, enospc) = (22, 28);
        assert_eq!(client.write(0, 100, &[1; 512]).await, einval);
        assert_eq!(client.write(0, 0, &[1; 100]).await, einval);
        assert_eq!(client.write(2, 0, &[1; 512]).await, einval); // NO_HOLE is for zeros
        assert_eq!(client.write(0, u64::from(MIB), &[1; 512]).await, enospc);
        assert_eq!(client.write(0, u64::MAX - 511, &[1; 1024]).await, enospc);
        assert_eq!(client.request(WRITE_ZEROES, 0, 0, MIB + 512, b"").await, enospc);
        assert_eq!(client.request(WRITE_ZEROES, 16, 0, 512, b"").await, einval); // FAST_ZERO was not offered
        assert_eq!(client.request(READ, 0, u64::from(MIB) - 512, 1024, b"").await, einval);
        assert_eq!(client.request(READ, 4, 0, 512, b"").await, einval); // neither was DF
        assert_eq!(client.request(READ, 0, 1, 512, b"").await, einval);
        assert_eq!(client.request(TRIM, 0, 0, 2 * MIB, b"").await, einval);
        for unknown in [5, 7, 8, 99, u16::MAX] {
            assert_eq!(client.request(unknown, 0, 0, 512, b"").await, einval);
        }
        assert_eq!(fixture.asked(), []);
        assert_eq!(client.read(0, 512).await, [0; 512]);
        assert!(client.read(u64::from(MIB), 0).await.is_empty());
    }

    #[tokio::test]
    async fn the_nodes_errors_have_their_numbers() {
        let fixture = Fixture::start(4 << 20);
        let mut client = Client::start(&fixture).await;
        let errors = [
            (RequestError::NotPrimary, 1, 1),
            (RequestError::NoData, 5, 5),
            (RequestError::Disk("it fell down".to_owned()), 5, 5),
            (RequestError::Range, 22, 28),
            (RequestError::Down, 108, 108),
        ];
        for (error, reading, writing) in errors {
            fixture.memory.lock().unwrap().fail = Some(error);
            assert_eq!(client.request(READ, 0, 0, 3 << 20, b"").await, reading);
            assert_eq!(client.write(0, 0, &vec![0; 3 << 20]).await, writing);
        }
        // There is no node any more.
        fixture.node.abort();
        until("the node has gone", || fixture.node.is_finished()).await;
        assert_eq!(client.request(READ, 0, 0, 512, b"").await, 108);
    }

    #[tokio::test]
    async fn replies_come_when_they_are_there_and_say_to_what() {
        let fixture = Fixture::start(64 * 512);
        let mut client = Client::start(&fixture).await;
        for block in 0..64u8 {
            assert_eq!(client.write(0, u64::from(block) * 512, &[block; 512]).await, 0);
        }
        for block in (0..64).rev() {
            client.send(READ, 0, 1000 + block, block * 512, 512, b"").await;
        }
        let mut seen = [false; 64];
        for _ in 0..64 {
            let (handle, error) = client.reply().await;
            assert_eq!(error, 0);
            let block = (handle - 1000) as usize;
            assert!(!std::mem::replace(&mut seen[block], true));
            assert_eq!(client.take(512).await, [block as u8; 512]);
        }
    }

    #[tokio::test]
    async fn no_more_than_64_requests_are_under_way() {
        let fixture = Fixture::start(MIB as usize);
        let mut client = Client::start(&fixture).await;
        fixture.leave.forget_permits(usize::MAX);
        for handle in 0..200 {
            client.send(READ, 0, handle, 0, 512, b"").await;
        }
        until("64 wait", || fixture.memory.lock().unwrap().waiting == 64).await;
        fixture.leave.add_permits(1000);
        for _ in 0..200 {
            assert_eq!(client.reply().await.1, 0);
            client.take(512).await;
        }
        assert_eq!(fixture.memory.lock().unwrap().most_waiting, 64);
    }

    #[tokio::test]
    async fn no_more_than_64_mib_are_under_way_even_if_the_client_takes_no_reply() {
        let fixture = Fixture::start(32 << 20);
        let mut client = Client::start(&fixture).await;
        fixture.leave.forget_permits(usize::MAX);
        for handle in 0..6 {
            client.send(READ, 0, handle, 0, 32 << 20, b"").await;
        }
        until("64 MiB wait", || fixture.memory.lock().unwrap().waiting == 64).await;
        fixture.leave.add_permits(1000);
        until("they are read", || fixture.memory.lock().unwrap().asked.len() == 64).await;
        // Now they wait for the client, and the other four wait for them.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert_eq!(fixture.asked().len(), 64);
        for _ in 0..6 {
            assert_eq!(client.reply().await.1, 0);
            client.take(32 << 20).await;
        }
        assert_eq!(fixture.asked().len(), 128);
        assert_eq!(fixture.memory.lock().unwrap().most_waiting, 64);
    }

    #[tokio::test]
    async fn after_disc_or_a_close_what_was_asked_is_still_done() {
        let fixture = Fixture::start(MIB as usize);
        for disc in [true, false] {
            fixture.memory.lock().unwrap().volume.fill(0);
            fixture.leave.forget_permits(usize::MAX);
            let mut client = Client::start(&fixture).await;
            client.send(WRITE, 0, 1, 0, 4096, &[7; 4096]).await;
            if disc {
                client.send(DISC, 0, 2, 0, 0, b"").await;
            }
            client.0.shutdown().await.unwrap();
            until("it waits", || fixture.memory.lock().unwrap().waiting == 1).await;
            assert_eq!(fixture.in_use.clients(), 1);
            fixture.leave.add_permits(1);
            assert_eq!(client.reply().await, (1, 0));
            assert_eq!(client.closed().await, b"");
            assert_eq!(fixture.memory.lock().unwrap().volume[..4096], [7; 4096]);
            until("it has ended", || fixture.in_use.clients() == 0).await;
            fixture.leave.add_permits(1000);
        }
    }

    #[tokio::test]
    async fn what_no_client_would_send_ends_it_with_the_reason_in_the_log() {
        let fixture = Fixture::start(MIB as usize);
        let mut client = Client::start(&fixture).await;
        client.send(WRITE, 0, 1, 0, (32 << 20) + 512, b"").await;
        client.closed().await;
        until("too large", || fixture.told("33554944 bytes in one request")).await;

        let mut client = Client::start(&fixture).await;
        client.0.write_all(&[0x25; 28]).await.unwrap();
        client.closed().await;
        until("no request", || fixture.told("25252525 where a request begins")).await;

        let mut client = Client::start(&fixture).await;
        client.send(WRITE, 0, 1, 0, 4096, &[0; 4000]).await;
        client.0.shutdown().await.unwrap();
        client.closed().await;
        until("cut off", || fixture.told("it closed within a request")).await;
        assert_eq!(fixture.asked(), []);

        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..300 {
            let mut client = Client::start(&fixture).await;
            let mut noise = vec![0; random.usize(..200)];
            random.fill(&mut noise);
            if random.bool() {
                noise.splice(0..0, [0x25, 0x60, 0x95, 0x13, 0, 0, 0, random.u8(..9)]); // it begins well
            }
            let _ = client.0.write_all(&noise).await;
            let _ = client.0.shutdown().await;
            client.closed().await;
        }
        until("all have ended", || fixture.in_use.clients() == 0).await;
        assert_eq!(Client::start(&fixture).await.read(0, 512).await.len(), 512);
    }

    #[tokio::test]
    async fn a_node_that_becomes_secondary_drops_its_clients() {
        let fixture = Fixture::start(MIB as usize);
        let mut client = Client::start(&fixture).await;
        let mut waiting = Client::start(&fixture).await;
        assert_eq!(fixture.in_use.clients(), 2);
        fixture.leave.forget_permits(usize::MAX);
        waiting.send(READ, 0, 1, 0, 512, b"").await;
        until("it waits", || fixture.memory.lock().unwrap().waiting == 1).await;
        fixture.export.send_modify(|export| export.primary = false);
        assert_eq!(client.closed().await, b"");
        assert_eq!(waiting.closed().await, b"");
        until("they are gone", || fixture.in_use.clients() == 0).await;
        assert!(fixture.told("this node is not primary any more"));
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
