//! Files that `--into` writes.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use crate::common::{complaint, divvy_in, root};

#[test]
fn a_plugin_file_is_moved_into_place_and_keeps_its_permissions() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("plugin.yaml");
    let config = root().join("envoy/divvy.yaml").display().to_string();
    let render = || {
        divvy_in(
            folder.path(),
            &["render", "plugin", &config, "--into", "plugin.yaml"],
        )
    };
    let output = render();
    assert!(output.status.success(), "{}", complaint(&output));
    assert!(output.stdout.is_empty());
    let first = fs::metadata(&plugin).unwrap();
    assert_eq!(
        first.permissions().mode() & 0o777,
        0o644,
        "Envoy may be another user"
    );
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o640)).unwrap();
    // An open reader keeps the old file.
    let text = fs::read_to_string(&plugin).unwrap();
    let old = fs::File::open(&plugin).unwrap();
    assert!(render().status.success());
    let second = fs::metadata(&plugin).unwrap();
    assert_ne!(first.ino(), second.ino());
    assert_eq!(second.permissions().mode() & 0o777, 0o640);
    assert_eq!(std::io::read_to_string(old).unwrap(), text);
    // No drafts.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    let other = folder.path().join("other");
    fs::write(&other, "mine").unwrap();
    fs::remove_file(&plugin).unwrap();
    symlink("other", &plugin).unwrap();
    assert!(render().status.success());
    assert_eq!(fs::read_to_string(&other).unwrap(), "mine");
    assert_eq!(fs::read_to_string(&plugin).unwrap(), text);
}

#[test]
fn a_failure_leaves_the_file_and_no_draft() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("plugin.yaml"), "old").unwrap();
    fs::write(folder.path().join("bad.yaml"), "rollouts: [{}]").unwrap();
    let output = divvy_in(
        folder.path(),
        &["render", "plugin", "bad.yaml", "--into", "plugin.yaml"],
    );
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        fs::read_to_string(folder.path().join("plugin.yaml")).unwrap(),
        "old"
    );
    let output = divvy_in(
        folder.path(),
        &["render", "plugin", "bad.yaml", "--into", "none/plugin.yaml"],
    );
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_changed_bootstrap_is_replaced_only_with_force() {
    let folder = tempfile::tempdir().unwrap();
    let config = root().join("envoy/divvy.yaml").display().to_string();
    let render = |more: &[&str]| {
        let args = ["render", "envoy", &config, "--into", "edge"];
        divvy_in(folder.path(), &[&args[..], more].concat())
    };
    let output = render(&[]);
    assert!(output.status.success());
    let said = complaint(&output);
    assert!(said.contains("divvy.wasm does not exist here"), "{said}");
    assert!(!said.contains("start it with"), "{said}");
    fs::write(folder.path().join("divvy.wasm"), "").unwrap();
    let output = render(&[]);
    assert!(output.status.success(), "the same files");
    let said = complaint(&output);
    assert_eq!(said.trim(), "start it with: envoy -c edge/envoy.yaml");
    let bootstrap = folder.path().join("edge/envoy.yaml");
    let text = fs::read_to_string(&bootstrap).unwrap();
    fs::write(&bootstrap, format!("{text}# mine\n")).unwrap();
    let output = render(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint(&output).contains("--force replaces it"));
    assert!(
        fs::read_to_string(&bootstrap)
            .unwrap()
            .ends_with("# mine\n")
    );
    assert!(render(&["--force"]).status.success());
    assert_eq!(fs::read_to_string(&bootstrap).unwrap(), text);
}
