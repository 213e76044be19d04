//! The callbacks that the module exports, and the methods of [`Vm`] for those of a stream.

use std::sync::Arc;

use wasmtime::{Instance, Store, TypedFunc, WasmParams, WasmResults};

use crate::abi::Action;
use crate::headers::Headers;
use crate::state::State;
use crate::stream::{Phase, Stream};
use crate::vm::{RootId, StreamId, Trap, Vm};

/// An export, if the module has it. Shared, because cloning the handle of wasmtime takes a lock.
type Callback<P, R> = Option<Arc<TypedFunc<P, R>>>;

#[derive(Default)]
pub(crate) struct Callbacks {
    pub initialize: Callback<(), ()>,
    pub allocate: Callback<u32, u32>,
    pub on_context_create: Callback<(u32, u32), ()>,
    pub on_vm_start: Callback<(u32, u32), u32>,
    pub on_configure: Callback<(u32, u32), u32>,
    pub on_tick: Callback<u32, ()>,
    pub on_request_headers: Callback<(u32, u32, u32), u32>,
    pub on_request_body: Callback<(u32, u32, u32), u32>,
    pub on_request_trailers: Callback<(u32, u32), u32>,
    pub on_response_headers: Callback<(u32, u32, u32), u32>,
    pub on_response_body: Callback<(u32, u32, u32), u32>,
    pub on_response_trailers: Callback<(u32, u32), u32>,
    pub on_log: Callback<u32, ()>,
    pub on_done: Callback<u32, u32>,
    pub on_delete: Callback<u32, ()>,
}

impl Callbacks {
    /// Finds the callbacks by name. Error: one has a wrong signature.
    pub fn find(instance: &Instance, store: &mut Store<State>) -> Result<Self, String> {
        fn first<P: WasmParams, R: WasmResults>(
            instance: &Instance,
            store: &mut Store<State>,
            names: &[&str],
        ) -> Result<Callback<P, R>, String> {
            for name in names {
                if let Some(function) = instance.get_func(&mut *store, name) {
                    let typed = function.typed::<P, R>(&*store);
                    let typed = typed.map_err(|error| format!("export {name}: {error:#}"))?;
                    return Ok(Some(Arc::new(typed)));
                }
            }
            Ok(None)
        }
        macro_rules! find {
            ($($field:ident: $($name:literal)+;)*) => {
                Callbacks { $($field: first(instance, store, &[$($name),+])?,)* }
            };
        }
        Ok(find! {
            initialize: "_initialize" "_start";
            allocate: "proxy_on_memory_allocate" "malloc";
            on_context_create: "proxy_on_context_create";
            on_vm_start: "proxy_on_vm_start";
            on_configure: "proxy_on_configure";
            on_tick: "proxy_on_tick";
            on_request_headers: "proxy_on_request_headers";
            on_request_body: "proxy_on_request_body";
            on_request_trailers: "proxy_on_request_trailers";
            on_response_headers: "proxy_on_response_headers";
            on_response_body: "proxy_on_response_body";
            on_response_trailers: "proxy_on_response_trailers";
            on_log: "proxy_on_log";
            on_done: "proxy_on_done";
            on_delete: "proxy_on_delete";
        })
    }
}

impl Vm {
    /// Opens a stream: `proxy_on_context_create`.
    pub fn open(&mut self, root: RootId) -> Result<StreamId, Trap> {
        let id = self.next_context();
        let state = self.store.data_mut();
        state.streams.insert(id, Stream::new(root.0));
        let create = self.callbacks.on_context_create.clone();
        self.call("proxy_on_context_create", create, id, (id, root.0))?;
        Ok(StreamId(id))
    }

    /// The state of a stream.
    ///
    /// # Panics
    /// If it has been deleted.
    pub fn stream(&self, id: StreamId) -> &Stream {
        let stream = self.state().streams.get(&id.0);
        stream.expect("the stream has not been deleted")
    }

    /// The state of a stream, for changes by tests.
    ///
    /// # Panics
    /// If it has been deleted.
    pub fn stream_mut(&mut self, id: StreamId) -> &mut Stream {
        let stream = self.store.data_mut().streams.get_mut(&id.0);
        stream.expect("the stream has not been deleted")
    }

    /// Number of open streams.
    pub fn open_streams(&self) -> usize {
        self.state().streams.len()
    }

    /// `proxy_on_request_headers`.
    pub fn request_headers(
        &mut self,
        id: StreamId,
        headers: Headers,
        end_of_stream: bool,
    ) -> Result<Action, Trap> {
        let arguments = (id.0, headers.len() as u32, end_of_stream.into());
        let stream = self.enter(id, Phase::RequestHeaders);
        stream.request_headers = Some(headers);
        let callback = self.callbacks.on_request_headers.clone();
        let answer = self.call("proxy_on_request_headers", callback, id.0, arguments);
        self.leave(id, answer)
    }

