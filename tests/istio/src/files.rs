//! The files of `istio/`, with the few lines changed that are different on each cluster.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use divvy_lab::plugin::from_yaml_or_json;
use serde_json::Value;

use crate::lab::Lab;

/// The image that the shipped files name.
pub const SHIPPED_IMAGE: &str = "registry.example.com/divvy:0.1.0";

/// A change that a reader would make in the files.
#[derive(Clone, Debug)]
pub struct Edit {
    from: String,
    to: String,
}

impl Edit {
    /// This text in place of that one, wherever it stands.
    #[must_use]
    pub fn replace(from: &str, to: &str) -> Edit {
        Edit {
            from: from.to_owned(),
            to: to.to_owned(),
        }
    }

    /// This image in place of the shipped files'.
    #[must_use]
    pub fn image(image: &str) -> Edit {
        Edit::replace(SHIPPED_IMAGE, image)
    }
}

/// What `istio/examples/mesh-config.yaml` asks of the mesh.
pub fn mesh_config() -> Result<Value> {
    let file = divvy_lab::workspace_root().join("istio/examples/mesh-config.yaml");
    let json: Value = serde_json::from_str(&from_yaml_or_json(&fs::read_to_string(file)?)?)?;
    Ok(json["spec"]["meshConfig"].clone())
}

/// The labels of divvy's metrics, as that file has them.
pub fn stat_tags() -> Result<Vec<String>> {
    let tags = mesh_config()?["defaultConfig"]["extraStatTags"].clone();
    Ok(serde_json::from_value(tags)?)
}

/// Every file of `istio/` that is applied, as paths from there.
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
            walk(root, &path, found)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            found.push(path.strip_prefix(root)?.to_owned());
        }
    }
    Ok(())
}

/// A copy of the files with these edits, each of which has to change something.
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
        ensure!(changed, "no file of istio/ has {:?} in it", edit.from);
    }
    Ok(copy)
}
