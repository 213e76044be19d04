//! Modules that count something of their own, in globals that they export.

use crate::vm::Vm;

impl Vm {
    /// What a counter says that the module exports, as
    /// [`crate::Module::allocation_counting_filter`] does.
    pub fn counter(&mut self, name: &str) -> Option<i64> {
        let counter = self.instance.get_global(&mut self.store, name)?;
        counter.get(&mut self.store).i64()
    }
}
