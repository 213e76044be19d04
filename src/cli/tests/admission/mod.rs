//! `divvy admission`: the protocol of the API server, hostile clients, certificates, and the end.

mod certificate;
mod hostile;
pub mod lab;
mod protocol;
