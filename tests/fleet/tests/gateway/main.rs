//! Tests of `envoy/gateway` on a real Envoy Gateway, which runs without Kubernetes and starts a real Envoy. They need
//! root, for a network namespace: its ports are fixed.

use std::process::ExitCode;
use std::sync::Arc;

use divvy_istio_tests::lab::{end_everything, signalled};
use divvy_istio_tests::{command, namespace};
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

mod lab;
mod requests;
mod starts;

use lab::Gateway;

fn main() -> ExitCode {
    if command::is_meant() {
        return divvy_cli::main();
    }
    let runtime = namespace::enter().and_then(|()| Ok(Runtime::new()?));
    let runtime = match runtime {
        Ok(runtime) => Arc::new(runtime),
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    runtime.spawn(async {
        let _ = signalled().await;
        end_everything();
        std::process::exit(130);
    });
    let shared: Arc<OnceCell<Result<Gateway, String>>> = Arc::default();
    macro_rules! trials {
        ($($test:path),* $(,)?) => {
            vec![$({
                let (shared, runtime) = (Arc::clone(&shared), Arc::clone(&runtime));
                Trial::test(stringify!($test), move || {
                    runtime.block_on(async {
                        let start = || async { Gateway::start().await.map_err(|error| format!("{error:?}")) };
                        let gateway = shared.get_or_init(start).await;
                        let gateway = gateway.as_ref().map_err(|error| Failed::from(error.clone()))?;
                        $test(gateway).await.map_err(|error| {
                            Failed::from(format!("{error:#}\n{}", gateway.log_end()))
                        })
                    })
                })
            }),*]
        };
    }
    let trials = trials![
        requests::the_split_is_that_of_the_library,
        requests::a_forged_route_header_has_no_effect,
        requests::applications_get_the_assignment_and_not_the_route,
        requests::grpc_is_split_too,
        requests::the_labels_of_metrics_are_tags,
        requests::a_change_under_load_fails_no_request,
        requests::a_refused_configuration_holds_up_the_listener_until_it_is_repaired,
        starts::the_filter_comes_from_a_web_server_too,
        starts::an_envoy_that_starts_with_a_refused_configuration_serves_stable,
    ];
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(shared);
    if conclusion.has_failed() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
