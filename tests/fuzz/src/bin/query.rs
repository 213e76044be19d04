//! Query strings.
#![no_main]

use std::fmt::Write as _;
use std::sync::LazyLock;

use divvy::request::{Names, QueryId, Request};
use divvy_fuzz::{invariants, policies};
use libfuzzer_sys::fuzz_target;

static NAMES: LazyLock<(Names, [(&str, QueryId); 2])> = LazyLock::new(|| {
    let mut names = Names::default();
    let ids = ["uid", "preview"].map(|key| (key, names.query(key)));
    (names, ids)
});

fuzz_target!(|query: &[u8]| {
    for (key, id) in NAMES.1 {
        let value = value_of(id, query);
        if let Some(value) = &value {
            assert!(value.len() <= query.len(), "decoding makes no value longer");
            if !query.contains(&b'%') {
                let mut parts = query.split(|byte| *byte == b'&');
                assert!(
                    parts.any(|part| part.ends_with(value)),
                    "a part of one parameter"
                );
            }
        }
        // The first parameter of a key counts; other keys do not.
        let mine = [key.as_bytes(), b"=mine"].concat();
        let other = format!("x{key}=1&{key}x=1&=&%");
        let around = |before: &[u8], after: &[u8]| {
            value_of(id, &[before, b"&", query, b"&", after].concat())
        };
        assert_eq!(around(&mine, b"").as_deref(), Some(&b"mine"[..]));
        assert_eq!(around(b"", &mine), value.clone().or(Some(b"mine".to_vec())));
        assert_eq!(around(other.as_bytes(), other.as_bytes()), value);
    }

    // Any bytes are read unchanged from their percent encoding.
    let mut encoded = String::from("a=1&uid=");
    for byte in query {
        let _ = write!(encoded, "%{byte:02x}");
    }
    let [(_, uid), _] = NAMES.1;
    assert_eq!(value_of(uid, encoded.as_bytes()).as_deref(), Some(query));

    let target = [b"/checkout?", query].concat();
    invariants::check_lines(policies::rich(), &[(b":path", &target)]);
});

fn value_of(id: QueryId, query: &[u8]) -> Option<Vec<u8>> {
    let target = [b"/p?", query].concat();
    let request = Request::from_headers(&NAMES.0, [(&b":path"[..], &target[..])]);
    assert_eq!(request.path(), Some(&b"/p"[..]));
    assert_eq!(request.query(), Some(query));
    request.query_value(id).map(<[u8]>::to_vec)
}
