//! What is kept beside the volume, in a file of its own: generations, bitmap, activity.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{io, mem};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::volume::Keep;
use super::volume::disk::{Disk, SECTOR, lock};
use crate::core::api::Save;
use crate::metadata::{
    Head, LoadError, Loaded, MOST_EXTENTS, encode_page, encode_record, file_size, load, record_offset,
};
use crate::uuid::Generations;

/// Why a volume or its metadata cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has one of them.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// The system said no.
    #[error("{path}: {error}")]
    System {
        /// To which file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Nothing is overwritten unless forced.
    #[error("{0} is there already: what it knows of the volume would be lost")]
    Exists(PathBuf),
    /// It was never created.
    #[error("there are no metadata in {0}: create them first")]
    Missing(PathBuf),
    /// It is not what was written, or not by this program.
    #[error("{path}: {what}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The volume is not the one that the metadata are of.
    #[error(
        "{path} has {bytes} bytes, but its metadata are those of a volume of {kept} bytes: it must not get smaller"
    )]
    Shrunk {
        /// The volume.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// What it was.
        kept: u64,
    },
    /// A volume cannot have this size.
    #[error("{path}: {what}")]
    Size {
        /// The volume.
        path: PathBuf,
        /// Why not.
        what: String,
    },
}

impl StoreError {
    /// For what the system said of this file.
    pub(super) fn of(path: &Path, error: io::Error) -> StoreError {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::ResourceBusy => StoreError::InUse(path),
            _ => StoreError::System { path, error },
        }
    }
}

