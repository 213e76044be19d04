//! The transformation itself: bytes in, bytes out, nothing touched on disk.

use std::fmt;

use divvy_slim::branches::{self, Table};
use walrus::{Module, ModuleConfig};

use crate::contract;

/// Why a module cannot be deployed.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The bytes are no WebAssembly module.
    Unreadable(String),
    /// The module and Envoy would not get along; all reasons at once.
    Contract(Vec<String>),
    /// What is left is larger than what was asked for.
    TooLarge {
        /// Size of the slimmed module in bytes.
        size: usize,
        /// Largest size allowed in bytes.
        limit: usize,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(reason) => write!(f, "not a WebAssembly module: {reason}"),
            Self::Contract(reasons) => f.write_str(&reasons.join("; ")),
            Self::TooLarge { size, limit } => {
                write!(f, "{size} bytes are left, the limit is {limit}")
            }
        }
    }
}

/// Removes what Envoy never calls, and says no where the rest would not run.
///
/// The contract is checked after the garbage collection: an import that only
/// dead code needed is gone by then and harms nobody. `ways` are those of the branches that are
/// left.
pub fn slim(input: &[u8], ways: &Table, limit: usize) -> Result<Vec<u8>, Refusal> {
    let mut module = ModuleConfig::new()
        .generate_name_section(false)
        .generate_producers_section(false)
        .generate_dwarf(false)
        .parse(input)
        // One line: the parser's own report goes over several.
        .map_err(|error| Refusal::Unreadable(format!("{error:#}").replace('\n', " ")))?;

    let dropped: Vec<_> = module
        .exports
        .iter()
        .filter(|export| !contract::is_kept(&export.name))
        .map(walrus::Export::id)
        .collect();
    for id in dropped {
        module.exports.delete(id);
    }
    drop_custom_sections(&mut module);
    walrus::passes::gc::run(&mut module);

    let reasons = contract::violations(&module);
    if !reasons.is_empty() {
        return Err(Refusal::Contract(reasons));
    }
    let output = module.emit_wasm();
    let output =
        branches::hinted(&output, ways).map_err(|error| Refusal::Unreadable(error.to_string()))?;
    if output.len() > limit {
        return Err(Refusal::TooLarge {
            size: output.len(),
            limit,
        });
    }
    Ok(output)
}

/// Debug information, target features, notes of tools: no host reads them.
fn drop_custom_sections(module: &mut Module) {
    let ids: Vec<_> = module.customs.iter().map(|(id, _)| id).collect();
    for id in ids {
        module.customs.delete(id);
    }
}
