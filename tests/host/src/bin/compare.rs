//! Compares two builds of the filter:
//! `cargo run --package divvy-host-tests --bin compare -- OLD.wasm NEW.wasm [--configurations 100]
//! [--requests 100] [--seed 1] [--first 0] [--threads 2] [--log] [--without-flags BITS]`
//!
//! `--first N --configurations 1` repeats configuration N. Exit code 1: the builds differ.

use std::process::ExitCode;

use divvy_host_tests::Module;
use divvy_host_tests::compare::{Options, compare};

fn main() -> ExitCode {
    let mut options = Options {
        configurations: 100,
        first: 0,
        requests: 100,
        seed: 1,
        threads: 2,
        log: false,
        without_flags: 0,
    };
    let mut builds = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let value = arguments.next().and_then(|text| text.parse::<u64>().ok());
            value.unwrap_or_else(|| panic!("{argument} needs a number"))
        };
        match argument.as_str() {
            "--configurations" => options.configurations = number(),
            "--first" => options.first = number(),
            "--requests" => options.requests = number(),
            "--seed" => options.seed = number(),
            "--threads" => options.threads = number() as usize,
            "--without-flags" => options.without_flags = number(),
            "--log" => options.log = true,
            path => builds.push(load(path)),
        }
    }
    let [old, new] = &builds[..] else {
        panic!("name two builds: OLD.wasm NEW.wasm");
    };
    let report = compare([old, new], options);
    for difference in &report.differences {
        println!("{difference}\n");
    }
    println!(
        "{} configurations accepted, {} refused, {} requests, {} ticks, {} differences; decisions: {:?}",
        report.accepted,
        report.refused,
        report.requests,
        report.ticks,
        report.differences.len(),
        report.reasons,
    );
    ExitCode::from(u8::from(!report.differences.is_empty()))
}

fn load(path: &str) -> Module {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    Module::compile(&bytes, false).unwrap_or_else(|error| panic!("{path}: {error}"))
}
