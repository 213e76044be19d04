//! `divvy analyze`: results from logs whose lines the library's own decisions make.

mod chance;
mod hostile;
mod intervals;
mod joins;
mod results;
pub mod traffic;
