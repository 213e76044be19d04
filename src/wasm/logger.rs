//! The proxy's log as the target of the `log` crate. Depends on `host` only.

use log::{Level, LevelFilter, Metadata, Record};
use proxy_wasm::types::LogLevel;

use super::host;

/// Passes lines to the proxy, whose log level decides what is written.
struct ProxyLog;

impl log::Log for ProxyLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            Level::Trace => LogLevel::Trace,
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        host::log(level, &record.args().to_string());
    }

    fn flush(&self) {}
}

/// Makes the macros of the `log` crate write to the proxy's log.
pub fn start() {
    // Fails only if it was called before.
    let _ = log::set_logger(&ProxyLog);
    log::set_max_level(LevelFilter::Info);
}
