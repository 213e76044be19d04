//! Continuous load of all users, and a record of the answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use divvy_lab::client::Http1;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Number of connections.
const CONNECTIONS: u32 = 4;
/// Interval between the requests of one connection: 200 requests per second in total.
const INTERVAL: Duration = Duration::from_millis(20);
/// Number of users.
pub const USERS: u32 = 200;

/// Sends requests of all users in turn until it is dropped.
pub struct Load {
    seen: Arc<Mutex<Seen>>,
    _clients: JoinSet<()>,
}

/// Record of the answers.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Number of requests.
    pub requests: u64,
    /// Number of answers other than 200.
    pub failed: u64,
    /// Time of the last failure.
    pub last_failure: Option<Instant>,
    /// Number of changes of a user's version: `(before, after)`.
    pub moves: BTreeMap<(String, String), u64>,
    /// Version of each user.
    versions: BTreeMap<u32, String>,
}

impl Load {
    /// Starts the load.
    pub fn start(edge: SocketAddr) -> Load {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut clients = JoinSet::new();
        for first in 0..CONNECTIONS {
            clients.spawn(send(edge, first, Arc::clone(&seen)));
        }
        Load {
            seen,
            _clients: clients,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record so far.
    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// Clears failures and changes; keeps the users' versions.
    pub fn reset(&self) {
        let mut seen = self.lock();
        *seen = Seen {
            versions: std::mem::take(&mut seen.versions),
            ..Seen::default()
        };
    }
}

async fn send(edge: SocketAddr, first: u32, seen: Arc<Mutex<Seen>>) {
    let client = Http1::new(edge);
    let mut turns = interval(INTERVAL);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut user = first;
    loop {
        turns.tick().await;
        user = (user + CONNECTIONS) % USERS;
        let id = (user + 1).to_string();
        let answer = client.get_with("/checkout", &[("x-user-id", &id)]).await;
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.requests += 1;
        let version = match &answer {
            Ok(answer) if answer.status == 200 => answer.header("x-shop-version"),
            _ => None,
        };
        match version {
            Some(version) => seen.note(user, version),
            None => {
                seen.failed += 1;
                seen.last_failure = Some(Instant::now());
            }
        }
    }
}

impl Seen {
    fn note(&mut self, user: u32, version: &str) {
        let before = self.versions.insert(user, version.to_owned());
        if let Some(before) = before.filter(|before| before != version) {
            *self.moves.entry((before, version.to_owned())).or_default() += 1;
        }
    }

    /// Shares of the versions.
    pub fn shares(&self) -> Shares {
        let mut users = BTreeMap::new();
        for version in self.versions.values() {
            *users.entry(version.clone()).or_default() += 1;
        }
        Shares { users }
    }

    /// Number of changes from one version to another.
    pub fn moved(&self, from: &str, to: &str) -> u64 {
        let key = (from.to_owned(), to.to_owned());
        self.moves.get(&key).copied().unwrap_or_default()
    }
}

/// Number of users per version.
#[derive(Clone, Debug)]
pub struct Shares {
    users: BTreeMap<String, u64>,
}

impl Shares {
    #[cfg(test)]
    pub fn new<'a>(users: impl IntoIterator<Item = (&'a str, u64)>) -> Shares {
        let users = users
            .into_iter()
            .map(|(version, count)| (version.to_owned(), count));
        Shares {
            users: users.collect(),
        }
    }

    /// Number of users.
    pub fn all(&self) -> u64 {
        self.users.values().sum()
    }

    /// Share of users with this version, 0 to 1.
    pub fn of(&self, version: &str) -> f64 {
        let count = self.users.get(version).copied().unwrap_or_default();
        count as f64 / self.all().max(1) as f64
    }
}
