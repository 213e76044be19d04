//! Envoy's log as the target of the `log` crate. Depends on `abi` only.

use std::cell::RefCell;
use std::sync::Arc;

use log::{Level, LevelFilter, Metadata, Record};

use crate::abi;

/// Passes lines to Envoy, whose log level decides what is written.
struct EnvoyLog;

impl log::Log for EnvoyLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            Level::Trace => 0,
            Level::Debug => 1,
            Level::Info => 2,
            Level::Warn => 3,
            Level::Error => 4,
        };
        abi::log(level, || {
            let name = NAME.with(|name| name.try_borrow().ok()?.clone());
            format!("{}: {}", name.as_deref().unwrap_or("divvy"), record.args())
        });
    }

    fn flush(&self) {}
}

thread_local! {
    /// Name of the plugin that runs on this thread.
    static NAME: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
}

/// From now on, lines of this thread begin with this name of a plugin.
pub fn begin(name: &Arc<str>) {
    NAME.with(|current| {
        if let Ok(mut current) = current.try_borrow_mut()
            && !current
                .as_ref()
                .is_some_and(|current| Arc::ptr_eq(current, name))
        {
            *current = Some(Arc::clone(name));
        }
    });
}

/// Makes the macros of the `log` crate, and panics, write to Envoy's log.
pub fn start() {
    // Fails only if it was called before.
    let _ = log::set_logger(&EnvoyLog);
    log::set_max_level(LevelFilter::Info);
    // Without the message: it may contain bytes of a request.
    std::panic::set_hook(Box::new(|panic| {
        if let Some(place) = panic.location() {
            log::error!("panicked at {place}: the request gets stable");
        }
    }));
}
