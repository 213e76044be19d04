//! Open streams that wait for their version, so that a version that hangs is noticed while its
//! streams are open. Must not depend on the host or on what a sample is.
//!
//! Streams are in the order in which their requests ended, and all of one rollout have the same
//! patience: those that are due come first, and a tick looks at no others. A stream whose response
//! began late is in a second list from then on. 24 bytes per open stream.

/// Place of a stream in [`Waiting`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u32);

/// A stream whose wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Its place, which is still taken.
    pub place: Place,
    /// Number of the stream.
    pub stream: u32,
    /// The value that was given with it.
    pub arm: u16,
    /// Whether it waits for the body; otherwise for the response headers.
    pub in_body: bool,
    /// Milliseconds since its wait began.
    pub waited: u32,
}

/// The streams of one rollout. Times are milliseconds of the monotonic clock, modulo 2³².
#[derive(Debug, Default)]
pub struct Waiting {
    nodes: Vec<Node>,
    /// First unused node.
    unused: Option<u32>,
    /// In the order of the ends of their requests.
    open: Queue,
    /// Those whose response began late.
    late: Queue,
    /// Number of places that are taken.
    taken: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Queue {
    first: Option<u32>,
    last: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    /// End of the request.
    since: u32,
    /// From there to the response headers.
    delay: u32,
    stream: u32,
    /// In its queue, or the next unused one; [`NONE`] if there is none.
    next: u32,
    before: u32,
    arm: u16,
    state: NodeState,
    place: NodePlace,
}

/// Number of nodes whose memory is kept while there is no stream.
const KEPT: usize = 64;

/// No node.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NodeState {
    /// Waits for the response headers.
    Headers,
    /// Waits for the body.
    Body,
    /// Waits for nothing.
    Idle,
    /// Has been counted.
    Counted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NodePlace {
    Open,
    Late,
    /// In no queue.
    Apart,
    Unused,
}

const fn some(index: u32) -> Option<u32> {
    if index == NONE { None } else { Some(index) }
}

impl Waiting {
    /// Adds a stream whose request ended at this time, and which waits for the response headers.
    pub fn add(&mut self, stream: u32, arm: u16, since: u32) -> Option<Place> {
        let node = Node {
            since,
            delay: 0,
            stream,
            next: NONE,
            before: NONE,
            arm,
            state: NodeState::Headers,
            place: NodePlace::Apart,
        };
        let index = if let Some(index) = self.unused {
            let free = self.node_mut(index)?;
            let next = some(std::mem::replace(free, node).next);
            self.unused = next;
            index
        } else {
            let index = u32::try_from(self.nodes.len()).ok()?;
            self.nodes.push(node);
            index
        };
        self.taken = self.taken.wrapping_add(1);
        self.append(NodePlace::Open, index);
        Some(Place(index))
    }

    /// From this time on, the stream waits for the body.
    pub fn wait_for_body(&mut self, place: Place, now: u32) {
        if let Some(node) = self.node_mut(place.0)
            && node.state == NodeState::Headers
        {
            node.state = NodeState::Body;
            node.delay = now.wrapping_sub(node.since);
        }
    }

    /// The stream waits for nothing more.
    pub fn idle(&mut self, place: Place) {
        if let Some(node) = self.node_mut(place.0)
            && node.state != NodeState::Counted
        {
            node.state = NodeState::Idle;
        }
    }

    /// Removes the stream. `false` if it was counted.
    pub fn remove(&mut self, place: Place) -> bool {
        self.take_out(place.0);
        let unused = self.unused.unwrap_or(NONE);
        let Some(node) = self.node_mut(place.0) else {
            return true;
        };
        if node.place == NodePlace::Unused {
            return true;
        }
        node.place = NodePlace::Unused;
        node.next = unused;
        let counts = node.state != NodeState::Counted;
        self.unused = Some(place.0);
        self.taken = self.taken.wrapping_sub(1);
        if self.taken == 0 && self.nodes.len() > KEPT {
            // After a burst, its memory is for others.
            *self = Self::default();
        }
        counts
    }

