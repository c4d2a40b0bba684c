//! With something else in the place of the metadata.

#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::time::timeout;

use super::*;

/// Keeps nothing: it says that it was asked, and waits for leave.
struct Gate {
    asked: Sender<Save>,
    leave: Receiver<std::io::Result<()>>,
}

impl Keep for Gate {
    fn keep(&mut self, save: Save) -> std::io::Result<()> {
        let _ = self.asked.send(save);
        self.leave.recv().unwrap_or(Ok(()))
    }
}

struct Fixture {
    volume: Volume,
    completions: Completions,
    file: NamedTempFile,
    asked: Receiver<Save>,
    leave: Sender<std::io::Result<()>>,
}

fn start() -> Fixture {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 20).unwrap();
    let (asked, questions) = channel();
    let (leave, answers) = channel();
    let disk = Disk::open(file.path()).unwrap();
    let (volume, completions) = Volume::start(disk, Box::new(Gate { asked, leave: answers })).unwrap();
    Fixture { volume, completions, file, asked: questions, leave }
}

async fn next(completions: &mut Completions) -> Option<Completion> {
    timeout(Duration::from_secs(30), completions.recv()).await.expect("in time")
}

/// The next one, which is this token's, and done.
async fn done(completions: &mut Completions, expected: Token) -> Bytes {
    match next(completions).await {
        Some(Completion::Done(Event::DiskDone { token, result })) if token == expected => result.unwrap(),
        other => panic!("instead of {expected}: {other:?}"),
    }
}

fn write(token: Token, offset: u64, data: &'static [u8; 512]) -> Action {
    Action::Write { token, offset, data: Bytes::from_static(data) }
}

fn first_byte(of: &NamedTempFile) -> u8 {
    use std::os::unix::fs::FileExt;
    let mut byte = [0];
    File::open(of.path()).unwrap().read_exact_at(&mut byte, 0).unwrap();
    byte[0]
}

#[tokio::test]
async fn what_is_after_a_save_waits_for_it_and_what_is_before_it_is_done() {
    let mut fixture = start();
    let volume = &fixture.volume;
    volume.submit(write(1, 0, &[1; 512])).unwrap();
    let save = Save { flush_volume: true, activity: Some(vec![7]), ..Save::default() };
    volume.submit(Action::Save(save.clone())).unwrap();
    volume.submit(write(2, 0, &[2; 512])).unwrap();
    volume.submit(Action::Read { token: 3, offset: 0, length: 512 }).unwrap();
    done(&mut fixture.completions, 1).await;
    assert_eq!(fixture.asked.recv_timeout(Duration::from_secs(30)).unwrap(), save);
    assert_eq!(first_byte(&fixture.file), 1);
    assert!(fixture.completions.is_empty());
    fixture.leave.send(Ok(())).unwrap();
    done(&mut fixture.completions, 2).await;
    assert_eq!(done(&mut fixture.completions, 3).await, [2; 512][..]);
}

#[tokio::test]
async fn a_save_that_somebody_waits_for_is_told_in_its_turn() {
    let mut fixture = start();
    fixture.volume.submit(Action::Save(Save { token: 1, ..Save::default() })).unwrap();
    fixture.volume.submit(Action::Save(Save::default())).unwrap();
    fixture.volume.submit(write(2, 0, &[1; 512])).unwrap();
    fixture.leave.send(Ok(())).unwrap();
    done(&mut fixture.completions, 1).await;
    fixture.leave.send(Ok(())).unwrap();
    done(&mut fixture.completions, 2).await;
}

#[tokio::test]
async fn a_flush_does_not_hold_up_what_comes_after_it_but_covers_what_came_before() {
    let mut fixture = start();
    let save = || Action::Save(Save::default());
    fixture.volume.submit(save()).unwrap();
    fixture.volume.submit(write(1, 0, &[1; 512])).unwrap();
    fixture.volume.submit(Action::Flush { token: 2 }).unwrap();
    fixture.volume.submit(save()).unwrap();
    fixture.asked.recv_timeout(Duration::from_secs(30)).unwrap();
    assert!(fixture.completions.is_empty());
    fixture.leave.send(Ok(())).unwrap();
    done(&mut fixture.completions, 1).await;
    // While the second save is still going on.
    done(&mut fixture.completions, 2).await;
    fixture.leave.send(Ok(())).unwrap();
}

#[tokio::test]
async fn many_flushes_are_all_told() {
    let mut fixture = start();
    for token in 0..500 {
        fixture.volume.submit(Action::Flush { token }).unwrap();
    }
    for token in 0..500 {
        done(&mut fixture.completions, token).await;
    }
}

#[tokio::test]
async fn after_a_save_that_failed_nothing_is_done_any_more() {
    let mut fixture = start();
    fixture.volume.submit(Action::Save(Save::default())).unwrap();
    fixture.volume.submit(write(1, 0, &[9; 512])).unwrap();
    fixture.volume.submit(Action::Flush { token: 2 }).unwrap();
    fixture.leave.send(Err(std::io::Error::other("it fell down"))).unwrap();
    match next(&mut fixture.completions).await {
        Some(Completion::Fatal(what)) => assert_eq!(what, "the metadata cannot be written: it fell down"),
        other => panic!("{other:?}"),
    }
    assert!(next(&mut fixture.completions).await.is_none());
    assert_eq!(first_byte(&fixture.file), 0);
    // Nobody answers, but nobody is hurt either.
    fixture.volume.submit(write(3, 0, &[9; 512])).unwrap();
}

#[tokio::test]
async fn closed_it_does_what_was_submitted_abandoned_it_does_not() {
    for abandon in [false, true] {
        let mut fixture = start();
        fixture.volume.submit(Action::Save(Save::default())).unwrap();
        fixture.volume.submit(write(1, 0, &[1; 512])).unwrap();
        fixture.volume.submit(Action::Flush { token: 2 }).unwrap();
        fixture.asked.recv_timeout(Duration::from_secs(30)).unwrap();
        if abandon {
            fixture.volume.abandon()
        } else {
            fixture.volume.close()
        }
        fixture.leave.send(Ok(())).unwrap();
        if !abandon {
            done(&mut fixture.completions, 1).await;
            done(&mut fixture.completions, 2).await;
        }
        assert!(next(&mut fixture.completions).await.is_none());
        assert_eq!(first_byte(&fixture.file), u8::from(!abandon));
        Disk::open(fixture.file.path()).unwrap(); // nobody has it any more
    }
}

#[tokio::test]
async fn a_panic_of_the_thread_is_told() {
    struct Panics;
    impl Keep for Panics {
        fn keep(&mut self, _: Save) -> std::io::Result<()> {
            panic!("on purpose");
        }
    }
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(512).unwrap();
    let disk = Disk::open(file.path()).unwrap();
    let (volume, mut completions) = Volume::start(disk, Box::new(Panics)).unwrap();
    volume.submit(Action::Save(Save::default())).unwrap();
    assert!(matches!(next(&mut completions).await, Some(Completion::Fatal(_))));
    assert!(next(&mut completions).await.is_none());
}

#[test]
fn only_disk_actions_are_taken() {
    let fixture = start();
    let other = Action::Close { flush: true };
    assert!(matches!(fixture.volume.submit(other), Err(Action::Close { flush: true })));
}
