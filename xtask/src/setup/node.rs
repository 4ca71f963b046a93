//! Node and npm, and the packages of one folder by its lockfile.
//!
//! Rule: `npm ci` only: what is installed is what the lockfile says.

use anyhow::Result;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Found, Missing, apt};
use crate::process;
use crate::progress::Line;

/// What Playwright asks for.
const OLDEST_NODE: u32 = 20;

/// The path of npm, with a Node that is new enough.
pub fn npm(line: &mut Line) -> Found<PathBuf> {
    if process::find(&["node"]).is_none() || process::find(&["npm"]).is_none() {
        apt::install("Node with npm", &["nodejs", "npm"], line)?;
    }
    let too_old =
        |reason: String| Missing { reason, install: format!("install Node {OLDEST_NODE} or newer, with npm") };
    let npm = process::find(&["npm"]).ok_or_else(|| too_old("npm is not in PATH".into()))?;
    let version =
        process::output(Command::new("node").arg("--version")).map_err(|error| too_old(format!("{error:#}")))?;
    match major(&version) {
        Some(found) if found >= OLDEST_NODE => Ok(npm),
        _ => Err(too_old(format!("Node {version} is too old"))),
    }
}

fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// Installs the packages of this folder unless its lockfile is installed already.
pub fn packages(npm: &Path, folder: &Path, line: &mut Line) -> Result<()> {
    let lock = fs::read(folder.join("package-lock.json"))?;
    let installed = folder.join("node_modules/.hangar-lock.json");
    if fs::read(&installed).is_ok_and(|old| old == lock) {
        return Ok(());
    }
    line.status("npm ci");
    let mut command = Command::new(npm);
    command.args(["ci", "--no-audit", "--no-fund"]).env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1").current_dir(folder);
    process::quiet(&mut command, line)?;
    fs::write(installed, lock)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read() {
        assert_eq!(major("v20.20.2"), Some(20));
        assert_eq!(major("20"), None);
    }
}