    /// Takes the streams that have waited for at least `patience` out of their queues. Looks at
    /// each stream whose response began late once.
    pub fn take_due(&mut self, patience: u32, now: u32) -> Vec<Due> {
        let mut all = Vec::new();
        while let Some(index) = self.open.first {
            let Some(node) = self.node(index).copied() else {
                break;
            };
            if elapsed(now, node.since) < patience {
                break;
            }
            self.take_out(index);
            match node.state {
                NodeState::Body if elapsed(now, body_since(node)) < patience => {
                    self.append(NodePlace::Late, index);
                }
                NodeState::Headers | NodeState::Body => all.push(due(index, node, now)),
                NodeState::Idle | NodeState::Counted => {}
            }
        }
        let mut next = self.late.first;
        while let Some(index) = next {
            let Some(node) = self.node(index).copied() else {
                break;
            };
            next = some(node.next);
            if node.state != NodeState::Body {
                self.take_out(index);
            } else if elapsed(now, body_since(node)) >= patience {
                self.take_out(index);
                all.push(due(index, node, now));
            }
        }
        all
    }

    /// The stream has been counted as a failure.
    pub fn set_counted(&mut self, place: Place) {
        if let Some(node) = self.node_mut(place.0) {
            node.state = NodeState::Counted;
        }
    }

    fn node(&self, index: u32) -> Option<&Node> {
        self.nodes.get(usize::try_from(index).ok()?)
    }

    fn node_mut(&mut self, index: u32) -> Option<&mut Node> {
        self.nodes.get_mut(usize::try_from(index).ok()?)
    }

    const fn queue(&mut self, place: NodePlace) -> Option<&mut Queue> {
        match place {
            NodePlace::Open => Some(&mut self.open),
            NodePlace::Late => Some(&mut self.late),
            NodePlace::Apart | NodePlace::Unused => None,
        }
    }

    /// Appends a node that is in no queue.
    fn append(&mut self, place: NodePlace, index: u32) {
        let Some(queue) = self.queue(place) else {
            return;
        };
        let before = queue.last.replace(index);
        if before.is_none() {
            queue.first = Some(index);
        }
        if let Some(node) = self.node_mut(index) {
            node.place = place;
            node.before = before.unwrap_or(NONE);
            node.next = NONE;
        }
        if let Some(node) = before.and_then(|before| self.node_mut(before)) {
            node.next = index;
        }
    }

    /// Takes a node out of its queue, if it is in one.
    fn take_out(&mut self, index: u32) {
        let Some(node) = self.node_mut(index) else {
            return;
        };
        let place = node.place;
        if matches!(place, NodePlace::Apart | NodePlace::Unused) {
            return;
        }
        node.place = NodePlace::Apart;
        let (before, next) = (some(node.before), some(node.next));
        match before.and_then(|before| self.node_mut(before)) {
            Some(node) => node.next = next.unwrap_or(NONE),
            None => {
                if let Some(queue) = self.queue(place) {
                    queue.first = next;
                }
            }
        }
        match next.and_then(|next| self.node_mut(next)) {
            Some(node) => node.before = before.unwrap_or(NONE),
            None => {
                if let Some(queue) = self.queue(place) {
                    queue.last = before;
                }
            }
        }
    }
}

/// Begin of the wait for the body.
const fn body_since(node: Node) -> u32 {
    node.since.wrapping_add(node.delay)
}

/// Milliseconds since a time; 0 if that is yet to come.
const fn elapsed(now: u32, since: u32) -> u32 {
    let elapsed = now.wrapping_sub(since);
    if elapsed > u32::MAX / 2 { 0 } else { elapsed }
}

const fn due(index: u32, node: Node, now: u32) -> Due {
    let in_body = matches!(node.state, NodeState::Body);
    Due {
        place: Place(index),
        stream: node.stream,
        arm: node.arm,
        in_body,
        waited: elapsed(
            now,
            if in_body {
                body_since(node)
            } else {
                node.since
            },
        ),
    }
}

#[cfg(test)]
mod tests;
