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
use super::stream::ProxyStream;
use crate::filter::configuration::Configuration;
use crate::filter::{OpenRequest, Plugin, Vm};

thread_local! {
    static VM: Rc<Vm<ProxyWasm>> = Vm::new(ProxyWasm);
}

proxy_wasm::main! {{
    logger::start();
    proxy_wasm::set_root_context(|id| {
        Box::new(PluginContext {
            id,
            plugin: Plugin::new(VM.with(Rc::clone)),
        })
    });
}}

/// Root context: one plugin.
struct PluginContext {
    id: u32,
    plugin: Plugin<ProxyWasm>,
}

impl Context for PluginContext {}

impl RootContext for PluginContext {
    fn on_configure(&mut self, size: usize) -> bool {
        host::begin_root(self.id);
        let Ok(configuration) = host::plugin_configuration(size) else {
            log::error!("the proxy refuses to pass on the configuration");
            return false;
        };
        let name = host::plugin_name();
        self.plugin
            .configure(&String::from_utf8_lossy(&name), &configuration)
    }

    fn on_tick(&mut self) {
        host::begin_root(self.id);
        self.plugin.on_tick();
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(RequestContext {
            stream: ProxyStream(id),
            configuration: Rc::clone(self.plugin.current()),
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
        host::begin_root(self.id);
        self.plugin.end();
    }
}

/// HTTP context: one request and the configuration that it began with, which may outlive its
/// plugin.
struct RequestContext {
    stream: ProxyStream,
    configuration: Rc<Configuration<ProxyWasm>>,
    request: Option<OpenRequest<ProxyWasm>>,
}

impl Context for RequestContext {}

impl HttpContext for RequestContext {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        self.request = OpenRequest::begin(&self.configuration, &self.stream, end_of_stream);
        Action::Continue
    }

    fn on_http_request_body(&mut self, _: usize, end_of_stream: bool) -> Action {
        if let Some(request) = &mut self.request {
            request.on_request_body(&self.stream, end_of_stream);
        }
        Action::Continue
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        if let Some(request) = &mut self.request {
            request.on_request_trailers(&self.stream);
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        if let Some(request) = &mut self.request {
            request.on_response_headers(&self.stream, end_of_stream);
        }
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        if let Some(request) = &mut self.request {
            request.on_response_trailers(&self.stream);
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        if let Some(request) = &mut self.request {
            request.on_end(&self.stream);
        }
    }
}

/// Envoy writes the access log of HTTP/3 after the stream, so `proxy_on_log` does not come: the
/// stream ends when its context is deleted. Its properties are readable until then.
impl Drop for RequestContext {
    fn drop(&mut self) {
        if let Some(request) = &mut self.request {
            request.on_delete(&self.stream);
        }
    }
}
