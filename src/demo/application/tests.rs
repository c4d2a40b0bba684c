#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use drx_bsr::shell::requests::{Ask, WAITING};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::content::BEFORE;
use super::*;

/// A volume in memory. It answers until it is told to die; then it is what it had become.
struct Memory {
    requests: Requests,
    die: watch::Sender<Option<Death>>,
    task: JoinHandle<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// After a write that nobody was told of.
    Silent,
    /// After a write that was acknowledged, but is lost.
    Lying,
}

impl Memory {
    fn start(mut bytes: Vec<u8>) -> Memory {
        let (requests, mut queue) = mpsc::channel::<Ask>(WAITING);
        let (die, dying) = watch::channel(None);
        let task = tokio::spawn(async move {
            while let Some(Ask { request, reply }) = queue.recv().await {
                let result = match request {
                    Request::Read { offset, length } => {
                        let from = offset as usize;
                        Bytes::copy_from_slice(&bytes[from..from + length as usize])
                    }
                    Request::Write { offset, data, .. } => {
                        let death = *dying.borrow();
                        if death != Some(Death::Lying) {
                            bytes[offset as usize..][..data.len()].copy_from_slice(&data);
                        }
                        if death.is_some() {
                            if death == Some(Death::Lying) {
                                let _ = reply.send(Ok(Bytes::new()));
                            }
                            break;
                        }
                        Bytes::new()
                    }
                    Request::Zero { .. } | Request::Flush => Bytes::new(),
                };
                let _ = reply.send(Ok(result));
            }
            bytes
        });
        Memory { requests, die, task }
    }

    /// Its last write is the next one.
    async fn die(self, how: Death) -> Vec<u8> {
        self.die.send_replace(Some(how));
        drop(self.requests);
        within_time(self.task).await.unwrap()
    }
}

fn before() -> Vec<u8> {
    let mut bytes = vec![0; VOLUME as usize];
    BEFORE.fill(0, &mut bytes);
    bytes
}

async fn within_time<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), what).await.unwrap()
}

async fn until(application: &Application, reached: impl FnMut(&Work) -> bool) {
    within_time(application.work.clone().wait_for(reached)).await.unwrap();
}

/// How it goes on when the volume that it works with dies, and another one takes its place with the same content.
async fn survives(how: Death) -> (Application, Memory) {
    let first = Memory::start(before());
    let application = Application::start(first.requests.clone());
    until(&application, |work| work.image && work.writes > 300).await;
    let bytes = first.die(how).await;
    let second = Memory::start(bytes);
    application.move_to(second.requests.clone());
    (application, second)
}

#[tokio::test]
async fn what_was_not_acknowledged_is_written_again() {
    let (application, second) = survives(Death::Silent).await;
    until(&application, |work| work.checked > 0).await;
    let writes = application.work().writes;
    until(&application, |work| work.writes > writes + 20).await;
    application.stop();
    until(&application, |work| work.ended).await;
    let work = application.work();
    assert_eq!(work.error, None);
    assert!(work.repeated >= 1, "{work:?}");

    let content = within_time(application.content()).await.unwrap();
    drop(second.requests);
    let bytes = within_time(second.task).await.unwrap();
    assert_eq!(content.differences(0, &bytes), [0u64; 0]);
    let image: Vec<u64> = Content::new(VOLUME).differences(0, &bytes[..image::BYTES as usize]);
    assert_eq!(image.len() as u64, image::BYTES / BLOCK as u64, "the file system is there, its zeros, too");
}

#[tokio::test]
async fn a_write_that_was_acknowledged_and_is_not_there_is_an_error() {
    let (application, _second) = survives(Death::Lying).await;
    until(&application, |work| work.ended).await;
    let error = application.work().error.unwrap();
    assert!(error.ends_with("of writes that were acknowledged are not on the new primary"), "{error}");
}
