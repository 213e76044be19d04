//! The list of all warnings. CLI.md has an example and a remedy for each; a test compares the two lists.

use serde::Serialize;

/// A kind of warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A rule that never matches, or that an earlier rule covers.
    RuleNeverDecides,
    /// A name, path or method that no request has.
    NeverMatches,
    /// A header name with a dot.
    DottedHeader,
    /// A field that changes nothing.
    NoEffect,
    /// Tests of one layer that know users by different identities.
    LayerIdentities,
    /// Two experiments with one salt.
    SharedSalt,
    /// A guardrail that sees too few requests.
    TooFewRequests,
    /// A guardrail whose versions get no requests that count.
    NeverJudges,
    /// `unreachable` without effect.
    NeverUnreachable,
    /// A rollout that never owns the route.
    RouteNeverOwned,
    /// An assignment header that servers refuse.
    LongAssignment,
    /// An embedded configuration without text.
    EmptyConfiguration,
    /// A bootstrap whose configuration is in another file.
    ConfigurationElsewhere,
    /// A target without a cluster.
    NoCluster,
    /// A target without a route.
    NoRoute,
    /// Routes of which none reads the route header.
    RouteNotRead,
    /// Routes without one for requests that have no decision.
    NoDefaultRoute,
    /// A header of divvy that clients can send.
    NotStripped,
    /// A header that divvy reads and that is removed early.
    InputRemoved,
    /// A client that chooses its address.
    ClientAddress,
    /// A bootstrap without `stats_tags`.
    NoStatsTags,
    /// A bootstrap without `node`.
    NoNode,
    /// A wasm file that does not exist.
    NoWasmFile,
    /// An extension that no filter asks for by its name.
    OtherExtension,
    /// A gRPC filter that hides trailers.
    HiddenTrailers,
    /// `trust.workload` without effect.
    WorkloadTrust,
    /// A configuration that needs keys, in a plugin that gets none.
    NoKeys,
    /// Keys in the plugin.
    WrittenKeys,
    /// A cookie without a signature beside signed values.
    Unsigned,
    /// Units of a test that change with a rotation.
    UnitKey,
    /// Two divvy filters for the same requests.
    SeveralFilters,
}

impl Kind {
    /// All kinds, in the order of CLI.md.
    pub const ALL: [Self; 31] = [
        Self::RuleNeverDecides,
        Self::NeverMatches,
        Self::DottedHeader,
        Self::NoEffect,
        Self::LayerIdentities,
        Self::SharedSalt,
        Self::TooFewRequests,
        Self::NeverJudges,
        Self::NeverUnreachable,
        Self::RouteNeverOwned,
        Self::LongAssignment,
        Self::EmptyConfiguration,
        Self::ConfigurationElsewhere,
        Self::NoCluster,
        Self::NoRoute,
        Self::RouteNotRead,
        Self::NoDefaultRoute,
        Self::NotStripped,
        Self::InputRemoved,
        Self::ClientAddress,
        Self::NoStatsTags,
        Self::NoNode,
        Self::NoWasmFile,
        Self::OtherExtension,
        Self::HiddenTrailers,
        Self::WorkloadTrust,
        Self::NoKeys,
        Self::WrittenKeys,
        Self::Unsigned,
        Self::UnitKey,
        Self::SeveralFilters,
    ];

    /// Its name in output, such as `no-route`.
    pub fn name(self) -> String {
        let json = serde_json::to_value(self).unwrap_or_default();
        json.as_str().unwrap_or_default().to_owned()
    }
}
