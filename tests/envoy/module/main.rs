//! The native module (`make module`) in real Envoys, and in a host of our own under Valgrind.
//!
//! | file | theme |
//! |---|---|
//! | `versions.rs` | one file in all versions of Envoy that load it, and what the others say |
//! | `beside.rs` | the same random configurations and requests for both builds |
//! | `load.rs` | a million requests: no failure, no memory |
//! | `namespaces.rs` | two filters whose metrics have different namespaces |
//! | `panics.rs` | a panic within the module is answered by stable |
//! | `shipped.rs` | envoy/module.yaml and envoy/module-plugin.yaml as a user runs them |
//! | `stub.rs` | callbacks with hostile values under Valgrind |

mod beside;
mod load;
mod namespaces;
mod panics;
mod shipped;
mod stub;
mod versions;

use std::time::Duration;

use anyhow::{Context, Result};

/// Timeout for anything that takes Envoy a moment; only a failing test reaches it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A number from an environment variable.
pub fn number(variable: &str, default: usize) -> Result<usize> {
    match std::env::var(variable) {
        Ok(text) if !text.is_empty() => {
            let number = text.parse();
            number.with_context(|| format!("{variable}={text} is not a number"))
        }
        _ => Ok(default),
    }
}
