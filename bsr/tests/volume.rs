//! A volume and its metadata, in files.
#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use drx_bsr::bitmap::{PAGE, PAGE_SPAN};
use drx_bsr::core::api::{Action, Event, Save, Token};
use drx_bsr::metadata::{Head, Loaded};
use drx_bsr::shell::store::{StoreError, create};
use drx_bsr::shell::volume::{Completion, Completions, Volume};
use drx_bsr::uuid::Generations;
use tempfile::TempDir;
use tokio::time::timeout;

const MIB: u64 = 1 << 20;
const AL: u32 = 6001;

struct Files {
    volume: PathBuf,
    metadata: PathBuf,
    _directory: TempDir,
}

/// Where nothing is yet.
fn files() -> Files {
    let directory = tempfile::tempdir().unwrap();
    let [volume, metadata] = ["disk.img", "disk.meta"].map(|name| directory.path().join(name));
    Files { volume, metadata, _directory: directory }
}

/// A volume of 8 MiB, all zeros, with its metadata.
fn created() -> Files {
    let files = files();
    create(&files.volume, &files.metadata, Some(8 * MIB), AL, false).unwrap();
    files
}

impl Files {
    fn open(&self) -> (Volume, Loaded, Completions) {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<(Volume, Loaded, Completions), StoreError> {
        Volume::open(&self.volume, &self.metadata)
    }
}

/// Why it could not be opened, or created.
fn refused<T>(result: Result<T, StoreError>) -> String {
    result.err().expect("it is refused").to_string()
}

async fn next(completions: &mut Completions) -> Option<Completion> {
    timeout(Duration::from_secs(30), completions.recv()).await.expect("in time")
}

async fn result(completions: &mut Completions, expected: Token) -> Result<Bytes, String> {
    match next(completions).await {
        Some(Completion::Done(Event::DiskDone { token, result })) if token == expected => result,
        other => panic!("instead of {expected}: {other:?}"),
    }
}

async fn done(volume: &Volume, completions: &mut Completions, action: Action) -> Result<Bytes, String> {
    let (Action::Read { token, .. }
    | Action::Write { token, .. }
    | Action::Zero { token, .. }
    | Action::Flush { token }) = action
    else {
        panic!("{action:?} is not completed")
    };
    volume.submit(action).unwrap();
    result(completions, token).await
}

async fn close(volume: Volume, mut completions: Completions) {
    volume.close();
    assert!(next(&mut completions).await.is_none());
}

#[tokio::test]
async fn what_is_written_is_read_and_zeros_are_zeros() {
    let files = created();
    let (volume, _, mut completions) = files.open();
    assert_eq!(volume.bytes(), 8 * MIB);
    let data = Bytes::from(fastrand::Rng::with_seed(1).choose_multiple(0..=255, 256).repeat(4096));
    assert_eq!(data.len() as u64, MIB);
    let write = |token, offset| Action::Write { token, offset, data: data.clone() };
    let read = |token, offset, length| Action::Read { token, offset, length };
    assert_eq!(done(&volume, &mut completions, write(1, 7 * MIB)).await, Ok(Bytes::new()));
    assert_eq!(done(&volume, &mut completions, read(2, 7 * MIB, MIB as u32)).await.unwrap(), data);
    for discard in [true, false] {
        done(&volume, &mut completions, write(3, 512)).await.unwrap();
        let zero = Action::Zero { token: 4, offset: 1024, length: 8192 + 512, discard };
        assert_eq!(done(&volume, &mut completions, zero).await, Ok(Bytes::new()));
        let around = done(&volume, &mut completions, read(5, 512, 16 * 1024)).await.unwrap();
        assert_eq!(around[..512], data[..512]);
        assert_eq!(around[512..][..8704], [0; 8704]);
        assert_eq!(around[9216..], data[9216..16 * 1024]);
    }
    // A discard may be larger than a write.
    let zero = Action::Zero { token: 6, offset: 0, length: 8 << 20, discard: true };
    done(&volume, &mut completions, zero).await.unwrap();
    assert_eq!(done(&volume, &mut completions, Action::Flush { token: 7 }).await, Ok(Bytes::new()));
    close(volume, completions).await;
    assert!(fs::read(&files.volume).unwrap() == vec![0; 8 << 20]);
}

#[tokio::test]
async fn nothing_beyond_the_end_is_touched() {
    let files = created();
    let (volume, _, mut completions) = files.open();
    let data = Bytes::from_static(&[1; 1024]);
    for offset in [8 * MIB - 512, 8 * MIB, u64::MAX - 511] {
        let actions = [
            Action::Write { token: 1, offset, data: data.clone() },
            Action::Read { token: 1, offset, length: 1024 },
            Action::Zero { token: 1, offset, length: 1024, discard: true },
        ];
        for action in actions {
            let error = done(&volume, &mut completions, action).await.unwrap_err();
            assert_eq!(error, "beyond the volume's end");
        }
    }
    let large = Action::Read { token: 2, offset: 0, length: (1 << 20) + 512 };
    done(&volume, &mut completions, large).await.unwrap_err();
    close(volume, completions).await;
    assert_eq!(fs::metadata(&files.volume).unwrap().len(), 8 * MIB);
}

#[tokio::test]
async fn a_created_volume_is_of_no_generation_and_all_of_it_may_differ() {
    let files = created();
    for path in [&files.volume, &files.metadata] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let (_volume, loaded, _) = files.open();
    let generations = Generations { current: 4, ..Generations::default() };
    assert_eq!(loaded.head, Head { generations, size: 8 * MIB, ..Head::default() });
    assert_eq!(loaded.bitmap.weight(), 2048);
    assert!(loaded.activity.is_empty());
}

#[tokio::test]
async fn what_was_saved_is_found_and_what_a_save_leaves_out_stays() {
    let files = files();
    // Two pages of bitmap.
    create(&files.volume, &files.metadata, Some(PAGE_SPAN + MIB), AL, false).unwrap();
    let (volume, mut loaded, completions) = files.open();
    let head = Head {
        generations: Generations { current: 10, bitmap: 8, history: [6, 2], shared: true },
        consistent: true,
        crashed_primary: true,
        ..loaded.head
    };
    let save = |save| volume.submit(Action::Save(save)).unwrap();
    loaded.bitmap.clear_all();
    loaded.bitmap.set_out_of_sync(0, 4096 * 3);
    let pages = loaded.bitmap.take_dirty();
    assert_eq!(pages.len(), 2);
    save(Save { pages, ..Save::default() });
    save(Save { flush_volume: true, head: Some(head), ..Save::default() });
    save(Save { activity: Some(vec![1, 5, 9]), ..Save::default() });
    save(Save { activity: Some(vec![2]), ..Save::default() });
    let later = Head { connected: true, ..head };
    save(Save { head: Some(later), ..Save::default() });
    close(volume, completions).await;
    let (volume, found, completions) = files.open();
    assert_eq!((found.head, &found.activity), (later, &vec![2]));
    assert_eq!(found.bitmap.weight(), 3);
    assert_eq!(found.bitmap.page(0), loaded.bitmap.page(0));
    // The numbers go on where they were: the next record does not replace this one.
    volume.submit(Action::Save(Save { activity: Some(vec![]), ..Save::default() })).unwrap();
    close(volume, completions).await;
    assert!(files.open().1.activity.is_empty());
}

#[tokio::test]
async fn two_nodes_do_not_share_a_volume_or_metadata() {
    let (one, other) = (created(), created());
    let (volume, _, completions) = one.open();
    let in_use = format!("{} is in use by another process", one.volume.display());
    assert_eq!(refused(one.try_open()), in_use);
    assert_eq!(refused(create(&one.volume, &other.metadata, None, AL, true)), in_use);
    let in_use = format!("{} is in use by another process", one.metadata.display());
    assert_eq!(refused(Volume::open(&other.volume, &one.metadata)), in_use);
    assert_eq!(refused(create(&other.volume, &one.metadata, None, AL, true)), in_use);
    close(volume, completions).await;
    one.open();
}

#[test]
fn metadata_are_overwritten_only_by_force() {
    let files = created();
    let before = fs::read(&files.metadata).unwrap();
    let exists = refused(create(&files.volume, &files.metadata, None, AL, false));
    assert!(exists.contains("disk.meta is there already"), "{exists}");
    assert_eq!(fs::read(&files.metadata).unwrap(), before);
    let (volume, mut loaded, _completions) = files.open();
    loaded.bitmap.clear_all();
    volume.submit(Action::Save(Save { pages: loaded.bitmap.take_dirty(), ..Save::default() })).unwrap();
    drop(volume);
    // Its thread may still be at it.
    let forced = || create(&files.volume, &files.metadata, None, AL, true);
    while let Err(StoreError::InUse(_)) = forced() {
        std::thread::yield_now();
    }
    assert_eq!(files.open().1.bitmap.weight(), 2048);
}

#[test]
fn a_volume_is_made_or_made_longer_never_shorter() {
    let files = files();
    fs::write(&files.volume, "precious").unwrap();
    create(&files.volume, &files.metadata, Some(MIB), AL, false).unwrap();
    assert!(fs::read(&files.volume).unwrap().starts_with(b"precious\0"));
    let shorter = refused(create(&files.volume, &files.metadata, Some(MIB / 2), AL, true));
    assert!(shorter.contains("1048576 bytes: it is not made smaller, to 524288"), "{shorter}");
    for size in [0, 1, 513] {
        let odd = refused(create(&files.volume, &files.metadata, Some(size), AL, true));
        assert!(odd.contains("not in whole sectors"), "{odd}");
    }
    assert_eq!(fs::metadata(&files.volume).unwrap().len(), MIB);
    let device = refused(create("/dev/null".as_ref(), &files.metadata, Some(MIB), AL, true));
    assert!(device.contains("no plain file"), "{device}");
}

#[test]
fn what_is_no_volume_is_refused_and_no_metadata_are_left_behind() {
    let files = files();
    let missing = refused(create(&files.volume, &files.metadata, None, AL, false));
    assert!(missing.contains("disk.img: No such file"), "{missing}");
    fs::write(&files.volume, "too small").unwrap();
    let small = refused(create(&files.volume, &files.metadata, None, AL, false));
    assert!(small.contains("not even one sector"), "{small}");
    let large = refused(create(&files.volume, &files.metadata, Some(MIB), 65_537, false));
    assert!(large.contains("there is room for 65536"), "{large}");
    assert!(!files.metadata.exists());
    // The last part of a sector does not count.
    fs::write(&files.volume, [0; 1300]).unwrap();
    create(&files.volume, &files.metadata, None, AL, false).unwrap();
}

#[tokio::test]
async fn a_volume_may_grow_but_not_shrink() {
    let files = created();
    let grow = |size| fs::File::options().write(true).open(&files.volume).unwrap().set_len(size).unwrap();
    grow(PAGE_SPAN * 3);
    let (volume, loaded, completions) = files.open();
    assert_eq!((volume.bytes(), loaded.head.size), (PAGE_SPAN * 3, 8 * MIB));
    // A page that there was no room for before.
    let head = Head { size: PAGE_SPAN * 3, ..loaded.head };
    let pages = vec![(2, Bytes::from(vec![0; PAGE]))];
    volume.submit(Action::Save(Save { pages, head: Some(head), ..Save::default() })).unwrap();
    close(volume, completions).await;
    let (volume, loaded, completions) = files.open();
    assert_eq!(loaded.head.size, PAGE_SPAN * 3);
    assert_eq!(loaded.bitmap.weight(), 2 * PAGE as u64 * 8); // what was never saved may differ
    close(volume, completions).await;
    grow(8 * MIB - 512);
    let shrunk = refused(files.try_open());
    assert!(shrunk.contains("it must not get smaller"), "{shrunk}");
}

#[test]
fn what_are_no_metadata_is_not_taken_for_them() {
    let files = created();
    let whole = fs::read(&files.metadata).unwrap();
    for (content, expected) in [
        (vec![], "no record that is whole"),
        (b"something else altogether".to_vec(), "no record that is whole"),
        (vec![0xff; whole.len()], "no record that is whole"),
    ] {
        fs::write(&files.metadata, content).unwrap();
        let damaged = refused(files.try_open());
        assert!(damaged.contains(expected), "{damaged}");
    }
    fs::remove_file(&files.metadata).unwrap();
    let missing = refused(files.try_open());
    assert!(missing.contains("there are no metadata"), "{missing}");
    fs::remove_file(&files.volume).unwrap();
    assert!(refused(files.try_open()).contains("disk.img: No such file"));
}

/// On a device that may be overwritten, if there is one: DRX_BSR_BLOCK_DEVICE=/dev/loop7.
#[tokio::test]
async fn a_block_device_is_a_volume() {
    let Some(device) = std::env::var_os("DRX_BSR_BLOCK_DEVICE") else {
        println!("skipped: no DRX_BSR_BLOCK_DEVICE");
        return;
    };
    let files = Files { volume: device.into(), ..files() };
    assert!(refused(create(&files.volume, &files.metadata, Some(MIB), AL, true)).contains("no plain file"));
    create(&files.volume, &files.metadata, None, AL, false).unwrap();
    let (volume, loaded, mut completions) = files.open();
    assert_eq!(loaded.head.size, volume.bytes());
    assert!(refused(files.try_open()).contains("in use"));
    let data = Bytes::from(vec![7; MIB as usize]);
    let offset = volume.bytes() - MIB;
    let mut expected = data.to_vec();
    done(&volume, &mut completions, Action::Write { token: 1, offset, data }).await.unwrap();
    for (place, discard) in [(4096, true), (16384, false), (512, true)] {
        let zero = Action::Zero { token: 2, offset: offset + place as u64, length: 4096, discard };
        done(&volume, &mut completions, zero).await.unwrap();
        expected[place..place + 4096].fill(0);
        let read = Action::Read { token: 3, offset, length: MIB as u32 };
        assert!(done(&volume, &mut completions, read).await.unwrap() == expected, "{place} {discard}");
    }
    done(&volume, &mut completions, Action::Flush { token: 4 }).await.unwrap();
    close(volume, completions).await;
}
