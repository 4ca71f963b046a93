//! Where things lie: the repository, cargo's target folder, the built site.
//!
//! Rule: paths are made here and nowhere else.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

use crate::process;

/// The folders of one checkout.
pub struct Workspace {
    /// The root of the repository.
    pub root: PathBuf,
    /// Cargo's target folder, which `CARGO_TARGET_DIR` may have moved.
    pub target: PathBuf,
    packages: Vec<String>,
}

impl Workspace {
    /// Asks cargo; fails when the manifests do not load.
    pub fn load() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask lies in the root of the repository")?
            .to_owned();
        let output = process::cargo(&root)
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .stderr(std::process::Stdio::inherit())
            .output()
            .context("cargo does not start")?;
        anyhow::ensure!(output.status.success(), "cargo metadata failed");
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let target = metadata["target_directory"].as_str().context("cargo metadata names no target folder")?.into();
        let packages = metadata["packages"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|package| package["name"].as_str().map(str::to_owned))
            .collect();
        Ok(Self { root, target, packages })
    }

    /// Whether the workspace has a member of this name.
    pub fn has_package(&self, name: &str) -> bool {
        self.packages.iter().any(|package| package == name)
    }

    /// What the server hands to browsers. Always below the root, because the server embeds it
    /// from there.
    pub fn site(&self) -> PathBuf {
        self.root.join("target/site")
    }

    /// Our own intermediate files.
    pub fn scratch(&self) -> PathBuf {
        self.target.join("xtask-work")
    }

    /// The built server.
    pub fn server_binary(&self, release: bool) -> PathBuf {
        let profile = if release { "release" } else { "debug" };
        self.target.join(profile).join("hangar")
    }
}
