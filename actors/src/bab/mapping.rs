//! Mapped memory, in stretches that each have one owner.
//!
//! The only file of the relay with `unsafe`. The bytes of a BAB are handed to the link's socket without
//! copying, so they need memory that several may read, each for as long as it likes, and that is
//! written again when nobody does; no safe crate divides one mapping like this. What makes it sound:
//!
//! - A [`Stretch`] is the only owner of its addresses: it can be divided, not copied.
//! - A [`Writer`] has a stretch to itself and writes each byte once, before a [`Span`] shows it.
//! - A span shows only what was written. The stretch comes back to be written again when its writer and
//!   the last span of it are gone.
//! - Nobody outside can change the memory: it is anonymous, or of a file that has neither a name nor a
//!   descriptor any more.
#![expect(unsafe_code, reason = "see above")]

use std::fs::File;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use rustix::io::Result;
use rustix::mm::{Advice, MapFlags, MlockFlags, ProtFlags};
use rustix::mm::{madvise, mlock_with, mmap, mmap_anonymous, munmap};
use tokio::runtime::Handle;

/// Addresses that nobody else owns. Dropped, they are free for nobody until the whole mapping goes.
#[derive(Debug)]
pub(crate) struct Stretch {
    mapping: Arc<Mapping>,
    start: usize,
    length: usize,
}

impl Stretch {
    /// Ordinary memory, committed as it is used.
    ///
    /// # Errors
    /// The kernel does not promise so much.
    pub(super) fn anonymous(length: usize) -> Result<Stretch> {
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let address = unsafe { mmap_anonymous(null_mut(), length, READ_WRITE, MapFlags::PRIVATE)? };
        Ok(Stretch::whole(address.cast(), length, Kind::Anonymous))
    }

    /// Has what is used of it never swapped out.
    ///
    /// # Errors
    /// This process may not lock so much.
    pub(super) fn lock(&self) -> Result<()> {
        // SAFETY: these addresses are mapped.
        unsafe { mlock_with(self.address(0).cast(), self.length, MlockFlags::ONFAULT) }
    }

    /// The first `length` bytes of a file that nobody else can reach.
    ///
    /// # Errors
    /// It cannot be mapped.
    pub(super) fn of_file(file: File, length: usize) -> Result<Stretch> {
        // SAFETY: a new mapping, at an address that the kernel chooses. Dropping the descriptor, which is
        // owned here, takes away the last way to the file but this mapping.
        let address = unsafe { mmap(null_mut(), length, READ_WRITE, MapFlags::SHARED, &file, 0)? };
        Ok(Stretch::whole(address.cast(), length, Kind::File))
    }

    fn whole(address: *mut u8, length: usize, kind: Kind) -> Stretch {
        // The kernel maps nothing at address 0 unless it is asked to.
        let start = NonNull::new(address).expect("mmap(2) gave an address");
        let region = Some(Region { start, length });
        Stretch { mapping: Arc::new(Mapping { region, start, kind }), start: 0, length }
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Takes the first `length` bytes off. Panics if there are not so many.
    pub(super) fn split_to(&mut self, length: usize) -> Stretch {
        assert!(length <= self.length, "a stretch is divided within its bounds");
        let first = Stretch { mapping: Arc::clone(&self.mapping), start: self.start, length };
        self.start += length;
        self.length -= length;
        first
    }

    /// Gives memory, and room on a disk, back to the system at once. What the kernel will not take back
    /// now goes with the whole mapping. Must begin and end where a page does.
    pub(super) fn discard(self) {
        let address = self.address(0).cast();
        // SAFETY: both keep the addresses mapped, and nobody else owns them. What is left there, a hole or
        // forbidden memory, nobody will touch: this is the last that is heard of it.
        let _ = match self.mapping.kind {
            Kind::File => unsafe { madvise(address, self.length, Advice::LinuxRemove) },
            Kind::Anonymous => {
                let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
                unsafe { mmap_anonymous(address, self.length, ProtFlags::empty(), flags) }.map(drop)
            }
        };
    }

    fn address(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset <= self.length);
        // SAFETY: within the mapping, since each stretch is.
        unsafe { self.mapping.start.as_ptr().add(self.start + offset) }
    }
}

/// The one who writes to a stretch, from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Writer {
    chunk: Arc<Chunk>,
    filled: usize,
}

impl Writer {
    /// The stretch goes to `home` when neither this nor any of its spans is left.
    pub(super) fn new(stretch: Stretch, home: Sender<Stretch>) -> Writer {
        Writer { chunk: Arc::new(Chunk { stretch: Some(stretch), home }), filled: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.filled == self.chunk.stretch().length
    }

    /// Writes as many of `bytes` as there is room for.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Span {
        let stretch = self.chunk.stretch();
        let (start, length) = (self.filled, bytes.len().min(stretch.length - self.filled));
        // SAFETY: nobody else writes to the stretch, and no span shows what is not filled yet; so these are
        // not the bytes that are copied, either.
        unsafe { stretch.address(start).copy_from_nonoverlapping(bytes.as_ptr(), length) };
        self.filled += length;
        Span { chunk: Arc::clone(&self.chunk), start, end: self.filled }
    }
}

