//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

/// What `--help` prints.
pub const USAGE: &str = "\
usage: divvy-demo [--config FILE] [--func-e PATH] [--check]

  --config FILE   serve and watch this configuration (default: envoy/divvy.yaml)
  --func-e PATH   let this func-e start Envoy
  --check         send the commands of the tour, print them, stop

ENVOY names the Envoy to run; without it the one that `make envoy` fetched runs.";

const SHIPPED_CONFIG: &str = "envoy/divvy.yaml";

/// A run to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Args {
    /// The divvy configuration that is served and watched.
    pub config: PathBuf,
    /// Who starts Envoy, if not we.
    pub func_e: Option<PathBuf>,
    /// Stop after the tour.
    pub check: bool,
}

impl Args {
    /// `Ok(None)` when help was asked for.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Option<Args>, String> {
        let mut parsed = Args {
            config: SHIPPED_CONFIG.into(),
            func_e: None,
            check: false,
        };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.to_str() {
                Some("-h" | "--help") => return Ok(None),
                Some("--check") => parsed.check = true,
                Some("--config") => {
                    parsed.config = args.next().ok_or("--config takes a file")?.into();
                }
                Some("--func-e") => {
                    parsed.func_e = Some(args.next().ok_or("--func-e takes a path")?.into());
                }
                _ => return Err(format!("unknown argument {}", arg.display())),
            }
        }
        Ok(Some(parsed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Option<Args>, String> {
        Args::parse(args.iter().map(OsString::from))
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let args = parse(&[]).unwrap().unwrap();
        assert_eq!(args.config, PathBuf::from(SHIPPED_CONFIG));
        assert_eq!((args.func_e, args.check), (None, false));
        let all = ["--check", "--config", "a", "--func-e", "b"];
        let args = parse(&all).unwrap().unwrap();
        assert_eq!(args.config, PathBuf::from("a"));
        assert_eq!((args.func_e, args.check), (Some("b".into()), true));
    }

    #[test]
    fn mistakes_say_what_is_wrong() {
        assert_eq!(parse(&["--config"]), Err("--config takes a file".into()));
        assert_eq!(parse(&["--func-e"]), Err("--func-e takes a path".into()));
        assert_eq!(parse(&["x"]), Err("unknown argument x".into()));
        assert_eq!(parse(&["x", "--help"]), Err("unknown argument x".into()));
        assert_eq!(parse(&["--help"]), Ok(None));
    }
}
