//! The roots and streams that the proxy has made, by its numbers.
//!
//! Whatever the proxy calls in whatever order, nothing here can end the VM: what comes for
//! a number that there is not is let go by. Roots and streams are looked for apart, since
//! each callback is for one kind alone; only the end of a context is for both.

use std::rc::Rc;

use super::host::ProxyWasm;
use super::streams::Streams;
use crate::filter::configuration::Configuration;
use crate::filter::{OpenRequest, Plugin, Vm};

/// All contexts of a VM.
pub struct Contexts {
    /// One for each configuration that is in use: a handful.
    vm: Option<Rc<Vm<ProxyWasm>>>,
    roots: Vec<(u32, Plugin<ProxyWasm>)>,
    /// Streams whose request is still to come, with the configuration that they began with. That
    /// is one at most where the proxy says at once what comes, as Envoy does.
    begun: Vec<(u32, Rc<Configuration<ProxyWasm>>)>,
    /// Those of which something is still to be done after that.
    streams: Streams,
}

impl Contexts {
    pub const fn new() -> Self {
        Self {
            vm: None,
            roots: Vec::new(),
            begun: Vec::new(),
            streams: Streams::new(),
        }
    }

    /// A new stream of the root `parent`, or a new root if that is 0.
    pub fn create(&mut self, id: u32, parent: u32) {
        if parent != 0 {
            if let Some(root) = find(&mut self.roots, parent) {
                // Whatever else had this number is over.
                self.streams.remove(id);
                self.begun.retain(|(of, _)| *of != id);
                self.begun.push((id, Rc::clone(root.current())));
            }
        } else if self.root(id).is_none() {
            // The proxy may start a root twice, to configure it once more.
            let vm = self.vm.get_or_insert_with(|| Vm::new(ProxyWasm));
            self.roots.push((id, Plugin::new(Rc::clone(vm))));
        }
    }

    pub fn root(&mut self, id: u32) -> Option<&mut Plugin<ProxyWasm>> {
        find(&mut self.roots, id)
    }

    /// The request of a stream has come, with its body unless it is `whole` without one.
    pub fn request_headers(&mut self, id: u32, whole: bool) {
        if let Some(state) = self.begun(id) {
            if let Some(stream) = OpenRequest::begin(&state, &ProxyWasm, whole)
                && let Some(room) = self.streams.room(id)
            {
                *room = Some(stream);
            }
        }
    }

    pub fn stream(&mut self, id: u32) -> Option<&mut OpenRequest<ProxyWasm>> {
        self.streams.get(id)
    }

    /// Takes a stream whose request is still to come, the latest of this number.
    fn begun(&mut self, id: u32) -> Option<Rc<Configuration<ProxyWasm>>> {
        let place = self.begun.iter().rposition(|(of, _)| *of == id)?;
        let last = self.begun.pop()?;
        let (_, state) = match self.begun.get_mut(place) {
            Some(found) => std::mem::replace(found, last),
            None => last,
        };
        Some(state)
    }

    /// The end of a stream or a root. Streams of a root that ends before them go on by its
    /// configuration.
    pub fn delete(&mut self, id: u32) {
        if self.streams.remove(id) | self.begun(id).is_some() {
            return;
        }
        if let Some(root) = self.root(id) {
            root.end();
            self.roots.retain(|(of, _)| *of != id);
        }
    }
}

fn find(roots: &mut [(u32, Plugin<ProxyWasm>)], id: u32) -> Option<&mut Plugin<ProxyWasm>> {
    let mut roots = roots.iter_mut();
    roots.find(|(of, _)| *of == id).map(|(_, root)| root)
}
