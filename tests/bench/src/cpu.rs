//! CPU time of one Envoy thread in nanoseconds.
//!
//! The scheduler counts user and kernel time, and `/proc` reports it. The load generator and the
//! upstream run in other threads. The value of a running thread may be one scheduler tick old, so
//! it is read while the thread sleeps.

use std::fs::{self, File};
use std::mem;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Longer than any uninterrupted work of a worker.
const PATIENCE: Duration = Duration::from_secs(30);

/// A measured thread.
pub struct Thread {
    id: i32,
    time: File,
    state: File,
}

impl Thread {
    /// Thread with this name in a process.
    pub fn find(process: i32, name: &str) -> Result<Thread> {
        for folder in tasks(process)? {
            if comm(&folder) != name {
                continue;
            }
            let id = folder.file_name().and_then(|id| id.to_str()?.parse().ok());
            return Ok(Thread {
                id: id.context("a thread without a number")?,
                time: File::open(folder.join("schedstat"))?,
                state: File::open(folder.join("stat"))?,
            });
        }
        bail!("Envoy has no thread named {name}")
    }

    /// CPU time, read once the thread sleeps.
    pub fn time_asleep(&self) -> Result<Duration> {
        let deadline = Instant::now() + PATIENCE;
        while !self.sleeps()? {
            ensure!(
                Instant::now() < deadline,
                "Envoy's worker is still busy after {PATIENCE:?}"
            );
            std::thread::yield_now();
        }
        self.time()
    }

    /// CPU time; the last scheduler tick may be missing.
    pub fn time(&self) -> Result<Duration> {
        let text = read(&self.time)?;
        let running = text.split_ascii_whitespace().next();
        let nanoseconds = running.and_then(|running| running.parse().ok());
        nanoseconds
            .map(Duration::from_nanos)
            .with_context(|| format!("schedstat says {text:?}"))
    }

    fn sleeps(&self) -> Result<bool> {
        // 4711 (wrk:worker_0) S …
        Ok(read(&self.state)?.contains(") S "))
    }

    /// Pins the thread to this processor.
    pub fn pin(&self, processor: usize) -> Result<()> {
        pin(self.id, processor)
    }
}

/// Pins the worker to one processor and all other threads to the others, if there are several.
pub fn separate(process: i32, worker: &Thread) -> Result<bool> {
    let ours = processors()?;
    let [first, second, ..] = ours[..] else {
        return Ok(false);
    };
    for folder in tasks(process)? {
        let id = folder.file_name().and_then(|id| id.to_str()?.parse().ok());
        if let Some(id) = id {
            pin(id, first)?;
        }
    }
    pin(0, first)?;
    worker.pin(second)?;
    Ok(true)
}

/// Threads of a process and their CPU times by name.
pub fn times(process: i32) -> Result<Vec<(String, Duration)>> {
    let mut times = Vec::new();
    for folder in tasks(process)? {
        let text = fs::read_to_string(folder.join("schedstat")).unwrap_or_default();
        let running = text.split_ascii_whitespace().next();
        // A thread may end in the meantime.
        if let Some(nanoseconds) = running.and_then(|running| running.parse().ok()) {
            times.push((comm(&folder), Duration::from_nanos(nanoseconds)));
        }
    }
    Ok(times)
}

fn tasks(process: i32) -> Result<Vec<PathBuf>> {
    let folder = format!("/proc/{process}/task");
    let entries = fs::read_dir(&folder)
        .with_context(|| format!("no {folder}: the bench takes its times from Linux"))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry?.path());
    }
    Ok(paths)
}

fn comm(folder: &Path) -> String {
    let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

fn read(file: &File) -> Result<String> {
    let mut bytes = [0; 512];
    let length = file
        .read_at(&mut bytes, 0)
        .context("Envoy's worker is gone")?;
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

/// Processors available to this process.
fn processors() -> Result<Vec<usize>> {
    // SAFETY: the set is plain bits, and the kernel writes no more than its size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        let failed = libc::sched_getaffinity(0, size_of_val(&set), &raw mut set);
        ensure!(failed == 0, "which processors are there?");
        set
    };
    let all = 0..libc::CPU_SETSIZE.unsigned_abs() as usize;
    // SAFETY: the number is below the size of the set.
    Ok(all
        .filter(|processor| unsafe { libc::CPU_ISSET(*processor, &set) })
        .collect())
}

fn pin(thread: i32, processor: usize) -> Result<()> {
    // SAFETY: the set is plain bits, and the number is one that the kernel has named.
    let failed = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(thread, size_of_val(&set), &raw const set)
    };
    ensure!(
        failed == 0,
        "cannot keep a thread on processor {processor}: {}",
        std::io::Error::last_os_error()
    );
    Ok(())
}
