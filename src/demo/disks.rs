//! The volumes of the two bsr: files of a directory that are gone when the demo is over.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use drx_bsr::core::Settings;
use drx_bsr::shell::store::{self, StoreError};

use super::content::{BEFORE, Content};
use super::frame::size;
use super::image::BLOCK;

/// The size of a volume: the file system's 16 MiB, and behind it what is written to all the time.
pub(super) const VOLUME: u64 = 64 << 20;

/// A volume, and what its bsr keeps beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) volume: PathBuf,
    pub(super) metadata: PathBuf,
}

/// The volumes of bsr1 and bsr2. Dropping them removes them, unless they are to be kept.
#[derive(Debug)]
pub(super) struct Disks {
    pub(super) disks: [Disk; 2],
    keep: bool,
}

/// Why there are no volumes.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiskError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{path:?}: {error}")]
    File { path: PathBuf, error: io::Error },
}

impl Disks {
    /// Makes both: bsr1's with something on it, bsr2's with nothing, so that there is a lot to be resynced.
    ///
    /// # Errors
    /// There is no room for them, or the like.
    pub(super) fn create(directory: &Path) -> Result<Disks, DiskError> {
        let file = |name: String| directory.join(name);
        let disks = [1, 2].map(|number| Disk {
            volume: file(format!("bsr{number}.img")),
            metadata: file(format!("bsr{number}.meta")),
        });
        let disks = Disks { disks, keep: false };
        for Disk { volume, metadata } in &disks.disks {
            store::create(volume, metadata, Some(VOLUME), Settings::default().al_extents, false)?;
        }
        let path = &disks.disks[0].volume;
        fill(path).map_err(|error| DiskError::File { path: path.clone(), error })?;
        Ok(disks)
    }

    /// They stay, for somebody who wonders.
    pub(super) fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        if !self.keep {
            for Disk { volume, metadata } in &self.disks {
                // What is not there any more, or never was, needs not be removed.
                let _ = (fs::remove_file(volume), fs::remove_file(metadata));
            }
        }
    }
}

fn fill(volume: &Path) -> io::Result<()> {
    let mut file = File::options().write(true).open(volume)?;
    let mut piece = vec![0; PIECE];
    for offset in (0..VOLUME).step_by(PIECE) {
        BEFORE.fill(offset, &mut piece);
        file.write_all(&piece)?;
    }
    Ok(())
}

/// How both volumes are, compared with each other and with what has to be on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    /// Bytes of each.
    pub(super) bytes: u64,
    /// Over all that is on node1's volume, and over all that is on node2's.
    pub(super) crc: [u32; 2],
    /// Blocks that are not the same on both.
    pub(super) different: u64,
    /// Blocks of each that are not what was last written to them.
    pub(super) wrong: [u64; 2],
}

impl Comparison {
    /// Reads both, from the first byte to the last one.
    ///
    /// # Errors
    /// They cannot be read.
    pub(super) fn read(disks: &[Disk; 2], content: &Content) -> io::Result<Comparison> {
        let mut files = [File::open(&disks[0].volume)?, File::open(&disks[1].volume)?];
        let mut comparison = Comparison { bytes: 0, crc: [0; 2], different: 0, wrong: [0; 2] };
        let mut pieces = [vec![0; PIECE], vec![0; PIECE]];
        while comparison.bytes < VOLUME {
            let first = comparison.bytes / BLOCK as u64;
            for (side, (file, piece)) in files.iter_mut().zip(&mut pieces).enumerate() {
                file.read_exact(piece)?;
                comparison.crc[side] = crc32c::crc32c_append(comparison.crc[side], piece);
                comparison.wrong[side] += content.differences(first, piece).len() as u64;
            }
            let pairs = pieces[0].chunks(BLOCK).zip(pieces[1].chunks(BLOCK));
            comparison.different += pairs.filter(|(one, two)| one != two).count() as u64;
            comparison.bytes += PIECE as u64;
        }
        Ok(comparison)
    }

    /// Whether both are the same, and what they have to be.
    pub(super) fn is_good(&self) -> bool {
        self.bytes == VOLUME && self.different == 0 && self.wrong == [0; 2]
    }

    /// In words.
    pub(super) fn describe(&self) -> String {
        let each = size(self.bytes as f64);
        match self {
            good if good.is_good() => {
                format!(
                    "{each} each, the same bit for bit, and all that was written is there; CRC-32C {:08x}",
                    good.crc[0]
                )
            }
            Comparison { different, wrong: [one, two], .. } => format!(
                "{each} each: {different} blocks DIFFER between them; {one} on bsr1's and {two} on bsr2's are NOT \
                 what was last written"
            ),
        }
    }
}

/// What is read and written at once. A volume is a multiple of it.
const PIECE: usize = 1 << 20;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn what_differs_and_what_is_wrong_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let Disks { disks, .. } = &Disks::create(directory.path()).unwrap();
        let content = Content::new(VOLUME);
        let blocks = VOLUME / BLOCK as u64;
        let compared = Comparison::read(disks, &content).unwrap();
        assert_eq!((compared.different, compared.wrong), (blocks, [0, blocks]), "one is full, one is empty");
        assert!(!compared.is_good());

        fs::copy(&disks[0].volume, &disks[1].volume).unwrap();
        let compared = Comparison::read(disks, &content).unwrap();
        assert!(compared.is_good(), "{compared:?}");
        assert_eq!(compared.crc[0], compared.crc[1]);

        for (side, offset) in [(0, 0), (1, VOLUME - 1)] {
            let file = File::options().write(true).open(&disks[side].volume).unwrap();
            file.write_all_at(&[0x55], offset).unwrap();
        }
        let compared = Comparison::read(disks, &content).unwrap();
        assert_eq!((compared.different, compared.wrong), (2, [1, 1]));
        assert!(compared.describe().contains("2 blocks DIFFER"), "{}", compared.describe());
    }

    #[test]
    fn they_are_gone_when_they_are_not_needed_any_more_and_stay_if_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let count = || fs::read_dir(directory.path()).unwrap().count();
        let disks = Disks::create(directory.path()).unwrap();
        assert_eq!(count(), 4);
        drop(disks);
        assert_eq!(count(), 0);
        Disks::create(directory.path()).unwrap().keep();
        assert_eq!(count(), 4);
    }
}
