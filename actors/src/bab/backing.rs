//! Reserving the memory of a BAB: what a [`Backing`] takes, and why there may be none.

use std::io;
use std::path::{Path, PathBuf};

use drx_protocol::report::size;
use rustix::fs::{FallocateFlags, fallocate, fstatfs, fstatvfs};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use rustix::system::sysinfo;

use super::mapping::Stretch;
use crate::api::Backing;

/// Reserves `bytes`: afterwards neither a full disk nor a limit can take them away. Waits for the disk,
/// so it has no place on an arbiter.
///
/// # Errors
/// They cannot be had now; they may be had later.
pub(crate) fn reserve(backing: &Backing, bytes: u64) -> Result<Stretch, Unreserved> {
    match backing {
        // Of ordinary memory nothing is reserved, and nobody asks.
        Backing::Memory => {
            Stretch::anonymous(length(bytes)?).map_err(|error| Unreserved::Mapping { bytes, error })
        }
        Backing::Locked => locked(bytes),
        Backing::File(directory) => in_file(directory, bytes),
    }
}

/// Why a BAB's memory is not there. It is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreserved {
    #[error("no file can be made in {}: {error}", .directory.display())]
    Directory { directory: PathBuf, error: io::Error },
    #[error(
        "the file system of {} cannot promise room for {}, and without it a full disk would end the relay: name another directory",
        .directory.display(), size(*.bytes)
    )]
    NoPromise { directory: PathBuf, bytes: u64 },
    #[error("the file system of {} has no room for {}: {} are free", .directory.display(), size(*.bytes), size(*.free))]
    NoRoom { directory: PathBuf, bytes: u64, free: u64 },
    #[error("{} cannot be locked: this machine has {} of memory", size(*.bytes), size(*.memory))]
    NoMemory { bytes: u64, memory: u64 },
    #[error(
        "{} cannot be locked: the limit is {} (LimitMEMLOCK, or the capability CAP_IPC_LOCK, lifts it)",
        size(*.bytes), size(*.limit)
    )]
    Limit { bytes: u64, limit: u64 },
    #[error("{} cannot be mapped: {error}", size(*.bytes))]
    Mapping { bytes: u64, error: Errno },
    #[error("reserving it broke off: {0}")]
    Broken(String),
}

impl Unreserved {
    /// Whether it is the same again, whatever the figures are now.
    pub(crate) fn is_like(&self, other: &Unreserved) -> bool {
        use Unreserved::Directory;
        match (self, other) {
            (Directory { error: one, .. }, Directory { error: two, .. }) => one.kind() == two.kind(),
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

fn locked(bytes: u64) -> Result<Stretch, Unreserved> {
    let system = sysinfo();
    let memory = (system.totalram as u64).saturating_mul(u64::from(system.mem_unit));
    if bytes > memory {
        // Where the kernel promises more than it has, it would find that out much later, and end somebody.
        return Err(Unreserved::NoMemory { bytes, memory });
    }
    let stretch = Stretch::anonymous(length(bytes)?).map_err(|error| Unreserved::Mapping { bytes, error })?;
    match (stretch.lock(), getrlimit(Resource::Memlock).current) {
        (Ok(()), _) => Ok(stretch),
        // EPERM is for a limit of 0.
        (Err(Errno::NOMEM | Errno::PERM), Some(limit)) => Err(Unreserved::Limit { bytes, limit }),
        (Err(error), _) => Err(Unreserved::Mapping { bytes, error }),
    }
}

/// In a file that has no name, or loses it at once: whatever happens to the relay, nothing of it stays.
fn in_file(directory: &Path, bytes: u64) -> Result<Stretch, Unreserved> {
    let cannot = |error| Unreserved::Directory { directory: directory.to_owned(), error };
    let no_promise = || Unreserved::NoPromise { directory: directory.to_owned(), bytes };
    let file = tempfile::tempfile_in(directory).map_err(cannot)?;
    let system = fstatfs(&file).map_err(|error| cannot(error.into()))?;
    if COPY_ON_WRITE.contains(&(system.f_type as u64 & 0xffff_ffff)) {
        return Err(no_promise());
    }
    match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => {}
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Err(no_promise()),
        Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => {
            // What it took before it failed is given back first, or the figure is too small.
            file.set_len(0).map_err(cannot)?;
            let free = fstatvfs(&file).map_or(0, |system| system.f_bavail.saturating_mul(system.f_frsize));
            return Err(Unreserved::NoRoom { directory: directory.to_owned(), bytes, free });
        }
        Err(error) => return Err(cannot(error.into())),
    }
    Stretch::of_file(file, length(bytes)?).map_err(|error| Unreserved::Mapping { bytes, error })
}

fn length(bytes: u64) -> Result<usize, Unreserved> {
    usize::try_from(bytes).map_err(|_| Unreserved::Mapping { bytes, error: Errno::OVERFLOW })
}

/// btrfs, ZFS and bcachefs write a block anew somewhere else each time, so what fallocate(2) reserved
/// there is used up by the first write.
const COPY_ON_WRITE: [u64; 3] = [0x9123_683e, 0x2fc1_2fc1, 0xca45_1a4e];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn refused(backing: &Backing, bytes: u64) -> Unreserved {
        reserve(backing, bytes).unwrap_err()
    }

    #[test]
    fn a_reservation_leaves_nothing_in_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let backing = Backing::File(directory.path().to_owned());
        let stretch = reserve(&backing, 1 << 20).unwrap();
        assert_eq!(stretch.len(), 1 << 20);
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn what_cannot_be_reserved_says_why() {
        let missing = Backing::File("/nowhere/at/all".into());
        let said = refused(&missing, 1 << 20);
        assert_eq!(
            said.to_string(),
            "no file can be made in /nowhere/at/all: No such file or directory (os error 2)"
        );
        assert!(said.is_like(&refused(&missing, 1 << 21)));

        // Neither a disk nor a machine has a PiB.
        let directory = tempfile::tempdir().unwrap();
        let full = refused(&Backing::File(directory.path().to_owned()), 1 << 50);
        assert!(full.to_string().contains("has no room for 1.0 PiB: "), "{full}");
        assert!(!said.is_like(&full));
        let locked = refused(&Backing::Locked, 1 << 50).to_string();
        assert!(locked.starts_with("1.0 PiB cannot be locked: this machine has "), "{locked}");
    }

    /// /proc takes no files, and not only for want of a right to it.
    #[test]
    fn a_file_system_without_files_is_refused() {
        assert!(matches!(refused(&Backing::File("/proc".into()), 1), Unreserved::Directory { .. }));
    }
}
