//! The tests of the files in `istio/`, on one lab that starts with the first test and ends with
//! the last.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use divvy_istio_tests::lab::Lab;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::OnceCell;

mod edge;

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
                        Failed::from(format!("{error:?}\nlogs: {logs}"))
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
    let shared = Arc::new(Shared::default());
    let context = || (runtime.handle().clone(), Arc::clone(&shared));
    let trials = tests!(
        context(),
        [edge::a_thousand_users_land_where_the_library_says]
    );
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(shared);
    if conclusion.has_failed() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
