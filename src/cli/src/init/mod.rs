//! `divvy init`: a first configuration, from flags or from answers in a terminal.

mod ask;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use minijinja::context;

use crate::convert::choice::{Choices, IdentityChoice};
use crate::limits;
use crate::manifest::{list, object, template, yaml};
use crate::output::Format;
use crate::place::write_atomically;
use crate::source::LoadedConfig;
use crate::warnings;
pub use ask::Questions;

const TEMPLATE: &str = include_str!("init.yaml");

/// Arguments of `divvy init`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Asks for what no flag says, if it runs in a terminal.

Examples:
  divvy init --identity header:x-user-id --versions v1,v2 --platform envoy > target/divvy.yaml
  divvy init --identity cookie:shop_user --identity jwt:sub --versions blue,green --stable blue \\
    --platform istio --name checkout --into target/checkout.yaml")]
pub struct InitArgs {
    /// Where the user's identity is: header:NAME, cookie:NAME, query:NAME or jwt:CLAIM; the first that has one counts
    #[arg(long, value_name = "SOURCE")]
    pub identity: Vec<IdentityChoice>,
    /// Draws a version for each request, as weights do; with --identity only for requests without one
    #[arg(long)]
    pub random: bool,
    /// Names of the versions
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub versions: Vec<String>,
    /// The version for every case of doubt; by default the first
    #[arg(long, value_name = "NAME")]
    pub stable: Option<String>,
    /// What the configuration is for
    #[arg(long, value_enum)]
    pub platform: Option<Platform>,
    /// Name of the rollout; on Istio by default that of the service
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Percent of the users who get the new version
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = limits::percent)]
    pub weight: f64,
    /// Writes the configuration to a file that does not exist
    #[arg(long, value_name = "FILE")]
    pub into: Option<PathBuf>,
}

/// What a configuration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Platform {
    /// An Envoy with a bootstrap of its own
    Envoy,
    /// Istio
    Istio,
}

/// Runs the verb.
pub fn run(args: &InitArgs, format: Format) -> Result<ExitCode> {
    if format == Format::Json {
        bail!("init prints YAML with comments: --output json has no effect here");
    }
    let mut args = args.clone();
    // A link to a file that does not exist is not replaced either.
    if let Some(file) = args
        .into
        .as_ref()
        .filter(|file| file.symlink_metadata().is_ok())
    {
        bail!("{} exists: init does not replace it", file.display());
    }
    if !args.missing().is_empty() {
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            let all = args.missing().join(", ");
            bail!(
                "there is no terminal to ask in, and these flags are missing: {all}. For example: divvy init \
                 --identity header:x-user-id --versions v1,v2 --platform envoy"
            );
        }
        let mut questions = Questions::new(io::stdin().lock(), anstream::stderr().lock());
        args.ask(&mut questions)?;
    }
    let text = args.text()?;
    match &args.into {
        None => anstream::stdout().lock().write_all(text.as_bytes())?,
        Some(file) => {
            write_atomically(file, &text)?;
            anstream::eprintln!(
                "wrote {}, whose first lines have the next commands",
                file.display()
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl InitArgs {
    /// The flags without which there is no configuration.
    fn missing(&self) -> Vec<&'static str> {
        let flags = [
            (
                "--identity (or --random)",
                self.identity.is_empty() && !self.random,
            ),
            ("--versions", self.versions.is_empty()),
            ("--platform", self.platform.is_none()),
        ];
        let missing = flags.into_iter().filter(|(_, is_missing)| *is_missing);
        missing.map(|(flag, _)| flag).collect()
    }

    /// The configuration, which passes `divvy check --strict`.
    fn text(&self) -> Result<String> {
        let stable = self.stable.as_ref().or(self.versions.first());
        let Some(stable) = stable.filter(|stable| self.versions.contains(stable)) else {
            let stable = self.stable.as_deref().unwrap_or_default();
            bail!(
                "--stable {stable}: is not one of the versions {}",
                self.versions.join(", ")
            );
        };
        let mut others = self.versions.iter().filter(|version| *version != stable);
        let Some(canary) = others.next() else {
            bail!("--versions: two versions are required, such as v1,v2");
        };
        let choices = Choices {
            identity: self.identity.clone(),
            random: self.random,
            ..Choices::default()
        };
        let versions = self.versions.iter();
        let versions = versions.map(|version| object([("name", (&**version).into())]));
        let file = self.into.as_ref().map_or_else(
            || "divvy.yaml".to_owned(),
            |file| file.display().to_string(),
        );
        let text = template::fill(
            TEMPLATE,
            context! {
                name => self.name.as_deref().unwrap_or("service"),
                file => template::comment(&file),
                platform => match self.platform {
                    Some(Platform::Istio) => "istio",
                    _ => "envoy",
                },
                draws_all => self.random && self.identity.is_empty(),
                identity => template::lines(yaml::block(&choices.identity(), 2)),
                versions => template::lines(yaml::block(&list(versions), 6)),
                stable => stable.as_str(),
                canary => canary.as_str(),
                weight => template::lines(self.weight.to_string()),
            },
        )?;
        check(&text)?;
        Ok(text)
    }
}

/// Refuses what `divvy check --strict` would report: the flags have values that cannot be.
fn check(text: &str) -> Result<()> {
    let (file, found) = LoadedConfig::find_in(text, None)?;
    let loaded = LoadedConfig::new(&found.bytes)?;
    let examined = warnings::Examined {
        file: 0,
        file_name: file.name,
        found,
        policy: loaded.policy,
        raw: loaded.raw,
    };
    let found = warnings::find(&examined, &warnings::Surroundings::default(), None);
    match found.first() {
        Some(warning) => bail!("{}: {}", warning.path, warning.message),
        None => Ok(()),
    }
}
