//! The keys in the environment variable, with the mistakes in it. No message contains a byte of a key.

use std::sync::Arc;

use base64ct::{Base64UrlUnpadded, Encoding as _};

use super::mac::{KeyedState, PurposeKeys, add, finalized, keyed};
use super::{KeyPurpose, UNIT_ID, VARIABLE};

/// Maximum number of keys.
pub const MAX_KEYS: usize = 4;
/// Maximum length of the id of a key in bytes.
const MAX_ID: usize = 8;
/// Length of a key in bytes.
const KEY: usize = 32;
/// Length of a key in characters.
const TEXT: usize = 43;

/// The keys that a configuration is compiled with.
#[derive(Clone, Debug)]
pub enum KeyRing {
    /// A tool checks what proxies will get: they have keys.
    Assumed,
    /// There are none.
    Missing,
    /// The variable has mistakes: a message for each.
    Invalid(Vec<String>),
    /// Valid keys.
    Known(KeySet),
}

/// Valid keys, derived for each purpose.
#[derive(Clone, Debug)]
pub struct KeySet {
    ids: Vec<Box<str>>,
    purposes: [Arc<PurposeKeys>; KeyPurpose::ALL.len()],
}

/// A key with its id.
struct MasterKey<'t> {
    id: &'t str,
    bytes: [u8; KEY],
}

impl KeyRing {
    /// The keys in the value of the variable; `None`: it is not set.
    pub fn read(value: Option<&[u8]>) -> Self {
        let text = value.unwrap_or_default().trim_ascii();
        if text.is_empty() {
            return Self::Missing;
        }
        let Ok(text) = std::str::from_utf8(text) else {
            return Self::Invalid(vec![format!("{VARIABLE} is not text")]);
        };
        match parse(text) {
            Ok(set) => Self::Known(set),
            Err(messages) => Self::Invalid(messages),
        }
    }

    /// The ids of the keys: those that sign in their order, then that of units alone.
    pub fn ids(&self) -> &[Box<str>] {
        match self {
            Self::Known(set) => &set.ids,
            _ => &[],
        }
    }

    /// The keys of a purpose: none unless they are known.
    pub fn of(&self, purpose: KeyPurpose) -> Arc<PurposeKeys> {
        match self {
            Self::Known(set) => set.of(purpose),
            _ => Arc::default(),
        }
    }
}

impl KeySet {
    /// The keys of a purpose.
    pub fn of(&self, purpose: KeyPurpose) -> Arc<PurposeKeys> {
        let keys = self.purposes.get(usize::from(purpose as u8));
        keys.map_or_else(Arc::default, Arc::clone)
    }
}

fn parse(text: &str) -> Result<KeySet, Vec<String>> {
    let mut messages = Vec::new();
    let mut keys: Vec<MasterKey<'_>> = Vec::new();
    let mut count = 0_usize;
    for entry in text.split(',') {
        count = count.saturating_add(1);
        let key = match read_entry(count, entry.trim_ascii()) {
            Ok(key) => key,
            Err(message) => {
                messages.push(message);
                continue;
            }
        };
        let id = key.id;
        for earlier in &keys {
            let other = earlier.id;
            if other == id {
                messages.push(format!("{VARIABLE} has the id {id} twice"));
            } else if earlier.bytes == key.bytes {
                messages.push(format!(
                    "{VARIABLE} has the same key under the ids {other} and {id}"
                ));
            }
        }
        keys.push(key);
    }
    if count > MAX_KEYS {
        messages.push(format!(
            "{VARIABLE} has {count} keys: the maximum is {MAX_KEYS}"
        ));
    }
    if !messages.is_empty() {
        return Err(messages);
    }
    let signing = keys.iter().filter(|key| key.id != UNIT_ID);
    let ids = signing.chain(keys.iter().filter(|key| key.id == UNIT_ID));
    Ok(KeySet {
        ids: ids.map(|key| key.id.into()).collect(),
        purposes: KeyPurpose::ALL.map(|purpose| Arc::new(derived(&keys, purpose))),
    })
}

/// An entry `<id>:<key>`. What stands in the place of an id may be a key: only a valid id is shown.
fn read_entry(number: usize, entry: &str) -> Result<MasterKey<'_>, String> {
    let parts = entry.split_once(':');
    let parts = parts.filter(|(id, _)| {
        let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        (1..=MAX_ID).contains(&id.len()) && id.bytes().all(is_letter)
    });
    let Some((id, text)) = parts else {
        return Err(format!(
            "{VARIABLE}: entry {number} is not <id>:<key>, with an id of 1 to {MAX_ID} lower-case \
             letters and digits"
        ));
    };
    let mut bytes = [0; KEY];
    if text.len() != TEXT || Base64UrlUnpadded::decode(text, &mut bytes).is_err() {
        return Err(format!(
            "{VARIABLE}: the key {id} is not {KEY} bytes as {TEXT} characters of base64url, as \
             `divvy sign key` prints them"
        ));
    }
    Ok(MasterKey { id, bytes })
}

/// The keys of a purpose. Units are made by the key with the id `unit`, else by the first one.
#[inline(never)]
fn derived(keys: &[MasterKey<'_>], purpose: KeyPurpose) -> PurposeKeys {
    let has_own = keys.iter().any(|key| key.id == UNIT_ID);
    let keys = keys.iter().filter_map(|key| {
        let is_own = key.id == UNIT_ID;
        if is_own != (has_own && purpose == KeyPurpose::Unit) {
            return None;
        }
        let mut master: KeyedState = keyed(&key.bytes)?;
        add(&mut master, b"divvy/1/");
        add(&mut master, purpose.name().as_bytes());
        Some((key.id.into(), keyed(&finalized(master))?))
    });
    PurposeKeys::new(keys.collect())
}
