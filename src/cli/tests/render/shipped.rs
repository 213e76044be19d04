//! The shipped files that are rendered. `make bless` renders them again.

use std::fs;
use std::path::Path;

use crate::common::{complaint, divvy_in, root};

/// The command of each file, in the root of the repository.
const SHIPPED: [(&str, &str); 3] = [
    (
        "envoy/edge.yaml",
        "render envoy envoy/divvy.yaml --wasm target/divvy.wasm --into envoy --bootstrap edge.yaml --force",
    ),
    (
        "envoy/plugin.yaml",
        "render plugin envoy/divvy.yaml --wasm target/divvy.wasm --into envoy/plugin.yaml",
    ),
    (
        "envoy/gateway/divvy.yaml",
        "render envoy-gateway envoy/gateway/config.yaml --gateway shop --namespace shop --into envoy/gateway/divvy.yaml",
    ),
];

/// A folder with the configurations of the repository alone.
fn copy(scratch: &Path) {
    fs::create_dir_all(scratch.join("envoy/gateway")).unwrap();
    for file in ["envoy/divvy.yaml", "envoy/gateway/config.yaml"] {
        fs::copy(root().join(file), scratch.join(file)).unwrap();
    }
}

#[test]
fn the_shipped_files_are_what_render_writes() {
    let scratch = tempfile::tempdir().unwrap();
    copy(scratch.path());
    for (file, command) in SHIPPED {
        let words: Vec<_> = command.split(' ').collect();
        let output = divvy_in(scratch.path(), &words);
        assert!(output.status.success(), "{command}: {}", complaint(&output));
        let now = fs::read_to_string(scratch.path().join(file)).unwrap();
        let path = root().join(file);
        if std::env::var_os("DIVVY_BLESS").is_some() {
            fs::write(&path, &now).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap();
        assert!(
            committed == now,
            "{file} differs from divvy {command}: make bless"
        );
    }
}
