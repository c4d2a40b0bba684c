//! Delivery across a link: what was sent, what was written, what may go (docs/link.md 3).
//!
//! Offsets count the bytes of one direction of one round, from 0. TCP keeps order and loses nothing
//! while it lives, so there are no timers, holes or fast retransmit here (the review in seed 004):
//! what is not acknowledged is kept, and sent again when a link is resumed.

/// Bytes from bsr on their way to the other DRX: `head ≤ sent ≤ tail`, always. The BAB holds
/// everything from `head` to `tail`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Outbound {
    head: u64,
    sent: u64,
    tail: u64,
    limit: u64,
    fin: Option<Fin>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Fin {
    offset: u64,
    sent: bool,
}

/// What the other DRX did that no relay does: the link is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// It acknowledged what was never sent.
    #[error("it acknowledged byte {acknowledged}, only {sent} were sent")]
    AcknowledgedUnsent {
        /// Its acknowledgement.
        acknowledged: u64,
        /// What was sent.
        sent: u64,
    },
    /// It sent beyond the window that it was granted.
    #[error("it sent up to byte {end}, {limit} were granted")]
    BeyondWindow {
        /// Where its bytes end.
        end: u64,
        /// What was granted.
        limit: u64,
    },
    /// It left bytes out, which an ordered transport cannot do.
    #[error("it sent byte {offset}, {expected} was next")]
    Gap {
        /// Where its bytes begin.
        offset: u64,
        /// What was expected.
        expected: u64,
    },
    /// It went on after its FIN, or moved it.
    #[error("it sent byte {end} after it had ended at {last}")]
    AfterFin {
        /// Where its bytes, or its second FIN, end.
        end: u64,
        /// Its first FIN.
        last: u64,
    },
    /// It asks for bytes that were acknowledged already, or were never sent.
    #[error("it asks to go on from byte {asked}; {head} to {sent} can be sent again")]
    NotHeld {
        /// What it expects next.
        asked: u64,
        /// The first byte that is still held.
        head: u64,
        /// The end of what was sent.
        sent: u64,
    },
}

impl Outbound {
    /// Nothing yet; the other side grants `window` bytes to begin with.
    pub fn new(window: u32) -> Outbound {
        Outbound { limit: u64::from(window), ..Outbound::default() }
    }

    /// `bytes` more from bsr are in the BAB.
    pub fn append(&mut self, bytes: u64) {
        debug_assert!(self.fin.is_none(), "nothing is read from bsr after FIN was ordered");
        self.tail += bytes;
    }

    /// The offset of the next byte to send, and how many may go now.
    pub fn sendable(&self) -> (u64, u64) {
        (self.sent, self.tail.min(self.limit).saturating_sub(self.sent))
    }

    /// `bytes` more were handed to the link.
    pub fn advance(&mut self, bytes: u64) {
        debug_assert!(bytes <= self.sendable().1, "only what is sendable is sent");
        self.sent += bytes;
    }

    /// The other DRX wrote everything below `acknowledged` to its bsr and grants `window` beyond.
    /// Returns how many bytes leave the BAB.
    pub fn acknowledged(&mut self, acknowledged: u64, window: u32) -> Result<u64, Violation> {
        if acknowledged > self.sent {
            return Err(Violation::AcknowledgedUnsent { acknowledged, sent: self.sent });
        }
        // A granted window is never taken back, whatever a later frame says.
        self.limit = self.limit.max(acknowledged.saturating_add(u64::from(window)));
        let freed = acknowledged.saturating_sub(self.head);
        self.head += freed;
        Ok(freed)
    }

    /// Nothing follows what is in the BAB.
    pub fn finish(&mut self) {
        if self.fin.is_none() {
            self.fin = Some(Fin { offset: self.tail, sent: false });
        }
    }

    /// Nothing follows what was sent. Returns how many unsent bytes leave the BAB.
    pub fn cut(&mut self) -> u64 {
        let dropped = self.tail - self.sent;
        self.tail = self.sent;
        self.fin = Some(Fin { offset: self.tail, sent: self.fin.is_some_and(|fin| fin.sent) });
        dropped
    }

    /// The final offset, when it is FIN's turn.
    pub fn fin_due(&self) -> Option<u64> {
        self.fin.filter(|fin| !fin.sent && fin.offset == self.sent).map(|fin| fin.offset)
    }

    /// FIN was handed to the link.
    pub fn fin_sent(&mut self) {
        if let Some(fin) = &mut self.fin {
            fin.sent = true;
        }
    }

    /// Whether FIN was sent and everything before it is acknowledged.
    pub fn flushed(&self) -> bool {
        self.fin.is_some_and(|fin| fin.sent && fin.offset == self.head)
    }

