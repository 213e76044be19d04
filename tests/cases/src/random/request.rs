//! Random requests.

use serde_json::{Value, json};

use super::{HEADERS, HOSTS, METHODS, PATHS, Random, USERS, WORDS};

impl Random {
    /// A request with what the proxy knows about it.
    pub fn request(&mut self) -> RandomRequest {
        let mut path = self.pick(&PATHS).to_owned();
        let tokens = self.one_in(3).then(|| self.tokens());
        let place = self.below(3);
        if self.one_in(2) {
            path = format!(
                "{path}?q={}&uid={}",
                self.pick(&WORDS),
                self.pick(&["bob", "carol%20"])
            );
        }
        let tokens = tokens.as_deref();
        let in_place = |number| tokens.filter(|_| place == number);
        if let Some(tokens) = in_place(0) {
            let sign = if path.contains('?') { '&' } else { '?' };
            path = format!("{path}{sign}ov={tokens}");
        }
        let mut headers = vec![
            (":authority".to_owned(), self.pick(&HOSTS).to_owned()),
            (":path".to_owned(), path),
            (":method".to_owned(), self.pick(&METHODS).to_owned()),
            (":scheme".to_owned(), "http".to_owned()),
        ];
        let others = in_place(1).map(|tokens| ("x-ov", tokens.to_owned()));
        let others = others.or(in_place(2).map(|tokens| ("cookie", format!("ov={tokens}"))));
        headers.extend(others.map(|(name, value)| (name.to_owned(), value)));
        for name in HEADERS {
            for _ in 0..self.below(3) {
                let value = if self.one_in(2) {
                    self.pick(&USERS)
                } else {
                    self.pick(&WORDS)
                };
                headers.push((name.to_owned(), value.to_owned()));
            }
        }
        if self.one_in(2) {
            let cookie = format!("ring={}; uid={}", self.pick(&WORDS), self.pick(&USERS));
            headers.push(("cookie".to_owned(), cookie));
        }
        if self.one_in(3) {
            headers.push((
                "x-label".to_owned(),
                format!(
                    "a=b;k={}{}",
                    self.pick(&WORDS),
                    self.pick(&["", ";v=v9", ";; w =v9;x"])
                ),
            ));
        }
        // What a client may forge, and what a proxy upstream has decided.
        if self.one_in(3) {
            let forged = [
                "x-divvy-route",
                "x-route",
                "x-group",
                "x-divvy-mirror",
                "x-divvy-unit",
            ];
            headers.push((self.pick(&forged).to_owned(), "v2".to_owned()));
        }
        if self.one_in(3) {
            let members = [
                "r0=v2;reason=split",
                "r1=v1;reason=rule, r9=x;reason=split",
                "r0=v9",
                "?",
            ];
            headers.push((
                "x-divvy-assignment".to_owned(),
                self.pick(&members).to_owned(),
            ));
        }
        if self.one_in(3) {
            let members = [
                "a=1;p, b=2",
                "divvy=r0%3Dv2%3Breason%3Dsplit",
                "a=1,divvy=r1%3Dv1%3Breason%3Drule%2C+r9%3Dx",
                "%64ivvy=?, ,",
            ];
            for _ in 0..=self.below(2) {
                headers.push(("baggage".to_owned(), self.pick(&members).to_owned()));
            }
        }
        RandomRequest {
            headers,
            claims: self.one_in(2).then(|| json!({"realm": {"sub": self.pick(&USERS)}, "groups": [self.pick(&WORDS), "ab1"]})),
            source: self.pick(&["10.1.2.3", "192.0.2.9", "2001:db8:1:2::9"]),
            peer: self.one_in(2).then(|| self.pick(&["spiffe://td/ns/edge/sa/gw", "spiffe://td/ns/x/sa/y"])),
        }
    }
}

/// A request with what the proxy knows about it.
#[derive(Debug)]
pub struct RandomRequest {
    /// Headers, pseudo-headers first.
    pub headers: Vec<(String, String)>,
    /// Claims of the verified token.
    pub claims: Option<Value>,
    /// Address of the client, without port.
    pub source: &'static str,
    /// URI in the certificate of the peer.
    pub peer: Option<&'static str>,
}
