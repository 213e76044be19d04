//! The proxies as a Prometheus sees them: the gauges of each proxy, and the growth of the counters of all. Must not
//! depend on the view.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::scrape::{ANSWER_LIMIT, SERIES_LIMIT, Scrape, SeriesLabels, printable};

const GAUGES: &str = "divvy_(weight_ppm|guardrail_state|step_waiting|config_hash|config_inert)";

/// What Prometheus knows about a fleet.
#[derive(Debug, Default)]
pub struct FleetSample {
    /// Gauges of each proxy.
    pub proxies: Vec<Scrape>,
    /// Growth of the counters in the window, one for each job.
    pub totals: Vec<Scrape>,
    /// The window.
    pub window: Duration,
    /// Alerts of divvy's rules that fire.
    pub alerts: Vec<String>,
}

/// The HTTP API of a Prometheus.
pub struct PrometheusApi {
    agent: ureq::Agent,
    url: String,
    /// Matchers in addition, each after a comma.
    matchers: String,
}

/// An answer of the API.
#[derive(Deserialize)]
struct ApiAnswer {
    status: String,
    error: Option<String>,
    data: Option<ApiData>,
}

#[derive(Deserialize)]
struct ApiData {
    #[serde(deserialize_with = "limited")]
    result: Vec<ApiSeries>,
}

/// A list of series, which are large in memory: at most [`SERIES_LIMIT`].
fn limited<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ApiSeries>, D::Error> {
    struct List;
    impl<'de> Visitor<'de> for List {
        type Value = Vec<ApiSeries>;

        fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
            write!(formatter, "a list of at most {SERIES_LIMIT} series")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut all = Vec::new();
            while let Some(one) = list.next_element()? {
                if all.len() == SERIES_LIMIT {
                    return Err(A::Error::invalid_length(SERIES_LIMIT + 1, &self));
                }
                all.push(one);
            }
            Ok(all)
        }
    }
    deserializer.deserialize_seq(List)
}

#[derive(Deserialize)]
struct ApiSeries {
    metric: SeriesLabels,
    /// Time and value.
    value: (f64, String),
}

impl ApiSeries {
    fn label(&self, name: &str) -> &str {
        self.metric.get(name).map_or("", String::as_str)
    }

    fn number(&self) -> f64 {
        self.value.1.parse().unwrap_or(f64::NAN)
    }

    /// The labels that divvy sets.
    fn own_labels(&self) -> SeriesLabels {
        let labels = self.metric.iter();
        let own = labels.filter(|(name, _)| name.starts_with("divvy_") || *name == "le");
        own.map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

impl PrometheusApi {
    /// A Prometheus below this URL. With `job`, only the proxies of this scrape job.
    pub fn new(url: &str, job: Option<&str>) -> Result<Self> {
        ensure!(
            !url.starts_with("https:"),
            "{url}: top speaks plain HTTP: use a port-forward to Prometheus"
        );
        let url = match url.contains("://") {
            true => url.to_owned(),
            false => format!("http://{url}"),
        };
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(10)))
            .http_status_as_error(false)
            .max_redirects(0);
        let quoted = |job: &str| job.replace('\\', "\\\\").replace('"', "\\\"");
        Ok(Self {
            agent: config.build().into(),
            url: url.trim_end_matches('/').to_owned(),
            matchers: job.map_or_else(String::new, |job| format!(",job=\"{}\"", quoted(job))),
        })
    }

    fn query(&self, query: &str) -> Result<Vec<ApiSeries>> {
        let escaped = utf8_percent_encode(query, NON_ALPHANUMERIC);
        let url = format!("{}/api/v1/query?query={escaped}", self.url);
        let response = self.agent.get(&url).call();
        let mut response = response.with_context(|| format!("{} does not answer", self.url))?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(ANSWER_LIMIT);
        let body = body
            .read_to_vec()
            .with_context(|| format!("cannot read the answer of {}", self.url))?;
        let answer: ApiAnswer = match serde_json::from_slice(&body) {
            Ok(answer) => answer,
            Err(error) => bail!(
                "{} is not a Prometheus: the answer to a query has status {} and is not its JSON: {}",
                self.url,
                status.as_u16(),
                printable(&error.to_string())
            ),
        };
        let error = answer.error.unwrap_or_default();
        ensure!(
            answer.status == "success",
            "{} refuses {query}: {}",
            self.url,
            printable(&error)
        );
        Ok(answer.data.map_or_else(Vec::new, |data| data.result))
    }

