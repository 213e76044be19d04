//! The panels and queries of `istio/grafana/divvy.json`.

use std::fs;

use anyhow::{Context, Result};
use divvy_lab::workspace_root;
use serde_json::Value;

use crate::compressed::compressed;

/// A query of a panel or of an annotation.
#[derive(Clone, PartialEq, Debug)]
pub struct Query {
    /// PromQL, with the dashboard's variables replaced and durations compressed.
    pub expression: String,
    /// The name of a line, with `{{label}}`.
    pub legend: String,
}

/// A panel.
#[derive(Clone, PartialEq, Debug)]
pub struct Panel {
    /// Its title.
    pub title: String,
    /// `stat`, `timeseries`, `state-timeline` or `table`.
    pub kind: String,
    /// The unit of its values: `percentunit`, `reqps`, `ms`, `short`.
    pub unit: String,
    /// Its queries.
    pub queries: Vec<Query>,
    /// Column, row, width and height in Grafana's grid of 24 columns.
    pub place: [u64; 4],
}

/// The dashboard with its variables set.
pub struct Dashboard {
    /// In reading order.
    pub panels: Vec<Panel>,
    /// Its annotations: name and query.
    pub annotations: Vec<(String, Query)>,
}

impl Dashboard {
    /// The shipped dashboard for this job and rollout.
    pub fn load(job: &str, rollout: &str) -> Result<Dashboard> {
        let file = workspace_root().join("istio/grafana/divvy.json");
        let json: Value = serde_json::from_str(&fs::read_to_string(file)?)?;
        let query = |expression: &Value, legend: &Value| -> Result<Query> {
            let text = expression.as_str().context("expr")?;
            let text = text
                .replace("$job", job)
                .replace("$rollout", rollout)
                .replace("$__rate_interval", "4m");
            let legend = legend.as_str().unwrap_or_default().to_owned();
            let expression = compressed(&text);
            Ok(Query { expression, legend })
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut panels = Vec::new();
        for panel in json["panels"].as_array().context("panels")? {
            let targets = panel["targets"].as_array().context("targets")?;
            let queries = targets
                .iter()
                .map(|target| query(&target["expr"], &target["legendFormat"]));
            panels.push(Panel {
                title: text(&panel["title"]),
                kind: text(&panel["type"]),
                unit: text(&panel["fieldConfig"]["defaults"]["unit"]),
                queries: queries.collect::<Result<_>>()?,
                place: ["x", "y", "w", "h"]
                    .map(|side| panel["gridPos"][side].as_u64().unwrap_or(0)),
            });
        }
        let mut annotations = Vec::new();
        for one in json["annotations"]["list"]
            .as_array()
            .context("annotations")?
        {
            annotations.push((
                text(&one["name"]),
                query(&one["expr"], &one["titleFormat"])?,
            ));
        }
        Ok(Dashboard {
            panels,
            annotations,
        })
    }
}

impl Query {
    /// The legend with the labels of a series.
    #[must_use]
    pub fn name_of(&self, series: &crate::prometheus::Series) -> String {
        let mut name = self.legend.clone();
        for (label, value) in &series.labels {
            name = name.replace(&format!("{{{{{label}}}}}"), value);
        }
        // A series without the label, such as that of `vector(0)`.
        match name.find("{{") {
            Some(at) => name[..at].trim_end().to_owned(),
            None => name,
        }
    }
}
