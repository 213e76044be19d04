//! The headers, cookies and query parameters that divvy reads, and the headers it owns.

use serde_json::{Map, Value};

use super::error::{At, Errors};
use super::{names, shape};
use crate::policy::{DEFAULT_HEADERS, OwnedHeader, Role};
use crate::request::{CookieId, HeaderId, Names, QueryId};

/// Numbers what is read while the configuration is compiled.
pub(super) struct Headers {
    names: Names,
    owned: Vec<OwnedHeader>,
}

impl Headers {
    /// The headers that the configuration gives divvy: without `headers` the default
    /// ones, with it only those that are named. The default names are owned in any case.
    pub(super) fn new(raw: Option<shape::Headers>, errors: &mut Errors) -> Self {
        let mut headers = Self {
            names: Names::default(),
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
            if headers.owns(&name) {
                errors.add(at, format!("{name:?} is named for something else already"));
                continue;
            }
            headers.own(&name, role);
        }
        for (name, role) in DEFAULT_HEADERS {
            if !headers.owns(name) {
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

    /// What must be stripped whatever else is wrong: the default names, and the valid
    /// ones that a refused configuration gives under `headers`.
    pub(super) fn to_strip(config: Option<&Value>) -> Self {
        /// As many as there will ever be fields; what else stands there is a mistake.
        const MOST: usize = 8;
        let mut headers = Self::new(None, &mut Errors::default());
        let named = config.and_then(|config| config.get("headers")?.as_object());
        for name in named.into_iter().flat_map(Map::values).take(MOST) {
            let name = name.as_str().unwrap_or_default();
            let valid = names::own_header(At::Root, name, &mut Errors::default());
            if let Some(name) = valid
                && !headers.owns(&name)
            {
                headers.own(&name, Role::Strip);
            }
        }
        headers
    }

    fn owns(&self, name: &str) -> bool {
        self.owned.iter().any(|header| *header.name == *name)
    }

    fn own(&mut self, name: &str, role: Role) {
        let id = self.names.header(name);
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
        if self.owns(&name) {
            let message =
                format!("{name:?} is written by divvy and removed from what clients send");
            errors.add(at, message);
            return None;
        }
        Some(self.names.header(&name))
    }

    /// The number of a cookie to read.
    pub(super) fn cookie(
        &mut self,
        at: At<'_>,
        name: &str,
        errors: &mut Errors,
    ) -> Option<CookieId> {
        let valid = names::cookie(at, name, errors);
        valid.then(|| self.names.cookie(name))
    }

    /// The number of a query parameter to read.
    pub(super) fn query(&mut self, at: At<'_>, key: &str, errors: &mut Errors) -> Option<QueryId> {
        let valid = names::query_key(at, key, errors);
        valid.then(|| self.names.query(key))
    }

    pub(super) fn into_parts(self) -> (Names, Vec<OwnedHeader>) {
        (self.names, self.owned)
    }
}
