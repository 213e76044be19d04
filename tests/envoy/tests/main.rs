//! The built filter in a real Envoy, in one binary. `setup.rs` is shared by all tests.
//!
//! | file | theme |
//! |---|---|
//! | `vectors.rs` | users land where the vectors and the library say |
//! | `cases.rs` | the table of decisions that the library is tested with |
//! | `decisions.rs` | modes, rules, scopes, several rollouts |
//! | `weighted.rs` | weighted versions, identities of single rollouts, conditions of `match`, certificates |
//! | `headers.rs` | what is written for upstreams, clients and logs |
//! | `expose.rs` | headers of single rollouts, identities, levels of metrics |
//! | `baggage.rs` | an assignment that applications forward as baggage |
//! | `traces.rs` | exported spans |
//! | `forged.rs` | reserved headers sent by clients |
//! | `failing.rs` | what users get when something is wrong |
//! | `spoofing/` | every header and cookie that clients can forge, in twelve ways |
//! | `signatures/` | keys, their rotation under load, forged cookies and overrides |
//! | `two_filters.rs` | two divvy filters in one chain |
//! | `tokens.rs` | JSON Web Tokens: what `jwt_authn` verifies and passes on |
//! | `bytes.rs` | requests that are not text |
//! | `reload.rs`, `start.rs` | pushes under load; good, bad and no configurations |
//! | `cut_off.rs` | plugin files that are incomplete |
//! | `access_log.rs` | lines of the shipped access log: keys, types, hostile bytes |
//! | `shipped.rs` | removed headers and access logs of the shipped files |
//! | `many_rollouts.rs`, `metrics.rs`, `responses.rs` | exact counts |
//! | `hot_restart.rs` | gauges of two processes |
//! | `unreachable.rs`, `aggregate.rs` | versions that Envoy cannot reach, without and with an aggregate cluster |
//! | `guardrail/` | verdicts: delay, causes, lifetime; ramps |
//! | `examples.rs`, `example_filters.rs` | the examples for users, with the requests of their page |
//! | `alternatives.rs` | Envoy's own splits, and the way from there |
//! | `results.rs` | the results of an A/B test from the access log |
//! | `converting.rs` | Envoy's routes before and after `divvy convert` |
//! | `verdicts.rs` | the command line and Envoy on the same text |
//! | `rendered.rs` | what `divvy init` and `divvy render envoy` write |
//! | `documents.rs` | configurations, errors and links of the documents |
//! | `native.rs` | which of these tests do not run with the native module |
//! | `lab/` | the lab itself |

mod access_log;
mod aggregate;
mod alternatives;
mod baggage;
mod bytes;
mod cases;
mod chain;
mod converting;
mod cut_off;
mod decisions;
mod documents;
mod example_filters;
mod examples;
mod expose;
mod failing;
mod forged;
mod guardrail;
mod headers;
mod hot_restart;
mod http3;
mod lab;
mod many_rollouts;
mod metrics;
mod module_files;
mod native;
mod people;
mod reference;
mod reload;
mod rendered;
mod responses;
mod results;
mod setup;
mod shipped;
mod signatures;
mod spoofing;
mod start;
mod tokens;
mod top;
mod traces;
mod two_filters;
mod ui;
mod unreachable;
mod vectors;
mod verdicts;
mod weighted;
