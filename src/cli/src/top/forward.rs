//! Port-forwards to the pods of a selector, by kubectl. Must not depend on the view.
//!
//! Not a client library: kubectl already knows the cluster, its credentials and their plugins.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::scrape::{ProxyAddress, printable};
use anyhow::{Context as _, Result, anyhow, ensure};
use tokio::signal::unix::{SignalKind, signal};

/// Maximum number of pods: each has a kubectl process.
const MAX_PODS: usize = 50;
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum length of a line of kubectl, in bytes.
const LINE_LIMIT: u64 = 4096;

/// The pods of a selector.
pub struct PodSelection {
    pub selector: String,
    pub namespace: Option<String>,
    pub port: u16,
}

/// A kubectl that forwards to one pod. Dropping it ends kubectl.
struct Forward {
    kubectl: Child,
    local: Result<u16, String>,
}

impl Forward {
    fn metrics(&self) -> Result<String, String> {
        let port = self.local.clone()?;
        Ok(format!("http://127.0.0.1:{port}/stats/prometheus"))
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}

type Running = Arc<Mutex<BTreeMap<String, Forward>>>;

/// Port-forwards to all pods of a selector.
pub struct Forwards {
    pods: PodSelection,
    running: Running,
}

// The thread that waits for signals has the map too, so its end is not that of this value.
impl Drop for Forwards {
    fn drop(&mut self) {
        lock(&self.running).clear();
    }
}

impl Forwards {
    /// Forwards nothing yet.
    pub fn new(pods: PodSelection) -> Result<Self> {
        let running = Running::default();
        end_with_this_process(running.clone())?;
        Ok(Self { pods, running })
    }

    /// The pods with the local ports that are forwarded to them. Follows pods that come and go.
    pub fn ports(&self) -> Result<Vec<ProxyAddress>> {
        let names = self.names()?;
        let mut running = lock(&self.running);
        running.retain(|name, forward| {
            let ended = !matches!(forward.kubectl.try_wait(), Ok(None));
            names.contains(name) && forward.local.is_ok() && !ended
        });
        for name in &names {
            if !running.contains_key(name) {
                running.insert(name.clone(), self.start(name)?);
            }
        }
        let forwards = running.iter();
        Ok(forwards
            .map(|(name, forward)| ProxyAddress {
                name: name.clone(),
                metrics: forward.metrics(),
            })
            .collect())
    }

    fn kubectl(&self, verb: &str) -> Command {
        let mut kubectl = Command::new("kubectl");
        kubectl.arg(verb);
        if let Some(namespace) = &self.pods.namespace {
            kubectl.args(["--namespace", namespace]);
        }
        kubectl.stdin(Stdio::null());
        kubectl
    }

    fn names(&self) -> Result<Vec<String>> {
        let selector = &self.pods.selector;
        let mut kubectl = self.kubectl("get");
        kubectl
            .args([
                "pods",
                "--request-timeout=10s",
                "--output=name",
                "--selector",
                selector,
            ])
            .arg("--field-selector=status.phase=Running");
        let output = kubectl.output().context("cannot run kubectl")?;
        let error = String::from_utf8_lossy(&output.stderr);
        let error: Vec<_> = error.lines().map(printable).collect();
        ensure!(
            output.status.success(),
            "kubectl get pods: {}",
            error.join("; ")
        );
        let names = String::from_utf8_lossy(&output.stdout);
        let names: Vec<_> = names.lines().map(str::to_owned).collect();
        ensure!(
            !names.is_empty(),
            "no pod that runs has the labels {selector}"
        );
        ensure!(
            names.len() <= MAX_PODS,
            "{selector} selects {} pods, and top forwards to at most {MAX_PODS}: use --prometheus",
            names.len()
        );
        Ok(names)
    }

    fn start(&self, pod: &str) -> Result<Forward> {
        let mut kubectl = self.kubectl("port-forward");
        kubectl
            .args(["--address=127.0.0.1", pod, &format!(":{}", self.pods.port)])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut kubectl = kubectl.spawn().context("cannot run kubectl")?;
        let output = kubectl.stdout.take().context("the output of kubectl")?;
        let errors = kubectl.stderr.take().context("the errors of kubectl")?;
        let (sender, first) = mpsc::channel();
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = String::new();
            let _ = output.by_ref().take(LINE_LIMIT).read_line(&mut line);
            if line.is_empty() {
                let _ = errors.take(LINE_LIMIT).read_to_string(&mut line);
                let _ = sender.send(Err(line.trim().to_owned()));
            } else {
                let _ = sender.send(local_port(&line).ok_or(line));
                // kubectl ends if its output is closed.
                let _ = std::io::copy(&mut output, &mut std::io::sink());
            }
        });
        let local = first.recv_timeout(START_TIMEOUT);
        let local = local.unwrap_or_else(|_| Err("no answer in 10 s".to_owned()));
        let local = local.map_err(|error| format!("kubectl port-forward: {error}"));
        Ok(Forward { kubectl, local })
    }
}

/// `Forwarding from 127.0.0.1:40123 -> 15090`
fn local_port(line: &str) -> Option<u16> {
    let address = line.strip_prefix("Forwarding from 127.0.0.1:")?;
    address.split_once(' ')?.0.parse().ok()
}

/// A signal that ends this process ends its kubectl processes too.
fn end_with_this_process(running: Running) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let signals = [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ];
    let guard = runtime.enter();
    let signals: Result<Vec<_>, _> = signals.into_iter().map(signal).collect();
    drop(guard);
    let Ok([mut terminate, mut interrupt, mut hangup]) = <[_; 3]>::try_from(signals?) else {
        return Err(anyhow!("signals"));
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => (),
                _ = interrupt.recv() => (),
                _ = hangup.recv() => (),
            }
        });
        lock(&running).clear();
        std::process::exit(130);
    });
    Ok(())
}

fn lock(running: &Running) -> MutexGuard<'_, BTreeMap<String, Forward>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::local_port;

    #[test]
    fn the_local_port_is_in_the_first_line_of_kubectl() {
        assert_eq!(
            local_port("Forwarding from 127.0.0.1:40123 -> 15090\n"),
            Some(40123)
        );
        for other in ["", "error: x", "Forwarding from 127.0.0.1:70000 -> 1\n"] {
            assert_eq!(local_port(other), None, "{other:?}");
        }
    }
}
