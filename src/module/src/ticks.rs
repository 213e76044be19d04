//! Wakes configurations up at their intervals. Must not depend on what they do then.
//!
//! The ABI of 1.38 has no timers for HTTP filters. So one thread of the module waits, and schedules an
//! event in Envoy's main thread for each configuration that is due.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::abi::Scheduler;

/// The shortest interval, and the precision of all.
const BEAT: Duration = Duration::from_secs(1);

/// What a beat may come early.
const SLACK: Duration = Duration::from_millis(100);

/// A configuration that wants ticks.
struct Alarm {
    number: u64,
    scheduler: Scheduler,
    interval: Duration,
    last: Instant,
}

/// All alarms of the process.
struct Alarms {
    all: Vec<Alarm>,
    /// Number of the next one.
    next: u64,
    /// Whether the thread runs.
    runs: bool,
}

static ALARMS: Mutex<Alarms> = Mutex::new(Alarms {
    all: Vec::new(),
    next: 0,
    runs: false,
});

fn alarms() -> MutexGuard<'static, Alarms> {
    ALARMS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts ticks. The number by which they are ended.
pub fn start(scheduler: Scheduler, interval: Duration) -> u64 {
    let mut alarms = alarms();
    let number = alarms.next;
    alarms.next = number.wrapping_add(1);
    alarms.all.push(Alarm {
        number,
        scheduler,
        interval,
        last: Instant::now(),
    });
    if !alarms.runs {
        let thread = thread::Builder::new().name("divvy".into()).spawn(beat);
        alarms.runs = thread.is_ok();
        if let Err(error) = thread {
            log::error!(
                "no thread for ticks, so verdicts, gauges and counts that wait stay as they are: {error}"
            );
        }
    }
    number
}

/// Ends ticks.
pub fn end(number: u64) {
    alarms().all.retain(|alarm| alarm.number != number);
}

fn beat() {
    loop {
        thread::sleep(BEAT);
        for alarm in &mut alarms().all {
            if alarm.last.elapsed().saturating_add(SLACK) >= alarm.interval {
                alarm.last = Instant::now();
                alarm.scheduler.schedule();
            }
        }
    }
}
