//! divvy
