//! The roots and streams that the proxy has made, by its numbers.
//!
//! Whatever the proxy calls in whatever order, nothing here can end the VM: what comes for
//! a number that there is not is let go by. Roots and streams are looked for apart, since
//! each callback is for one kind alone; only the end of a context is for both.

use super::root::Root;
use super::stream::Stream;
use super::streams::Streams;

/// All contexts of a VM.
pub struct Contexts {
    /// One for each configuration that is in use: a handful.
    roots: Vec<(u32, Root)>,
    streams: Streams,
}

impl Contexts {
    pub const fn new() -> Self {
        Self {
            roots: Vec::new(),
            streams: Streams::new(),
        }
    }

    /// A new stream of the root `parent`, or a new root if that is 0.
    pub fn create(&mut self, id: u32, parent: u32) {
        if parent != 0 {
            if let Some(root) = find(&mut self.roots, parent) {
                self.streams.insert(id, || root.stream());
            }
        } else if self.root(id).is_none() {
            // The proxy may start a root twice, to configure it once more.
            self.roots.push((id, Root::new()));
        }
    }

    pub fn root(&mut self, id: u32) -> Option<&mut Root> {
        find(&mut self.roots, id)
    }

    pub fn stream(&mut self, id: u32) -> Option<&mut Stream> {
        self.streams.get(id)
    }

    /// The end of a stream or a root. Streams of a root that ends before them go on by its
    /// configuration.
    pub fn delete(&mut self, id: u32) {
        if self.streams.remove(id) {
            return;
        }
        if let Some(root) = self.root(id) {
            root.end();
            self.roots.retain(|(of, _)| *of != id);
        }
    }
}

fn find(roots: &mut [(u32, Root)], id: u32) -> Option<&mut Root> {
    let mut roots = roots.iter_mut();
    roots.find(|(of, _)| *of == id).map(|(_, root)| root)
}
