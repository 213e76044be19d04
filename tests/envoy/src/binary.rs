//! The Envoy executable: its path and version.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The version that `make envoy` downloads and the tests are written for.
pub const PINNED_VERSION: &str = "1.40.0";

/// The oldest version that supports the shipped files.
const OLDEST: (u32, u32) = (1, 36);

/// An Envoy executable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binary {
    /// Its path.
    pub path: PathBuf,
    /// Its version, such as `1.40.0`.
    pub version: String,
}

impl Binary {
    /// `$ENVOY` if set, else the one that `make envoy` downloaded.
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

    /// The executable at this path. An error if it does not run or is older than 1.36.
    pub fn at(path: &Path) -> Result<Binary> {
        let file = fs::metadata(path).context("no such file")?;
        if !file.is_file() || file.permissions().mode() & 0o111 == 0 {
            bail!("not an executable file");
        }
        let output = match Command::new(path).arg("--version").output() {
            Ok(output) => output,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("its loader is missing: it is built for another system")
            }
            Err(error) => bail!("does not run: {error}"),
        };
        let version = supported_version(&String::from_utf8_lossy(&output.stdout))?;
        Ok(Binary {
            path: fs::canonicalize(path)?,
            version,
        })
    }
}

/// The version in the output of `--version`; an error if it is too old.
fn supported_version(output: &str) -> Result<String> {
    let version = version(output).context("`--version` does not print a version of Envoy")?;
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
    fn versions_since_1_36_are_supported() {
        let check = |output| supported_version(output).map_err(|error| error.to_string());
        let supported = check("/x/envoy  version: 9e55/1.36.4/Clean/RELEASE/BoringSSL\n");
        assert_eq!(supported.unwrap(), "1.36.4");
        let old = check("/x/envoy  version: 9e55/1.35.9/Clean/RELEASE/BoringSSL").unwrap_err();
        assert_eq!(old, "Envoy 1.35.9 is too old: divvy needs 1.36 or newer");
        let other = check("hello").unwrap_err();
        assert_eq!(other, "`--version` does not print a version of Envoy");
    }

    #[test]
    fn a_missing_file_and_a_file_that_is_not_executable_are_errors() {
        let missing = Binary::at(Path::new("/no/such/envoy")).unwrap_err();
        assert!(format!("{missing:#}").starts_with("no such file"));
        let manifest = crate::workspace_root().join("Cargo.toml");
        let error = Binary::at(&manifest).unwrap_err().to_string();
        assert_eq!(error, "not an executable file");
    }
}
