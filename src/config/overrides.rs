//! Where overrides are read.

use crate::build::Build;
use crate::spec::OverridesSpec;
use crate::{names, values};
use divvy_core::overrides::Overrides;
use divvy_core::signature::KeyPurpose;
use divvy_json::error::Path;

/// Compiles `overrides` and `overridesAfter`. It must come before whatever reads a request, because
/// nothing else may read the same header, cookie or parameter.
pub(crate) fn compile(
    root: Path<'_>,
    raw: Option<&OverridesSpec<'_>>,
    after: Option<&str>,
    build: &mut Build<'_>,
) -> Option<Overrides> {
    let at_after = root.field("overridesAfter");
    let Some(raw) = raw else {
        if after.is_some() {
            at_after.error("has no effect without overrides: leave it out");
        }
        return None;
    };
    let at = root.field("overrides");
    if raw.header.is_none() && raw.cookie.is_none() && raw.query.is_none() {
        at.error("has no source: write header, cookie, query or several of them");
    }
    let header: Option<(_, Box<str>)> = raw.header.and_then(|name| {
        let at = at.field("header");
        let name = names::own_header(at, name)?;
        if build.headers.find(&name).is_some() {
            at.error(format_args!("{name:?} already has another purpose"));
            return None;
        }
        Some((build.headers.names.header(&name), name.into()))
    });
    let cookie: Option<(_, Box<str>)> = raw.cookie.and_then(|name| {
        let id = build.headers.cookie(at.field("cookie"), name)?;
        Some((id, name.into()))
    });
    let query: Option<(_, Box<str>)> = raw.query.and_then(|key| {
        let id = build.headers.query(at.field("query"), key)?;
        Some((id, key.into()))
    });
    build.headers.keep_for_overrides([
        header.as_ref().map(|(_, name)| &**name),
        cookie.as_ref().map(|(_, name)| &**name),
        query.as_ref().map(|(_, name)| &**name),
    ]);
    let after = after.and_then(|after| values::instant(at_after, after));
    // The last step: without keys, the other errors are reported too.
    let keys = build.keys(at, KeyPurpose::Override)?;
    Some(Overrides {
        header,
        cookie,
        query,
        after,
        keys,
    })
}
