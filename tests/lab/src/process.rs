//! A child process that never outlives us, with everything it printed.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::watch;

/// Which of the two streams a line came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    /// Of its results.
    Stdout,
    /// Of its log.
    Stderr,
}

#[derive(Default)]
struct Seen {
    lines: Vec<(Stream, String)>,
    exit: Option<ExitStatus>,
}

struct Shared {
    seen: Mutex<Seen>,
    changed: watch::Sender<()>,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nothing panics while it holds the lock, and a test that does panic still needs the log.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen());
        self.changed.send_replace(());
    }
}

/// A running child. Dropping it kills it.
pub struct Process {
    pid: libc::pid_t,
    shared: Arc<Shared>,
    keeper: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts `command` with its output collected.
    ///
    /// The child is in a process group of its own, so that Ctrl-C reaches only us and we stop it in
    /// order. Should we die of something that runs no destructor, the kernel kills it (on Linux).
    /// That signal follows the death of the *thread* that started the child, which a runtime's
    /// worker may be at any time; so a thread of its own starts it and waits for its end.
    pub fn start(mut command: Command) -> io::Result<Process> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        #[cfg(target_os = "linux")]
        // SAFETY: between fork and exec only async-signal-safe calls are allowed; prctl is one.
        unsafe {
            command.pre_exec(|| {
                match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) {
                    0 => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                }
            });
        }

        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            changed: watch::Sender::new(()),
        });
        let (started, start) = mpsc::channel();
        let keeper = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("process-keeper".to_owned())
                .spawn(move || keep(command, &shared, &started))?
        };
        let pid = start.recv().map_err(io::Error::other)??;
        Ok(Process {
            pid,
            shared,
            keeper: Some(keeper),
        })
    }

    /// Its number, and that of its group.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// How it ended, when it did.
    pub fn exit(&self) -> Option<String> {
        let status = self.shared.seen().exit?;
        Some(match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => status.to_string(),
        })
    }

    /// The lines from number `from` on that `wanted` streams printed.
    pub fn lines(&self, from: usize, wanted: impl Fn(Stream) -> bool) -> Vec<String> {
        let seen = self.shared.seen();
        let lines = seen.lines.iter().skip(from);
        lines
            .filter(|(stream, _)| wanted(*stream))
            .map(|(_, line)| line.clone())
            .collect()
    }

    /// How many lines there are by now.
    pub fn line_count(&self) -> usize {
        self.shared.seen().lines.len()
    }

    /// Waits until a line from number `from` on satisfies `wanted`, or the process has ended.
    pub async fn line(&self, mut from: usize, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.mark_unchanged();
            {
                let seen = self.shared.seen();
                let mut fresh = seen.lines.iter().skip(from);
                if let Some((_, line)) = fresh.find(|(_, line)| wanted(line)) {
                    return Some(line.clone());
                }
                if seen.exit.is_some() {
                    return None;
                }
                from = from.max(seen.lines.len());
            }
            changed.changed().await.ok()?;
        }
    }

    /// Waits for its end.
    pub async fn ended(&self) {
        self.line(usize::MAX, |_| false).await;
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        self.signal(self.pid, libc::SIGTERM);
    }

    /// Makes it stop, and what it started in its group with it.
    pub fn kill(&self) {
        self.signal(-self.pid, libc::SIGKILL);
    }

    fn signal(&self, target: libc::pid_t, signal: libc::c_int) {
        // Once it was waited for, its number may be somebody else's.
        if self.shared.seen().exit.is_none() {
            // SAFETY: kill takes two integers and touches no memory of ours.
            unsafe { libc::kill(target, signal) };
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        // Its ports are free and its files closed when this returns.
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

fn keep(mut command: Command, shared: &Arc<Shared>, started: &Sender<io::Result<libc::pid_t>>) {
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
    // Its last words first, then its end: whoever sees the end can rely on the log. A grandchild
    // may hold the pipes open, hence the limit.
    for _ in 0..2 {
        let _ = readers.recv_timeout(Duration::from_secs(1));
    }
    shared.change(|seen| {
        seen.exit = Some(status.unwrap_or_else(|_| ExitStatus::from_raw(libc::SIGKILL)));
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
            shared.change(|seen| seen.lines.push((stream, text)));
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
    async fn everything_it_printed_is_there_when_it_has_ended() {
        let process = shell("echo one; echo two >&2; exit 3");
        process.ended().await;
        assert_eq!(process.exit().unwrap(), "exit code 3");
        assert_eq!(process.lines(0, |s| s == Stream::Stdout), ["one"]);
        assert_eq!(process.lines(0, |s| s == Stream::Stderr), ["two"]);
        assert_eq!(process.line(0, |line| line == "three").await, None);
    }

    #[tokio::test]
    async fn dropping_it_kills_it_and_its_children() {
        let process = shell("sleep 1000 & echo $!; echo $$; wait");
        process.line(1, |_| true).await;
        let pids = process.lines(0, |_| true);
        assert!(pids.iter().all(|pid| is_alive(pid)));
        drop(process);
        // The grandchild is reaped by init, which takes a moment.
        crate::eventually(
            "the processes to be gone",
            Duration::from_secs(5),
            async || {
                (!is_alive(&pids[1])
                    && std::fs::read_to_string(format!("/proc/{}/stat", pids[0]))
                        .map_or(true, |stat| stat.contains(") Z ")))
                .then_some(())
            },
        )
        .await
        .unwrap();
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let error = Process::start(Command::new("/no/such/program"))
            .err()
            .unwrap();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