    /// A resumed link goes on from `next`, what the other DRX has received. Returns how many bytes
    /// are sent again.
    pub fn resume(&mut self, next: u64, window: u32) -> Result<u64, Violation> {
        self.holds(next)?;
        let again = self.sent - next;
        self.sent = next;
        // What was granted counts from what is written, at most `next`: the window is told anew.
        self.limit = self.limit.max(self.head.saturating_add(u64::from(window)));
        if let Some(fin) = &mut self.fin {
            fin.sent = false;
        }
        Ok(again)
    }

    /// Whether everything from `next` on can be sent again, as far as it was sent.
    fn holds(&self, next: u64) -> Result<(), Violation> {
        let Outbound { head, sent, .. } = *self;
        if next < head || next > sent {
            return Err(Violation::NotHeld { asked: next, head, sent });
        }
        Ok(())
    }

    /// The first byte that is not acknowledged.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// The first byte that is not sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// The first byte that bsr has not sent yet.
    pub fn tail(&self) -> u64 {
        self.tail
    }

    /// What the BAB holds, in bytes.
    pub fn held(&self) -> u64 {
        self.tail - self.head
    }

    /// What waits to be sent, in bytes.
    pub fn unsent(&self) -> u64 {
        self.tail - self.sent
    }
}

/// Where a round stands while its link is broken: nothing is sent, acknowledged or received until it is
/// resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standstill {
    out: Outbound,
    received: u64,
}

impl Standstill {
    /// Of a round whose link has just broken.
    pub fn of(out: &Outbound, inbound: &Inbound) -> Standstill {
        Standstill { out: out.clone(), received: inbound.received() }
    }

    /// The next byte that is expected: what a resume asks for.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// How far the round has come, both ways: what is acknowledged, and what was received. Where two are the
    /// same nothing got through between them.
    pub fn progress(&self) -> (u64, u64) {
        (self.out.head, self.received)
    }

    /// Whether bytes wait to be acknowledged.
    pub fn waits(&self) -> bool {
        self.out.held() > 0
    }

    /// Whether the other DRX can be given what it asks for.
    ///
    /// # Errors
    /// [`Violation::NotHeld`]: the round cannot be resumed.
    pub fn can_resume(&self, next: u64) -> Result<(), Violation> {
        self.out.holds(next)
    }
}

/// Bytes from the other DRX on their way to bsr: `written ≤ received`, always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Inbound {
    received: u64,
    written: u64,
    window: u32,
    granted: u64,
    told: u64,
    fin: Option<u64>,
}

/// What to do with the bytes of one DATA frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Take {
    /// Bytes at the front that came before: dropped and counted.
    pub known: u64,
    /// Bytes after them that are new.
    pub new: u64,
}

impl Inbound {
    /// Nothing yet; `window` bytes are granted.
    pub fn new(window: u32) -> Inbound {
        Inbound { window, granted: u64::from(window), ..Inbound::default() }
    }

    /// `length` bytes came, the first of them at `offset`.
    pub fn data(&mut self, offset: u64, length: u64) -> Result<Take, Violation> {
        let end = offset.saturating_add(length);
        if offset > self.received {
            return Err(Violation::Gap { offset, expected: self.received });
        }
        if end > self.granted {
            return Err(Violation::BeyondWindow { end, limit: self.granted });
        }
        if let Some(last) = self.fin.filter(|last| end > *last) {
            return Err(Violation::AfterFin { end, last });
        }
        let known = (self.received - offset).min(length);
        self.received += length - known;
        Ok(Take { known, new: length - known })
    }

    /// The other DRX ends at `offset`.
    pub fn fin(&mut self, offset: u64) -> Result<(), Violation> {
        match self.fin {
            Some(last) if last != offset => return Err(Violation::AfterFin { end: offset, last }),
            _ if offset != self.received => return Err(Violation::Gap { offset, expected: self.received }),
            _ => self.fin = Some(offset),
        }
        Ok(())
    }

    /// `bytes` more were written to bsr, or thrown away because it is gone.
    pub fn wrote(&mut self, bytes: u64) {
        debug_assert!(self.written + bytes <= self.received, "only what was received is written");
        self.written += bytes;
    }

    /// What the next frame back says: acknowledgement and window. The window of what it grants is
    /// counted from now on.
    pub fn tell(&mut self) -> (u64, u32) {
        self.told = self.written;
        self.granted = self.granted.max(self.written + u64::from(self.window));
        (self.written, self.window)
    }

    /// Bytes written that the other DRX has not been told of.
    pub fn untold(&self) -> u64 {
        self.written - self.told
    }

    /// The next byte that is expected: what a resume asks for.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The end of what is written to bsr: what is acknowledged.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Bytes that wait to be written to bsr.
    pub fn pending(&self) -> u64 {
        self.received - self.written
    }

    /// Whether FIN came and everything before it is written.
    pub fn delivered(&self) -> bool {
        self.fin == Some(self.written)
    }
}
