//! Resources that a test adds and removes.

use std::sync::Arc;
use std::time::Duration;

use drx_actors::api::{Add, Added, Describe, Refusal, Remove, ResourceSettings, Snapshot};
use drx_actors::net::MemoryNet;
use drx_protocol::names::{Lane, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use super::{Session, Site, empty_site, establish, resource};

impl Site {
    pub async fn add(&self) {
        assert_eq!(self.try_add(self.settings().clone()).await, Ok(Added::New));
    }

    pub async fn try_add(&self, settings: ResourceSettings) -> Result<Added, Refusal> {
        timeout(Duration::from_secs(10), self.relay.send(Add(Box::new(settings)))).await.unwrap().unwrap()
    }

    pub async fn remove(&self) -> Result<(), Refusal> {
        let connection = self.settings().connection();
        let began = Instant::now();
        let answer = self.relay.send(Remove { connection }).await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO, "it is answered at once");
        answer
    }

    pub async fn described(&self, name: &str) -> Vec<ResourceSettings> {
        self.relay.send(Describe { name: name.into() }).await.unwrap()
    }

    pub async fn until_gone(&self) {
        let name = self.settings().connection();
        for _ in 0..100_000 {
            let reports = self.relay.send(Snapshot).await.unwrap().resources;
            if reports.iter().all(|report| report.connection() != name) {
                return;
            }
            sleep(Duration::from_millis(1)).await;
        }
        panic!("{}: {name} never went", self.node);
    }
}

/// Two relays without resources, whose BABs may have just what r0 needs.
pub fn two_empty_sites() -> (Site, Site) {
    let net = Arc::new(MemoryNet::new());
    let total = (64 << 20) + (4 << 20);
    let one = empty_site(&net, "node1", vec![resource("r0", 1, 2, 7789)], total);
    let two = empty_site(&net, "node2", vec![resource("r0", 2, 1, 7789)], total);
    (one, two)
}

/// A session stands, and these bytes come through.
pub async fn carries(one: &Site, two: &Site, bytes: &[u8]) {
    let mut session = establish(one, two).await;
    session.data[1].write_all(bytes).await.unwrap();
    session.meta[0].write_all(bytes).await.unwrap();
    for (to, kind) in [(&mut session.data[0], "data"), (&mut session.meta[1], "meta")] {
        let mut got = vec![0; bytes.len()];
        to.read_exact(&mut got).await.unwrap();
        assert_eq!(got, bytes, "{kind}");
    }
}

/// bsr at site two has sent until nothing was taken any more; the far one reads nothing.
pub async fn full(one: &Site, two: &Site) -> (Session, usize) {
    let mut session = establish(one, two).await;
    let mut sent = 0;
    while let Ok(taken) = timeout(Duration::from_secs(1), session.data[1].write(&[7; 100_000])).await {
        sent += taken.unwrap();
        if sent >= 32 << 20 {
            break;
        }
    }
    two.eventually("the BAB holds something", async |two| {
        two.channel(Role::Acceptor, Lane::Zero).await.bab.used > 0
    })
    .await;
    (session, sent)
}
