//! Which Envoy runs: found once, with an error that says what to do when there is none.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The version that `make envoy` fetches and the tests are made for.
pub const PINNED_VERSION: &str = "1.40.0";

/// The oldest one in which everything that the shipped files use works.
const OLDEST: (u32, u32) = (1, 36);

/// An Envoy that can be started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binary {
    /// Where it is.
    pub path: PathBuf,
    /// What it says it is, as `1.40.0`.
    pub version: String,
}

impl Binary {
    /// `$ENVOY` when that is set, else the one that `make envoy` fetched.
    pub fn find() -> Result<Binary> {
        if let Some(path) = std::env::var_os("ENVOY").filter(|path| !path.is_empty()) {
            let path = PathBuf::from(path);
            return Binary::at(&path).with_context(|| format!("ENVOY={}", path.display()));
        }
        let path = crate::workspace_root().join(format!("target/envoy/{PINNED_VERSION}/envoy"));
        if !path.exists() {
            bail!("there is no Envoy yet: run `make envoy`, or set ENVOY to the path of one");
        }
        Binary::at(&path).with_context(|| path.display().to_string())
    }

    /// The one at this path, if it runs and is new enough.
    pub fn at(path: &Path) -> Result<Binary> {
        let file = fs::metadata(path).context("no such file")?;
        if !file.is_file() || file.permissions().mode() & 0o111 == 0 {
            bail!("not an executable file");
        }
        let output = match Command::new(path).arg("--version").output() {
            Ok(output) => output,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("its loader is missing: it was built for another system")
            }
            Err(error) => bail!("does not run: {error}"),
        };
        let version = new_enough(&String::from_utf8_lossy(&output.stdout))?;
        Ok(Binary {
            path: fs::canonicalize(path)?,
            version,
        })
    }
}

/// The version that the answer to `--version` names, if it is not too old.
fn new_enough(answer: &str) -> Result<String> {
    let version = version(answer).context("does not say which version of Envoy it is")?;
    let (major, minor) = OLDEST;
    if release(&version) < Some(OLDEST) {
        bail!("Envoy {version} is too old: divvy needs {major}.{minor} or newer");
    }
    Ok(version)
}

/// `…/envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`
fn version(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("version:")?;
    let version = rest.trim().split('/').nth(1)?;
    release(version).map(|_| version.to_owned())
}

fn release(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_enough_envoy_is_taken() {
        let answer = "/x/envoy  version: 9e55/1.36.4/Clean/RELEASE/BoringSSL\n";
        assert_eq!(new_enough(answer).unwrap(), "1.36.4");
    }

    #[test]
    fn what_is_too_old_or_no_envoy_is_refused_in_one_line() {
        let answer = "/x/envoy  version: 9e55/1.35.9/Clean/RELEASE/BoringSSL";
        let error = new_enough(answer).unwrap_err().to_string();
        assert_eq!(error, "Envoy 1.35.9 is too old: divvy needs 1.36 or newer");
        let error = new_enough("hello").unwrap_err().to_string();
        assert_eq!(error, "does not say which version of Envoy it is");
    }

    #[test]
    fn a_file_that_is_not_there_or_no_program_is_refused_in_one_line() {
        let missing = Binary::at(Path::new("/no/such/envoy")).unwrap_err();
        assert!(format!("{missing:#}").starts_with("no such file"));
        let manifest = crate::workspace_root().join("Cargo.toml");
        let error = Binary::at(&manifest).unwrap_err().to_string();
        assert_eq!(error, "not an executable file");
    }
}
