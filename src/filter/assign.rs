//! The decision about a request, and the changes of its headers that follow. Must not depend on the
//! response.

use super::chain::ChainHeaders;
use super::configuration::Configuration;
use super::facts::RequestFacts;
use super::host::{Exchange, HeaderLines, Host, Message, Refused};
use crate::decide::{self, Outcome};
use crate::decision::{Decisions, Reason};
use crate::output::{self, HeaderChange};
use crate::policy::{HeaderRole, Policy};
use crate::request::Request;

/// Decisions for a request, after its headers have been changed.
#[derive(Default)]
pub(super) struct BegunRequest {
    pub decisions: Decisions,
    pub cookies: Vec<String>,
    pub is_preflight: bool,
    /// Whether no earlier filter of the chain has chosen the route.
    pub routes: bool,
}

/// Decides a request and changes its headers.
pub(super) fn assign<H: Host>(
    configuration: &Configuration<H>,
    exchange: &impl Exchange,
) -> BegunRequest {
    let policy = &configuration.active.policy;
    let chain = ChainHeaders::new(exchange, Message::Request, configuration.vm.plugins.get());
    // Without rollouts no header is read: looking for divvy's own headers costs less.
    let is_idle =
        policy.rollouts.is_empty() && policy.inheritance.is_none() && policy.overrides.is_none();
    if is_idle && policy.own_entries.is_empty() && !policy.features.units {
        strip_present(policy, exchange, &chain);
        return BegunRequest::default();
    }
    let facts = RequestFacts {
        facts: configuration.facts(),
        exchange,
        chain: &chain,
    };
    let lines = exchange.lines(Message::Request);
    let mut request = Request::new(&policy.names).with_environment(&facts);
    let read = lines.as_ref().map(|lines| lines.read_into(&mut request));
    let mut refused = false;
    let change = |change: HeaderChange<'_, '_>| {
        refused |= apply(exchange, Message::Request, change).is_err();
    };
    let mut assigned = BegunRequest::default();
    let mut writes = true;
    if let Some(Ok(())) = read {
        let outcome = decide::decide(policy, &request);
        writes = policy.features.units
            || !(outcome.decisions.is_empty() && outcome.forwarded.is_empty());
        let mut buffer = configuration.buffer.take();
        if output::change_request(policy, &request, &outcome, &mut buffer, change) {
            let counter = configuration.full_baggage;
            counter
                .into_iter()
                .for_each(|counter| configuration.vm.host.increment(counter));
        }
        configuration.buffer.set(buffer);
        if policy.features.sets_cookies {
            assigned.cookies = output::cookies(policy, &request, &outcome);
            keep_minted(policy, &request, &outcome, exchange, &mut assigned.cookies);
        }
        assigned.is_preflight = outcome.is_preflight;
        let kept = &outcome.kept;
        assigned.routes = kept.is_empty() || policy.has_role(kept, HeaderRole::Route).is_none();
        assigned.decisions = outcome.decisions;
    } else {
        let outcome = decide::decide_unread(policy);
        output::change_blindly(policy, &outcome, change);
        assigned.decisions = outcome.decisions;
    }
    if refused {
        fall_back(policy, exchange, &mut assigned);
    } else if writes {
        let [names, _] = &configuration.header_names;
        chain.add(names);
    }
    assigned
}

impl<H: Host> Configuration<H> {
    /// Answers a request whose decision failed: stable, reason `error`.
    pub fn answer_unread(&self, exchange: &impl Exchange) {
        let Self { active, vm, .. } = self;
        let outcome = decide::decide_unread(&active.policy);
        output::change_blindly(&active.policy, &outcome, |change| {
            let _ = apply(exchange, Message::Request, change);
        });
        for decision in &outcome.decisions {
            let id = active.requests(vm, decision.rollout, decision.version, decision.reason);
            id.into_iter().for_each(|id| vm.host.increment(id));
        }
    }
}

/// Keeps the line of a minted cookie until the end of the request, or adds it to `cookies` if the
/// request was kept with one before Envoy followed a redirect. The redirected request carries the
/// cookie, as the first one did, and may match no rollout.
fn keep_minted(
    policy: &Policy,
    request: &Request<'_>,
    outcome: &Outcome<'_>,
    exchange: &impl Exchange,
    cookies: &mut Vec<String>,
) {
    let Some(mint) = &policy.mint else { return };
    if let Some(line) = output::minted_cookie(policy, outcome) {
        exchange.keep(&mint.kept_as, line.as_bytes());
    } else if request.lines(mint.original_url).next().is_some() {
        let line = exchange.kept(&mint.kept_as);
        cookies.extend(line.and_then(|line| String::from_utf8(line).ok()));
    }
}

/// Takes all decisions back: the host refused a header, so the request might take any route.
/// Without divvy's headers it takes the default route, to stable.
fn fall_back(policy: &Policy, exchange: &impl Exchange, assigned: &mut BegunRequest) {
    for decision in &mut assigned.decisions {
        if let Some(rollout) = policy.rollout(decision.rollout) {
            decision.version = rollout.stable;
            decision.reason = Reason::Error;
            decision.judged = false;
            decision.upstream = None;
        }
    }
    assigned.cookies.clear();
    output::strip(policy, |change| {
        let _ = apply(exchange, Message::Request, change);
    });
}

/// Removes those of divvy's headers that the request has and no earlier filter of the chain wrote.
fn strip_present<X: Exchange>(policy: &Policy, exchange: &X, chain: &ChainHeaders<'_, X>) {
    for header in output::stripped(policy) {
        if !exchange.lacks(Message::Request, &header.name) && !chain.contains(&header.name) {
            let _ = exchange.remove(Message::Request, &header.name);
        }
    }
}

/// Applies a change to the headers of a message.
///
/// # Errors
/// When the host refuses.
pub(super) fn apply(
    exchange: &impl Exchange,
    message: Message,
    change: HeaderChange<'_, '_>,
) -> Result<(), Refused> {
    match change {
        HeaderChange::Set(name, value) => exchange.set(message, name, value),
        HeaderChange::Remove(name) => exchange.remove(message, name),
    }
}
