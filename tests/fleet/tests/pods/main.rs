//! Tests with pods: engines that drive a release over Deployments. They need a network namespace.

use std::process::ExitCode;

use divvy_istio_tests::pods::Pods;
use divvy_istio_tests::{command, harness, namespace, trials};

mod argo;
mod engine;
mod flagger;
mod lab;
mod load;
mod top;

fn main() -> ExitCode {
    if command::is_meant() {
        return divvy_cli::main();
    }
    if let Err(error) = namespace::enter() {
        eprintln!("{error:#}");
        return ExitCode::FAILURE;
    }
    harness::run::<Pods>(|shared| {
        trials!(
            shared,
            [
                lab::a_canary_gets_its_share_of_users_on_the_pods_of_two_deployments,
                top::top_shows_the_proxies_of_a_selector_through_kubectl,
                argo::plugin::the_plugin_edits_each_kind_of_object_and_survives_conflicts,
                argo::manifests::the_role_allows_what_the_plugin_does_and_nothing_else,
                argo::manifests::the_api_server_takes_the_application_of_argo_cd,
                argo::a_release_adds_users_step_by_step_and_fails_no_request,
                argo::a_bad_build_is_withdrawn_and_the_next_one_starts_clean,
                argo::a_proxy_without_the_weight_halts_the_release_until_the_repair,
                argo::blue_green_moves_all_users_at_once_and_back,
                flagger::flagger_promotes_a_good_build_and_no_build_without_traffic_or_with_errors,
            ]
        )
    })
}
