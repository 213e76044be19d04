//! divvy's paths as the native module, and their goals.

use super::{FULL, Filter, Group, Variant};

/// The paths among `variants` with the native module.
pub(super) fn of(variants: &[Variant]) -> Vec<Variant> {
    let native = |variant: &Variant| {
        let Filter::Divvy(configuration) = &variant.filter else {
            return None;
        };
        let module = Variant {
            id: format!("module_{}", variant.id).leak(),
            name: format!("native module: {}", variant.name).leak(),
            group: Group::Module,
            beyond: variant.id,
            goals: Vec::new(),
            by_hand: None,
            filter: Filter::Module(configuration.clone()),
            ..variant.clone()
        };
        Some(match variant.id {
            FULL => module.at_most(0.4, FULL).at_most(1.0, "lua"),
            "guarded" => module.at_most(0.4, "guarded"),
            "thousand" => module.at_most(1.1, "module_one_by_path"),
            _ => module,
        })
    };
    variants.iter().filter_map(native).collect()
}
