//! Open streams that wait for their version, so that a version that hangs is noticed while its
//! streams are open. Must not depend on the host or on what a sample is.
//!
//! Streams are in the order in which their wait began, and all of one rollout have the same
//! patience: those that are due come first, and a tick looks at no others. 24 bytes per open
//! stream.

/// The thing that a stream waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// The response headers.
    Headers,
    /// The rest of the body.
    Body,
}

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
    /// Nanoseconds since its wait began.
    pub waited: u64,
}

/// The streams of one rollout.
#[derive(Debug, Default)]
pub struct Waiting {
    nodes: Vec<Node>,
    /// First unused node.
    unused: Option<u32>,
    headers: Queue,
    body: Queue,
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
    /// Nanoseconds on the monotonic clock.
    since: u64,
    stream: u32,
    /// In its queue, or the next unused one; [`NONE`] if there is none.
    next: u32,
    before: u32,
    arm: u16,
    state: NodeState,
}

/// Number of nodes whose memory is kept while there is no stream.
const KEPT: usize = 64;

/// No node.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NodeState {
    Unused,
    Waits(WaitsFor),
    /// In no queue, and not counted.
    Idle,
    /// In no queue, and counted.
    Counted,
}

const fn some(index: u32) -> Option<u32> {
    if index == NONE { None } else { Some(index) }
}

impl Waiting {
    /// Adds a stream that waits since this time.
    pub fn add(&mut self, what: WaitsFor, stream: u32, arm: u16, since: u64) -> Option<Place> {
        let node = Node {
            since,
            stream,
            next: NONE,
            before: NONE,
            arm,
            state: NodeState::Idle,
        };
        let index = if let Some(index) = self.unused {
            let free = self.node(index)?;
            self.unused = some(free.next);
            *self.node_mut(index)? = node;
            index
        } else {
            let index = u32::try_from(self.nodes.len()).ok()?;
            self.nodes.push(node);
            index
        };
        self.taken = self.taken.saturating_add(1);
        self.append(what, index);
        Some(Place(index))
    }

    /// The stream now waits for something else, since this time. Not if it was counted.
    pub fn wait(&mut self, place: Place, what: WaitsFor, since: u64) {
        if self.idle(place)
            && let Some(node) = self.node_mut(place.0)
        {
            node.since = since;
            self.append(what, place.0);
        }
    }

    /// The stream waits for nothing. `false` if it was counted.
    pub fn idle(&mut self, place: Place) -> bool {
        let state = self.node(place.0).map(|node| node.state);
        match state {
            Some(NodeState::Waits(what)) => self.take_out(what, place.0, NodeState::Idle),
            Some(NodeState::Idle) => {}
            Some(NodeState::Counted | NodeState::Unused) | None => return false,
        }
        true
    }

    /// Removes the stream. `false` if it was counted.
    pub fn remove(&mut self, place: Place) -> bool {
        let counts = self.idle(place);
        let unused = self.unused.unwrap_or(NONE);
        if let Some(node) = self.node_mut(place.0)
            && node.state != NodeState::Unused
        {
            node.state = NodeState::Unused;
            node.next = unused;
            self.unused = Some(place.0);
            self.taken = self.taken.saturating_sub(1);
        }
        if self.taken == 0 && self.nodes.len() > KEPT {
            // After a burst, its memory is for others.
            *self = Self::default();
        }
        counts
    }

    /// Takes the first stream that has waited for at least `patience` out of its queue.
    pub fn take_due(&mut self, what: WaitsFor, patience: u64, now: u64) -> Option<Due> {
        let index = self.queue(what).first?;
        let node = *self.node(index)?;
        let waited = now.checked_sub(node.since)?;
        if waited < patience {
            return None;
        }
        self.take_out(what, index, NodeState::Idle);
        Some(Due {
            place: Place(index),
            stream: node.stream,
            arm: node.arm,
            waited,
        })
    }

    /// The stream has been counted as a failure.
    pub fn set_counted(&mut self, place: Place) {
        if self.idle(place)
            && let Some(node) = self.node_mut(place.0)
        {
            node.state = NodeState::Counted;
        }
    }

    fn node(&self, index: u32) -> Option<&Node> {
        self.nodes.get(usize::try_from(index).ok()?)
    }

    fn node_mut(&mut self, index: u32) -> Option<&mut Node> {
        self.nodes.get_mut(usize::try_from(index).ok()?)
    }

    const fn queue(&mut self, what: WaitsFor) -> &mut Queue {
        match what {
            WaitsFor::Headers => &mut self.headers,
            WaitsFor::Body => &mut self.body,
        }
    }

    /// Appends a node that is in no queue.
    fn append(&mut self, what: WaitsFor, index: u32) {
        let queue = self.queue(what);
        let before = queue.last.replace(index);
        if before.is_none() {
            queue.first = Some(index);
        }
        if let Some(node) = self.node_mut(index) {
            node.state = NodeState::Waits(what);
            node.before = before.unwrap_or(NONE);
            node.next = NONE;
        }
        if let Some(node) = before.and_then(|before| self.node_mut(before)) {
            node.next = index;
        }
    }

