//! Modules that count something of their own, in globals that they export.

use wasmtime::Val;

use crate::vm::Vm;

impl Vm {
    /// What a counter says that the module exports, as
    /// [`crate::Module::allocation_counting_filter`] does.
    pub fn counter(&mut self, name: &str) -> Option<i64> {
        let counter = self.instance.get_global(&mut self.store, name)?;
        counter.get(&mut self.store).i64()
    }

    /// Sets such a counter.
    ///
    /// # Panics
    /// If there is none.
    pub fn set_counter(&mut self, name: &str, value: i64) {
        let counter = self.instance.get_global(&mut self.store, name);
        let counter = counter.expect("the module has this counter");
        let set = counter.set(&mut self.store, Val::I64(value));
        set.expect("a counter can be set");
    }
}
