//! The headers that divvy reads and those that it owns.

use serde_json::{Map, Value};

use super::error::{At, Errors};
use super::{names, shape};
use crate::policy::{DEFAULT_HEADERS, OwnedHeader, Role};
use crate::request::{HeaderId, HeaderNames};

/// Numbers header names while the configuration is compiled.
pub(super) struct Headers {
    names: HeaderNames,
    owned: Vec<OwnedHeader>,
}

impl Headers {
    /// The headers that the configuration gives divvy: without `headers` the default
    /// ones, with it only those that are named. The default names are owned in any case.
    pub(super) fn new(raw: Option<shape::Headers>, errors: &mut Errors) -> Self {
        let mut headers = Self {
            names: HeaderNames::default(),
            owned: Vec::new(),
        };
        let written_by_default = raw.is_none();
        let root = At::Root;
        let at = root.field("headers");
        let named = raw.map(|raw| {
            [
                ("route", raw.route, Role::Route),
                ("assignment", raw.assignment, Role::Assignment),
            ]
        });
        for (field, name, role) in named.into_iter().flatten() {
            let at = at.field(field);
            let name = name.and_then(|name| names::own_header(at, &name, errors));
            let Some(name) = name else { continue };
            if headers.owned.iter().any(|header| *header.name == *name) {
                errors.add(at, format!("{name:?} is named for something else already"));
                continue;
            }
            headers.own(&name, role);
        }
        for (name, role) in DEFAULT_HEADERS {
            if headers.owned.iter().all(|header| *header.name != *name) {
                headers.own(
                    name,
                    if written_by_default {
                        role
                    } else {
                        Role::Strip
                    },
                );
            }
        }
        headers
    }

    /// What must be stripped whatever else is wrong: the default names, and every name
    /// that a configuration which was refused gives under `headers`, as far as it can be
    /// made out.
    pub(super) fn to_strip(config: Option<&Value>) -> Self {
        let mut headers = Self::new(None, &mut Errors::default());
        let named = config.and_then(|config| config.get("headers")?.as_object());
        for name in named.into_iter().flat_map(Map::values) {
            let name = name.as_str().unwrap_or_default();
            let valid = names::own_header(At::Root, name, &mut Errors::default());
            if let Some(name) = valid {
                headers.own(&name, Role::Strip);
            }
        }
        for header in &mut headers.owned {
            header.role = Role::Strip;
        }
        headers
    }

    fn own(&mut self, name: &str, role: Role) {
        let id = self.names.intern(name);
        self.owned.push(OwnedHeader {
            name: name.into(),
            id,
            role,
        });
    }

    /// Whether something is written in this role.
    pub(super) fn has(&self, role: Role) -> bool {
        self.owned.iter().any(|header| header.role == role)
    }

    /// The number of a header to read.
    pub(super) fn read(&mut self, at: At<'_>, name: &str, errors: &mut Errors) -> Option<HeaderId> {
        let name = names::header(at, name, errors)?;
        if self.owned.iter().any(|header| *header.name == *name) {
            let message =
                format!("{name:?} is written by divvy and removed from what clients send");
            errors.add(at, message);
            return None;
        }
        Some(self.names.intern(&name))
    }

    pub(super) fn into_parts(self) -> (HeaderNames, Vec<OwnedHeader>) {
        (self.names, self.owned)
    }
}
