//! What is kept over a crash, and when.

use super::disk::{Announcement, Job};
use super::{Action, Node, SECTOR, Save, State};
use crate::bitmap::PAGE;
use crate::metadata::Head;
use crate::wire::{Connection, Disk, Role};

impl Node {
    fn head(&self) -> Head {
        let State { role, peer, connection, disk, peer_disk } = self.state;
        Head {
            generations: self.generations,
            size: self.volume,
            agreed: if self.state.is_connected() { self.size / SECTOR } else { self.saved.agreed },
            consistent: disk > Disk::Inconsistent,
            was_up_to_date: disk > Disk::Outdated,
            primary: role == Role::Primary || peer == Role::Primary && peer_disk < Disk::Inconsistent,
            crashed_primary: self.crashed_primary,
            connected: connection > Connection::WFReportParams,
            peer_outdated: (Disk::Inconsistent..=Disk::Outdated).contains(&peer_disk),
            full_sync: false,
        }
    }

    /// Generations and flags, if they are others than those that were saved.
    pub(super) fn save_head(&mut self) {
        let head = self.head();
        if head != self.saved {
            // Who calls this disk good after a crash must find on it what makes it good.
            let flush_volume = head.consistent && !self.saved.consistent;
            self.saved = head;
            self.save(Save { flush_volume, head: Some(head), ..Save::default() });
        }
    }

    /// Something waits for what was saved so far to be stable.
    pub(super) fn save_for(&mut self, job: Job) {
        let flush_volume = self.settings.disk_flushes
            && match job {
                // What the other node wrote here may be on no disk but this one by now.
                Job::Promote(_) => !self.state.is_connected(),
                // The bitmap forgets each block that the target has. What this disk has of it, and may have from the
                // other node, must be there for good then.
                Job::Announce(_, Announcement::SyncUuid(_)) => true,
                _ => false,
            };
        let token = self.saving(job);
        self.push(Action::Save(Save { token, flush_volume, ..Save::default() }));
    }

    /// Sends it on data, when what is known now is stable.
    pub(super) fn announce(&mut self, announcement: Announcement) {
        self.save_head();
        let Some(session) = &mut self.session else { return };
        session.announcing += 1;
        let session = session.number;
        self.save_for(Job::Announce(session, announcement));
    }

    /// Whether something is still to be announced. What is asked before it would come to the other node before it, and
    /// be undone by it: the state that ends a resync ends a verify, too.
    pub(super) fn is_announcing(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.announcing > 0)
    }

    /// All of it, with the activity log as small as it can be.
    pub(super) fn save_all(&mut self, flush_volume: bool) {
        // What was written to the extents that are given up is known nowhere else any more: it has to be on the disk.
        let given_up = !self.activity.clear_unused().is_empty();
        // The same holds for what a resync has brought: the source has taken its blocks for written, and if the power
        // fails these pages alone know of those that are not there.
        let resynced = self.state.disk <= Disk::Inconsistent;
        let flush_volume = flush_volume || (given_up || resynced) && self.settings.disk_flushes;
        let head = self.head();
        self.saved = head;
        let (pages, activity) = (self.bitmap.take_dirty(), Some(self.activity.extents()));
        self.save(Save { token: 0, flush_volume, pages, head: Some(head), activity });
    }

    /// Nobody waits for it. But its memory counts until it is done: what the other node says can bring about a save,
    /// and it can say more in a second than a disk can save.
    fn save(&mut self, save: Save) {
        let pages = save.pages.len() * PAGE;
        let extents = save.activity.as_ref().map_or(0, |extents| extents.len() * size_of::<u32>());
        let weight = SECTOR + (pages + extents) as u64;
        self.late += weight;
        let token = self.saving(Job::Save(weight));
        self.push(Action::Save(Save { token, ..save }));
    }
}
