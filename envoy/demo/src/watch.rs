//! Notices that somebody saved the file.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

/// Soon enough for a person, seldom enough for the processor.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// Watches one file's content, because editors differ in all else: some write in place, some move
/// a new file there, some touch it without a change.
pub struct Watch<'a> {
    file: &'a Path,
    known: Vec<u8>,
}

impl Watch<'_> {
    /// Begins with this content.
    pub fn new(file: &Path, known: Vec<u8>) -> Watch<'_> {
        Watch { file, known }
    }

    /// Waits for another content that stays for two looks in a row, so that half a save is not
    /// mistaken for a whole one. A file that is gone is on its way.
    pub async fn change(&mut self) -> &[u8] {
        let mut looks = interval(LOOK_EVERY);
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
    async fn a_save_in_place_and_a_move_are_seen_and_a_mere_touch_is_not() {
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
        let nothing = timeout(LOOK_EVERY * 5, watch.change()).await;
        assert!(nothing.is_err());
    }
}
