//! Requests and replies.

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
    for (command, flags, discard) in
        [(TRIM, 0, true), (TRIM, FUA, true), (WRITE_ZEROES, 0, true), (WRITE_ZEROES, FUA | NO_HOLE, false)]
    {
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
