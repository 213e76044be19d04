//! Clients with a fixed request rate, each request as another user, and their responses.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::setup::{Edge, assignment_of, served_by};
use anyhow::Result;
use divvy_lab::client::Http1;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::TAKEN_BACK;

const CLIENTS: u32 = 20;

/// One request and its response.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The time it was sent.
    pub sent: Instant,
    /// Whether v2 served it.
    pub by_v2: bool,
    /// Whether the library assigns it to v2.
    pub taken_back: bool,
}

/// A load that runs until it is dropped.
pub struct Load {
    seen: Arc<Mutex<Vec<Seen>>>,
    clients: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    /// This number of requests per second, spread over 20 connections.
    pub fn start(edge: &Edge, per_second: u32) -> Load {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let clients = (0..CLIENTS).map(|client| {
            let pace = Duration::from_secs(1) * CLIENTS / per_second;
            tokio::spawn(run(client, Http1::new(edge.addr), pace, Arc::clone(&seen)))
        });
        Load {
            clients: clients.collect(),
            seen,
        }
    }

    /// The responses so far, in their order; an error if a client failed.
    pub fn seen(&self) -> Vec<Seen> {
        let ended = self.clients.iter().find(|client| client.is_finished());
        assert!(ended.is_none(), "a client of the load has ended");
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.clients.iter().for_each(JoinHandle::abort);
    }
}

async fn run(client: u32, http: Http1, pace: Duration, seen: Arc<Mutex<Vec<Seen>>>) -> Result<()> {
    let mut ticks = interval(pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0.. {
        ticks.tick().await;
        let sent = Instant::now();
        let user = format!("user-{client}-{number}");
        let answer = http.get_with("/", &[("x-user-id", user)]).await?;
        let answer = Seen {
            sent,
            by_v2: served_by(&answer) == Some("v2"),
            taken_back: assignment_of(&answer) == Some(TAKEN_BACK),
        };
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(answer);
    }
    Ok(())
}
