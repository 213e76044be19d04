//! The main function of test programs whose tests share one lab, which starts with the first test and ends with the
//! last one.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::OnceCell;

use crate::lab::{Lab, end_everything, signalled};

/// What the tests of a program share.
pub trait Common: Sized + Send + Sync + 'static {
    /// Starts it.
    fn start() -> impl Future<Output = Result<Self>>;

    /// The lab, whose folder is kept after a failure.
    fn lab(&self) -> &Lab;
}

impl Common for Lab {
    async fn start() -> Result<Lab> {
        Lab::start().await
    }

    fn lab(&self) -> &Lab {
        self
    }
}

/// Where the tests find what they share.
pub struct Shared<C> {
    handle: Handle,
    common: Arc<OnceCell<Result<C, String>>>,
}

impl<C> Clone for Shared<C> {
    fn clone(&self) -> Shared<C> {
        Shared {
            handle: self.handle.clone(),
            common: Arc::clone(&self.common),
        }
    }
}

impl<C: Common> Shared<C> {
    /// Runs a test.
    pub fn run(&self, test: impl AsyncFnOnce(&C) -> Result<()>) -> Result<(), Failed> {
        self.handle.block_on(async {
            let start = || async { C::start().await.map_err(|error| format!("{error:?}")) };
            let common = self.common.get_or_init(start).await;
            let common = common
                .as_ref()
                .map_err(|error| Failed::from(error.clone()))?;
            test(common).await.map_err(|error| {
                let lab = common.lab();
                lab.keep();
                Failed::from(format!("{error:#}\nlogs: {}", lab.dir().display()))
            })
        })
    }
}

/// The trials of test functions `module::test`, in this order.
#[macro_export]
macro_rules! trials {
    ($shared:expr, [$($test:path),* $(,)?]) => {
        vec![$({
            let shared = $shared.clone();
            libtest_mimic::Trial::test(stringify!($test), move || {
                shared.run(async |common| $test(common).await)
            })
        }),*]
    };
}

/// Runs the tests, one after the other: all of them use the namespaces of the shipped files.
pub fn run<C: Common>(trials: impl FnOnce(&Shared<C>) -> Vec<Trial>) -> ExitCode {
    let mut arguments = Arguments::from_args();
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
    let shared = Shared {
        handle: runtime.handle().clone(),
        common: Arc::default(),
    };
    let conclusion = libtest_mimic::run(&arguments, trials(&shared));
    drop(shared);
    if conclusion.has_failed() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
