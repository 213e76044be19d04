//! The load of users on a gateway.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use divvy_lab::client::Http1;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Requests of many users, about 50 per second.
pub struct Load {
    on: Arc<AtomicBool>,
    task: JoinHandle<BTreeMap<u16, u32>>,
}

impl Load {
    pub fn start(gateway: SocketAddr) -> Load {
        let on = Arc::new(AtomicBool::new(true));
        let running = Arc::clone(&on);
        let task = tokio::spawn(async move {
            let client = Http1::new(gateway);
            let mut codes = BTreeMap::new();
            let mut user = 0_u32;
            while running.load(Ordering::Relaxed) {
                user = (user + 7) % 3_001;
                let name = format!("load-{user}");
                let headers = [("x-user-id", &*name)];
                let answer = client.get_with("/checkout", &headers).await;
                // 0: no response.
                let status = answer.map_or(0, |answer| answer.status);
                *codes.entry(status).or_insert(0) += 1;
                sleep(Duration::from_millis(18)).await;
            }
            codes
        });
        Load { on, task }
    }

    /// Ends it, and returns the number of responses by status.
    pub async fn stop(self) -> BTreeMap<u16, u32> {
        self.on.store(false, Ordering::Relaxed);
        self.task.await.unwrap_or_default()
    }
}
