//! Several divvy filters in one filter chain of the proxy.
//!
//! A filter removes or replaces all reserved headers that arrive, because clients forge them, but
//! those of an earlier divvy filter of the chain have to stay. So each filter writes the names of its
//! headers into a property of the stream, which no client can set. It ends with the stream, and with
//! an internal redirect, after which the headers count as a client's again.
//!
//! Writing and reading cost a host call each, so a filter does neither while it is the only plugin of
//! the process.

use std::cell::OnceCell;

use super::host::{Exchange, Message};
use crate::output;
use crate::policy::Policy;

/// The headers of one message that other divvy filters of the chain wrote.
pub struct ChainHeaders<'a, X> {
    exchange: &'a X,
    message: Message,
    /// Number of plugins of the process.
    plugins: usize,
    /// Their names, a line each.
    names: OnceCell<Vec<u8>>,
}

impl<'a, X: Exchange> ChainHeaders<'a, X> {
    /// The headers of this message; none if the process has one plugin.
    pub const fn new(exchange: &'a X, message: Message, plugins: usize) -> Self {
        Self {
            exchange,
            message,
            plugins,
            names: OnceCell::new(),
        }
    }

    /// Whether another divvy filter wrote this header.
    pub fn contains(&self, header: &str) -> bool {
        let written = || self.names().split(|byte| *byte == b'\n');
        self.plugins > 1 && written().any(|name| name == header.as_bytes())
    }

    /// The value of this header if another divvy filter wrote it, in one line.
    pub fn value(&self, header: &str) -> Option<Vec<u8>> {
        if self.plugins < 2 {
            return None;
        }
        let value = self.exchange.first_line(self.message, header)?;
        self.contains(header).then_some(value)
    }

    /// Notes that this filter wrote headers of these names, a line each.
    pub fn add(&self, names: &str) {
        if self.plugins < 2 {
            return;
        }
        // A third filter also needs the names of the first one.
        let mut all = names.as_bytes().to_vec();
        if self.plugins > 2 && !self.names().is_empty() {
            all.push(b'\n');
            all.extend_from_slice(self.names());
        }
        self.exchange.set_chain_headers(self.message, &all);
    }

    fn names(&self) -> &Vec<u8> {
        let read = || self.exchange.chain_headers(self.message);
        self.names.get_or_init(|| read().unwrap_or_default())
    }
}

/// Names of the headers of requests and of responses that only this filter writes, and of its entries
/// in headers of others: a line each.
pub fn header_names(policy: &Policy) -> [Box<str>; 2] {
    let mut request = String::new();
    for header in output::stripped(policy) {
        add_line(&mut request, &header.name);
    }
    for entry in &policy.own_entries {
        add_line(&mut request, &entry.name);
    }
    let mut response = String::new();
    for name in &policy.response_headers {
        add_line(&mut response, name);
    }
    [request.into(), response.into()]
}

fn add_line(lines: &mut String, line: &str) {
    if !lines.is_empty() {
        lines.push('\n');
    }
    lines.push_str(line);
}
