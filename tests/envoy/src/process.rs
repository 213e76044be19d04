//! A child process that ends with its parent, and its collected output.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::watch;

/// The output stream of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

#[derive(Default)]
struct Output {
    lines: Vec<(Stream, String)>,
    exit: Option<ExitStatus>,
}

struct Shared {
    output: Mutex<Output>,
    changed: watch::Sender<()>,
}

impl Shared {
    fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, update: impl FnOnce(&mut Output)) {
        update(&mut self.output());
        self.changed.send_replace(());
    }
}

/// A running child process. Dropping it kills its process group and waits for its exit.
pub struct Process {
    pid: libc::pid_t,
    shared: Arc<Shared>,
    waiter: Option<JoinHandle<()>>,
}

/// Resident memory of a process in KiB.
pub fn memory(process: i32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let figure = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
    figure.context("the process has no VmRSS")
}

impl Process {
    /// Starts `command`, in its own process group so that Ctrl-C reaches only this process.
    ///
    /// On Linux the kernel kills the child when this process dies without running destructors. The
    /// signal is tied to the *thread* that started the child, so a dedicated thread starts it and
    /// waits for its exit.
    pub fn start(mut command: Command) -> io::Result<Process> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        #[cfg(target_os = "linux")]
        // SAFETY: prctl is async-signal-safe, as calls between fork and exec must be.
        unsafe {
            command.pre_exec(|| {
                match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) {
                    0 => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                }
            });
        }

        let shared = Arc::new(Shared {
            output: Mutex::default(),
            changed: watch::Sender::new(()),
        });
        let (started, start) = mpsc::channel();
        let waiter = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("process-waiter".to_owned())
                .spawn(move || run(command, &shared, &started))?
        };
        let pid = start.recv().map_err(io::Error::other)??;
        Ok(Process {
            pid,
            shared,
            waiter: Some(waiter),
        })
    }

    /// Its process ID, which is also its process group ID.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The exit code or signal, if it has exited.
    pub fn exit(&self) -> Option<String> {
        let status = self.shared.output().exit?;
        Some(match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => status.to_string(),
        })
    }

    /// The lines from index `from` on, of the streams that satisfy `wanted`.
    pub fn lines(&self, from: usize, wanted: impl Fn(Stream) -> bool) -> Vec<String> {
        let output = self.shared.output();
        let lines = output.lines.iter().skip(from);
        lines
            .filter(|(stream, _)| wanted(*stream))
            .map(|(_, line)| line.clone())
            .collect()
    }

    /// The number of lines so far.
    pub fn line_count(&self) -> usize {
        self.shared.output().lines.len()
    }

    /// Waits for a line from index `from` on that satisfies `wanted`. `None`: the process exited
    /// without one.
    pub async fn wait_for_line(
        &self,
        mut from: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.mark_unchanged();
            {
                let output = self.shared.output();
                let mut new = output.lines.iter().skip(from);
                if let Some((_, line)) = new.find(|(_, line)| wanted(line)) {
                    return Some(line.clone());
                }
                if output.exit.is_some() {
                    return None;
                }
                from = from.max(output.lines.len());
            }
            changed.changed().await.ok()?;
        }
    }

    /// Waits for its exit.
    pub async fn wait_for_exit(&self) {
        self.wait_for_line(usize::MAX, |_| false).await;
    }

    /// Sends SIGTERM to the process.
    pub fn terminate(&self) {
        self.signal(self.pid, libc::SIGTERM);
    }

    /// Stops its execution (SIGSTOP) until [`Process::resume`].
    pub fn pause(&self) {
        self.signal(self.pid, libc::SIGSTOP);
    }

    /// Continues its execution after [`Process::pause`].
    pub fn resume(&self) {
        self.signal(self.pid, libc::SIGCONT);
    }

    /// Sends SIGKILL to its process group.
    pub fn kill(&self) {
        self.signal(-self.pid, libc::SIGKILL);
    }

    fn signal(&self, target: libc::pid_t, signal: libc::c_int) {
        // After its exit the process ID may belong to another process.
        if self.shared.output().exit.is_none() {
            // SAFETY: kill does not access memory of this process.
            unsafe { libc::kill(target, signal) };
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        // Its ports are free and its files closed after its exit.
        if let Some(waiter) = self.waiter.take() {
            let _ = waiter.join();
        }
    }
}

fn run(mut command: Command, shared: &Arc<Shared>, started: &Sender<io::Result<libc::pid_t>>) {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    let (done, readers) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        collect(stdout, Stream::Stdout, Arc::clone(shared), done.clone());
    }
    if let Some(stderr) = child.stderr.take() {
        collect(stderr, Stream::Stderr, Arc::clone(shared), done);
    }
    let _ = started.send(Ok(child.id().cast_signed()));
    let status = child.wait();
    // The output is complete before the exit is visible. A grandchild may hold the pipes open, hence
    // the timeout.
    for _ in 0..2 {
        let _ = readers.recv_timeout(Duration::from_secs(1));
    }
    shared.update(|output| {
        output.exit = Some(status.unwrap_or_else(|_| ExitStatus::from_raw(libc::SIGKILL)));
    });
}

fn collect(
    pipe: impl Read + Send + 'static,
    stream: Stream,
    shared: Arc<Shared>,
    done: Sender<()>,
) {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            shared.update(|output| output.lines.push((stream, text)));
            line.clear();
        }
        let _ = done.send(());
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start(command).unwrap()
    }

    fn is_alive(pid: &str) -> bool {
        // SAFETY: signal 0 only asks whether the process exists.
        unsafe { libc::kill(pid.parse().unwrap(), 0) == 0 }
    }

    #[tokio::test]
    async fn all_output_is_collected_at_exit() {
        let process = shell("echo one; echo two >&2; exit 3");
        process.wait_for_exit().await;
        assert_eq!(process.exit().unwrap(), "exit code 3");
        assert_eq!(process.lines(0, |s| s == Stream::Stdout), ["one"]);
        assert_eq!(process.lines(0, |s| s == Stream::Stderr), ["two"]);
        assert_eq!(process.wait_for_line(0, |line| line == "three").await, None);
    }

    #[tokio::test]
    async fn dropping_a_process_kills_its_group() {
        let process = shell("sleep 1000 & echo $!; echo $$; wait");
        process.wait_for_line(1, |_| true).await;
        let pids = process.lines(0, |_| true);
        assert!(pids.iter().all(|pid| is_alive(pid)));
        drop(process);
        // init reaps the grandchild later, so it may be a zombie.
        let ended = async || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pids[0]));
            let grandchild_ended = stat.map_or(true, |stat| stat.contains(") Z "));
            (!is_alive(&pids[1]) && grandchild_ended).then_some(())
        };
        let timeout = Duration::from_secs(5);
        crate::eventually("both processes to end", timeout, ended)
            .await
            .unwrap();
    }

    #[test]
    fn a_missing_program_is_an_error() {
        let error = Process::start(Command::new("/no/such/program"))
            .err()
            .unwrap();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
