//! Requests of a browser with twenty header lines, identical for all variants.

use crate::traffic::Requests;

/// Number of users.
pub const USERS: usize = 64;

/// Name of a user.
#[must_use]
pub fn user(nth: usize) -> String {
    format!("user-{nth:04}")
}

const HEAD: &str = "\
host: shop.example.com
connection: keep-alive
cache-control: max-age=0
sec-ch-ua: \"Chromium\";v=\"142\", \"Not.A/Brand\";v=\"99\"
sec-ch-ua-mobile: ?0
sec-ch-ua-platform: \"Linux\"
upgrade-insecure-requests: 1
user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36
accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8
sec-fetch-site: same-origin
sec-fetch-mode: navigate
sec-fetch-user: ?1
sec-fetch-dest: document
referer: https://shop.example.com/search?q=lamp
accept-encoding: gzip, deflate, br, zstd
accept-language: en-GB,en;q=0.9,de;q=0.8
cookie: session=7d1f0c52a9e14f7f8a7c; theme=dark; consent=necessary
traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
x-app-version: 2.14.3
";

/// One request per user, named in a header, with additional header lines.
#[must_use]
pub fn of_users(extra: &[&str]) -> Requests {
    let request = |nth| {
        let mut text = format!("GET /checkout/cart?step=2 HTTP/1.1\n{HEAD}");
        text += &format!("x-user-id: {}\n", user(nth));
        for line in extra {
            text += line;
            text.push('\n');
        }
        text.push('\n');
        text.replace('\n', "\r\n").into_bytes()
    };
    (0..USERS).map(request).collect()
}

/// Requests without an identity.
#[must_use]
pub fn of_visitors() -> Requests {
    let request = |nth: usize| {
        // The same length as the others.
        let text = format!("GET /checkout/cart?step=2 HTTP/1.1\n{HEAD}x-visit: visit-{nth:04}\n\n");
        text.replace('\n', "\r\n").into_bytes()
    };
    (0..USERS).map(request).collect()
}
