//! Prints random configurations with requests, for tests that compare two builds of the command line:
//! `cargo run --package divvy-cases --example samples -- [CONFIGURATIONS] [REQUESTS] [SEED]`
//!
//! Each line is a JSON object: `config`, which may be invalid, and `requests` as `divvy explain --batch` reads them.

use divvy_cases::random::{Random, RandomRequest};
use serde_json::{Value, json};

/// The instant of `divvy_cases::random::NOW`.
const AT: &str = "2026-12-07T12:00:00Z";

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| {
        let number = argument.parse::<u64>();
        number.unwrap_or_else(|_| panic!("{argument} is not a number"))
    });
    let mut next = |default| arguments.next().unwrap_or(default);
    let (configurations, requests, seed) = (next(100), next(10), next(1));
    let mut random = Random::new(seed);
    for _ in 0..configurations {
        let config = random.any_config();
        let lines = (0..requests).map(|_| {
            let bits = (random.bits(), random.bits());
            line(&random.request(), bits)
        });
        println!(
            "{}",
            json!({"config": config, "requests": lines.collect::<Vec<_>>()})
        );
    }
}

/// A request as a line of `divvy explain --batch`.
fn line(request: &RandomRequest, bits: (u64, u64)) -> Value {
    let (pseudo, headers): (Vec<_>, Vec<_>) = request
        .headers
        .iter()
        .partition(|(name, _)| name.starts_with(':'));
    let of = |wanted: &str| {
        let mut pseudo = pseudo.iter().filter(|(name, _)| name == wanted);
        pseudo.next().map_or("", |(_, value)| value)
    };
    let url = format!("{}://{}{}", of(":scheme"), of(":authority"), of(":path"));
    json!({
        "request": format!("{} {url}", of(":method")),
        "headers": headers,
        "claims": request.claims,
        "sourceIp": request.source,
        "peer": request.peer,
        "at": AT,
        "random": format!("{:016x}{:016x}", bits.0, bits.1),
    })
}
