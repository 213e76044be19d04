//! Linker arguments: Envoy has the functions that the module calls, and the module stays loaded.

#![allow(clippy::disallowed_macros, reason = "cargo reads what it prints")]

fn main() {
    let system = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let arguments: &[&str] = match system.as_str() {
        "macos" => &["-undefined", "dynamic_lookup"],
        // Its thread runs as long as the process, also after the last configuration is gone.
        _ => &["-Wl,-z,nodelete"],
    };
    for argument in arguments {
        println!("cargo:rustc-cdylib-link-arg={argument}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
