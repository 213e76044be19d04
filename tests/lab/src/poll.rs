//! Waiting for something to become true, without a blind sleep.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// Asks `probe` until it has an answer, and says what it waited for when there is none in time.
///
/// An async closure that captures by reference will do: `async || envoy.stats("x").await.ok()`.
pub async fn eventually<T, Answer>(
    what: &str,
    timeout: Duration,
    mut probe: impl FnMut() -> Answer,
) -> Result<T>
where
    Answer: Future<Output = Option<T>>,
{
    let mut patience = Patience::new(what, timeout);
    loop {
        if let Some(answer) = probe().await {
            return Ok(answer);
        }
        patience.pause().await?;
    }
}

/// The pauses of a loop that waits for something.
///
/// They grow from 5 to 50 ms: quick things stay quick, and slow ones do not take the processor
/// from what they wait for.
pub(crate) struct Patience<'a> {
    what: &'a str,
    timeout: Duration,
    deadline: Instant,
    pause: Duration,
}

impl Patience<'_> {
    pub(crate) fn new(what: &str, timeout: Duration) -> Patience<'_> {
        Patience {
            what,
            timeout,
            deadline: Instant::now() + timeout,
            pause: Duration::from_millis(5),
        }
    }

    /// Waits a little, or fails when the time is up.
    pub(crate) async fn pause(&mut self) -> Result<()> {
        if Instant::now() >= self.deadline {
            bail!("waited {:?} in vain for {}", self.timeout, self.what);
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
    async fn an_answer_ends_the_wait() {
        let asked = Cell::new(0);
        let answer = eventually("three questions", Duration::from_secs(5), async || {
            asked.set(asked.get() + 1);
            (asked.get() == 3).then_some("yes")
        });
        assert_eq!(answer.await.unwrap(), "yes");
    }

    #[tokio::test]
    async fn a_wait_in_vain_says_for_what() {
        let answer = eventually("rain", Duration::from_millis(20), async || None::<()>);
        let error = answer.await.unwrap_err().to_string();
        assert!(error.contains("in vain for rain"), "{error}");
    }
}
