//! With the SDK: what one would write first. One header read, one set, one counter, two
//! properties, a histogram.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "the SDK's macro documents nothing")]

use hash::position;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, MetricType};

// The file, since the library exports the ABI that the SDK exports as well.
#[path = "../src/probes/hash.rs"]
mod hash;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root { metrics: Metrics::default() }));
}}

#[derive(Clone, Copy, Default)]
struct Metrics {
    requests: u32,
    duration: u32,
}

struct Root {
    metrics: Metrics,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_vm_start(&mut self, _: usize) -> bool {
        let define = |kind, name| hostcalls::define_metric(kind, name).unwrap_or_default();
        self.metrics = Metrics {
            requests: define(MetricType::Counter, "naive_requests_total"),
            duration: define(MetricType::Histogram, "naive_request_duration_ms"),
        };
        true
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request {
            metrics: self.metrics,
        }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Request {
    metrics: Metrics,
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let user = self
            .get_http_request_header("x-user-id")
            .unwrap_or_default();
        let canary = position(b"t:checkout:", user.as_bytes()) < 250_000;
        let version = if canary { "v2" } else { "v1" };
        self.set_http_request_header("x-divvy-route", Some(version));
        let _ = hostcalls::increment_metric(self.metrics.requests, 1);
        Action::Continue
    }

    fn on_log(&mut self) {
        let code = self.get_property(vec!["response", "code"]);
        let took = self.get_property(vec!["request", "duration"]);
        let took = took.and_then(|took| took.try_into().ok());
        if code.is_some() {
            let nanoseconds = took.map_or(0, u64::from_le_bytes);
            let _ = hostcalls::record_metric(self.metrics.duration, nanoseconds / 1_000_000);
        }
    }
}
