//! Response bodies as a list of steps: data, pauses, trailers, a reset.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::HeaderMap;
use hyper::body::Frame;
use tokio::sync::oneshot;

use super::connection::{Aborted, Connection};
use super::knobs::Scope;

/// The type of every response body.
pub type Body = UnsyncBoxBody<Bytes, Aborted>;

/// Bytes per piece of filler, and maximum number of bytes before a reset: less than any flow-control
/// window.
pub const PIECE: usize = 16 * 1024;

static FILLER: [u8; PIECE] = [b'.'; PIECE];

/// One step of a body.
pub enum Step {
    /// These bytes.
    Data(Bytes),
    /// This many bytes of filler.
    Fill(u64),
    /// A pause.
    Wait(Duration),
    /// Trailers.
    Trailers(HeaderMap),
    /// A reset instead of the rest.
    Reset(Scope),
}

/// An empty body.
pub fn empty() -> Body {
    Empty::new()
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// A body that executes these steps in order.
pub fn from_steps(steps: VecDeque<Step>, connection: Arc<Connection>) -> Body {
    let script = Script {
        steps,
        // At least a part of the headers, even if the first step is a reset.
        sent: connection.bytes_written() + 1,
        queued: None,
        connection,
    };
    let frames = stream::unfold(script, |mut script| async {
        let frame = script.frame().await?;
        Some((frame, script))
    });
    StreamBody::new(frames).boxed_unsync()
}

struct Script {
    steps: VecDeque<Step>,
    connection: Arc<Connection>,
    /// The connection's byte count after which everything so far is written.
    sent: u64,
    /// Completes when the data before a reset has left the queue of its stream.
    queued: Option<oneshot::Receiver<()>>,
}

/// Bytes whose drop shows that hyper has consumed them.
struct Tracked {
    bytes: Bytes,
    _alive: oneshot::Sender<()>,
}

impl AsRef<[u8]> for Tracked {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Script {
    async fn frame(&mut self) -> Option<Result<Frame<Bytes>, Aborted>> {
        loop {
            match self.steps.pop_front()? {
                Step::Data(bytes) => return Some(self.data(bytes)),
                Step::Fill(0) => {}
                Step::Fill(size) => {
                    let piece = FILLER.len().min(usize::try_from(size).unwrap_or(PIECE));
                    if size > piece as u64 {
                        self.steps.push_front(Step::Fill(size - piece as u64));
                    }
                    return Some(self.data(Bytes::from_static(&FILLER[..piece])));
                }
                // Even a timer of zero takes up to 1 ms.
                Step::Wait(Duration::ZERO) => {}
                Step::Wait(pause) => tokio::time::sleep(pause).await,
                Step::Trailers(trailers) => return Some(Ok(Frame::trailers(trailers))),
                Step::Reset(scope) => {
                    // A reset discards buffered bytes, so wait until they are sent. HTTP/2 has a
                    // queue per stream, which the connection's byte count does not show; HTTP/1
                    // copies, so only the byte count shows it.
                    if let Some(queued) = self.queued.take() {
                        let _ = queued.await; // the drop is an error
                    }
                    self.connection.wait_until_written(self.sent).await;
                    return Some(Err(self.connection.reset(scope)));
                }
            }
        }
    }

    fn data(&mut self, mut bytes: Bytes) -> Result<Frame<Bytes>, Aborted> {
        self.sent = self.connection.bytes_written() + bytes.len() as u64;
        if let Some(Step::Reset(_)) = self.steps.front() {
            let (alive, queued) = oneshot::channel();
            self.queued = Some(queued);
            bytes = Bytes::from_owner(Tracked {
                bytes,
                _alive: alive,
            });
        }
        Ok(Frame::data(bytes))
    }
}
