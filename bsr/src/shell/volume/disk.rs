//! A plain file or a block device: what is done to it.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rustix::fs::{FallocateFlags, FlockOperation, OFlags, fallocate, flock};

use crate::wire::MAX_BLOCK;

/// The disk of a node. It belongs to one process at a time.
#[derive(Debug)]
pub(in crate::shell) struct Disk {
    file: File,
    bytes: u64,
    /// A flush failed once. Nobody knows what of the writes before it is on stable storage, and the system tells
    /// only once: none after it counts as done.
    unreliable: AtomicBool,
}

impl Disk {
    /// Opens it for this process alone. A block device that is mounted is refused, too.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if another process has it; otherwise what the system says.
    pub(in crate::shell) fn open(path: &Path) -> io::Result<Disk> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        if std::fs::metadata(path)?.file_type().is_block_device() {
            // For a block device it means: nobody else who wants it for himself.
            options.custom_flags(OFlags::EXCL.bits().cast_signed());
        }
        let file = options.open(path)?;
        lock(&file)?;
        let bytes = (&file).seek(SeekFrom::End(0))?;
        Ok(Disk { file, bytes: bytes - bytes % SECTOR, unreliable: AtomicBool::new(false) })
    }

    /// Its size in bytes, in whole sectors.
    pub(in crate::shell) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn read(&self, offset: u64, length: u32) -> io::Result<Bytes> {
        self.check(offset, length.into())?;
        if length > MAX_BLOCK {
            return Err(io::Error::other(format!("{length} bytes are more than {MAX_BLOCK} at a time")));
        }
        let mut buffer = vec![0; length as usize];
        self.file.read_exact_at(&mut buffer, offset)?;
        Ok(buffer.into())
    }

    pub(super) fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check(offset, data.len() as u64)?;
        self.file.write_all_at(data, offset)
    }

    pub(super) fn zero(&self, offset: u64, length: u32, discard: bool) -> io::Result<()> {
        let length = u64::from(length);
        self.check(offset, length)?;
        let how = if discard { FallocateFlags::PUNCH_HOLE } else { FallocateFlags::ZERO_RANGE };
        if length == 0 || fallocate(&self.file, how | FallocateFlags::KEEP_SIZE, offset, length).is_ok() {
            return Ok(());
        }
        // Not every file system and device can do it.
        let zeros = vec![0; length.min(MAX_BLOCK.into()) as usize];
        for done in (0..length).step_by(zeros.len()) {
            let part = zeros.len().min((length - done) as usize);
            self.file.write_all_at(&zeros[..part], offset + done)?;
        }
        Ok(())
    }

    /// All writes that are done, to stable storage.
    pub(super) fn flush(&self) -> io::Result<()> {
        let flushed = self.file.sync_data();
        if flushed.is_err() {
            self.unreliable.store(true, Ordering::SeqCst);
        }
        if self.unreliable.load(Ordering::SeqCst) {
            return flushed.and(Err(io::Error::other("an earlier flush failed")));
        }
        flushed
    }

    fn check(&self, offset: u64, length: u64) -> io::Result<()> {
        match offset.checked_add(length) {
            Some(end) if end <= self.bytes => Ok(()),
            _ => Err(io::Error::other("beyond the volume's end")),
        }
    }
}

/// For this process alone, until the file is closed.
pub(in crate::shell) fn lock(file: &File) -> io::Result<()> {
    flock(file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(())
}

pub(in crate::shell) const SECTOR: u64 = 512;
