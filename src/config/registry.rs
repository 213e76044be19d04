//! The headers, cookies, parameters and claims that divvy reads, and the headers that it writes.

use crate::limits::{CLAIM_TYPES, MAX_CLAIM_DEPTH, MAX_CLAIMS, MAX_STRIPPED};
use crate::names;
use crate::spec::{self, OneOrMany};
use divvy_core::policy::{DEFAULT_HEADERS, HeaderRole, OwnEntry, ReservedHeader};
use divvy_core::request::{Claim, ClaimId, ClaimType, CookieId, HeaderId, LabelId, Names, QueryId};
use divvy_json::Tree;
use divvy_json::error::Path;

/// The default metadata key of a token's payload, as in Istio.
const DEFAULT_PAYLOAD: &str = "payload";

/// Gives an ID to everything that is read from a request.
pub(crate) struct Registry {
    pub names: Names,
    pub owned: Vec<ReservedHeader>,
    /// The use of each header in `owned`.
    uses: Vec<HeaderUse>,
    /// Roles whose header has an error.
    invalid: Vec<HeaderRole>,
    /// The member of `baggage` for the assignment.
    pub member: Option<Box<str>>,
    pub shared: Vec<OwnEntry>,
    /// The header, cookie and query parameter of overrides.
    overrides: [Option<Box<str>>; 3],
    too_many_claims: bool,
}

/// The use of a header that divvy writes. Rollouts may share a header of `expose` if its use is
/// the same in each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderUse {
    Written(HeaderRole),
    Group,
    Id,
    /// It is only removed from requests.
    Strip,
}

impl Registry {
    /// The headers of `headers`, or the default ones without it, except the unit. The default ones are
    /// removed from requests in any case.
    pub(crate) fn new(at: Path<'_>, raw: Option<spec::HeadersSpec<'_>>) -> Self {
        let mut headers = Self {
            names: Names::default(),
            owned: Vec::new(),
            uses: Vec::new(),
            invalid: Vec::new(),
            member: None,
            shared: Vec::new(),
            overrides: [const { None }; 3],
            too_many_claims: false,
        };
        let written_by_default = raw.is_none();
        let named = raw.map(|raw| {
            headers.member = raw.baggage.map(|member| {
                names::other(at.field("baggage"), member);
                member.into()
            });
            [
                ("route", raw.route, HeaderRole::Route),
                ("assignment", raw.assignment, HeaderRole::Assignment),
                ("mirror", raw.mirror, HeaderRole::Mirror),
                ("identity", raw.identity, HeaderRole::Identity),
                ("unit", raw.unit, HeaderRole::Unit),
            ]
        });
        for (field, name, role) in named.into_iter().flatten() {
            let Some(name) = name else { continue };
            if headers
                .own(at.field(field), name, HeaderUse::Written(role))
                .is_none()
            {
                headers.invalid.push(role);
            }
        }
        for (name, role) in DEFAULT_HEADERS {
            if headers.find(name).is_none() {
                let wanted = if written_by_default && role != HeaderRole::Unit {
                    HeaderUse::Written(role)
                } else {
                    HeaderUse::Strip
                };
                headers.add(name, wanted);
            }
        }
        headers
    }

    /// The headers to remove if the configuration is refused: the default ones, and the valid ones
    /// in its `headers` and `expose`.
    pub(crate) fn to_strip(config: &Tree<'_>) -> Self {
        let mut headers = Self::new(Path::SILENT, None);
        let rollouts = config.get("rollouts").map_or(&[][..], Tree::elements);
        let exposed = rollouts.iter().map(|rollout| rollout.get("expose"));
        let objects = [config.get("headers")].into_iter().chain(exposed);
        for (field, name) in objects.flatten().flat_map(Tree::members) {
            if headers.owned.len() >= MAX_STRIPPED {
                break;
            }
            let name = name.text().unwrap_or_default();
            // Clients may send it if an identity is read from it.
            if field == "identity" && is_read(config, name) {
                continue;
            }
            if field == "baggage" {
                headers.member = Some(name.into());
                continue;
            }
            let valid = names::own_header(Path::SILENT, name);
            if let Some(name) = valid
                && headers.find(&name).is_none()
            {
                headers.add(&name, HeaderUse::Strip);
            }
        }
        let asks = config
            .get("overrides")
            .map_or("", |overrides| overrides.text_at(&["header"]));
        if let Some(name) = names::own_header(Path::SILENT, asks)
            && headers.find(&name).is_none()
        {
            headers.add(&name, HeaderUse::Strip);
        }
        for header in &mut headers.uses {
            *header = HeaderUse::Strip;
        }
        headers.share(rollouts);
        headers
    }

