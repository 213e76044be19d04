//! Hints for compilers: which way branches go.
//!
//! V8 moves what a module's `metadata.code.branch_hint` section calls unlikely out of the way, so
//! that what a request runs through lies together. LLVM does not write the section, so the way
//! that each branch goes is [counted](counting) where requests are played, kept in a
//! [table](Table), and [written](hinted) into the module when it is built.
//!
//! A function is known by its [key](Function::key). One that has changed since is given no hints
//! until they are counted anew; a hint that is wrong makes nothing wrong, only slower.

mod counting;
mod table;
#[cfg(test)]
mod tests;

pub use counting::{COUNTS, counting};
pub use table::Table;

use wasm_encoder::{BranchHint, BranchHints, Encode, Section};
use wasmparser::{BinaryReaderError, Operator, Parser, Payload};

const FNV_BASIS: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;

/// A function that is in the module, not imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// A hash of its instructions in their order, without what they are about: numbers of
    /// functions and addresses change with every build.
    pub key: u32,
    /// By its `if` and `br_if`: where they stand, from the beginning of its body.
    pub branches: Vec<u32>,
}

/// All functions of a module.
///
/// # Errors
/// When the bytes are no module.
pub fn functions(wasm: &[u8]) -> Result<Vec<Function>, BinaryReaderError> {
    let mut functions = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let Payload::CodeSectionEntry(body) = payload? else {
            continue;
        };
        let mut key = FNV_BASIS;
        let mut branches = Vec::new();
        for operator in body.get_operators_reader()?.into_iter_with_offsets() {
            let (operator, at) = operator?;
            let code = wasm.get(at).copied().unwrap_or_default();
            key = (key ^ u32::from(code)).wrapping_mul(FNV_PRIME);
            if is_branch(&operator) {
                branches.push(u32::try_from(at - body.range().start).unwrap_or(u32::MAX));
            }
        }
        functions.push(Function { key, branches });
    }
    Ok(functions)
}

const fn is_branch(operator: &Operator<'_>) -> bool {
    matches!(operator, Operator::If { .. } | Operator::BrIf { .. })
}

/// The module with the hints of a table, as far as it knows its functions.
///
/// # Errors
/// When the bytes are no module.
pub fn hinted(wasm: &[u8], table: &Table) -> Result<Vec<u8>, BinaryReaderError> {
    let mut hints = BranchHints::new();
    for (number, function) in (imported(wasm)?..).zip(functions(wasm)?) {
        let Some(ways) = table.of(&function) else {
            continue;
        };
        let known = function.branches.iter().zip(ways);
        let known = known.filter_map(|(at, way)| {
            Some(BranchHint {
                branch_func_offset: *at,
                branch_hint_value: way.hint()?,
            })
        });
        let known: Vec<_> = known.collect();
        if !known.is_empty() {
            hints.function_hints(number, known);
        }
    }
    if hints.is_empty() {
        return Ok(wasm.to_vec());
    }
    let mut section = vec![hints.id()];
    hints.encode(&mut section);
    let mut output = wasm.to_vec();
    let place = code_section(wasm)?.unwrap_or(wasm.len());
    output.splice(place..place, section);
    Ok(output)
}

/// How many functions are imported: they are numbered first.
fn imported(wasm: &[u8]) -> Result<u32, BinaryReaderError> {
    let mut count = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::ImportSection(imports) = payload? {
            for import in imports.into_imports() {
                count += u32::from(matches!(import?.ty, wasmparser::TypeRef::Func(_)));
            }
        }
    }
    Ok(count)
}

/// Where the code section begins, with its number and length: hints stand before it.
fn code_section(wasm: &[u8]) -> Result<Option<usize>, BinaryReaderError> {
    let mut end_of_last = 8;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        if matches!(payload, Payload::CodeSectionStart { .. }) {
            return Ok(Some(end_of_last));
        }
        if let Some((_, range)) = payload.as_section() {
            end_of_last = range.end;
        }
    }
    Ok(None)
}
