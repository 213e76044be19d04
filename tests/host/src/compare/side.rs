//! One of the two builds, with the requests that both are given.

use std::time::Duration;

use crate::fixture::{PLUGIN, ROOT_ID};
use crate::random::NOW;
use crate::{Action, Exchange, Headers, Module, Process, RootId, StreamId, Trap, Vm};

/// What happens to a request.
pub struct Plan {
    pub worker: usize,
    pub seed: u64,
    pub exchange: Exchange,
    /// Replaces the status of the response where a request header names version v2.
    pub status_of_v2: Option<&'static str>,
    pub body: bool,
}

/// What a build made of a request.
#[derive(Debug, PartialEq)]
pub struct Seen {
    pub actions: Vec<Action>,
    pub local_response: bool,
    pub request: Vec<(String, String)>,
    pub response: Vec<(String, String)>,
}

/// One build: two workers of one process.
pub struct Side {
    process: Process,
    workers: Vec<(Vm, Option<RootId>)>,
}

impl Side {
    pub fn start(build: &Module) -> Self {
        let process = Process::new();
        process.clock().set_realtime(NOW * 1_000_000);
        let workers = (0..2).map(|_| (Vm::start(build, &process).unwrap(), None));
        Side {
            workers: workers.collect(),
            process,
        }
    }

    /// Whether each worker accepts the configuration. Those that do use it from now on.
    pub fn configure(&mut self, config: &str) -> Result<Vec<bool>, Trap> {
        let mut accepted = Vec::new();
        for (vm, root) in &mut self.workers {
            let configured = vm.configure(ROOT_ID, PLUGIN, config)?;
            accepted.push(configured.accepted);
            if configured.accepted
                && let Some(before) = root.replace(configured.root)
            {
                vm.retire(before)?;
            }
        }
        Ok(accepted)
    }

    /// Plays the requests interleaved: all their headers, then all responses, then all ends.
    pub fn exchange(&mut self, plans: &[Plan]) -> Result<Vec<Seen>, Trap> {
        let mut open: Vec<(StreamId, Vec<Action>)> = Vec::new();
        for plan in plans {
            let (vm, root) = &mut self.workers[plan.worker];
            vm.seed_random(plan.seed);
            let id = vm.open(root.expect("a configuration was accepted"))?;
            let properties = plan.exchange.properties.clone();
            vm.stream_mut(id).properties.extend(properties);
            let mut actions =
                vec![vm.request_headers(id, plan.exchange.request.clone(), !plan.body)?];
            if plan.body {
                actions.push(vm.request_body(id, b"body", true)?);
            }
            open.push((id, actions));
        }
        for (plan, (id, actions)) in plans.iter().zip(&mut open) {
            let (vm, _) = &mut self.workers[plan.worker];
            self.process.clock().advance(plan.exchange.latency);
            vm.stream_mut(*id).response_flags = plan.exchange.flags;
            if let Some(mut response) = plan.exchange.response.clone() {
                if let Some(status) = plan.status_of_v2
                    && names_v2(vm, *id)
                {
                    response.replace(":status", status);
                }
                actions.push(vm.response_headers(*id, response, !plan.body)?);
                if plan.body {
                    actions.push(vm.response_body(*id, b"body", true)?);
                }
            }
            if let Some(trailers) = plan.exchange.trailers.clone() {
                actions.push(vm.response_trailers(*id, trailers)?);
            }
        }
        let ends = plans.iter().zip(open).map(|(plan, (id, actions))| {
            let stream = self.workers[plan.worker].0.finish(id)?;
            Ok(Seen {
                actions,
                local_response: stream.local_response.is_some(),
                request: lines(stream.request_headers.as_ref()),
                response: lines(stream.response_headers.as_ref()),
            })
        });
        ends.collect()
    }

    pub fn tick(&mut self, time: Duration) -> Result<(), Trap> {
        self.process.clock().advance(time);
        for (vm, root) in &mut self.workers {
            if let Some(root) = *root
                && vm.tick_period(root).is_some()
            {
                vm.tick(root)?;
            }
        }
        Ok(())
    }

    /// The metrics, tick periods and, if `log`, log lines of this build.
    pub fn rest(&mut self, log: bool) -> Vec<String> {
        let stats = self.process.stat_values().into_iter();
        let mut rest: Vec<_> = stats
            .map(|(name, value)| format!("{name} {value:?}"))
            .collect();
        for (worker, (vm, root)) in self.workers.iter_mut().enumerate() {
            let period = root.and_then(|root| vm.tick_period(root));
            rest.push(format!("tick period of worker {worker}: {period:?}"));
            let lines = vm.take_log().into_iter().filter(|_| log);
            rest.extend(lines.map(|line| format!("log of worker {worker}: {line}")));
        }
        rest
    }
}

fn names_v2(vm: &Vm, id: StreamId) -> bool {
    let headers = vm.stream(id).request_headers.as_ref();
    let mut values = headers.into_iter().flat_map(|headers| headers.iter());
    values.any(|(_, value)| value.windows(2).any(|pair| pair == b"v2"))
}

/// Headers sorted by name; values of one name keep their order.
pub fn lines(headers: Option<&Headers>) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect::<String>();
    let lines = headers.into_iter().flat_map(|headers| headers.iter());
    let mut lines: Vec<_> = lines
        .map(|(name, value)| (text(name), text(value)))
        .collect();
    lines.sort_by(|one, other| one.0.cmp(&other.0));
    lines
}
