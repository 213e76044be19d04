//! What a source does not say and the user does: identity, start, stable, namespace. Must not depend on the sources.

use std::str::FromStr;

use crate::manifest::{ManifestNode, object};

/// What the user says.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// The sources of the identity.
    pub identity: Vec<IdentityChoice>,
    /// Whether requests without an identity, or all, are drawn one by one.
    pub random: bool,
    /// Begin of the first step, RFC 3339.
    pub start: Option<String>,
    /// Name of the stable version.
    pub stable: Option<String>,
    /// Namespace of resources that do not name one.
    pub namespace: Option<String>,
}

/// A source of an identity, such as `header:x-user-id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityChoice {
    field: &'static str,
    name: String,
}

impl FromStr for IdentityChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = [
            ("header", "header"),
            ("cookie", "cookie"),
            ("query", "query"),
            ("jwt", "jwtClaim"),
        ];
        let (kind, name) = text.split_once(':').unwrap_or((text, ""));
        let field = known.iter().find(|(word, _)| *word == kind);
        match field {
            Some((_, field)) if !name.is_empty() => {
                let name = name.to_owned();
                Ok(Self { field, name })
            }
            _ => Err(
                "write header:NAME, cookie:NAME, query:NAME or jwt:CLAIM, such as header:x-user-id"
                    .to_owned(),
            ),
        }
    }
}

impl Choices {
    /// The field `identity` of the configuration.
    pub fn identity(&self) -> ManifestNode {
        let sources = self.identity.iter();
        let sources = sources.map(|source| object([(source.field, (&*source.name).into())]));
        let random = self.random.then(|| object([("random", true.into())]));
        ManifestNode::List(sources.chain(random).collect())
    }
}
