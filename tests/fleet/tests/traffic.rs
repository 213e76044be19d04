//! Requests at a constant rate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use divvy_lab::client::Http1;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// Users of a stream of requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Users {
    /// 5,000 users with equal shares.
    Many,
    /// One user sends nine of ten requests.
    OneOfMany,
    /// One user sends all requests.
    One,
    /// No request has an identity.
    Anonymous,
}

const ALL: [Users; 4] = [Users::Many, Users::OneOfMany, Users::One, Users::Anonymous];

/// A stream of requests for one path. Dropping it ends the stream.
pub struct Traffic {
    users: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Traffic {
    /// Sends `per_second` requests to this path. `one` is the single user of [`Users::One`].
    pub fn start(proxy: SocketAddr, path: &'static str, per_second: u32, one: u64) -> Traffic {
        let users = Arc::new(AtomicU64::new(Users::Many as u64));
        let kind = users.clone();
        let task = tokio::spawn(async move {
            let client = Http1::new(proxy);
            let mut ticks = interval(Duration::from_secs(1) / per_second);
            // After a pause of the machine the requests that were missed are not sent.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for number in 0_u64.. {
                ticks.tick().await;
                let kind = ALL[kind.load(Ordering::Relaxed) as usize];
                // Multiplication by a number without common divisors visits all users in turn.
                let many = number.wrapping_mul(2_654_435_761) % 5_000 + 1;
                let user = match kind {
                    Users::Many => Some(many),
                    Users::OneOfMany if number % 10 == 0 => Some(many),
                    Users::OneOfMany | Users::One => Some(one),
                    Users::Anonymous => None,
                };
                let headers: Vec<_> = user
                    .map(|user| ("x-user-id", user.to_string()))
                    .into_iter()
                    .collect();
                // Failures are what the alerts are about.
                let _ = client.get_with(path, &headers).await;
            }
        });
        Traffic { users, task }
    }

    /// Changes who sends the requests.
    pub fn set_users(&self, users: Users) {
        self.users.store(users as u64, Ordering::Relaxed);
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.task.abort();
    }
}
