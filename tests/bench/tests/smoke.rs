//! The bench in small: everything runs and does its job. How fast is not asked.

use std::time::Duration;

use divvy_bench::latency::{self, Load};
use divvy_bench::report::{Report, Run};
use divvy_bench::rounds::{Plan, measure};
use divvy_bench::stage::Stage;
use divvy_bench::statistics::{estimate, rows};
use divvy_bench::variants::{FULL, NATIVE, UNIT, all};
use divvy_bench::{check, plot};

#[tokio::test]
async fn every_variant_does_its_job_and_has_a_place_in_the_tables_and_the_plot() {
    if cfg!(not(target_os = "linux")) {
        return;
    }
    let variants = all();
    let stage = Stage::start(&variants).await.unwrap();
    check::check(&stage, &variants).await.unwrap();
    let plan = Plan {
        rounds: 2,
        warm_up: 0,
        requests: 32,
    };
    let measured = measure(&stage, &variants, plan, |_| {}).await.unwrap();
    assert_eq!(measured.count(), 2);
    for variant in &variants {
        let took = measured.of_one(variant.id);
        assert!(took.iter().all(|took| *took > 0.0), "{}", variant.id);
    }
    // After the rounds, whose histograms Envoy may not have gathered yet.
    let full = variants.iter().filter(|variant| variant.id == FULL);
    let full: Vec<_> = full.cloned().collect();
    check::check(&stage, &full).await.unwrap();

    let load = Load {
        rate: 200.0,
        lasts: Duration::from_millis(100),
    };
    let native = variants.iter().find(|variant| variant.id == NATIVE);
    let waits = latency::measure(&stage, &[native.unwrap()], 1, load)
        .await
        .unwrap();
    assert!(waits[0][0].p50 > 0.0 && waits[0][0].p50 <= waits[0][0].p99);

    let report = Report {
        run: Run {
            version: stage.version.clone(),
            processor: "a processor".to_owned(),
            alone: stage.alone,
            plan,
            native: estimate(&measured.of_one(NATIVE)),
            load: Some(load),
        },
        rows: rows(&measured, &variants),
        latency: vec![("native", vec![waits[0][0]])],
        starts: Vec::new(),
        memory: Vec::new(),
    };
    let page = report.page();
    let missing = variants.iter().find(|variant| {
        let has_row = !variant.id.starts_with(NATIVE);
        has_row && !page.contains(&format!("| {} |", variant.name))
    });
    assert!(missing.is_none(), "{missing:?}\n{page}");
    for id in [UNIT, FULL] {
        assert!(report.json().to_string().contains(id));
    }

    let folder = tempfile::tempdir().unwrap();
    let svg = folder.path().join("cost.svg");
    plot::draw(&svg, &report.rows).unwrap();
    let svg = std::fs::read_to_string(svg).unwrap();
    assert!(svg.contains("full edge path"));
}

#[tokio::test]
async fn a_variant_whose_filter_is_missing_stops_the_bench() {
    if cfg!(not(target_os = "linux")) {
        return;
    }
    let mut variants = all();
    variants.retain(|variant| [NATIVE, FULL].contains(&variant.id));
    let filter = variants[0].filter.clone();
    for variant in &mut variants {
        variant.filter = filter.clone();
    }
    let stage = Stage::start(&variants).await.unwrap();
    check::check(&stage, &variants[..1]).await.unwrap();
    let error = check::check(&stage, &variants).await.unwrap_err();
    assert_eq!(error.to_string(), "full does not do its job");
}
