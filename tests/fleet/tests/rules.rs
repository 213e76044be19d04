//! The rules: the manifest for the Prometheus operator is made of the rule file, and their page names every alert.

use std::fs;

use anyhow::{Result, ensure};
use divvy_lab::workspace_root;

const HEAD: &str = "\
# The rules of rules.yaml for the Prometheus operator, written by `make bless`. Set the labels that your
# Prometheus selects (`ruleSelector`).
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: divvy
  namespace: istio-system
spec:
";

fn read(path: &str) -> Result<String> {
    Ok(fs::read_to_string(workspace_root().join(path))?)
}

/// Compares a committed file with what it is made of; `DIVVY_BLESS=1` writes it.
pub fn is_current(path: &str, text: &str) -> Result<()> {
    if std::env::var_os("DIVVY_BLESS").is_some_and(|value| value == "1") {
        fs::write(workspace_root().join(path), text)?;
    }
    ensure!(
        read(path)? == text,
        "{path} is not current: run `make bless`"
    );
    Ok(())
}

#[test]
fn the_manifest_has_the_rules_of_the_rule_file() -> Result<()> {
    let rules = read("istio/prometheus/rules.yaml")?;
    let groups = rules.lines().skip_while(|line| *line != "groups:");
    let mut manifest = HEAD.to_owned();
    for line in groups {
        let indented = format!("  {line}");
        manifest.push_str(indented.trim_end());
        manifest.push('\n');
    }
    is_current("istio/prometheus/prometheusrule.yaml", &manifest)
}

#[test]
fn the_page_explains_every_alert_and_nothing_else() -> Result<()> {
    let page = read("envoy/docs/MONITORING.md")?;
    let rules = read("istio/prometheus/rules.yaml")?;
    let mut alerts: Vec<_> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    alerts.dedup();
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `Divvy")?.split('`').next());
    let rows: Vec<_> = rows.map(|name| format!("Divvy{name}")).collect();
    assert_eq!(rows, alerts);
    Ok(())
}
