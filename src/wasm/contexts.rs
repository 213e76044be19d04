//! The contexts of proxy-wasm: a plugin and its requests, behind the SDK's traits.
//!
//! The SDK exports every callback of the ABI. The link step removes those that nothing is
//! done in, because Envoy calls each callback that it finds for each stream. `proxy_on_done`
//! is one of them: without it Envoy goes straight on to `proxy_on_delete`, which drops the
//! context.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

use super::host::{self, ProxyWasm};
use super::logger;
use crate::filter::configuration::Configuration;
use crate::filter::{OpenRequest, Plugin, Vm};

thread_local! {
    static VM: Rc<Vm<ProxyWasm>> = Vm::new(ProxyWasm);
}

proxy_wasm::main! {{
    logger::start();
    proxy_wasm::set_root_context(|_| {
        Box::new(PluginContext(Plugin::new(VM.with(Rc::clone))))
    });
}}

/// Root context: one plugin.
struct PluginContext(Plugin<ProxyWasm>);

impl Context for PluginContext {}

impl RootContext for PluginContext {
    fn on_configure(&mut self, size: usize) -> bool {
        let Ok(configuration) = host::plugin_configuration(size) else {
            log::error!("the proxy refuses to pass on the configuration");
            return false;
        };
        let name = host::plugin_name();
        self.0
            .configure(&String::from_utf8_lossy(&name), &configuration)
    }

    fn on_tick(&mut self) {
        self.0.on_tick();
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(RequestContext {
            configuration: Rc::clone(self.0.current()),
            request: None,
        }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// The SDK has no callback for the deletion of a context.
impl Drop for PluginContext {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// HTTP context: one request and the configuration that it began with, which may outlive its
/// plugin.
struct RequestContext {
    configuration: Rc<Configuration<ProxyWasm>>,
    request: Option<OpenRequest<ProxyWasm>>,
}

impl Context for RequestContext {}

impl HttpContext for RequestContext {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        self.request = OpenRequest::begin(&self.configuration, &ProxyWasm, end_of_stream);
        Action::Continue
    }

    fn on_http_request_body(&mut self, _: usize, end_of_stream: bool) -> Action {
        if let Some(request) = &mut self.request {
            request.on_request_body(end_of_stream);
        }
        Action::Continue
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        if let Some(request) = &mut self.request {
            request.on_request_trailers();
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if let Some(request) = &mut self.request {
            request.on_response_headers(&ProxyWasm);
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        if let Some(request) = &mut self.request {
            request.on_end(&ProxyWasm);
        }
    }
}
