//! Tests of the files in `istio/`, on one lab that starts with the first test and ends with the
//! last one.

use std::process::ExitCode;

use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::{command, harness, trials};

mod admission;
mod changing;
mod converting;
mod demo;
mod edge;
mod examples;
mod failing;
mod files;
mod mesh;
mod migrating;
mod native;
mod overlays;
mod rendered;
mod signed;
mod traces;
mod two_plugins;

fn main() -> ExitCode {
    if command::is_meant() {
        return divvy_cli::main();
    }
    harness::run::<Lab>(|shared| {
        trials!(
            shared,
            [
                edge::a_thousand_users_get_the_version_that_the_library_computes,
                edge::a_forged_route_header_has_no_effect,
                edge::the_mesh_configuration_gives_metrics_their_labels,
                two_plugins::two_plugins_of_one_gateway_agree_in_both_orders,
                overlays::changing_the_active_version_moves_all_users,
                overlays::an_ab_test_gives_each_user_an_arm_and_each_visitor_an_identity,
                overlays::stable_serves_the_users_of_a_version_without_healthy_hosts,
                overlays::a_step_with_a_gate_lasts_until_divvy_promote_passes_it,
                signed::keys_from_a_secret_sign_cookies_and_overrides,
                signed::without_valid_keys_the_log_says_what_is_missing_and_stable_serves,
                mesh::a_gateway_does_not_trust_its_clients_as_a_workload,
                mesh::payments_follow_the_decision_of_the_gateway_about_the_checkout,
                mesh::applications_that_forward_baggage_alone_carry_the_decision_on,
                migrating::weights_of_a_mesh_service_become_a_canary_in_the_sidecars_of_its_callers,
                migrating::three_weighted_destinations_become_a_version_for_each_user,
                converting::virtual_services::virtual_services_answer_alike_before_and_after,
                converting::http_routes::http_routes_answer_alike_before_and_after,
                converting::argo::steps_of_argo_answer_alike_before_and_after,
                converting::flagger::steps_of_flagger_answer_alike_before_and_after,
                converting::ingress_nginx::canaries_of_ingress_nginx_answer_alike_before_and_after,
                examples::a_mirror_copies_requests_of_stable_users_and_its_responses_are_ignored,
                examples::one_route_with_cluster_header_serves_every_version,
                examples::a_traffic_extension_works_like_a_wasm_plugin,
                examples::a_claim_of_a_verified_token_is_the_identity,
                examples::routes_of_the_gateway_api_work_with_divvy,
                native::the_native_module_gives_users_the_versions_of_the_plugin,
                rendered::the_resources_of_a_gateway_split_and_have_no_findings,
                rendered::the_resources_of_callers_split_in_their_sidecars,
                changing::no_request_fails_during_flips_under_load_with_an_agent,
                changing::no_request_fails_during_flips_under_load_without_an_agent,
                changing::a_verdict_survives_a_new_configuration_with_an_agent,
                changing::a_verdict_survives_a_new_configuration_without_an_agent,
                changing::an_invalid_configuration_leaves_the_running_one_in_place,
                failing::a_new_pod_without_the_image_follows_the_fail_strategy,
                failing::a_running_pod_with_an_absent_image_follows_the_fail_strategy,
                failing::without_the_registry_running_pods_decide_and_accept_changes,
                failing::without_istiod_running_pods_decide,
                failing::an_invalid_configuration_fails_no_request_under_any_fail_strategy,
                failing::with_strict_a_new_pod_with_an_invalid_configuration_refuses_all_requests,
                failing::after_a_trap_requests_bypass_the_filter_under_fail_open,
                failing::after_a_trap_all_requests_are_refused_under_fail_close,
                failing::after_a_trap_the_filter_starts_again_under_fail_reload,
                traces::an_exported_span_of_the_gateway_has_the_version,
                files::the_api_server_accepts_every_file,
                files::istioctl_analyze_finds_nothing_in_any_overlay,
                files::the_image_is_reproducible,
                files::an_image_can_be_pulled_by_digest,
                files::dropping_a_proxy_ends_its_envoy,
                admission::kubectl_is_refused_with_the_message_of_check,
                demo::the_demo_serves_the_shop_and_ends_all_its_processes,
            ]
        )
    })
}