    /// `proxy_on_request_body` with one piece of the body.
    pub fn request_body(
        &mut self,
        id: StreamId,
        piece: &[u8],
        end_of_stream: bool,
    ) -> Result<Action, Trap> {
        let arguments = (id.0, piece.len() as u32, end_of_stream.into());
        self.enter(id, Phase::RequestBody).body = piece.to_vec();
        let callback = self.callbacks.on_request_body.clone();
        let answer = self.call("proxy_on_request_body", callback, id.0, arguments);
        self.leave(id, answer)
    }

    /// `proxy_on_request_trailers`.
    pub fn request_trailers(&mut self, id: StreamId, trailers: Headers) -> Result<Action, Trap> {
        let arguments = (id.0, trailers.len() as u32);
        self.enter(id, Phase::RequestTrailers).request_trailers = Some(trailers);
        let callback = self.callbacks.on_request_trailers.clone();
        let answer = self.call("proxy_on_request_trailers", callback, id.0, arguments);
        self.leave(id, answer)
    }

    /// `proxy_on_response_headers`.
    pub fn response_headers(
        &mut self,
        id: StreamId,
        headers: Headers,
        end_of_stream: bool,
    ) -> Result<Action, Trap> {
        let arguments = (id.0, headers.len() as u32, end_of_stream.into());
        let stream = self.enter(id, Phase::ResponseHeaders);
        stream.response_headers = Some(headers);
        let callback = self.callbacks.on_response_headers.clone();
        let answer = self.call("proxy_on_response_headers", callback, id.0, arguments);
        self.leave(id, answer)
    }

    /// `proxy_on_response_body` with one piece of the body.
    pub fn response_body(
        &mut self,
        id: StreamId,
        piece: &[u8],
        end_of_stream: bool,
    ) -> Result<Action, Trap> {
        let arguments = (id.0, piece.len() as u32, end_of_stream.into());
        self.enter(id, Phase::ResponseBody).body = piece.to_vec();
        let callback = self.callbacks.on_response_body.clone();
        let answer = self.call("proxy_on_response_body", callback, id.0, arguments);
        self.leave(id, answer)
    }

    /// `proxy_on_response_trailers`.
    pub fn response_trailers(&mut self, id: StreamId, trailers: Headers) -> Result<Action, Trap> {
        let arguments = (id.0, trailers.len() as u32);
        self.enter(id, Phase::ResponseTrailers).response_trailers = Some(trailers);
        let callback = self.callbacks.on_response_trailers.clone();
        let answer = self.call("proxy_on_response_trailers", callback, id.0, arguments);
        self.leave(id, answer)
    }

    /// `proxy_on_log`, the first callback at the end of a stream in Envoy.
    pub fn log_stream(&mut self, id: StreamId) -> Result<(), Trap> {
        self.enter(id, Phase::Log);
        let callback = self.callbacks.on_log.clone();
        let answer = self.call("proxy_on_log", callback, id.0, id.0);
        self.enter(id, Phase::Idle);
        answer.map(drop)
    }

    /// `proxy_on_done`, which follows the log in Envoy.
    pub fn done(&mut self, id: StreamId) -> Result<(), Trap> {
        let callback = self.callbacks.on_done.clone();
        // Envoy ignores the result for a stream.
        self.call("proxy_on_done", callback, id.0, id.0).map(drop)
    }

    /// `proxy_on_delete`; removes the stream and returns its last state.
    ///
    /// # Panics
    /// If it has been deleted before.
    pub fn delete(&mut self, id: StreamId) -> Result<Stream, Trap> {
        let callback = self.callbacks.on_delete.clone();
        let answer = self.call("proxy_on_delete", callback, id.0, id.0);
        let stream = self.store.data_mut().streams.remove(&id.0);
        answer?;
        Ok(stream.expect("the stream has not been deleted"))
    }

    /// The callbacks at the end of a stream: log, done, delete.
    pub fn finish(&mut self, id: StreamId) -> Result<Stream, Trap> {
        self.log_stream(id)?;
        self.done(id)?;
        self.delete(id)
    }

    fn enter(&mut self, id: StreamId, phase: Phase) -> &mut Stream {
        let stream = self.stream_mut(id);
        stream.phase = phase;
        stream
    }

    fn leave(&mut self, id: StreamId, answer: Result<Option<u32>, Trap>) -> Result<Action, Trap> {
        let action = answer?.map_or(Action::Continue, Action::from_raw);
        // A paused stream keeps its maps.
        if action == Action::Continue {
            self.enter(id, Phase::Idle);
        }
        Ok(action)
    }
}
