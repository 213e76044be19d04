//! A progress bar on a terminal, shown after one second; WebAssembly has no terminal. Must not depend on other modules.

#[cfg(not(target_family = "wasm"))]
use std::{
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

#[cfg(not(target_family = "wasm"))]
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A progress bar. Without a total it counts bytes.
pub struct Progress {
    #[cfg(not(target_family = "wasm"))]
    bar: ProgressBar,
    #[cfg(not(target_family = "wasm"))]
    started: Instant,
}

#[cfg(not(target_family = "wasm"))]
impl Progress {
    pub fn new(total: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        let template = match total {
            Some(_) => "{wide_bar} {percent} %, {eta} left",
            None => "{bytes} read, {elapsed}",
        };
        let style = ProgressStyle::with_template(template);
        Self {
            bar: style.map_or(bar.clone(), |style| bar.with_style(style)),
            started: Instant::now(),
        }
    }

    pub fn show(&mut self, position: u64) {
        if self.bar.is_hidden()
            && self.started.elapsed() > Duration::from_secs(1)
            && io::stderr().is_terminal()
        {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_position(position);
    }

    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(target_family = "wasm")]
impl Progress {
    pub const fn new(_: Option<u64>) -> Self {
        Self {}
    }

    pub const fn show(&mut self, _: u64) {}

    pub const fn finish(self) {}
}
