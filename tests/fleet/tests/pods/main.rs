//! Tests with pods: engines that drive a release over Deployments. They need root, for a network namespace.

use std::process::ExitCode;

use divvy_istio_tests::pods::Pods;
use divvy_istio_tests::{harness, namespace, trials};

mod lab;

fn main() -> ExitCode {
    if let Err(error) = namespace::enter() {
        eprintln!("{error:#}");
        return ExitCode::FAILURE;
    }
    harness::run::<Pods>(|shared| {
        trials!(
            shared,
            [lab::a_canary_gets_its_share_of_users_on_the_pods_of_two_deployments]
        )
    })
}
