//! What is kept beside the volume, in a file of its own: generations, bitmap, activity.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::volume::Keep;
use crate::core::api::Save;
use crate::metadata::{Head, Loaded};

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

/// Makes metadata for a volume whose content counts as inconsistent and of no generation yet.
///
/// With `size`, in bytes, a volume that is a plain file is made, or extended to this. `force` overwrites metadata.
///
/// # Errors
/// As [`StoreError`] tells them. Nothing was changed unless the system failed.
pub fn create(
    volume: &Path,
    metadata: &Path,
    size: Option<u64>,
    al_extents: u32,
    force: bool,
) -> Result<(), StoreError> {
    let _ = (volume, size, al_extents, force);
    Err(StoreError::Damaged {
        path: metadata.to_owned(),
        what: "the format comes with the next change".to_owned(),
    })
}

/// The metadata of a volume that is in use.
#[derive(Debug)]
pub(super) struct Store {
    file: File,
    head: Head,
    activity: Vec<u32>,
}

impl Store {
    pub(super) fn open(metadata: &Path, volume: &Path, bytes: u64) -> Result<(Store, Loaded), StoreError> {
        let _ = (volume, bytes);
        Err(StoreError::Damaged {
            path: metadata.to_owned(),
            what: "the format comes with the next change".to_owned(),
        })
    }
}

impl Keep for Store {
    fn keep(&mut self, save: Save) -> io::Result<()> {
        self.head = save.head.unwrap_or(self.head);
        self.activity = save.activity.unwrap_or_default();
        self.file.sync_data()
    }
}
