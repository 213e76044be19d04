//! The explanation of a request: the decisions, their steps, and their effects.

use divvy::decide::trace::Recorder;
use divvy::decide::{self, Outcome};
use divvy::output::{self, HeaderChange};
use divvy::policy::Metrics;
use divvy::request::Request;
use serde::Serialize;

use super::identity::{self, IdentityReport, OwnIdentityReport, Sources};
use super::input::RequestInput;
use super::steps::{self, RolloutSteps};
use crate::source::LoadedConfig;

/// The decisions about a request, and what follows from them.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The user, if a decision depended on it and the request has an identity.
    pub identity: Option<IdentityReport>,
    /// If a decision depended on the user and the request has no identity: each source, with what it has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing_identity: Vec<String>,
    /// The same of each rollout with identity sources of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub own_identities: Vec<OwnIdentityReport>,
    /// The rollout whose decision is the route: the first one that matches and has targets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_owner: Option<String>,
    /// Other rollouts with targets that match; they only tag.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without_route: Vec<String>,
    /// The decisions of the rollouts that match the request.
    pub decisions: Vec<DecisionReport>,
    /// Changes to the request headers.
    pub request: HeaderEdits,
    /// Changes to the response headers.
    pub response: HeaderEdits,
    /// `Set-Cookie` values for the client.
    pub cookies: Vec<String>,
    /// Counters that increase by one: for the request, and for a response with status 200.
    pub counters: Vec<String>,
    /// The steps of each decision, for every rollout of the configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rollouts: Vec<RolloutSteps>,
}

/// The decision of one rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DecisionReport {
    /// Name of the rollout.
    pub rollout: String,
    /// Version that serves the request.
    pub version: String,
    /// Reason of the decision.
    pub reason: &'static str,
    /// For an inherited decision: the reason that the upstream proxy gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<&'static str>,
}

/// Changes to headers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HeaderEdits {
    /// Names and values of headers that are set.
    pub set: Vec<(String, String)>,
    /// Names of headers that are removed.
    pub remove: Vec<String>,
}

impl HeaderEdits {
    fn add(&mut self, change: HeaderChange<'_, '_>) {
        match change {
            HeaderChange::Set(name, value) => {
                let value = String::from_utf8_lossy(value).into_owned();
                self.set.push((name.to_owned(), value));
            }
            HeaderChange::Remove(name) => self.remove.push(name.to_owned()),
        }
    }
}

impl LoadedConfig {
    /// Decides about a request; `with_steps` also lists the steps of each decision.
    pub fn explain(&self, input: &RequestInput, with_steps: bool) -> Explanation {
        let policy = &self.policy;
        let headers = input.headers.iter();
        let headers = headers.map(|(name, value)| (&**name, &**value));
        let request = Request::from_headers(&policy.names, headers);
        let request = request.with_environment(&input.environment);
        let mut recorder = Recorder::default();
        let outcome = decide::decide_traced(policy, &request, &mut recorder);
        let mut explanation = self.effects(&request, &outcome);
        if outcome.identity.is_none() && identity::was_needed(self, &recorder) {
            explanation.missing_identity = Sources::at_the_top(self).missing(&request);
        }
        explanation.own_identities = identity::own(self, &request, &outcome, &recorder);
        if with_steps {
            explanation.rollouts = steps::all(self, &request, &outcome.decisions, recorder);
        }
        explanation
    }

    fn effects(&self, request: &Request<'_>, outcome: &Outcome<'_>) -> Explanation {
        let policy = &self.policy;
        let [mut to_service, mut to_client] = [HeaderEdits::default(), HeaderEdits::default()];
        let buffer = &mut Vec::new();
        let full = output::change_request(policy, request, outcome, buffer, |change| {
            to_service.add(change);
        });
        let alone = |_: &str| None;
        let is_visit = !outcome.is_preflight;
        output::change_response(
            policy,
            &outcome.decisions,
            is_visit,
            buffer,
            alone,
            |change| {
                // A header that is not set is removed, in case that the service sends it.
                if let HeaderChange::Set(..) = change {
                    to_client.add(change);
                }
            },
        );
        let mut decisions = Vec::new();
        let mut counters = Vec::new();
        for decision in &outcome.decisions {
            let Some(rollout) = policy.rollout(decision.rollout) else {
                continue;
            };
            let version = rollout.version(decision.version);
            let version = version.map_or("", |version| &version.name);
            if rollout.metrics >= Metrics::Requests {
                let series = output::request_series(&rollout.name, version, decision.reason);
                counters.push(labelled(&series));
            }
            if rollout.metrics >= Metrics::Responses {
                let success = divvy::response::ResponseClass::Success;
                let series = output::response_series(&rollout.name, version, success);
                counters.push(labelled(&series));
            }
            decisions.push(DecisionReport {
                rollout: rollout.name.to_string(),
                version: version.to_owned(),
                reason: decision.reason.name(),
                upstream: decision.upstream.map(|reason| reason.name()),
            });
        }
        if full {
            counters.push("divvy_baggage_full_total".to_owned());
        }
        let identity = outcome.identity.as_ref();
        let identity = identity.map(|found| Sources::at_the_top(self).report(found, request));
        let owner = policy.route_owner(&outcome.decisions);
        let routing = outcome.decisions.iter().filter(|decision| {
            let rollout = policy.rollout(decision.rollout);
            rollout.is_some_and(|rollout| rollout.routes)
        });
        let mut routing = routing.filter_map(|decision| policy.rollout(decision.rollout));
        let route_owner = owner.and(routing.next());
        Explanation {
            identity,
            missing_identity: Vec::new(),
            own_identities: Vec::new(),
            route_owner: route_owner.map(|rollout| rollout.name.to_string()),
            without_route: routing.map(|rollout| rollout.name.to_string()).collect(),
            decisions,
            request: to_service,
            response: to_client,
            cookies: output::cookies(policy, request, outcome),
            counters,
            rollouts: Vec::new(),
        }
    }
}

/// The name of a series as Prometheus shows it: `rollout=.=checkout;.;requests` is `requests{rollout="checkout"}`.
fn labelled(series: &str) -> String {
    let parts: Vec<_> = series.split(";.;").collect();
    let Some((metric, tags)) = parts.split_last() else {
        return series.to_owned();
    };
    let labels = tags.iter().map(|tag| match tag.split_once("=.=") {
        Some((label, value)) => format!("{label}={value:?}"),
        None => (*tag).to_owned(),
    });
    format!("{metric}{{{}}}", labels.collect::<Vec<_>>().join(","))
}
