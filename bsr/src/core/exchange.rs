//! Both bitmaps become one: each node sends its own, and what is set in either may differ (bsr-wire B.5).

use super::Node;
use crate::bitmap::Transfer;
use crate::wire::{Connection, Packet, Stream};

/// How much of the other node's bitmap is here.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    receiving: Option<Transfer>,
}

impl Node {
    pub(super) fn send_bitmap(&mut self) {
        let rle = self.settings.use_rle;
        let mut transfer = Transfer::new(header(self.version()));
        let mut packets = 0;
        while let Some(packet) = transfer.next_packet(&self.bitmap, rle) {
            self.send(Stream::Data, packet);
            packets += 1;
        }
        let bits = self.bitmap.weight();
        self.note(
            super::Severity::Info,
            format!("sent the bitmap in {packets} packets: {bits} blocks of 4 KiB are set"),
        );
    }

    pub(super) fn bitmap_came(&mut self, packet: &Packet) {
        if !matches!(self.state.connection, Connection::WFBitMapS | Connection::WFBitMapT) {
            self.violated(format!("a bitmap came while {}", self.state.connection));
            return;
        }
        let header = header(self.version());
        let Some(session) = &mut self.session else { return };
        let transfer = session.exchange.receiving.get_or_insert_with(|| Transfer::new(header));
        match transfer.receive(&mut self.bitmap, packet) {
            Ok(false) => {}
            Ok(true) => {
                session.exchange.receiving = None;
                self.bitmap_complete();
            }
            Err(what) => self.violated(what.to_string()),
        }
    }

    fn bitmap_complete(&mut self) {
        let why = "both bitmaps are one";
        if self.state.connection == Connection::WFBitMapS {
            self.change(why, |state| state.connection = Connection::SyncSource);
        } else {
            // Both send all of it: the union is the same on both, whoever is the source.
            self.send_bitmap();
            self.change(why, |state| state.connection = Connection::WFSyncUUID);
        }
    }
}

/// Bytes of a header: what is left of the 4 KiB of a packet is for words.
fn header(version: u32) -> usize {
    if version >= 100 { 16 } else { 8 }
}
