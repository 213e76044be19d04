//! Requests that a configuration's own words make: they meet its conditions far more often
//! than any that is made up without looking at it.

use serde_json::Value;

/// A header of such a request, or a line that tells what is not in its headers.
pub type Owned = (Vec<u8>, Vec<u8>);

/// A handful of requests for this configuration, each of another user.
#[must_use]
pub fn requests(config: &Value) -> Vec<Vec<Owned>> {
    let mut words = Words::default();
    words.gather(config);
    // Also not the same users for each configuration, or few would ever be tried.
    let first = config.to_string().len();
    (first..first + 4).map(|turn| words.request(turn)).collect()
}

/// What a configuration says about requests.
#[derive(Default)]
struct Words {
    /// Where a value stands, and what would meet the condition on it; `None` where no
    /// condition is, but a user.
    places: Vec<(Place, Option<String>)>,
    hosts: Vec<String>,
    methods: Vec<String>,
}

#[derive(PartialEq)]
enum Place {
    Header(String),
    Cookie(String),
    Query(String),
    Label(String, String),
    Claim(String),
    Source,
    Peer,
    Path,
    Method,
    Host,
}

impl Words {
    fn gather(&mut self, value: &Value) {
        let Value::Object(map) = value else {
            for child in value.as_array().into_iter().flatten() {
                self.gather(child);
            }
            return;
        };
        let text = |key: &str| map.get(key).and_then(Value::as_str).map(str::to_owned);
        let place = text("header")
            .map(Place::Header)
            .or_else(|| text("cookie").map(Place::Cookie))
            .or_else(|| text("query").map(Place::Query))
            .or_else(|| label(map.get("label")))
            .or_else(|| claim(map.get("jwtClaim")?).map(Place::Claim))
            .or_else(|| map.contains_key("sourceIp").then_some(Place::Source))
            .or_else(|| map.contains_key("peer").then_some(Place::Peer))
            .or_else(|| map.contains_key("path").then_some(Place::Path))
            .or_else(|| map.contains_key("method").then_some(Place::Method))
            .or_else(|| map.contains_key("host").then_some(Place::Host));
        if let Some(place) = place {
            let test = map.get("path").filter(|path| path.is_object());
            let word = word_for(test.unwrap_or(value));
            self.places.push((place, word));
        }
        for (list, key) in [(&mut self.hosts, "hosts"), (&mut self.methods, "methods")] {
            let items = map.get(key).and_then(Value::as_array).into_iter().flatten();
            list.extend(items.filter_map(Value::as_str).map(str::to_owned));
        }
        for child in map.values() {
            self.gather(child);
        }
    }

    /// Each turn takes other ones of the alternatives.
    fn request(&self, turn: usize) -> Vec<Owned> {
        let user = format!("user-{turn}");
        let of = |wanted: &Place| {
            let words = self.places.iter().filter(|(place, _)| place == wanted);
            let words: Vec<_> = words
                .map(|(_, word)| word.as_deref().unwrap_or(&user))
                .collect();
            words.get(turn % words.len().max(1)).copied()
        };
        let pick = |list: &[String]| list.get(turn % list.len().max(1)).cloned();
        let host = of(&Place::Host)
            .map(str::to_owned)
            .or_else(|| pick(&self.hosts));
        let host = host.unwrap_or_default().replace('*', "a");
        let method = of(&Place::Method)
            .map(str::to_owned)
            .or_else(|| pick(&self.methods));
        let method = method.unwrap_or_else(|| "GET".to_owned());
        let mut path = of(&Place::Path).unwrap_or("/").to_owned();
        let mut headers = Vec::new();
        let mut cookies = String::new();
        for (index, (place, word)) in self.places.iter().enumerate() {
            // Also without one or the other of them.
            if (index + turn).is_multiple_of(4) {
                continue;
            }
            let word = word.as_deref().unwrap_or(&user);
            match place {
                Place::Header(name) => headers.push((name.to_ascii_lowercase(), word.to_owned())),
                Place::Label(name, key) => {
                    headers.push((name.to_ascii_lowercase(), format!("a=b;{key}={word}")));
                }
                Place::Claim(name) => headers.push((format!("@{name}"), word.to_owned())),
                Place::Peer => {
                    headers.push(("@uri_san_peer_certificate".to_owned(), word.to_owned()))
                }
                Place::Source => headers.push(("@address".to_owned(), address_in(word))),
                Place::Cookie(name) => cookies.extend([name, "=", word, "; "]),
                Place::Query(key) => {
                    let mark = if path.contains('?') { "&" } else { "?" };
                    path.extend([mark, key, "=", word]);
                }
                Place::Path | Place::Method | Place::Host => {}
            }
        }
        headers.push(("@random".to_owned(), user.clone()));
        headers.push((":path".to_owned(), path));
        headers.push((":authority".to_owned(), host));
        headers.push((":method".to_owned(), method));
        headers.push(("cookie".to_owned(), cookies));
        let bytes = headers
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        bytes.collect()
    }
}

fn label(value: Option<&Value>) -> Option<Place> {
    let value = value?;
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    Some(Place::Label(text("header")?, text("key")?))
}

/// The last part of a claim's path.
fn claim(value: &Value) -> Option<String> {
    let last = value.as_array().map_or(Some(value), |path| path.last());
    last?.as_str().map(str::to_owned)
}

/// An address of a network, with a port.
fn address_in(network: &str) -> String {
    let address = network.split('/').next().unwrap_or_default();
    if address.contains(':') {
        format!("[{address}]:80")
    } else {
        format!("{address}:80")
    }
}

/// A value that the operator beside a source accepts, or may accept.
fn word_for(leaf: &Value) -> Option<String> {
    let operators = [
        "exact", "prefix", "suffix", "contains", "semver", "regex", "cidr",
    ];
    let word = operators
        .iter()
        .find_map(|operator| leaf.get(*operator)?.as_str());
    let first = |key: &str| leaf.get(key)?.get(0)?.as_str();
    let word = word.or_else(|| first("in")).or_else(|| first("cidr"));
    // Of `>=2.3.0` the version.
    let word = word.map(|word| word.trim_start_matches(['<', '>', '=', '^', '~', ' ']));
    let range = || Some(leaf.get("range")?.get("min")?.to_string());
    word.map(str::to_owned).or_else(range)
}
