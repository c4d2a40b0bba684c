//! The search for deadlocks: more to carry than anything on the way can hold, both ways, on data and meta at once,
//! while readers stall at random.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::world::World;

impl World {
    /// Until the relays have read so many frames from each other.
    pub async fn saturate(self: Rc<Self>, frames: u64) {
        self.begin().await;
        self.until("a whole session stands", Duration::from_secs(10), || self.whole()).await;
        let session = self.session();
        while self.frames.0.load(Ordering::Relaxed) < frames {
            let stalls = self.rng.borrow_mut().usize(1..20);
            for _ in 0..stalls {
                self.stall().await;
            }
            for bsr in self.bsrs.iter().flatten() {
                sleep_until(bsr.deaf_until.get()).await;
            }
            let before: Vec<u64> = session.iter().map(|id| self.read(*id)).collect();
            let all_move = || session.iter().zip(&before).all(|(id, before)| self.read(*id) > *before);
            self.until("everything moves while no reader stalls", STUCK, all_move).await;
        }
        self.finish(&session).await;
        sleep(ACKNOWLEDGED).await;
        self.babs_are_empty().await;
        self.end().await;
    }

    /// One bsr reads nothing for a while; both may do so at once.
    async fn stall(&self) {
        let (node, time, pause) = {
            let mut rng = self.rng.borrow_mut();
            let time = Duration::from_millis(1 << rng.u32(..11));
            (rng.usize(..2), time, Duration::from_millis(rng.u64(..200)))
        };
        let bsr = &self.bsrs[0][node];
        bsr.deaf_until.set(Instant::now() + time);
        bsr.changed.notify_waiters();
        sleep(pause).await;
    }
}

/// Without progress for so long, of the simulated clock, and it is stuck.
const STUCK: Duration = Duration::from_secs(10);
/// The last acknowledgements ride alone, after 3 ms and the line's delay.
const ACKNOWLEDGED: Duration = Duration::from_secs(1);
