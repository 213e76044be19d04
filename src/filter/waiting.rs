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

    /// Takes the next stream that has waited for at least `patience` out of its queue.
    pub fn take_due(&mut self, patience: u32, now: u32) -> Option<Due> {
        while let Some(index) = self.open.first {
            let node = *self.node(index)?;
            if elapsed(now, node.since) < patience {
                break;
            }
            self.take_out(index);
            match node.state {
                NodeState::Body if elapsed(now, body_since(node)) < patience => {
                    self.append(NodePlace::Late, index);
                }
                NodeState::Headers | NodeState::Body => return Some(due(index, node, now)),
                NodeState::Idle | NodeState::Counted => {}
            }
        }
        let mut next = self.late.first;
        while let Some(index) = next {
            let node = *self.node(index)?;
            next = some(node.next);
            if node.state != NodeState::Body {
                self.take_out(index);
            } else if elapsed(now, body_since(node)) >= patience {
                self.take_out(index);
                return Some(due(index, node, now));
            }
        }
        None
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
mod tests {
    use super::*;

    /// The streams that are due after 10 ms, and whether they wait for the body.
    fn due(waiting: &mut Waiting, now: u32) -> Vec<(u32, bool)> {
        let due = std::iter::from_fn(|| waiting.take_due(10, now));
        due.map(|due| (due.stream, due.in_body)).collect()
    }

    #[test]
    fn streams_are_due_in_order_after_patience_and_once() {
        let mut waiting = Waiting::default();
        // Also where the clock wraps.
        let at = |millis: u32| millis.wrapping_sub(11);
        let places = [0, 1, 2, 3, 4].map(|n| waiting.add(n, 1, at(n)).unwrap());
        assert_eq!(due(&mut waiting, at(9)), []);
        assert_eq!(due(&mut waiting, at(11)), [(0, false), (1, false)]);
        assert_eq!(due(&mut waiting, at(11)), []);
        waiting.idle(places[2]);
        waiting.wait_for_body(places[3], at(3));
        waiting.wait_for_body(places[4], at(12));
        assert_eq!(due(&mut waiting, at(14)), [(3, true)]);
        assert_eq!(due(&mut waiting, at(21)), []);
        assert_eq!(due(&mut waiting, at(22)), [(4, true)]);
        assert_eq!(due(&mut waiting, at(100)), []);
    }

    #[test]
    fn a_stream_that_was_counted_waits_for_nothing_more() {
        let mut waiting = Waiting::default();
        let place = waiting.add(7, 1, 0).unwrap();
        assert_eq!(waiting.take_due(10, 12).map(|due| due.waited), Some(12));
        waiting.set_counted(place);
        waiting.wait_for_body(place, 20);
        waiting.idle(place);
        assert_eq!(due(&mut waiting, 100), []);
        assert!(!waiting.remove(place));
    }

    #[test]
    fn places_are_reused_and_memory_is_returned() {
        let mut waiting = Waiting::default();
        let places: Vec<_> = (0..100).map(|s| waiting.add(s, 1, 0).unwrap()).collect();
        for place in places.iter().skip(1).step_by(2) {
            assert!(waiting.remove(*place));
        }
        for stream in 100..150 {
            waiting.add(stream, 1, 5).unwrap();
        }
        assert_eq!(waiting.nodes.len(), 100);
        let streams = |due: Vec<(u32, bool)>| due.into_iter().map(|due| due.0);
        let even = streams(due(&mut waiting, 10));
        assert!(even.eq((0..100).step_by(2)));
        let rest = streams(due(&mut waiting, 15));
        assert!(rest.eq(100..150));
        for index in 0..100 {
            waiting.remove(Place(index));
        }
        assert_eq!(waiting.nodes.capacity(), 0);
        assert!(size_of::<Node>() <= 24);
    }

    /// One open stream of a plain list.
    #[derive(Clone, Copy)]
    struct Plain {
        stream: u32,
        place: Place,
        since: u32,
        /// Whether it waits, and for the body.
        waits: Option<bool>,
    }

    /// Compares with a plain list, for many random steps.
    #[test]
    fn queues_equal_a_plain_list() {
        let mut waiting = Waiting::default();
        let mut plain: Vec<Plain> = Vec::new();
        let mut random: u64 = 1;
        for now in 0..20_000_u32 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let pick = (random >> 33) as usize;
            let at = (pick >> 4) % plain.len().max(1);
            match pick % 4 {
                0 | 1 => plain.push(Plain {
                    stream: now,
                    place: waiting.add(now, 1, now).unwrap(),
                    since: now,
                    waits: Some(false),
                }),
                2 if !plain.is_empty() => {
                    assert!(waiting.remove(plain.swap_remove(at).place));
                }
                3 if !plain.is_empty() => {
                    let one = &mut plain[at];
                    waiting.wait_for_body(one.place, now);
                    if one.waits == Some(false) {
                        (one.since, one.waits) = (now, Some(true));
                    }
                }
                _ => {}
            }
            if now % 50 == 0 {
                let is_due = |one: &&mut Plain| one.waits.is_some() && now - one.since >= 10;
                let mut expected: Vec<_> = plain.iter_mut().filter(is_due).collect();
                let mut streams: Vec<_> = expected
                    .iter_mut()
                    .map(|one| (one.stream, one.waits.take().unwrap()))
                    .collect();
                let mut found = due(&mut waiting, now);
                streams.sort_unstable();
                found.sort_unstable();
                assert_eq!(found, streams);
                // A stream that was looked at waits no more.
                for one in plain.iter().filter(|one| one.waits.is_none()) {
                    waiting.idle(one.place);
                }
            }
        }
    }
}
