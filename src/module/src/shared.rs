//! What all configurations of the process share. Must not depend on Envoy.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use divvy::guardrail::shared_data::{Generation, Swap};
use rustc_hash::{FxBuildHasher, FxHashMap};

type Values = FxHashMap<Box<str>, (Vec<u8>, Generation)>;

static VALUES: Mutex<Values> = Mutex::new(FxHashMap::with_hasher(FxBuildHasher));

fn values() -> MutexGuard<'static, Values> {
    VALUES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A value and the number of its last write.
pub fn get(key: &str) -> Option<(Vec<u8>, Generation)> {
    values().get(key).cloned()
}

/// Writes a value if its number still is `read`; `None`: if there is no value.
pub fn swap(key: &str, value: &[u8], read: Option<Generation>) -> Swap {
    let mut values = values();
    if values.get(key).map(|(_, generation)| *generation) != read {
        return Swap::Conflict;
    }
    put(&mut values, key, value);
    Swap::Done
}

/// Writes a value whatever it is now.
pub fn set(key: &str, value: &[u8]) {
    put(&mut values(), key, value);
}

fn put(values: &mut Values, key: &str, value: &[u8]) {
    if let Some((bytes, generation)) = values.get_mut(key) {
        value.clone_into(bytes);
        *generation = generation.wrapping_add(1);
    } else {
        values.insert(key.into(), (value.to_vec(), 1));
    }
}

/// A value that outlasts a redirect that Envoy follows, which ends what the stream itself keeps.
struct Kept {
    request: Box<[u8]>,
    name: Box<str>,
    value: Box<[u8]>,
}

/// Maximum number of values that wait for a redirect. The oldest one is dropped.
const MAX_KEPT: usize = 1024;

static KEPT: Mutex<VecDeque<Kept>> = Mutex::new(VecDeque::new());

fn all_kept() -> MutexGuard<'static, VecDeque<Kept>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a value for a request, by its id.
pub fn keep(request: &[u8], name: &str, value: &[u8]) {
    let mut all = all_kept();
    all.retain(|kept| *kept.request != *request || *kept.name != *name);
    if all.len() >= MAX_KEPT {
        all.pop_front();
    }
    all.push_back(Kept {
        request: request.into(),
        name: name.into(),
        value: value.into(),
    });
}

/// The value that was kept for a request.
pub fn kept(request: &[u8], name: &str) -> Option<Vec<u8>> {
    let all = all_kept();
    let found = all
        .iter()
        .find(|kept| *kept.request == *request && *kept.name == *name);
    found.map(|kept| kept.value.to_vec())
}
