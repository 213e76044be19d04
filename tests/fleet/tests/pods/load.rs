//! The load of users on a gateway.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use divvy_lab::client::Http1;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Number of clients, each with one request at a time.
const CLIENTS: u32 = 8;

/// Requests of many users, about 50 per second.
pub struct Load {
    on: Arc<AtomicBool>,
    clients: Vec<JoinHandle<BTreeMap<u16, u32>>>,
}

impl Load {
    pub fn start(gateway: SocketAddr) -> Load {
        let on = Arc::new(AtomicBool::new(true));
        let user = Arc::new(AtomicU32::new(0));
        let client = |_| {
            let (on, user) = (Arc::clone(&on), Arc::clone(&user));
            tokio::spawn(async move {
                let client = Http1::new(gateway);
                let mut codes = BTreeMap::new();
                while on.load(Ordering::Relaxed) {
                    let name = format!("load-{}", user.fetch_add(7, Ordering::Relaxed) % 3_001);
                    let headers = [("x-user-id", &*name)];
                    let answer = client.get_with("/checkout", &headers).await;
                    // 0: no response.
                    let status = answer.map_or(0, |answer| answer.status);
                    *codes.entry(status).or_insert(0) += 1;
                    sleep(Duration::from_millis(30)).await;
                }
                codes
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Load { on, clients }
    }

    /// Ends it, and returns the number of responses by status.
    pub async fn stop(self) -> BTreeMap<u16, u32> {
        self.on.store(false, Ordering::Relaxed);
        let mut codes = BTreeMap::new();
        for client in self.clients {
            for (code, count) in client.await.unwrap_or_default() {
                *codes.entry(code).or_insert(0) += count;
            }
        }
        codes
    }
}