/// Bytes that were written, and do not change while somebody holds this.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    chunk: Arc<Chunk>,
    start: usize,
    end: usize,
}

impl Span {
    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    /// A part of it. Panics if it is none.
    pub(super) fn slice(&self, from: usize, to: usize) -> Span {
        assert!(from <= to && to <= self.len(), "a part is within the whole");
        Span { chunk: Arc::clone(&self.chunk), start: self.start + from, end: self.start + to }
    }

    /// Takes in what follows it in the same stretch; says whether it does.
    pub(super) fn join(&mut self, next: &Span) -> bool {
        let follows = Arc::ptr_eq(&self.chunk, &next.chunk) && self.end == next.start;
        if follows {
            self.end = next.end;
        }
        follows
    }
}

impl AsRef<[u8]> for Span {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: these bytes are written, and nobody writes them again while this holds the chunk.
        unsafe { std::slice::from_raw_parts(self.chunk.stretch().address(self.start), self.len()) }
    }
}

/// A stretch that is written and read.
#[derive(Debug)]
struct Chunk {
    /// Taken out when it is dropped.
    stretch: Option<Stretch>,
    home: Sender<Stretch>,
}

impl Chunk {
    fn stretch(&self) -> &Stretch {
        self.stretch.as_ref().expect("it is there until this is dropped")
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Some(stretch) = self.stretch.take() {
            let _ = self.home.send(stretch); // there may be no home any more
        }
    }
}

#[derive(Debug)]
struct Mapping {
    /// Taken out when it is dropped.
    region: Option<Region>,
    start: NonNull<u8>,
    kind: Kind,
}

// SAFETY: plain memory; who may read or write a part of it is what the types above say.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        let region = self.region.take();
        aside(move || drop(region));
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Anonymous,
    File,
}

/// Mapped addresses. Dropped, they are unmapped.
#[derive(Debug)]
struct Region {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: memory may be unmapped by any thread.
unsafe impl Send for Region {}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: every stretch, writer and span of this mapping held it, and is gone.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
        debug_assert_eq!(unmapped, Ok(()), "what was mapped can be unmapped");
    }
}

/// Does what may take the kernel seconds, such as writing off a large file's pages, on a thread that may
/// wait for it; where there is none, here.
pub(super) fn aside(work: impl FnOnce() + Send + 'static) {
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}

const READ_WRITE: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::sync::mpsc::channel;

    use rustix::fs::{FallocateFlags, fallocate};

    #[test]
    fn a_stretch_comes_home_when_nobody_looks_at_it() {
        let (home, came) = channel();
        let mut rest = Stretch::of_file(file(2 * PAGE), 2 * PAGE).unwrap();
        let mut writer = Writer::new(rest.split_to(PAGE), home.clone());
        let mut first = writer.write(b"first");
        assert_eq!(writer.write(&[1; 2 * PAGE]).len(), PAGE - 5);
        assert!(writer.is_full());
        drop(writer);
        let part = first.slice(1, 3);
        assert!(!first.join(&part));
        drop(first);
        assert!(came.try_recv().is_err());
        assert_eq!(part.as_ref(), b"ir");
        drop(part);
        let mut writer = Writer::new(came.try_recv().unwrap(), home);
        let mut all = writer.write(b"se");
        assert!(all.join(&writer.write(b"cond")));
        assert_eq!(all.as_ref(), b"second");
        assert_eq!(rest.len(), PAGE);
    }

    #[test]
    fn what_is_discarded_leaves_the_rest_alone() {
        let of_file = Stretch::of_file(file(3 * PAGE), 3 * PAGE).unwrap();
        for mut rest in [of_file, Stretch::anonymous(3 * PAGE).unwrap()] {
            let (home, came) = channel();
            let mut write = || Writer::new(rest.split_to(PAGE), home.clone()).write(&[7; PAGE]);
            let (kept, gone) = (write(), write());
            drop(gone);
            came.try_recv().unwrap().discard();
            rest.discard();
            assert_eq!(kept.as_ref(), [7; PAGE]);
        }
    }

    /// A disk's room, and the right to lock: both are there for others again, before the mapping goes.
    #[test]
    fn what_is_discarded_is_given_back_to_the_system() {
        let blocks = file(4 * PAGE);
        let mut rest = Stretch::of_file(blocks.try_clone().unwrap(), 4 * PAGE).unwrap();
        let before = blocks.metadata().unwrap().blocks();
        assert!(before * 512 >= 4 * PAGE as u64);
        rest.split_to(PAGE).discard();
        assert!(blocks.metadata().unwrap().blocks() < before);

        let locked = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
            line.trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
        };
        let mut rest = Stretch::anonymous(4 * PAGE).unwrap();
        rest.lock().unwrap();
        assert_eq!(locked(), 4 * PAGE as u64, "nobody else locks anything here");
        rest.split_to(PAGE).discard();
        assert_eq!(locked(), 3 * PAGE as u64);
    }

    fn file(length: usize) -> File {
        let file = tempfile::tempfile().unwrap();
        fallocate(&file, FallocateFlags::empty(), 0, length as u64).unwrap();
        file
    }

    /// Of at most 64 KiB on every machine.
    const PAGE: usize = 64 * 1024;
}
