//! Polling for a condition.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// Polls `probe`, for example `async || envoy.stats("x").await.ok()`, until it returns a value.
/// After `timeout` the error names `what`.
pub async fn eventually<T, Answer>(
    what: &str,
    timeout: Duration,
    mut probe: impl FnMut() -> Answer,
) -> Result<T>
where
    Answer: Future<Output = Option<T>>,
{
    let mut backoff = Backoff::new(what, timeout);
    loop {
        if let Some(answer) = probe().await {
            return Ok(answer);
        }
        backoff.pause().await?;
    }
}

/// The pauses of a polling loop: 5 ms, doubled up to 50 ms.
pub(crate) struct Backoff<'a> {
    what: &'a str,
    timeout: Duration,
    deadline: Instant,
    pause: Duration,
}

impl Backoff<'_> {
    pub(crate) fn new(what: &str, timeout: Duration) -> Backoff<'_> {
        Backoff {
            what,
            timeout,
            deadline: Instant::now() + timeout,
            pause: Duration::from_millis(5),
        }
    }

    /// Waits for the next poll, or fails after the timeout.
    pub(crate) async fn pause(&mut self) -> Result<()> {
        if Instant::now() >= self.deadline {
            bail!("timeout after {:?} waiting for {}", self.timeout, self.what);
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(Duration::from_millis(50));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn polling_ends_with_a_value_or_an_error_that_names_the_condition() {
        let polls = Cell::new(0);
        let answer = eventually("three polls", Duration::from_secs(5), async || {
            polls.set(polls.get() + 1);
            (polls.get() == 3).then_some("yes")
        });
        assert_eq!(answer.await.unwrap(), "yes");
        let answer = eventually("rain", Duration::from_millis(20), async || None::<()>);
        let error = answer.await.unwrap_err().to_string();
        assert!(
            error.contains("timeout after 20ms waiting for rain"),
            "{error}"
        );
    }
}
