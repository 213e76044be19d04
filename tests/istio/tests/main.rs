//! The tests of the files in `istio/`, on one lab that starts with the first test and ends with
//! the last.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use divvy_istio_tests::lab::{Lab, end_everything, signalled};
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::OnceCell;

mod changing;
mod demo;
mod edge;
mod examples;
mod failing;
mod files;
mod mesh;
mod overlays;

/// The lab, once somebody needs it.
#[derive(Default)]
struct Shared(OnceCell<Result<Lab, String>>);

impl Shared {
    async fn lab(&self) -> Result<&Lab, Failed> {
        let start = || async { Lab::start().await.map_err(|error| format!("{error:?}")) };
        let lab = self.0.get_or_init(start).await;
        lab.as_ref().map_err(|error| Failed::from(error.clone()))
    }
}

/// A test, by the name of its function.
macro_rules! tests {
    ($context:expr, [$($module:ident :: $test:ident),* $(,)?]) => {
        vec![$({
            let (handle, shared): (Handle, Arc<Shared>) = $context;
            Trial::test(concat!(stringify!($module), "::", stringify!($test)), move || {
                handle.block_on(async {
                    let lab = shared.lab().await?;
                    let outcome: Result<()> = $module::$test(lab).await;
                    outcome.map_err(|error| {
                        lab.keep();
                        let logs = lab.dir().display();
                        Failed::from(format!("{error:#}\nlogs: {logs}"))
                    })
                })
            })
        }),*]
    };
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // The shipped files name their namespaces, so two tests at a time would be in each other's way.
    arguments.test_threads = Some(1);
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.spawn(async {
        let _ = signalled().await;
        end_everything();
        std::process::exit(130);
    });
    let shared = Arc::new(Shared::default());
    let context = || (runtime.handle().clone(), Arc::clone(&shared));
    let trials = tests!(
        context(),
        [
            edge::a_thousand_users_land_where_the_library_says,
            edge::forged_headers_choose_nothing,
            edge::the_mesh_configuration_makes_labels_of_the_names,
            overlays::blue_and_green_change_places_with_one_word,
            overlays::an_ab_test_gives_each_user_an_arm_and_visitors_a_name,
            mesh::payments_follow_what_the_gateway_decided_about_the_checkout,
            examples::a_mirror_copies_what_stable_users_read_and_answers_nobody,
            examples::one_route_with_a_cluster_header_serves_every_version,
            examples::a_traffic_extension_does_what_a_wasm_plugin_does,
            examples::routes_of_the_gateway_api_follow_divvy_too,
            examples::a_verified_token_says_who_the_user_is,
            changing::flips_under_load_fail_no_request_with_an_agent,
            changing::flips_under_load_fail_no_request_without_an_agent,
            changing::a_verdict_outlives_a_change_with_an_agent,
            changing::a_verdict_outlives_a_change_without_an_agent,
            changing::a_bad_configuration_changes_nothing_where_a_good_one_is_in_force,
            failing::a_new_pod_without_the_image_serves_stable_under_fail_open,
            failing::a_new_pod_without_the_image_refuses_everybody_under_fail_close,
            failing::a_new_pod_without_the_image_refuses_everybody_under_fail_reload,
            failing::a_running_pod_that_is_told_of_an_absent_image_serves_stable_under_fail_open,
            failing::a_running_pod_that_is_told_of_an_absent_image_refuses_everybody_under_fail_close,
            failing::a_running_pod_that_is_told_of_an_absent_image_refuses_everybody_under_fail_reload,
            failing::a_mistake_costs_nobody_an_answer_under_any_fail_strategy,
            failing::with_strict_a_new_pod_refuses_everybody_for_a_mistake,
            failing::with_the_registry_down_running_pods_decide_and_take_changes,
            failing::with_istiod_down_running_pods_decide_on,
            failing::a_trapped_filter_is_passed_by_under_fail_open,
            failing::a_trapped_filter_refuses_everybody_under_fail_close,
            failing::a_trapped_filter_comes_back_under_fail_reload,
            files::the_api_server_takes_every_file,
            files::istioctl_analyze_finds_nothing_in_any_overlay,
            files::the_image_is_the_same_whenever_it_is_made,
            files::an_image_by_its_digest_is_pulled,
            demo::it_shows_the_shop_and_leaves_nothing_behind,
            files::a_proxy_that_is_dropped_takes_its_envoy_with_it,
        ]
    );
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(shared);
    if conclusion.has_failed() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
