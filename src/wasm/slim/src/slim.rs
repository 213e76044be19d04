//! The transformation of a module, from bytes to bytes. Must not access files.

use std::fmt;

use walrus::{Module, ModuleConfig};

use crate::contract;

/// Why a module cannot be deployed.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The bytes are not a WebAssembly module.
    Unreadable(String),
    /// Envoy would not load or not call the module; all reasons.
    Contract(Vec<String>),
    /// The slimmed module is larger than the limit.
    TooLarge {
        /// Size of the slimmed module in bytes.
        size: usize,
        /// Maximum size in bytes.
        limit: usize,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(reason) => write!(f, "not a WebAssembly module: {reason}"),
            Self::Contract(reasons) => f.write_str(&reasons.join("; ")),
            Self::TooLarge { size, limit } => {
                write!(f, "{size} bytes remain, the limit is {limit}")
            }
        }
    }
}

/// Exports the guards, removes what Envoy does not need, then checks the contract.
///
/// The check follows the garbage collection, because an import that only unreachable code used
/// is removed by it.
pub fn slim(input: &[u8], limit: usize) -> Result<Vec<u8>, Refusal> {
    let mut module = ModuleConfig::new()
        .generate_name_section(false)
        .generate_producers_section(false)
        .generate_dwarf(false)
        .parse(input)
        // The parser's report has several lines.
        .map_err(|error| Refusal::Unreadable(format!("{error:#}").replace('\n', " ")))?;

    contract::export_guards(&mut module);
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
    if output.len() > limit {
        return Err(Refusal::TooLarge {
            size: output.len(),
            limit,
        });
    }
    Ok(output)
}

/// Removes debug information, target features and tool notes, which no host reads.
fn drop_custom_sections(module: &mut Module) {
    let ids: Vec<_> = module.customs.iter().map(|(id, _)| id).collect();
    for id in ids {
        module.customs.delete(id);
    }
}
