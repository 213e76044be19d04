//! Detection of saves of a file.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

/// Interval between two reads of the file.
const INTERVAL: Duration = Duration::from_millis(150);

/// Watches the content of a file. Only the content, because some editors write in place, some
/// replace the file, and some change its time alone.
pub struct Watch<'a> {
    file: &'a Path,
    known: Vec<u8>,
}

impl Watch<'_> {
    /// `known`: the current content.
    pub fn new(file: &Path, known: Vec<u8>) -> Watch<'_> {
        Watch { file, known }
    }

    /// Waits for a new content that two consecutive reads agree on, so that a partial save is not
    /// reported. A missing file is ignored.
    pub async fn change(&mut self) -> &[u8] {
        let mut looks = interval(INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = None;
        loop {
            looks.tick().await;
            let now = fs::read(self.file).ok();
            match now {
                Some(now) if now != self.known && before.as_ref() == Some(&now) => {
                    self.known = now;
                    return &self.known;
                }
                now => before = now,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    async fn change<'a>(watch: &'a mut Watch<'_>) -> &'a [u8] {
        timeout(Duration::from_secs(10), watch.change())
            .await
            .expect("a change")
    }

    #[tokio::test]
    async fn a_save_and_a_replacement_are_detected_and_an_equal_content_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("divvy.yaml");
        fs::write(&file, "1").unwrap();
        let mut watch = Watch::new(&file, b"1".to_vec());

        fs::write(&file, "2").unwrap();
        assert_eq!(change(&mut watch).await, b"2");

        let draft = dir.path().join("draft");
        fs::write(&draft, "3").unwrap();
        fs::remove_file(&file).unwrap();
        fs::rename(&draft, &file).unwrap();
        assert_eq!(change(&mut watch).await, b"3");

        fs::write(&file, "3").unwrap();
        let nothing = timeout(INTERVAL * 5, watch.change()).await;
        assert!(nothing.is_err());
    }
}
