//! The command line: two paths, a limit and a table.

use std::ffi::OsString;
use std::path::PathBuf;

/// What `--help` prints, and the hint after a mistake.
pub const USAGE: &str = "usage: divvy-slim [--limit BYTES] [--branches TABLE] IN.wasm OUT.wasm";

/// Largest deployable filter in bytes. Istio's agent pulls it for every pod,
/// and each worker of each proxy compiles it.
const DEFAULT_LIMIT: usize = 460_000;

/// A run to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Args {
    /// The module as the linker left it.
    pub input: PathBuf,
    /// Where the deployable module goes.
    pub output: PathBuf,
    /// Largest size of the result in bytes.
    pub limit: usize,
    /// Which way branches go, if that is known.
    pub branches: Option<PathBuf>,
}

impl Args {
    /// `Ok(None)` when help was asked for.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Option<Self>, String> {
        let mut limit = DEFAULT_LIMIT;
        let mut branches = None;
        let mut paths = Vec::new();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.to_str() {
                Some("-h" | "--help") => return Ok(None),
                Some("--limit") => {
                    limit = args
                        .next()
                        .and_then(|value| value.to_str()?.parse().ok())
                        .ok_or("--limit takes a number of bytes")?;
                }
                Some("--branches") => {
                    branches = Some(args.next().ok_or("--branches takes a path")?.into());
                }
                Some(flag) if flag.starts_with('-') => {
                    return Err(format!("unknown option {flag}"));
                }
                _ => paths.push(PathBuf::from(arg)),
            }
        }
        let [input, output] = <[PathBuf; 2]>::try_from(paths)
            .map_err(|paths| format!("two paths are needed, not {}", paths.len()))?;
        Ok(Some(Self {
            input,
            output,
            limit,
            branches,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Option<Args>, String> {
        Args::parse(args.iter().map(OsString::from))
    }

    #[test]
    fn paths_limit_and_table() {
        let args = ["in", "--limit", "9", "out", "--branches", "ways"];
        let args = parse(&args).unwrap().unwrap();
        assert_eq!(args.branches, Some(PathBuf::from("ways")));
        assert_eq!(args.input, PathBuf::from("in"));
        assert_eq!(args.output, PathBuf::from("out"));
        assert_eq!(args.limit, 9);
        assert_eq!(parse(&["a", "b"]).unwrap().unwrap().limit, DEFAULT_LIMIT);
    }

    #[test]
    fn mistakes_say_what_is_wrong() {
        assert_eq!(parse(&["a"]), Err("two paths are needed, not 1".into()));
        assert_eq!(parse(&["-x"]), Err("unknown option -x".into()));
        for args in [&["--limit"][..], &["--limit", "many", "a", "b"]] {
            assert_eq!(parse(args), Err("--limit takes a number of bytes".into()));
        }
        let without = parse(&["a", "b", "--branches"]);
        assert_eq!(without, Err("--branches takes a path".into()));
        assert_eq!(parse(&["--help"]), Ok(None));
    }
}
