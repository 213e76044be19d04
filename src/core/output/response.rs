//! The changes to the headers of a response. Depends on nothing that `output` does not.

use super::{HeaderChange, exposed, join};
use crate::assignment::{dictionary, write_member};
use crate::decision::Decision;
use crate::policy::Policy;

/// Passes the changes to a response's headers to `change`. Each header of
/// [`Policy::response_headers`] is set or removed, so that it never comes from the upstream. `later`
/// is the value that a later divvy filter of the chain wrote, which handles the response first.
/// `is_visit`: `false` for a CORS preflight. `text` is a buffer that requests share.
pub fn change_response<'p>(
    policy: &'p Policy,
    decisions: &[Decision],
    is_visit: bool,
    text: &mut Vec<u8>,
    later: impl Fn(&str) -> Option<Vec<u8>>,
    mut change: impl FnMut(HeaderChange<'p, '_>),
) {
    let exposed = if is_visit {
        exposed(policy, decisions)
    } else {
        Vec::new()
    };
    for name in &policy.response_headers {
        let later = later(name);
        let own = if policy.response_header.as_ref() == Some(name) {
            text.clear();
            join_with_later(
                policy,
                decisions,
                later.as_deref().unwrap_or_default(),
                text,
            );
            Some(&**text).filter(|text| !text.is_empty())
        } else {
            let mut shown = exposed.iter().filter(|shown| shown.response);
            let shown = shown.find(|shown| shown.name == &**name);
            shown.map(|shown| shown.text).or(later.as_deref())
        };
        change(match own {
            Some(value) => HeaderChange::Set(name, value),
            None => HeaderChange::Remove(name),
        });
    }
}

/// Writes the assignment for the client: the members of a later filter of the chain, and before them
/// those of this one about other rollouts.
fn join_with_later(policy: &Policy, decisions: &[Decision], later: &[u8], text: &mut Vec<u8>) {
    if later.is_empty() {
        return join(policy, decisions.iter(), text);
    }
    let members = dictionary(later).unwrap_or_default();
    let repeated = |decision: &&Decision| {
        let rollout = policy.rollout(decision.rollout);
        rollout.is_some_and(|rollout| members.iter().any(|member| member.key == rollout.name))
    };
    let own = decisions.iter().filter(|decision| !repeated(decision));
    join(policy, own, text);
    for member in &members {
        write_member(text, &member.text);
    }
}