    /// The fleet now. `window` is that of rates, errors and quantiles.
    pub fn look(&self, window: Duration) -> Result<FleetSample> {
        let matchers = &self.matchers;
        let gauges = self.query(&format!("{{__name__=~\"{GAUGES}\"{matchers}}}"))?;
        // A job whose proxies are all down has no gauges now.
        let recent = self.query(&format!(
            "group by (job) (last_over_time(divvy_config_hash{{job!=\"\"{matchers}}}[1h]))"
        ))?;
        ensure!(
            !gauges.is_empty() || !recent.is_empty(),
            "{} has no series of divvy{}: check that it scrapes /stats/prometheus of the proxies, and their stats_tags",
            self.url,
            matchers.replacen(',', " with ", 1)
        );
        let jobs = gauges.iter().chain(&recent).map(|one| one.label("job"));
        let jobs: BTreeSet<String> = jobs.map(str::to_owned).collect();
        let names = JobNames {
            several: jobs.len() > 1,
        };
        let mut proxies = BTreeMap::new();
        for up in self.query(&format!("up{{job!=\"\"{matchers}}}"))? {
            if jobs.contains(up.label("job")) {
                let proxy = names.proxy(&mut proxies, &up);
                proxy.error =
                    (up.number() == 0.0).then(|| "Prometheus cannot scrape it".to_owned());
            }
        }
        for gauge in &gauges {
            let metric = gauge.label("__name__");
            let labels = names.labels(gauge);
            names
                .proxy(&mut proxies, gauge)
                .add(metric, labels, gauge.number());
        }
        Ok(FleetSample {
            proxies: proxies.into_values().collect(),
            totals: self.totals(&names, window)?,
            window,
            alerts: self.alerts()?,
        })
    }

    fn totals(&self, names: &JobNames, window: Duration) -> Result<Vec<Scrape>> {
        let mut totals: BTreeMap<String, Scrape> = BTreeMap::new();
        for (metric, label) in [
            ("divvy_requests_total", "divvy_reason"),
            ("divvy_responses_total", "divvy_class"),
            ("divvy_request_duration_ms_bucket", "le"),
        ] {
            let (matchers, seconds) = (&self.matchers, window.as_secs().max(1));
            let growth = format!("increase({metric}{{job!=\"\"{matchers}}}[{seconds}s])");
            let by = format!("job, divvy_rollout, divvy_version, {label}");
            for sum in self.query(&format!("sum by ({by}) ({growth})"))? {
                let job = sum.label("job");
                let total = totals.entry(job.to_owned()).or_default();
                total.add(metric, names.labels(&sum), sum.number());
            }
        }
        Ok(totals.into_values().collect())
    }

    fn alerts(&self) -> Result<Vec<String>> {
        let matchers = &self.matchers;
        let firing = format!("alertname=~\"Divvy.+\",alertstate=\"firing\"{matchers}");
        let alerts = self.query(&format!("ALERTS{{{firing}}}"))?;
        let mut texts: Vec<_> = alerts.iter().map(alert).collect();
        texts.sort();
        Ok(texts)
    }
}

fn alert(series: &ApiSeries) -> String {
    let labels = ["job", "instance", "divvy_rollout", "divvy_version"];
    let labels = labels.map(|name| series.label(name));
    let labels: Vec<_> = labels
        .into_iter()
        .filter(|value| !value.is_empty())
        .collect();
    printable(&format!(
        "alert {} fires: {}",
        series.label("alertname"),
        labels.join(" ")
    ))
}

/// JobNames of proxies and rollouts: with the job if there are several.
struct JobNames {
    several: bool,
}

impl JobNames {
    fn in_job(&self, job: &str, name: impl Display) -> String {
        match self.several {
            true => format!("{job}/{name}"),
            false => name.to_string(),
        }
    }

    fn labels(&self, series: &ApiSeries) -> SeriesLabels {
        let mut labels = series.own_labels();
        if let Some(rollout) = labels.get_mut("divvy_rollout") {
            *rollout = self.in_job(series.label("job"), &rollout);
        }
        labels
    }

    fn proxy<'p>(
        &self,
        proxies: &'p mut BTreeMap<(String, String), Scrape>,
        series: &ApiSeries,
    ) -> &'p mut Scrape {
        let (job, instance) = (series.label("job"), series.label("instance"));
        proxies
            .entry((job.to_owned(), instance.to_owned()))
            .or_insert_with(|| Scrape::of_group(&self.in_job(job, instance), job))
    }
}
