//! One stream in Envoy: what each hook does. Must not decide anything.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use divvy::filter::OpenRequest;

use crate::abi::FilterHandle;
use crate::exchange::{EnvoyExchange, StreamFacts};
use crate::instance::{ModuleInstance, ModulePlugin};
use crate::process::EnvoyProcess;

/// One request and its response. Its parts of the filter are used while its worker's state is taken.
pub struct ModuleStream {
    instance: Arc<ModuleInstance>,
    /// Index of its worker.
    worker: usize,
    request: Option<OpenRequest<EnvoyProcess>>,
    facts: StreamFacts,
}

impl ModuleStream {
    /// A stream that has no request yet.
    pub fn new(instance: Arc<ModuleInstance>) -> Self {
        Self {
            instance,
            worker: 0,
            request: None,
            facts: StreamFacts::default(),
        }
    }

    /// Runs a hook with the state of the worker.
    fn run(
        &mut self,
        filter: &mut FilterHandle,
        hook: impl FnOnce(&mut Option<OpenRequest<EnvoyProcess>>, &EnvoyExchange<'_>, &ModulePlugin),
    ) {
        let Some(worker) = self.instance.worker(self.worker) else {
            return;
        };
        let worker = &*worker.take();
        let Some(plugin) = worker.plugin(&self.instance) else {
            return;
        };
        let process = &worker.vm.host;
        let done = process.within(&plugin.config, filter, || {
            let exchange = EnvoyExchange {
                filter: Some(filter),
                process,
                facts: &self.facts,
                changes: &worker.changes,
            };
            catch_unwind(AssertUnwindSafe(|| {
                hook(&mut self.request, &exchange, plugin)
            }))
        });
        if let Ok(mut changes) = worker.changes.try_borrow_mut() {
            if done.is_err() {
                changes.clear();
            }
            changes.apply(filter);
        }
        if let Err(panic) = done {
            // What it counted so far may be wrong.
            drop(self.request.take());
            resume_unwind(panic);
        }
    }

    /// Request headers arrived.
    pub fn on_request_headers(&mut self, filter: &mut FilterHandle, end_of_stream: bool) {
        self.worker = filter.worker();
        let begun = catch_unwind(AssertUnwindSafe(|| {
            self.run(filter, |request, exchange, plugin| {
                inject(exchange);
                *request = OpenRequest::begin(plugin.plugin.current(), exchange, end_of_stream);
            });
        }));
        if begun.is_err() {
            self.run(filter, |_, exchange, plugin| {
                plugin.plugin.current().answer_unread(exchange);
            });
        }
    }

    /// The last part of the request arrived.
    pub fn on_request_end(&mut self, filter: &mut FilterHandle) {
        self.on_request(filter, |request, exchange| {
            request.on_request_trailers(exchange);
        });
    }

    /// Response headers arrived.
    pub fn on_response_headers(&mut self, filter: &mut FilterHandle, end_of_stream: bool) {
        if self.request.is_none() {
            return;
        }
        self.run(filter, |request, exchange, _| {
            if let Some(open) = request {
                open.on_response_headers(exchange, end_of_stream);
                // Then the hooks that follow take no worker.
                if open.is_finished() {
                    *request = None;
                }
            }
        });
    }

    /// A piece of the response body arrived.
    pub fn on_response_body(&mut self, filter: &mut FilterHandle, end_of_stream: bool) {
        if let Some(number) = self.facts.number.get() {
            let size = filter.body_size();
            self.run(filter, |_, exchange, _| {
                exchange.process.add_to_body(number, size, end_of_stream);
            });
        }
    }

    /// Response trailers arrived, which end the response.
    pub fn on_response_trailers(&mut self, filter: &mut FilterHandle) {
        let number = self.facts.number.get();
        self.on_request(filter, |request, exchange| {
            if let Some(number) = number {
                exchange.process.add_to_body(number, 0, true);
            }
            request.on_response_trailers(exchange);
        });
    }

    /// Envoy or another filter answers the request.
    pub fn on_local_reply(&self, details: &[u8]) {
        if self.request.is_some()
            && let Ok(mut local) = self.facts.local_reply.try_borrow_mut()
        {
            *local = Some(details.into());
        }
    }

    /// The stream ended.
    pub fn on_complete(&mut self, filter: &mut FilterHandle) {
        self.on_request(filter, |request, exchange| request.on_end(exchange));
    }

    /// The stream is deleted.
    pub fn on_destroy(mut self) {
        let request = self.request.take();
        let number = self.facts.number.get();
        if request.is_none() && number.is_none() {
            return;
        }
        let Some(worker) = self.instance.worker(self.worker) else {
            return;
        };
        let worker = &*worker.take();
        let process = &worker.vm.host;
        let exchange = EnvoyExchange {
            filter: None,
            process,
            facts: &self.facts,
            changes: &worker.changes,
        };
        if let Some(mut request) = request
            && let Some(plugin) = worker.plugin(&self.instance)
        {
            process.run(&plugin.config, || request.on_delete(&exchange));
        }
        if let Some(number) = number {
            process.remove_stream(number);
        }
    }

    fn on_request(
        &mut self,
        filter: &mut FilterHandle,
        hook: impl FnOnce(&mut OpenRequest<EnvoyProcess>, &EnvoyExchange<'_>),
    ) {
        if self.request.is_some() {
            self.run(filter, |request, exchange, _| {
                if let Some(request) = request {
                    hook(request, exchange);
                }
            });
        }
    }
}

/// A stream that Envoy never deletes, as it should not do, drops its request under the lock as well.
impl Drop for ModuleStream {
    fn drop(&mut self) {
        if let Some(request) = self.request.take()
            && let Some(worker) = self.instance.worker(self.worker)
        {
            let _worker = worker.take();
            drop(request);
        }
    }
}

#[cfg(not(feature = "panics"))]
const fn inject(_: &EnvoyExchange<'_>) {}

/// Panics if the request asks for it.
#[cfg(feature = "panics")]
#[allow(clippy::panic, reason = "for tests of panics")]
fn inject(exchange: &EnvoyExchange<'_>) {
    use divvy::filter::host::{Exchange as _, Message};

    if !exchange.lacks(Message::Request, "x-divvy-panic") {
        panic!("a test asked for it");
    }
}
