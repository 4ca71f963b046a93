//! What tells whether the simulated Hetzner is right: clients written by others, and the vendor's
//! own specification.
//!
//! Rule: all of it comes from package registries at pinned versions and lies below the target
//! folder; nothing of it is kept in the repository.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Found, Missing, apt, python};
use crate::process;
use crate::progress::Line;
use crate::workspace::Workspace;

/// The crate that ships the specification; its code is not compiled.
const CRATE: (&str, &str) = ("hetzner", "1.0.0");
/// The specification inside.
const FILE: &str = "hetzner-cloud-openapi.json";
/// The package that has Ansible's collections, of which one is taken.
const COLLECTIONS: &str = "ansible==14.5.0";
/// The oldest Python that the engine of these collections runs on.
const ANSIBLE_PYTHON: (u32, u32) = (3, 12);

/// Ansible's engine and the vendor's modules.
pub struct Ansible {
    /// `ansible-playbook`.
    pub program: PathBuf,
    /// The folder that holds `ansible_collections`.
    pub collections: PathBuf,
}

/// Debian's `hcloud` command.
pub fn command(line: &mut Line) -> Found<PathBuf> {
    if let Some(path) = process::find(&["hcloud"]) {
        return Ok(path);
    }
    apt::install("The hcloud command", &["hcloud-cli"], line)?;
    process::find(&["hcloud"]).ok_or_else(|| Missing {
        reason: "hcloud-cli was installed but hcloud is not in PATH".into(),
        install: "put hcloud into PATH".into(),
    })
}

/// The `bin` folder with the Python client, schemathesis and pytest.
pub fn clients(workspace: &Workspace, line: &mut Line) -> Found<PathBuf> {
    let python = python::python(line)?;
    let requirements = workspace.root.join("simulators/clients/requirements.txt");
    python::environment(&python, &workspace.scratch().join("clients"), &requirements, line)
}

/// The vendor's specification, out of the crate that ships it.
pub fn specification(workspace: &Workspace, line: &mut Line) -> Found<PathBuf> {
    let (name, version) = CRATE;
    let folder = workspace.scratch().join("specification");
    let file = folder.join(format!("{name}-{version}.json"));
    if file.is_file() {
        return Ok(file);
    }
    line.status("cargo metadata");
    fetched(&folder, &file).map(|()| file).map_err(|error| Missing {
        reason: format!("the crate {name} {version} with the vendor's specification cannot be had: {error:#}"),
        install: "make crates.io reachable".into(),
    })
}

/// Has cargo fetch the crate for a manifest that asks for nothing else, and copies the one file.
fn fetched(folder: &Path, file: &Path) -> Result<()> {
    let (name, version) = CRATE;
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("src/lib.rs"), "")?;
    // A workspace of its own: it lies inside ours.
    let manifest = format!(
        "[package]\nname = \"specification\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [dependencies]\n{name} = \"={version}\"\n\n[workspace]\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest)?;
    let metadata = process::output(process::cargo(folder).args(["metadata", "--format-version", "1"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let package = packages.iter().find(|package| package["name"] == name && package["version"] == version);
    let manifest =
        package.and_then(|package| package["manifest_path"].as_str()).context("the crate was not fetched")?;
    // Whole or not at all: the file itself says that it is there.
    let half = file.with_extension("part");
    fs::copy(Path::new(manifest).with_file_name(FILE), &half)?;
    fs::rename(half, file)?;
    Ok(())
}

/// Ansible with the vendor's modules, where a Python that is new enough is there.
pub fn ansible(workspace: &Workspace, line: &mut Line) -> Found<Ansible> {
    let python = python::at_least(ANSIBLE_PYTHON).ok_or_else(|| Missing {
        reason: format!("no Python {}.{} or newer with venv is here", ANSIBLE_PYTHON.0, ANSIBLE_PYTHON.1),
        install: "put a newer Python into PATH".into(),
    })?;
    let folder = workspace.scratch().join("ansible");
    let requirements = workspace.root.join("simulators/clients/requirements-ansible.txt");
    let bin = python::environment(&python, &folder, &requirements, line)?;
    let collections = folder.join("collections");
    if !collections.join("ansible_collections/hetzner").is_dir() {
        line.status(&format!("pip download {COLLECTIONS}"));
        collection(&bin, &collections, line).map_err(|error| Missing {
            reason: format!("Ansible's hetzner.hcloud modules cannot be had: {error:#}"),
            install: "make PyPI reachable".into(),
        })?;
    }
    Ok(Ansible { program: bin.join("ansible-playbook"), collections })
}

/// Takes the vendor's collection out of the package that has all of them.
const TAKE: &str = "
import glob, sys, zipfile
wheel = zipfile.ZipFile(glob.glob(sys.argv[1] + '/*.whl')[0])
wheel.extractall(sys.argv[2], [it for it in wheel.namelist() if it.startswith('ansible_collections/hetzner/')])
";

fn collection(bin: &Path, collections: &Path, line: &mut Line) -> Result<()> {
    let (wheels, half) = (collections.with_extension("wheels"), collections.with_extension("part"));
    for folder in [&wheels, &half] {
        drop(fs::remove_dir_all(folder));
        fs::create_dir_all(folder)?;
    }
    process::quiet(python::pip(bin).args(["download", "--no-deps", COLLECTIONS, "--dest"]).arg(&wheels), line)?;
    process::quiet(Command::new(bin.join("python")).args(["-c", TAKE]).args([&wheels, &half]), line)?;
    fs::remove_dir_all(wheels)?;
    drop(fs::remove_dir_all(collections));
    fs::rename(half, collections)?;
    Ok(())
}
