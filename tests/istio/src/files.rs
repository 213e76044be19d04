//! The files of `istio/`, edited for the cluster of the lab.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use divvy_lab::plugin::from_yaml_or_json;
use serde_json::Value;

use crate::lab::Lab;

/// The image in the shipped files.
pub const SHIPPED_IMAGE: &str = concat!("registry.example.com/divvy:", env!("CARGO_PKG_VERSION"));

/// A replacement of text in the shipped files.
#[derive(Clone, Debug)]
pub struct Edit {
    from: String,
    to: String,
}

impl Edit {
    /// Replaces all occurrences of a text.
    #[must_use]
    pub fn replace(from: &str, to: &str) -> Edit {
        Edit {
            from: from.to_owned(),
            to: to.to_owned(),
        }
    }

    /// Replaces the image.
    #[must_use]
    pub fn image(image: &str) -> Edit {
        Edit::replace(SHIPPED_IMAGE, image)
    }
}

/// The mesh configuration of `istio/examples/mesh-config.yaml`.
pub fn mesh_config() -> Result<Value> {
    let file = divvy_lab::workspace_root().join("istio/examples/mesh-config.yaml");
    let json: Value = serde_json::from_str(&from_yaml_or_json(&fs::read_to_string(file)?)?)?;
    Ok(json["spec"]["meshConfig"].clone())
}

/// The labels of divvy's metrics in that file.
pub fn stat_tags() -> Result<Vec<String>> {
    let tags = mesh_config()?["defaultConfig"]["extraStatTags"].clone();
    Ok(serde_json::from_value(tags)?)
}

/// All YAML files below `istio/`, as paths relative to it. The chart has templates, which Helm applies.
pub fn shipped() -> Result<Vec<PathBuf>> {
    let root = divvy_lab::workspace_root().join("istio");
    let mut found = Vec::new();
    walk(&root, &root, &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if path != root.join("chart") {
                walk(root, &path, found)?;
            }
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            found.push(path.strip_prefix(root)?.to_owned());
        }
    }
    Ok(())
}

/// A copy of the files with these edits. An edit that changes nothing is an error.
pub fn prepared(lab: &Lab, edits: &[Edit]) -> Result<PathBuf> {
    let copy = lab.dir().join("files");
    let _ = fs::remove_dir_all(&copy);
    let mut changed = vec![false; edits.len()];
    for file in shipped()? {
        let mut text = fs::read_to_string(divvy_lab::workspace_root().join("istio").join(&file))?;
        for (edit, changed) in edits.iter().zip(&mut changed) {
            *changed |= text.contains(&edit.from);
            text = text.replace(&edit.from, &edit.to);
        }
        let target = copy.join(&file);
        fs::create_dir_all(target.parent().context("a file in a folder")?)?;
        fs::write(target, text)?;
    }
    for (edit, changed) in edits.iter().zip(changed) {
        ensure!(changed, "no file of istio/ contains {:?}", edit.from);
    }
    Ok(copy)
}
