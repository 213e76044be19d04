//! The log of the server, on standard error. Must not depend on other modules of the server.

use std::time::SystemTime;

use serde_json::json;

use crate::output::Format;

/// Writes lines, as text or JSON.
#[derive(Clone, Copy, Debug)]
pub struct Log(pub Format);

impl Log {
    /// Writes a line.
    pub fn line(self, message: &str) {
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        match self.0 {
            Format::Json => {
                let line = json!({"time": time.to_string(), "message": message});
                anstream::eprintln!("{line}");
            }
            Format::Text | Format::Markdown => anstream::eprintln!("{time} {message}"),
        }
    }
}
