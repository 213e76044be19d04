//! The caches of all lazy DFAs of one VM: together they hold at most 1 MiB.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use regex_automata::hybrid::dfa::{Cache, DFA};

use super::MAX_CACHE_BYTES;

/// Size of all caches, in bytes, above which they are dropped after a search. The next search
/// may then fill one more. The engine does not count what its vectors have reserved, which is
/// at most as much again.
const MAX_BYTES: usize = (512 << 10) - MAX_CACHE_BYTES;

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static POOL: Cell<Pool> = const { Cell::new(Pool { caches: Vec::new(), bytes: 0 }) };
}

/// Identifies the cache that a DFA and its clones use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CacheId(u64);

impl CacheId {
    /// An identifier that no other DFA has.
    pub(super) fn new() -> Self {
        Self(NEXT_ID.fetch_add(1, Ordering::Relaxed))
    }
}

/// Runs a search with the cache of a DFA. If the search gives up (`None`), the cache is dropped:
/// it is full of states that other values hardly need.
pub(super) fn with<T>(
    id: CacheId,
    dfa: &DFA,
    search: impl FnOnce(&mut Cache) -> Option<T>,
) -> Option<T> {
    // Taken out of its cell during the search, so that no borrow can fail.
    let mut pool = POOL.take();
    let found = pool.with(id, dfa, search);
    POOL.set(pool);
    found
}

#[derive(Default)]
struct Pool {
    caches: Vec<(CacheId, Cache)>,
    /// Sum of the caches' sizes.
    bytes: usize,
}

impl Pool {
    fn with<T>(
        &mut self,
        id: CacheId,
        dfa: &DFA,
        search: impl FnOnce(&mut Cache) -> Option<T>,
    ) -> Option<T> {
        let known = self.caches.iter().position(|(other, _)| *other == id);
        let index = known.unwrap_or_else(|| {
            let cache = dfa.create_cache();
            self.bytes = self.bytes.saturating_add(cache.memory_usage());
            self.caches.push((id, cache));
            self.caches.len().saturating_sub(1)
        });
        let (_, cache) = self.caches.get_mut(index)?;
        let before = cache.memory_usage();
        let found = search(cache);
        let after = cache.memory_usage();
        self.bytes = self.bytes.saturating_sub(before).saturating_add(after);
        if found.is_none() {
            self.caches.retain(|(other, _)| *other != id);
            self.bytes = self.bytes.saturating_sub(after);
        }
        if self.bytes > MAX_BYTES {
            // Few configurations have patterns for so many states, and to keep some of them
            // would help little: each request looks at the patterns in the same order.
            *self = Self::default();
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::regex::Regex;

    #[test]
    fn all_caches_together_stay_below_the_limit() {
        let patterns: Vec<_> = (0..200)
            .map(|n| Regex::new(&format!("(a|b){{0,{n}}}c.*"), false).unwrap())
            .collect();
        let mut most = 0;
        for length in (0..100).step_by(20) {
            for pattern in &patterns {
                pattern.matches("ab".repeat(length).as_bytes());
                let pool = POOL.take();
                let counted: usize = pool.caches.iter().map(|(_, c)| c.memory_usage()).sum();
                assert_eq!(counted, pool.bytes);
                most = most.max(counted);
                POOL.set(pool);
            }
        }
        assert!(most <= MAX_BYTES, "{most}");
        assert!(most > MAX_BYTES / 2, "{most}");
    }
}
