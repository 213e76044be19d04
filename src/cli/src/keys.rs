//! The keys of signatures: from the environment or a file, never from an argument, which other users of
//! the machine can read. Must not depend on verbs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use divvy::signature::{KeyPurpose, KeyRing, KeySet, UNIT_ID, VARIABLE};

use crate::source;

/// Where the keys are.
#[derive(Args, Clone, Debug)]
pub struct KeysArgs {
    /// File with the keys, in the form of `DIVVY_KEYS`; by default that environment variable
    #[arg(long, value_name = "FILE")]
    pub keys_file: Option<PathBuf>,
}

impl KeysArgs {
    /// The keys of the file or of the environment; without either, proxies are assumed to have some.
    pub fn ring(&self) -> Result<KeyRing> {
        let ring = match self.keys_file.as_deref() {
            Some(file) => KeyRing::read(Some(&read(file)?)),
            None => of_environment(),
        };
        match (ring, &self.keys_file) {
            (KeyRing::Invalid(messages), _) => bail!("{}", messages.join("; ")),
            (KeyRing::Missing, Some(file)) => bail!("{}: has no key", file.display()),
            (KeyRing::Missing, None) => Ok(KeyRing::Assumed),
            (ring, _) => Ok(ring),
        }
    }

    /// The keys, which must be there.
    pub fn required(&self) -> Result<KeySet> {
        match self.ring()? {
            KeyRing::Known(set) if signing_id(&set).is_empty() => {
                bail!("needs keys: {VARIABLE} has only {UNIT_ID}, which signs nothing")
            }
            KeyRing::Known(set) => Ok(set),
            _ => bail!("needs keys: set {VARIABLE}, or name a file with --keys-file"),
        }
    }
}

fn of_environment() -> KeyRing {
    let value = std::env::var_os(VARIABLE);
    KeyRing::read(value.as_ref().map(|value| value.as_encoded_bytes()))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    source::read_bytes(file).with_context(|| file.display().to_string())
}

/// The id of the key that signs.
pub fn signing_id(keys: &KeySet) -> String {
    let keys = keys.of(KeyPurpose::Override);
    keys.signing_id().unwrap_or_default().to_owned()
}
