//! What a client can forge: each header and cookie that the shipped edge reads or writes.

use serde_json::Value;

use Kind::{Cookie, Header, Written};

/// The host of every honest request.
pub const HOST: &str = "shop.example.com";

/// Two users, and their decisions under the shipped configuration.
pub const USER: &str = "user-14";
pub const OTHER: &str = "user-1";

const NO_IDENTITY: &str = "checkout=v1;reason=no_identity";
const SPLIT: &str = "checkout=v2;reason=split";
const TESTER: &str = "checkout=v2;reason=rule";
const STAFF: &str = "checkout=v3;reason=rule";

/// Its meaning for divvy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A reserved header: as sent by a client it must not be visible anywhere.
    Written,
    /// A header that a client may send, for divvy to read or for the upstream.
    Header,
    /// A cookie that divvy reads.
    Cookie,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct What {
    pub kind: Kind,
    pub name: &'static str,
    pub value: &'static str,
    /// Whether it is the identity, so that another value is another user.
    pub is_identity: bool,
    /// The line that is sent with it and without it.
    pub beside: Option<&'static str>,
    /// The decision without it.
    pub without: &'static str,
    /// The decision with its honest spelling.
    pub with: &'static str,
}

/// The rows. A new header or cookie is a line here.
pub const WHATS: [What; 10] = [
    written("x-divvy-route", "v3"),
    written("x-divvy-assignment", "checkout=v3;reason=rule"),
    written("x-divvy-mirror", "v3"),
    written("x-divvy-unit", "0123456789abcdef"),
    // A response header; in a request it has no meaning.
    ignored("x-divvy-version", "checkout=v3;reason=rule"),
    identity(Header, "x-user-id"),
    identity(Cookie, "shop_user"),
    condition(Header, "x-canary", "true", None, NO_IDENTITY, TESTER),
    condition(
        Header,
        "x-preview",
        "off",
        Some("cookie: shop_role=staff"),
        STAFF,
        NO_IDENTITY,
    ),
    condition(Cookie, "shop_role", "staff", None, NO_IDENTITY, STAFF),
];

/// A reserved header: it has no effect on a user of v2.
const fn written(name: &'static str, value: &'static str) -> What {
    What {
        kind: Written,
        is_identity: false,
        beside: Some("x-user-id: user-14"),
        ..condition(Header, name, value, None, SPLIT, SPLIT)
    }
}

/// A header that is forwarded and has no other effect.
const fn ignored(name: &'static str, value: &'static str) -> What {
    What {
        kind: Header,
        ..written(name, value)
    }
}

/// The identity.
const fn identity(kind: Kind, name: &'static str) -> What {
    What {
        is_identity: true,
        ..condition(kind, name, USER, None, NO_IDENTITY, SPLIT)
    }
}

/// The source of a rule.
const fn condition(
    kind: Kind,
    name: &'static str,
    value: &'static str,
    beside: Option<&'static str>,
    without: &'static str,
    with: &'static str,
) -> What {
    What {
        kind,
        name,
        value,
        is_identity: false,
        beside,
        without,
        with,
    }
}

impl What {
    /// The line in its honest spelling.
    pub fn line(&self) -> Vec<u8> {
        self.line_of(self.name, self.value)
    }

    /// The line with another name and value; of a cookie, both are the cookie's.
    pub fn line_of(&self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
        let (name, value) = (name.as_ref(), value.as_ref());
        match self.kind {
            Cookie => [b"cookie: ", name, b"=", value].concat(),
            Header | Written => [name, b": ", value].concat(),
        }
    }

    /// The header, or the header that contains it.
    pub fn header(&self) -> &'static str {
        match self.kind {
            Cookie => "cookie",
            Header | Written => self.name,
        }
    }

    /// A value with another meaning.
    pub fn other(&self) -> &'static str {
        if self.is_identity { OTHER } else { "v1" }
    }
}

/// The rows in the format of [`named_by`].
pub fn forged() -> Vec<String> {
    let name = |what: &What| match what.kind {
        Cookie => format!("cookie: {}", what.name),
        Header | Written => what.name.to_owned(),
    };
    let mut names: Vec<_> = WHATS.iter().map(name).collect();
    names.sort();
    names
}

/// Every header (as `x-a`) and cookie (as `cookie: a`) that this configuration names, writes or
/// strips, sorted.
pub fn named_by(configuration: &Value) -> Vec<String> {
    let mut names = divvy::policy::DEFAULT_HEADERS
        .map(|(name, _)| name.to_owned())
        .to_vec();
    names.extend(configuration["responseHeader"].as_str().map(str::to_owned));
    for field in ["headers", "expose"] {
        collect(configuration, field, &mut |value| {
            let values = value.as_object().into_iter().flat_map(|map| map.values());
            names.extend(values.filter_map(Value::as_str).map(str::to_owned));
        });
    }
    collect(configuration, "header", &mut |value| {
        names.extend(value.as_str().map(str::to_owned));
    });
    collect(configuration, "cookie", &mut |value| {
        names.extend(value.as_str().map(|name| format!("cookie: {name}")));
    });
    names.sort();
    names.dedup();
    names
}

/// Collects the values of all fields with this name.
fn collect(tree: &Value, field: &str, found: &mut impl FnMut(&Value)) {
    match tree {
        Value::Object(map) => {
            for (key, value) in map {
                if key == field {
                    found(value);
                }
                collect(value, field, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| collect(value, field, found)),
        _ => {}
    }
}
