//! Two nodes that begin at the same moment.

use std::sync::Barrier;
use std::thread;

use super::*;

/// What a node does until it is connected: opens, waits for the other's first words, and starts over if they do not come.
/// With it: how often it has opened, and how many connections have crossed.
async fn until_connected(settings: OpeningSettings, mut random: fastrand::Rng) -> (Connections, u32, u32) {
    let (mut opened_so_often, mut crossed) = (0, 0);
    loop {
        opened_so_often += 1;
        let note = |_, line: String| crossed += u32::from(line.contains("crossed"));
        let mut opened = open(&settings, &mut random, note).await;
        let greeted = async {
            opened.data.write_all(b"data").await?;
            opened.meta.write_all(b"meta").await?;
            let mut words = [0; 4];
            opened.data.read_exact(&mut words).await?;
            assert_eq!(&words, b"data");
            opened.meta.read_exact(&mut words).await?;
            assert_eq!(&words, b"meta");
            std::io::Result::Ok(())
        };
        if matches!(timeout(4 * CHECK, greeted).await, Ok(Ok(()))) {
            return (opened, opened_so_often, crossed);
        }
        drop(opened);
        tokio::time::sleep(CHECK).await;
    }
}

/// A node on a thread of its own: its ends of both connections, as (own, other's), and what until_connected counted.
fn on_its_own(
    settings: OpeningSettings,
    random: fastrand::Rng,
    start: Arc<Barrier>,
) -> thread::JoinHandle<Ends> {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        start.wait();
        runtime.block_on(async {
            let (opened, attempts, crossed) = in_time(until_connected(settings, random)).await;
            let ends = |stream: &TcpStream| (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
            let of_both = [ends(&opened.data), ends(&opened.meta)];
            Ends { of_both, resolve_conflicts: opened.resolve_conflicts, attempts, crossed }
        })
    })
}

struct Ends {
    of_both: [(SocketAddr, SocketAddr); 2],
    resolve_conflicts: bool,
    attempts: u32,
    crossed: u32,
}

/// Both begin at the same moment with the same connection, again and again.
#[test]
fn nodes_that_cross_end_up_with_the_same_two_connections() {
    let (mut again, mut crossed) = (0, 0);
    for round in 0..100 {
        let [one, other] = addresses();
        let brisk = |address, peer, first| OpeningSettings {
            connect_int: Duration::from_millis(40),
            socket_check_timeout: Duration::from_millis(20),
            ..settings(address, peer, first)
        };
        // By number they do not cross, unless both dial what is missing: so it is part of it.
        let firsts = if round % 4 == 0 { [LOWER, HIGHER] } else { [Opening::DataFirst; 2] };
        let mut random = fastrand::Rng::with_seed(round);
        let start = Arc::new(Barrier::new(2));
        let left = on_its_own(brisk(one, other, firsts[0]), random.fork(), Arc::clone(&start));
        let right = on_its_own(brisk(other, one, firsts[1]), random.fork(), start);
        let (left, right) = (left.join().unwrap(), right.join().unwrap());
        assert_eq!(left.of_both, right.of_both.map(|(mine, peers)| (peers, mine)), "round {round}");
        assert_ne!(left.resolve_conflicts, right.resolve_conflicts, "round {round}");
        again += left.attempts.max(right.attempts) - 1;
        crossed += left.crossed + right.crossed;
    }
    println!("in 100 rounds {crossed} connections have crossed, and {again} times both were opened anew");
}
