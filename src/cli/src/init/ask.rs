//! Questions in a terminal. Must not depend on how the answers are used.

use std::io::{BufRead, Write};

use anyhow::{Result, bail};
use clap::ValueEnum as _;

use super::{InitArgs, Platform};
use crate::convert::choice::IdentityChoice;

/// Asks questions and reads answers, one per line.
#[derive(Debug)]
pub struct Questions<R, W> {
    answers: R,
    out: W,
}

impl<R: BufRead, W: Write> Questions<R, W> {
    /// Reads answers here, and writes questions there.
    pub fn new(answers: R, out: W) -> Self {
        Self { answers, out }
    }

    /// Asks until an answer has a value. An empty answer stands for the default.
    fn ask<T>(
        &mut self,
        question: &str,
        default: &str,
        value: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T> {
        loop {
            write!(self.out, "{question} [{default}]: ")?;
            self.out.flush()?;
            let mut answer = String::new();
            if self.answers.read_line(&mut answer)? == 0 {
                bail!("no answer");
            }
            let answer = match answer.trim() {
                "" => default,
                answer => answer,
            };
            match value(answer) {
                Ok(value) => return Ok(value),
                Err(message) => writeln!(self.out, "{answer:?}: {message}")?,
            }
        }
    }
}

impl InitArgs {
    /// Asks for what the flags do not say.
    pub fn ask<R: BufRead, W: Write>(&mut self, questions: &mut Questions<R, W>) -> Result<()> {
        if self.name.is_none() {
            let name = |text: &str| Ok(text.to_owned());
            self.name = Some(questions.ask("Name of the service", "service", name)?);
        }
        if self.identity.is_empty() && !self.random {
            let question = "Where is the user's identity? header:NAME, cookie:NAME, query:NAME, jwt:CLAIM; several with \
                            commas; or random, a draw per request";
            let sources = |text: &str| {
                let words = text.split(',').map(str::trim);
                let words: Vec<&str> = words.filter(|word| *word != "random").collect();
                let sources: Result<Vec<IdentityChoice>, _> =
                    words.into_iter().map(str::parse).collect();
                Ok((
                    sources?,
                    text.split(',').any(|word| word.trim() == "random"),
                ))
            };
            let (sources, random) = questions.ask(question, "header:x-user-id", sources)?;
            (self.identity, self.random) = (sources, random);
        }
        if self.versions.is_empty() {
            let versions = |text: &str| {
                let names = text.split(',').map(|name| name.trim().to_owned());
                let names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
                match names.len() {
                    0 | 1 => Err("two versions are required".to_owned()),
                    _ => Ok(names),
                }
            };
            self.versions = questions.ask("Versions, with commas", "v1,v2", versions)?;
        }
        if self.stable.is_none() {
            let first = self.versions.first().cloned().unwrap_or_default();
            let known = self.versions.clone();
            let stable = |text: &str| match known.iter().any(|known| known == text) {
                true => Ok(text.to_owned()),
                false => Err(format!("is not one of {}", known.join(", "))),
            };
            let question = "Stable, the version for every case of doubt";
            self.stable = Some(questions.ask(question, &first, stable)?);
        }
        if self.platform.is_none() {
            let platform = |text: &str| {
                Platform::from_str(text, true).map_err(|_| "is not envoy or istio".to_owned())
            };
            self.platform = Some(questions.ask("Platform, envoy or istio", "envoy", platform)?);
        }
        Ok(())
    }
}
