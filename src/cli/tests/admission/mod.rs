//! `divvy admission`: the protocol of the API server, hostile clients, certificates, and the end.

mod certificate;
mod hostile;
mod lab;
mod protocol;