    /// From now on, nothing else may read what overrides are read from.
    /// `names`: of the header, the cookie and the query parameter.
    pub(crate) fn keep_for_overrides(&mut self, names: [Option<&str>; 3]) {
        self.overrides = names.map(|name| name.map(Into::into));
    }

    /// Whether overrides are not read from this place: 0 is a header, 1 a cookie, 2 a parameter.
    /// Otherwise adds an error.
    fn is_free(&self, at: Path<'_>, place: usize, name: &str) -> bool {
        let own = self.overrides.get(place).and_then(Option::as_deref);
        if own == Some(name) {
            at.error(format_args!(
                "{name:?} already has another purpose: divvy reads overrides from it and removes it"
            ));
        }
        own != Some(name)
    }

    /// The name of a header that divvy writes into requests, in lower case.
    pub(crate) fn own_name(&self, at: Path<'_>, name: &str) -> Option<String> {
        let name = names::own_header(at, name)?;
        self.is_free(at, 0, &name).then_some(name)
    }

    /// Adds a header that divvy writes. All of them must be added before any header is read.
    pub(crate) fn own(&mut self, at: Path<'_>, name: &str, wanted: HeaderUse) -> Option<HeaderId> {
        let name = self.own_name(at, name)?;
        match self.find(&name) {
            None => Some(self.add(&name, wanted)),
            Some((id, HeaderUse::Strip)) => {
                let index = id.own_index()?;
                *self.uses.get_mut(index)? = wanted;
                Some(id)
            }
            Some((id, HeaderUse::Group | HeaderUse::Id))
                if self.find(&name) == Some((id, wanted)) =>
            {
                Some(id)
            }
            Some(_) => {
                at.error(format_args!("{name:?} already has another purpose"));
                None
            }
        }
    }

    /// The ID and the use of a header that divvy writes.
    pub(crate) fn find(&self, name: &str) -> Option<(HeaderId, HeaderUse)> {
        let id = self.names.find_header(name.as_bytes())?;
        Some((id, *self.uses.get(id.own_index()?)?))
    }

    fn add(&mut self, name: &str, wanted: HeaderUse) -> HeaderId {
        let id = self.names.header(name);
        self.owned.push(ReservedHeader {
            name: name.into(),
            id,
            is_input: false,
        });
        self.uses.push(wanted);
        id
    }

    /// The header for this role.
    pub(crate) fn written(&self, role: HeaderRole) -> Option<HeaderId> {
        let mut uses = self.uses.iter();
        let place = uses.position(|of| *of == HeaderUse::Written(role));
        self.owned.get(place?).map(|header| header.id)
    }

    /// Whether the configuration has a header for this role, valid or not.
    pub(crate) fn has(&self, role: HeaderRole) -> bool {
        self.uses.contains(&HeaderUse::Written(role)) || self.invalid.contains(&role)
    }

    /// The ID of a header to read.
    pub(crate) fn read(&mut self, at: Path<'_>, name: &str) -> Option<HeaderId> {
        let name = names::header(at, name)?;
        let own = self.find(&name).and_then(|(id, _)| id.own_index());
        if own.is_some_and(|own| self.owned.get(own).is_some_and(|header| !header.is_input)) {
            let message = format_args!(
                "{name:?} cannot be read: divvy writes it and removes it from requests"
            );
            at.error(message);
            return None;
        }
        self.is_free(at, 0, &name).then(|| self.names.header(&name))
    }

    /// The ID of a header that is a source of the identity. divvy may write the identity there too.
    pub(crate) fn read_identity(&mut self, at: Path<'_>, name: &str) -> Option<HeaderId> {
        let own = self.find(&name.to_ascii_lowercase());
        if let Some((id, HeaderUse::Written(HeaderRole::Identity))) = own {
            let header = self.owned.get_mut(id.own_index()?)?;
            header.is_input = true;
            return Some(id);
        }
        self.read(at, name)
    }