    fn take_out(&mut self, what: WaitsFor, index: u32, state: NodeState) {
        let Some(node) = self.node_mut(index) else {
            return;
        };
        node.state = state;
        let (before, next) = (some(node.before), some(node.next));
        match before.and_then(|before| self.node_mut(before)) {
            Some(node) => node.next = next.unwrap_or(NONE),
            None => self.queue(what).first = next,
        }
        match next.and_then(|next| self.node_mut(next)) {
            Some(node) => node.before = before.unwrap_or(NONE),
            None => self.queue(what).last = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS: WaitsFor = WaitsFor::Headers;
    const BODY: WaitsFor = WaitsFor::Body;

    /// The streams that are due.
    fn due(waiting: &mut Waiting, what: WaitsFor, now: u64) -> Vec<u32> {
        let due = std::iter::from_fn(|| waiting.take_due(what, 10, now));
        due.map(|due| due.stream).collect()
    }

    #[test]
    fn streams_are_due_in_order_after_patience_and_once() {
        let mut waiting = Waiting::default();
        for stream in 0..5 {
            waiting.add(HEADERS, stream, 1, stream.into()).unwrap();
        }
        assert_eq!(due(&mut waiting, HEADERS, 9), [0_u32; 0]);
        assert_eq!(due(&mut waiting, HEADERS, 12), [0, 1, 2]);
        assert_eq!(due(&mut waiting, HEADERS, 12), [0_u32; 0]);
        assert_eq!(due(&mut waiting, HEADERS, 100), [3, 4]);
        assert_eq!(due(&mut waiting, BODY, 100), [0_u32; 0]);
    }

    #[test]
    fn a_stream_that_was_counted_waits_for_nothing_more() {
        let mut waiting = Waiting::default();
        let place = waiting.add(HEADERS, 7, 1, 0).unwrap();
        assert_eq!(
            waiting.take_due(HEADERS, 10, 10).map(|due| due.waited),
            Some(10)
        );
        waiting.set_counted(place);
        waiting.wait(place, BODY, 20);
        assert_eq!(due(&mut waiting, BODY, 100), [0_u32; 0]);
        assert!(!waiting.idle(place));
        assert!(!waiting.remove(place));
    }

    #[test]
    fn places_are_reused_and_memory_is_returned() {
        let mut waiting = Waiting::default();
        let places: Vec<_> = (0..100)
            .map(|s| waiting.add(HEADERS, s, 1, 0).unwrap())
            .collect();
        for place in places.iter().skip(1).step_by(2) {
            assert!(waiting.remove(*place));
        }
        for stream in 100..150 {
            waiting.add(BODY, stream, 1, 5).unwrap();
        }
        assert_eq!(waiting.nodes.len(), 100);
        let even: Vec<_> = (0..100).step_by(2).collect();
        assert_eq!(due(&mut waiting, HEADERS, 10), even);
        let late: Vec<_> = (100..150).collect();
        assert_eq!(due(&mut waiting, BODY, 15), late);
        for index in 0..100 {
            waiting.remove(Place(index));
        }
        assert_eq!(waiting.nodes.capacity(), 0);
        assert!(size_of::<Node>() <= 24);
    }

    /// Compares with a plain list, for many random steps.
    #[test]
    fn queues_equal_a_plain_list() {
        let mut waiting = Waiting::default();
        let mut plain: Vec<(u32, Place, Option<(WaitsFor, u64)>)> = Vec::new();
        let mut random: u64 = 1;
        for now in 0..20_000_u64 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let pick = (random >> 33) as usize;
            let what = if pick % 2 == 0 { HEADERS } else { BODY };
            let at = (pick >> 4) % plain.len().max(1);
            match (pick >> 1) % 4 {
                0 | 1 => {
                    let stream = u32::try_from(now).unwrap();
                    let place = waiting.add(what, stream, 1, now).unwrap();
                    plain.push((stream, place, Some((what, now))));
                }
                2 if !plain.is_empty() => {
                    let (_, place, _) = plain.remove(at);
                    assert!(waiting.remove(place));
                }
                3 if !plain.is_empty() => {
                    waiting.wait(plain[at].1, what, now);
                    let (stream, place, _) = plain.remove(at);
                    plain.push((stream, place, Some((what, now))));
                }
                _ => {}
            }
            if now % 50 == 0 {
                for what in [HEADERS, BODY] {
                    let is_due = |wait: Option<(WaitsFor, u64)>| {
                        wait.is_some_and(|(w, since)| w == what && now - since >= 10)
                    };
                    let mut expected: Vec<_> = plain.iter().filter(|s| is_due(s.2)).collect();
                    expected.sort_by_key(|s| s.2.unwrap().1);
                    let expected: Vec<_> = expected.iter().map(|s| s.0).collect();
                    assert_eq!(due(&mut waiting, what, now), expected);
                    for stream in &mut plain {
                        if is_due(stream.2) {
                            stream.2 = None;
                        }
                    }
                }
            }
        }
    }
}