/// Makes metadata for a volume whose content counts as inconsistent, and of no generation yet: all of it may differ.
///
/// With `size`, in bytes, a volume that is a plain file is made, or extended to this. `force` overwrites metadata.
///
/// # Errors
/// As [`StoreError`] tells them. Nothing was changed unless the system failed in the midst of it.
pub fn create(
    volume: &Path,
    metadata: &Path,
    size: Option<u64>,
    al_extents: u32,
    force: bool,
) -> Result<(), StoreError> {
    let told = |error| StoreError::of(metadata, error);
    if al_extents as usize > MOST_EXTENTS {
        let what = format!("al-extents {al_extents}: there is room for {MOST_EXTENTS}");
        return Err(StoreError::Damaged { path: metadata.to_owned(), what });
    }
    if !force && metadata.try_exists().map_err(told)? {
        return Err(StoreError::Exists(metadata.to_owned()));
    }
    if let Some(size) = size {
        make(volume, size)?;
    }
    let disk = Disk::open(volume).map_err(|error| StoreError::of(volume, error))?;
    if disk.bytes() == 0 {
        return Err(size_of(volume, "it has not even one sector of 512 bytes".to_owned()));
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    let file =
        if force { options.create(true).open(metadata) } else { options.create_new(true).open(metadata) };
    let file = file.map_err(told)?;
    lock(&file).map_err(told)?;
    // What was never written counts as set: so first everything that may be left of older metadata goes.
    file.set_len(0).and_then(|()| file.sync_all()).map_err(told)?;
    let head = Head { generations: Generations::just_created(), size: disk.bytes(), ..Head::default() };
    let mut store = Store { file, sequence: 0, head, activity: Vec::new() };
    store
        .reserve(disk.bytes())
        .and_then(|()| store.keep_record())
        .and_then(|()| store.file.sync_all())
        .and_then(|()| sync_directory(metadata))
        .map_err(told)
}

/// A plain file of this size, at least as far as the system is concerned: blocks are given to it when they are written.
fn make(volume: &Path, size: u64) -> Result<(), StoreError> {
    if size == 0 || !size.is_multiple_of(SECTOR) {
        return Err(size_of(volume, format!("{size} bytes: not in whole sectors of 512 bytes")));
    }
    let told = |error| StoreError::of(volume, error);
    let mut options = OpenOptions::new();
    // Neither a device nor a directory is made longer, and what is in a file stays.
    let file =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(volume).map_err(told)?;
    lock(&file).map_err(told)?;
    let there = file.metadata().map_err(told)?;
    if !there.is_file() {
        return Err(size_of(volume, "its size cannot be chosen: it is no plain file".to_owned()));
    }
    if there.len() > size {
        let what = format!("it has {} bytes: it is not made smaller, to {size}", there.len());
        return Err(size_of(volume, what));
    }
    file.set_len(size).and_then(|()| file.sync_all()).and_then(|()| sync_directory(volume)).map_err(told)
}

/// So that the file is found there after a crash.
fn sync_directory(of: &Path) -> io::Result<()> {
    let parent = of.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn size_of(path: &Path, what: String) -> StoreError {
    StoreError::Size { path: path.to_owned(), what }
}

/// The metadata of a volume that is in use.
#[derive(Debug)]
pub(super) struct Store {
    file: File,
    /// Of the newest record.
    sequence: u64,
    head: Head,
    activity: Vec<u32>,
}

impl Store {
    /// Opens those of this volume, which has so many bytes.
    pub(super) fn open(metadata: &Path, volume: &Path, bytes: u64) -> Result<(Store, Loaded), StoreError> {
        let told = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::Missing(metadata.to_owned()),
            _ => StoreError::of(metadata, error),
        };
        let file = OpenOptions::new().read(true).write(true).open(metadata).map_err(told)?;
        lock(&file).map_err(told)?;
        let (loaded, sequence) = match load(bytes, |offset, buffer| read(&file, offset, buffer)) {
            Ok(loaded) => loaded,
            Err(LoadError::Read(error)) => return Err(told(error)),
            Err(LoadError::Larger { size, most }) => {
                return Err(StoreError::Shrunk { path: volume.to_owned(), bytes: most, kept: size });
            }
            Err(damaged) => {
                return Err(StoreError::Damaged { path: metadata.to_owned(), what: damaged.to_string() });
            }
        };
        // What is missing would count as never written; but the newest record may be missing, too.
        let (least, there) = (file_size(loaded.head.size), file.metadata().map_err(told)?.len());
        if there < least {
            let what = format!("it has been cut off: {there} bytes, and it had {least} at least");
            return Err(StoreError::Damaged { path: metadata.to_owned(), what });
        }
        let store = Store { file, sequence, head: loaded.head, activity: loaded.activity.clone() };
        store.reserve(bytes).map_err(told)?;
        Ok((store, loaded))
    }

    /// Takes the room that metadata of such a volume need, so that no save fails for want of it.
    fn reserve(&self, volume_bytes: u64) -> io::Result<()> {
        let (wanted, there) = (file_size(volume_bytes), self.file.metadata()?.len());
        if there >= wanted {
            return Ok(());
        }
        match fallocate(&self.file, FallocateFlags::empty(), there, wanted - there) {
            Err(Errno::OPNOTSUPP) => self.file.set_len(wanted), // not every file system can do it
            reserved => Ok(reserved?),
        }
    }

    /// Head and activity, where the record before the newest one is; that stays until this one is stable.
    fn keep_record(&mut self) -> io::Result<()> {
        let sequence = self.sequence + 1;
        let record = encode_record(&self.head, &self.activity, sequence).map_err(io::Error::other)?;
        self.file.write_all_at(&record, record_offset(sequence))?;
        self.file.sync_data()?;
        self.sequence = sequence;
        Ok(())
    }
}

impl Keep for Store {
    fn keep(&mut self, Save { pages, head, activity, .. }: Save) -> io::Result<()> {
        for (number, page) in &pages {
            let (offset, bytes) = encode_page(*number, page);
            self.file.write_all_at(&bytes, offset)?;
        }
        if !pages.is_empty() {
            self.file.sync_data()?;
        }
        if head.is_none() && activity.is_none() {
            return Ok(());
        }
        self.head = head.unwrap_or(self.head);
        self.activity = activity.unwrap_or_else(|| mem::take(&mut self.activity));
        self.keep_record()
    }
}

/// With zeros beyond the end.
fn read(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    let mut so_far = 0;
    while so_far < buffer.len() {
        match file.read_at(&mut buffer[so_far..], offset + so_far as u64) {
            Ok(0) => {
                buffer[so_far..].fill(0);
                break;
            }
            Ok(more) => so_far += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
