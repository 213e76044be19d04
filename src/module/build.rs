//! Linker arguments: Envoy has the functions that the module calls, and the module stays loaded.

#![allow(clippy::disallowed_macros, reason = "cargo reads what it prints")]

fn main() {
    let system = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let arguments: &[&str] = match system.as_str() {
        "macos" => &["-undefined", "dynamic_lookup"],
        // Its thread runs as long as the process, also after the last configuration is gone.
        _ => &["-Wl,-z,nodelete"],
    };
    // Images of Envoy without a shell have no libgcc_s.so: its unwinder becomes part of the module.
    if std::env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu") {
        println!("cargo:rustc-link-lib=static:+whole-archive,-bundle=gcc_eh");
    }
    for argument in arguments {
        println!("cargo:rustc-cdylib-link-arg={argument}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
