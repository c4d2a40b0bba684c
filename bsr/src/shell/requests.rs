//! What applications ask of the volume, on its way to the node that answers.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::core::api::{Request, RequestError};

/// A request, and who waits for it. One who no longer waits has dropped the other end: the request is done all the same.
#[derive(Debug)]
pub struct Ask {
    /// What is wanted.
    pub request: Request,
    /// Where the answer goes: what was read, otherwise nothing.
    pub reply: oneshot::Sender<Result<Bytes, RequestError>>,
}

/// The way to the node. Whoever asks more than it takes waits.
pub type Requests = mpsc::Sender<Ask>;

/// How many requests wait for the node at most, on a channel made for [`Requests`]: of 1 MiB at most each.
pub const WAITING: usize = 256;

/// Asks, and waits for the answer.
///
/// # Errors
/// The node's; [`RequestError::Down`] if there is no node any more.
pub async fn ask(requests: &Requests, request: Request) -> Result<Bytes, RequestError> {
    let (reply, answer) = oneshot::channel();
    requests.send(Ask { request, reply }).await.map_err(|_| RequestError::Down)?;
    answer.await.unwrap_or(Err(RequestError::Down))
}
