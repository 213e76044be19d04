//! Response bodies as a list of steps: what goes out, where it waits, where it breaks off.

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

use super::knobs::Scope;
use super::wire::{Broken, Wire};

/// The body of every response.
pub type Body = UnsyncBoxBody<Bytes, Broken>;

/// A piece of filler, and the most that goes out before a reset: little enough that no flow
/// control holds it back.
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
    /// Server-sent events, one after the other.
    Events {
        /// The id of the next.
        next: u64,
        /// The id of the last.
        last: u64,
        /// What stands before the id.
        text: Arc<str>,
        /// Between two.
        pause: Duration,
    },
    /// Trailers.
    Trailers(HeaderMap),
    /// The end before the end.
    Reset(Scope),
}

/// A response without a body.
pub fn empty() -> Body {
    Empty::new()
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// A body that does one step after the other.
pub fn of(steps: VecDeque<Step>, wire: Arc<Wire>) -> Body {
    let script = Script {
        steps,
        // At least something of the headers, even if a reset is the first step.
        sent: wire.written() + 1,
        queued: None,
        wire,
    };
    let frames = stream::unfold(script, |mut script| async {
        let frame = script.frame().await?;
        Some((frame, script))
    });
    StreamBody::new(frames).boxed_unsync()
}

struct Script {
    steps: VecDeque<Step>,
    wire: Arc<Wire>,
    /// How many bytes the connection will have written when all that was handed over is out.
    sent: u64,
    /// Ends when the piece before a reset has left the queue of its stream.
    queued: Option<oneshot::Receiver<()>>,
}

/// Bytes that say by their drop that the server underneath is done with them.
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
    async fn frame(&mut self) -> Option<Result<Frame<Bytes>, Broken>> {
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
                Step::Wait(pause) => tokio::time::sleep(pause).await,
                Step::Events { next, last, .. } if next > last => {}
                Step::Events {
                    next,
                    last,
                    text,
                    pause,
                } => {
                    let event = format!("id: {next}\ndata: {text} {next}\n\n");
                    if next < last {
                        self.steps.push_front(Step::Events {
                            next: next + 1,
                            last,
                            text,
                            pause,
                        });
                        if !pause.is_zero() {
                            self.steps.push_front(Step::Wait(pause));
                        }
                    }
                    return Some(self.data(event.into()));
                }
                Step::Trailers(trailers) => return Some(Ok(Frame::trailers(trailers))),
                Step::Reset(scope) => {
                    // Bytes that are still in the server's buffers go down with what is
                    // reset. HTTP/2 drops the stream's queue, and writes of other streams say
                    // nothing about that; HTTP/1 copies, and only the socket knows.
                    if let Some(queued) = self.queued.take() {
                        let _ = queued.await; // an error is how a drop shows
                    }
                    self.wire.wrote(self.sent).await;
                    return Some(Err(self.wire.reset(scope)));
                }
            }
        }
    }

    fn data(&mut self, mut bytes: Bytes) -> Result<Frame<Bytes>, Broken> {
        self.sent = self.wire.written() + bytes.len() as u64;
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
