//! The compiled filter, shared by all VMs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use wasmtime::{Config, Engine, InstancePre, Linker, OptLevel};

use crate::allocations;
use crate::imports;
use crate::state::State;

/// A compiled module with all its imports linked. A clone is the same module.
#[derive(Clone)]
pub struct Module {
    inner: Arc<Inner>,
}

struct Inner {
    pre: InstancePre<State>,
    metered: bool,
    unknown_imports: Vec<String>,
}

/// The reason why a module cannot be loaded.
#[derive(Debug)]
pub struct LoadError(String);

impl fmt::Display for LoadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for LoadError {}

impl Module {
    /// The built filter: `$DIVVY_WASM`, or `target/divvy.wasm` of this
    /// workspace. Compiled once per test program.
    ///
    /// # Panics
    /// If it has not been built.
    pub fn filter() -> Self {
        static FILTER: LazyLock<Module> = LazyLock::new(|| Module::built(false));
        FILTER.clone()
    }

    /// The built filter, with instructions counted; see [`crate::Vm::fuel_used`].
    ///
    /// # Panics
    /// As [`Module::filter`].
    pub fn metered_filter() -> Self {
        static FILTER: LazyLock<Module> = LazyLock::new(|| Module::built(true));
        FILTER.clone()
    }

    /// The linked filter before unused functions are removed, with a counter `allocations` of
    /// the calls that allocated memory since the start; see [`crate::Vm::counter`].
    ///
    /// # Panics
    /// As [`Module::filter`].
    pub fn allocation_counting_filter() -> Self {
        static FILTER: LazyLock<Module> = LazyLock::new(|| {
            let linked = allocations::linked_path();
            Module::loaded(&linked, |bytes| {
                Module::compile(&allocations::counting(bytes), false)
            })
        });
        FILTER.clone()
    }

    /// Path of the built filter.
    pub fn filter_path() -> PathBuf {
        match std::env::var_os("DIVVY_WASM") {
            Some(path) => path.into(),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/divvy.wasm"),
        }
    }

    fn built(metered: bool) -> Self {
        Module::loaded(&Module::filter_path(), |bytes| {
            Module::compile(bytes, metered)
        })
    }

    fn loaded(path: &Path, compile: impl FnOnce(&[u8]) -> Result<Self, LoadError>) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|error| {
            panic!(
                "{}: {error}; build the filter first with `make build`",
                path.display()
            )
        });
        compile(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Compiles a module from its binary form. `metered`: its VMs count instructions and are
    /// slower.
    pub fn compile(wasm: &[u8], metered: bool) -> Result<Self, LoadError> {
        let load = || -> wasmtime::Result<Inner> {
            let mut config = Config::new();
            config.consume_fuel(metered);
            // Optimized code saves more time than its compilation costs from 100,000 requests on.
            // No test of a metered module makes as many.
            config.cranelift_opt_level(match metered {
                true => OptLevel::None,
                false => OptLevel::Speed,
            });
            let engine = Engine::new(&config)?;
            let module = wasmtime::Module::from_binary(&engine, wasm)?;
            let mut linker = Linker::new(&engine);
            let unknown_imports = imports::link(&mut linker, &module)?;
            Ok(Inner {
                pre: linker.instantiate_pre(&module)?,
                metered,
                unknown_imports,
            })
        };
        match load() {
            Ok(inner) => Ok(Module {
                inner: Arc::new(inner),
            }),
            Err(error) => Err(LoadError(format!("{error:#}"))),
        }
    }

    /// Imports that Envoy does not offer, as `module.name`. Envoy refuses such a module; this
    /// host answers them with [`crate::Status::UNIMPLEMENTED`].
    pub fn unknown_imports(&self) -> &[String] {
        &self.inner.unknown_imports
    }

    /// Names of all exports, sorted.
    pub fn exports(&self) -> Vec<String> {
        let module = self.inner.pre.module();
        let mut names: Vec<_> = module
            .exports()
            .map(|export| export.name().to_owned())
            .collect();
        names.sort();
        names
    }

    pub(crate) fn pre(&self) -> &InstancePre<State> {
        &self.inner.pre
    }

    pub(crate) fn metered(&self) -> bool {
        self.inner.metered
    }
}
