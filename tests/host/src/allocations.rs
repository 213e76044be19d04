//! Counts the allocations of the filter: adds a counter to each allocation function of the linked
//! module, which still has the names of its functions.

use std::path::{Path, PathBuf};

use walrus::ir::{BinaryOp, Value};
use walrus::{ConstExpr, FunctionKind, GlobalId, ModuleConfig, ValType};

/// The allocation functions of C, which all allocations of Rust call. They are linked from an
/// archive, so that they are not inlined.
const ALLOCATORS: [&str; 4] = ["malloc", "calloc", "realloc", "posix_memalign"];

/// Path of the linked module.
pub(crate) fn linked_path() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    workspace
        .join(target)
        .join("wasm32-wasip1/release/divvy.wasm")
}

/// The module with the counter `allocations`, which exports the guards as the built filter does.
///
/// # Panics
/// If the module has none of the allocation functions.
pub(crate) fn counting(wasm: &[u8]) -> Vec<u8> {
    let mut module = ModuleConfig::new().parse(wasm).unwrap();
    export_guards(&mut module);
    let zero = ConstExpr::Value(Value::I64(0));
    let counter = module.globals.add_local(ValType::I64, true, false, zero);
    module.exports.add("allocations", counter);
    let mut found = 0;
    for function in module.funcs.iter_mut() {
        let name = function.name.as_deref().unwrap_or_default();
        if ALLOCATORS.contains(&name)
            && let FunctionKind::Local(local) = &mut function.kind
        {
            count_up(local, counter);
            found += 1;
        }
    }
    assert!(found > 0, "no function of the module hands out memory");
    module.emit_wasm()
}

/// Exports each guard in place of its callback, as `divvy-slim` does.
fn export_guards(module: &mut walrus::Module) {
    let exports = module.exports.iter();
    let guards: Vec<_> = exports
        .filter_map(|export| Some((export.id(), export.name.strip_prefix("guard_")?.to_owned())))
        .collect();
    for (guard, callback) in guards {
        module.exports.remove(&callback).unwrap();
        module.exports.get_mut(guard).name = callback;
    }
}

fn count_up(function: &mut walrus::LocalFunction, counter: GlobalId) {
    let mut body = function.builder_mut().func_body();
    body.global_get_at(0, counter)
        .const_at(1, Value::I64(1))
        .binop_at(2, BinaryOp::I64Add)
        .global_set_at(3, counter);
}
