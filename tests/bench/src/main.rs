//! `make bench`.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write, stderr};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use divvy_bench::check::check;
use divvy_bench::latency::{self, Load};
use divvy_bench::report::{Report, Run};
use divvy_bench::rounds::{self, Plan};
use divvy_bench::stage::Stage;
use divvy_bench::statistics::{Rounds, estimate, rows};
use divvy_bench::variants::{FLOOR, FULL, NATIVE, UNIT, Variant, all, of_other_build};
use divvy_bench::{document, plot, starts};
use divvy_lab::workspace_root;

/// Variants whose latency is measured; native first.
const WAITED_FOR: [&str; 5] = [NATIVE, UNIT, "lua", FULL, "guarded"];
const RUN_FOR: Duration = Duration::from_millis(1_500);

fn main() -> Result<()> {
    ensure!(
        cfg!(target_os = "linux"),
        "the bench takes its times from Linux, and runs nowhere else"
    );
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(bench())
}

async fn bench() -> Result<()> {
    let began = Instant::now();
    let plan = Plan {
        rounds: number("BENCH_ROUNDS", 30)?,
        warm_up: number("BENCH_WARM_UP", 40)?,
        requests: number("BENCH_REQUESTS", 1_920)?,
    };
    let mut variants = wanted(all());
    if let Some(module) = path("BENCH_OTHER") {
        variants.extend(of_other_build(&variants, module.leak()));
    }
    let stage = Stage::start(&variants).await?;
    check(&stage, &variants).await?;
    progress(&format!(
        "{} variants, and each does its job",
        variants.len()
    ));
    let measured = rounds::measure(&stage, &variants, plan, |round| {
        progress(&format!("round {round} of {}", plan.warm_up + plan.rounds));
    });
    let measured = measured.await?;

    let waiting = waiting(&variants);
    let latency_rounds = number("BENCH_LATENCY_ROUNDS", 12)?;
    let load = half_load(&measured);
    let mut latency = Vec::new();
    if latency_rounds > 0 {
        progress("latency");
        let waits = latency::measure(&stage, &waiting, latency_rounds, load).await?;
        for (nth, variant) in waiting.iter().enumerate() {
            let waits = waits.iter().map(|round| round[nth]);
            latency.push((variant.name, waits.collect()));
        }
    }
    // The variants still work.
    check(&stage, &variants).await?;
    let (version, alone) = (stage.version.clone(), stage.alone);
    drop(stage);

    let times = number("BENCH_STARTS", 10)?;
    let (mut started, mut memory) = (Vec::new(), Vec::new());
    if times > 0 {
        progress("starts and memory");
        started = starts::starts(times).await?;
        memory = starts::memory().await?;
    }
    let report = Report {
        run: Run {
            version,
            processor: processor(),
            alone,
            plan,
            native: estimate(&measured.of_one(NATIVE)),
            load: (latency_rounds > 0).then_some(load),
        },
        rows: rows(&measured, &variants),
        latency,
        starts: started,
        memory,
    };
    write(&report)?;
    progress(&format!("{} s\n", began.elapsed().as_secs()));
    Ok(())
}

fn write(report: &Report) -> Result<()> {
    let page = report.page();
    println!("{page}");
    let folder = workspace_root().join("target/bench");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("results.md"), page)?;
    let json = serde_json::to_string_pretty(&report.json())?;
    fs::write(folder.join("results.json"), json)?;
    let svg = path("BENCH_SVG").unwrap_or_else(|| folder.join("cost.svg"));
    plot::draw(&svg, &report.rows).with_context(|| svg.display().to_string())?;
    if let Some(path) = path("BENCH_DOC") {
        let mut page = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        for (name, table) in report.tables() {
            page = document::replace(&page, name, &format!("\n{table}\n"))?;
        }
        fs::write(&path, page)?;
    }
    Ok(())
}

/// Variants that `BENCH_ONLY` names and those they are compared with; all by default.
fn wanted(all: Vec<Variant>) -> Vec<Variant> {
    let Ok(only) = env::var("BENCH_ONLY") else {
        return all;
    };
    let mut ids: BTreeSet<&str> = only.split([',', ' ']).collect();
    ids.extend([NATIVE, UNIT, FLOOR, FULL]);
    for variant in &all {
        if ids.contains(variant.id) {
            ids.extend([variant.over, variant.beyond]);
            ids.extend(variant.goals.iter().map(|goal| goal.than));
            ids.extend(variant.by_hand);
        }
    }
    let wanted = all.iter().filter(|variant| ids.contains(variant.id));
    wanted.cloned().collect()
}

fn waiting(variants: &[Variant]) -> Vec<&Variant> {
    let named = |id: &&str| variants.iter().find(|variant| variant.id == *id);
    WAITED_FOR.iter().filter_map(named).collect()
}

/// Half of the maximum rate without a filter.
fn half_load(measured: &Rounds) -> Load {
    let each = estimate(&measured.of_one(NATIVE)).median;
    Load {
        rate: 0.5e6 / each,
        lasts: RUN_FOR,
    }
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = |line: &str| {
        Some(
            line.strip_prefix("model name")?
                .trim_start_matches([' ', '\t', ':'])
                .to_owned(),
        )
    };
    let names: Vec<_> = text.lines().filter_map(named).collect();
    match names.first() {
        Some(name) => format!("{} × {name}", names.len()),
        None => "an unknown processor".to_owned(),
    }
}

fn number(name: &str, default: usize) -> Result<usize> {
    match env::var(name) {
        Ok(text) if !text.is_empty() => text
            .parse()
            .with_context(|| format!("{name}={text} is no number")),
        _ => Ok(default),
    }
}

/// Path from an environment variable, relative to the repository.
fn path(name: &str) -> Option<PathBuf> {
    let path = env::var_os(name).filter(|path| !path.is_empty())?;
    Some(workspace_root().join(path))
}

/// Prints the progress in one line of a terminal.
fn progress(what: &str) {
    let mut out = stderr();
    if out.is_terminal() {
        let _ = write!(out, "\r\x1b[K{what}");
        let _ = out.flush();
    }
}
