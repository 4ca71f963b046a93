//! A Docker Engine with Compose 2 and busybox: the tests of stacks start private engines.
//!
//! Rule: only the programs are wanted; the system's own engine is not started, and where Debian's
//! Compose is too old a newer one is unpacked below the target folder and not installed.

use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Found, Missing, apt, is_root};
use crate::process;
use crate::progress::Line;
use crate::workspace::Workspace;

/// The Debian whose Compose runs on older ones too (it needs a C library of 2.34).
const SUITE: &str = "trixie";
/// Where its package has the plugin.
const PLUGIN: &str = "usr/libexec/docker/cli-plugins/docker-compose";
/// The oldest Compose that Hangar uses.
const OLDEST: (u32, u32) = (2, 20);

/// What tests need to know of it.
pub struct Docker {
    /// What `DOCKER_CONFIG` must be for the command to know Compose 2; nothing where it does so
    /// anyhow.
    pub config: Option<PathBuf>,
}

/// The engine's programs and Compose 2.
pub fn docker(workspace: &Workspace, line: &mut Line) -> Found<Docker> {
    if !is_root() {
        return Err(Missing {
            reason: "the tests of stacks start private Docker Engines, which only root can".into(),
            install: "run this as root".into(),
        });
    }
    if !installed() {
        apt::install(
            "The Docker Engine",
            &["docker.io", "containerd", "busybox-static", "procps", "iproute2", "util-linux"],
            line,
        )?;
    }
    if !installed() {
        return Err(Missing {
            reason: "the Docker Engine was installed but one of its programs, busybox or ip is not found".into(),
            install: "put dockerd, containerd, docker, a static busybox, pgrep, ip, unshare and nsenter into PATH"
                .into(),
        });
    }
    if is_new_enough(None) {
        return Ok(Docker { config: None });
    }
    let config = workspace.scratch().join("docker");
    if !is_new_enough(Some(&config)) {
        compose(&config, line).map_err(|error| Missing {
            reason: format!("Docker Compose 2 is not here, and Debian's of {SUITE} cannot be had: {error:#}"),
            install: "put Compose 2 into /usr/local/lib/docker/cli-plugins/docker-compose".into(),
        })?;
    }
    Ok(Docker { config: Some(config) })
}

fn installed() -> bool {
    let names = ["docker", "containerd", "busybox", "pgrep", "unshare", "nsenter", "dockerd", "ip"];
    // An ordinary user's PATH seldom has the sbin folders.
    let is_here =
        |name: &str| process::find(&[name]).is_some() || process::is_executable(&Path::new("/usr/sbin").join(name));
    names.into_iter().all(is_here) && is_static()
}

/// Whether busybox needs no library: Debian has it both ways.
fn is_static() -> bool {
    let Some(busybox) = process::find(&["busybox"]) else { return false };
    let told = Command::new("ldd").arg(busybox).output();
    told.is_ok_and(|told| !String::from_utf8_lossy(&told.stdout).contains("=>"))
}

fn is_new_enough(config: Option<&Path>) -> bool {
    let mut command = Command::new("docker");
    if let Some(config) = config {
        command.env("DOCKER_CONFIG", config);
    }
    let Ok(told) = process::output(command.args(["compose", "version", "--short"])) else { return false };
    let mut numbers = told.trim_start_matches('v').split('.').map_while(|part| part.parse().ok());
    matches!((numbers.next(), numbers.next()), (Some(major), Some(minor)) if (major, minor) >= OLDEST)
}

/// Unpacks the package of a newer Debian, got from where this one's come from, with lists of its
/// own; nothing is installed.
fn compose(config: &Path, line: &mut Line) -> Result<()> {
    let folder = config.with_extension("apt");
    drop(fs::remove_dir_all(&folder));
    for name in ["lists/partial", "cache/archives/partial", "got"] {
        fs::create_dir_all(folder.join(name))?;
    }
    fs::set_permissions(folder.join("got"), fs::Permissions::from_mode(0o1777))?;
    let source = source().context("where this system's packages come from is not known")?;
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    fs::write(folder.join("sources.list"), format!("deb [signed-by={keys}] {source} {SUITE} main\n"))?;
    let options = [
        format!("Dir::Etc::SourceList={}", folder.join("sources.list").display()),
        "Dir::Etc::SourceParts=/dev/null".to_owned(),
        "Dir::Etc::Preferences=/dev/null".to_owned(),
        "Dir::Etc::PreferencesParts=/dev/null".to_owned(),
        format!("Dir::State::Lists={}", folder.join("lists").display()),
        format!("Dir::Cache={}", folder.join("cache").display()),
        // The folder may lie where apt's own user cannot go.
        "APT::Sandbox::User=root".to_owned(),
    ];
    let mut apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        for option in &options {
            command.args(["-o", option]);
        }
        process::quiet(command.args(words).current_dir(folder.join("got")), line)
    };
    apt(&["update"])?;
    apt(&["download", "docker-compose"])?;
    let package = fs::read_dir(folder.join("got"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get downloaded nothing")?;
    let plugins = config.join("cli-plugins");
    fs::create_dir_all(&plugins)?;
    let unpacked = config.join("package");
    drop(fs::remove_dir_all(&unpacked));
    process::quiet(Command::new("dpkg-deb").arg("--extract").args([&package, &unpacked]), line)?;
    let plugin = plugins.join("docker-compose");
    drop(fs::remove_file(&plugin));
    symlink(unpacked.join(PLUGIN), plugin)?;
    fs::remove_dir_all(folder)?;
    anyhow::ensure!(is_new_enough(Some(config)), "the docker command does not take it");
    Ok(())
}

/// Where Debian's own packages come from here.
fn source() -> Option<String> {
    let format = "$(REPO_URI) $(CODENAME) $(ORIGIN) $(LABEL)";
    let told = process::output(Command::new("apt-get").args(["indextargets", "--format", format])).ok()?;
    told.lines().find_map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            [uri, codename, "Debian", "Debian"] if !codename.contains('-') => Some(uri.to_owned()),
            _ => None,
        }
    })
}