    /// The ID of a header that Envoy writes.
    pub(crate) fn of_envoy(&mut self, name: &str) -> HeaderId {
        self.names.header(name)
    }

    /// The ID of a cookie to read.
    pub(crate) fn cookie(&mut self, at: Path<'_>, name: &str) -> Option<CookieId> {
        let valid = names::cookie(at, name) && self.is_free(at, 1, name);
        valid.then(|| self.names.cookie(name))
    }

    /// The ID of a query parameter to read.
    pub(crate) fn query(&mut self, at: Path<'_>, key: &str) -> Option<QueryId> {
        let valid = names::query_key(at, key) && self.is_free(at, 2, key);
        valid.then(|| self.names.query(key))
    }

    /// The ID of a label to read.
    pub(crate) fn label(&mut self, at: Path<'_>, raw: &spec::LabelSpec<'_>) -> Option<LabelId> {
        let header = self.read(at.field("header"), raw.header);
        let valid = names::label_key(at.field("key"), raw.key);
        let header = header.filter(|_| valid)?;
        if self.is_own_label(header, raw.key) {
            let key = raw.key;
            let message = format_args!(
                "{key:?} cannot be read: divvy writes this label and removes it from requests"
            );
            at.field("key").error(message);
            return None;
        }
        Some(self.names.label(header, raw.key))
    }

    /// The ID and the type of a claim to read.
    pub(crate) fn claim(
        &mut self,
        at: Path<'_>,
        raw: ClaimSpec<'_>,
    ) -> Option<(ClaimId, ClaimType)> {
        let before = at.error_count();
        let place = at.field("jwtClaim");
        let path = raw.path.into_list(place)?;
        if path.is_empty() || path.len() > MAX_CLAIM_DEPTH {
            let message = format_args!("is not a path of 1 to {MAX_CLAIM_DEPTH} names");
            place.error(message);
        }
        let payload = raw.payload.unwrap_or(DEFAULT_PAYLOAD);
        // In the path of a property NUL separates the names.
        if path
            .iter()
            .any(|name| name.is_empty() || name.contains('\0'))
        {
            place.error("has a name that is empty or contains a NUL byte");
        }
        if payload.is_empty() || payload.contains('\0') {
            at.field("jwtPayload")
                .error("is empty or contains a NUL byte");
        }
        let kind = match raw.kind {
            None | Some("string") => ClaimType::String,
            Some("number") => ClaimType::Number,
            Some("bool") => ClaimType::Bool,
            Some("list") => ClaimType::List,
            Some(other) => {
                at.field("type")
                    .unknown_name(other, CLAIM_TYPES.into_iter());
                return None;
            }
        };
        if at.error_count() > before {
            return None;
        }
        let path = path.iter().copied();
        let claim = Claim::new(payload, path, kind);
        let id = self.names.claim(claim, MAX_CLAIMS);
        if id.is_none() && !self.too_many_claims {
            self.too_many_claims = true;
            let message = format_args!("is one token claim too many: the maximum is {MAX_CLAIMS}");
            place.error(message);
        }
        Some((id?, kind))
    }

    /// The reserved headers that requests get, with what they carry.
    pub(crate) fn written_headers(&self) -> Vec<(HeaderRole, HeaderId)> {
        let written = self.owned.iter().zip(&self.uses);
        let written = written.filter_map(|(header, wanted)| match wanted {
            HeaderUse::Written(role) => Some((*role, header.id)),
            _ => None,
        });
        written.collect()
    }

    /// The identity header, if clients may send it.
    pub(crate) fn identity_input(&self) -> Option<HeaderId> {
        let input = self.owned.iter().find(|header| header.is_input);
        input.map(|header| header.id)
    }
}

/// Whether an identity source of a configuration reads this header.
fn is_read(config: &Tree<'_>, name: &str) -> bool {
    let rollouts = config.get("rollouts").map_or(&[][..], Tree::elements);
    for object in std::iter::once(config).chain(rollouts) {
        for source in object.get("identity").map_or(&[][..], Tree::elements) {
            if source.text_at(&["header"]).eq_ignore_ascii_case(name) {
                return true;
            }
        }
    }
    false
}

/// The fields of a claim in a source.
pub(crate) struct ClaimSpec<'t> {
    pub path: OneOrMany<'t>,
    pub payload: Option<&'t str>,
    pub kind: Option<&'t str>,
}
