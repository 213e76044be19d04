//! Which requests for an unreachable version get stable. Must not depend on how the version was
//! chosen.

use super::trace::{Trace, TraceStep};
use crate::decision::Decision;
use crate::policy::Rollout;
use crate::request::Request;

/// Whether stable serves this request for an unreachable version. Not the one that tries it, and none
/// that asks for it on purpose; `routes`: the request goes to the target of the version.
#[cold]
pub(super) fn is_kept_away(
    decision: &Decision,
    rollout: &Rollout,
    routes: bool,
    request: &Request<'_>,
    trace: &mut impl Trace,
) -> bool {
    let environment = request.environment();
    let tries = routes && environment.tries(decision.rollout, decision.version);
    trace.step(|| {
        let name = rollout.version(decision.version);
        let name = name.map_or("", |version| &version.name);
        let text = match (tries, decision.judged) {
            (true, _) => "this request tries it",
            (false, true) => "stable",
            (false, false) => "the decision stays, because it asks for this version",
        };
        TraceStep::new("unreachable", format!("{name} is unreachable: {text}"))
    });
    decision.judged && !tries
}
