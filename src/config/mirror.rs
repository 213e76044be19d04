//! Copies of requests.

use crate::build::Build;
use crate::scope::some_of;
use crate::values::percent;
use crate::versions::Versions;
use crate::{operator, spec};
use divvy_core::bucket::{Gate, Key, Purpose};
use divvy_core::policy::{HeaderRole, Mirror};
use divvy_json::error::Path;

pub(crate) fn compile(
    at: Path<'_>,
    raw: &spec::MirrorSpec<'_>,
    salt: &str,
    versions: &Versions,
    build: &mut Build<'_>,
) -> Option<Mirror> {
    let version = versions.find(at.field("version"), raw.version);
    let untargeted = versions.list.iter().all(|version| version.target.is_none());
    if untargeted && versions.complete {
        at.error("needs a target, but no version has one");
    }
    if !build.headers.has(HeaderRole::Mirror) {
        at.error("needs a header: name it in headers.mirror");
    }
    let share = percent(at.field("percent"), raw.percent);
    if share.is_some_and(|share| share.constant().is_none()) {
        build.require_identity(at.field("percent"));
    }
    let methods = some_of(at.field("methods"), raw.methods, operator::method);
    let upgrade = build.headers.read(Path::SILENT, "upgrade");
    Some(Mirror {
        version: version?,
        gate: Gate::new(Key::new(Purpose::Mirror, salt), share?),
        methods,
        upgrade: upgrade?,
    })
}
