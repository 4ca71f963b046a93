//! Python, and environments of pinned packages below the target folder.
//!
//! Rule: an environment is made by its requirements file alone, and made anew when that changes;
//! the system's own packages are neither used nor touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Found, Missing, apt};
use crate::process;
use crate::progress::Line;

/// What the pinned packages ask for.
const OLDEST: (u32, u32) = (3, 11);

/// A Python with `venv`; on Debian installed where it is missing.
pub fn python(line: &mut Line) -> Found<PathBuf> {
    if let Some(python) = at_least(OLDEST) {
        return Ok(python);
    }
    apt::install("Python", &["python3", "python3-venv"], line)?;
    at_least(OLDEST).ok_or_else(|| Missing {
        reason: format!("no Python {}.{} or newer with venv is in PATH", OLDEST.0, OLDEST.1),
        install: "put a newer Python into PATH".into(),
    })
}

/// A Python of at least this version that can make environments: one in PATH, or one of pyenv's.
pub fn at_least(oldest: (u32, u32)) -> Option<PathBuf> {
    let names = ["python3", "/usr/bin/python3", "python3.14", "python3.13", "python3.12", "python3.11"];
    let in_path = names.iter().map(PathBuf::from);
    in_path.chain(of_pyenv()).find(|python| version(python).is_some_and(|version| version >= oldest))
}

/// The Pythons that pyenv keeps, whether or not its shims know them here.
fn of_pyenv() -> Vec<PathBuf> {
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv")));
    let versions = root.and_then(|root| fs::read_dir(root.join("versions")).ok());
    let mut found: Vec<PathBuf> =
        versions.into_iter().flatten().flatten().map(|entry| entry.path().join("bin/python3")).collect();
    found.sort();
    found
}

/// The version of a Python that can make environments; nothing for any other program.
fn version(python: &Path) -> Option<(u32, u32)> {
    let told = "import ensurepip, venv, sys; print(*sys.version_info[:2])";
    let said = process::output(Command::new(python).args(["-I", "-c", told])).ok()?;
    let (major, minor) = said.split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The `bin` folder of an environment that holds what `requirements` says.
pub fn environment(python: &Path, folder: &Path, requirements: &Path, line: &mut Line) -> Found<PathBuf> {
    let missing = |error: anyhow::Error| Missing {
        reason: format!("the packages of {} cannot be had: {error:#}", requirements.display()),
        install: "make PyPI reachable".into(),
    };
    let bin = folder.join("bin");
    let mut wanted = fs::read(requirements).map_err(|error| missing(error.into()))?;
    // Its programs name the folder that they were made in: elsewhere they do not start.
    wanted.extend_from_slice(format!("# in {}\n", folder.display()).as_bytes());
    let stamp = folder.join("hangar-requirements.txt");
    if fs::read(&stamp).is_ok_and(|old| old == wanted) && process::is_executable(&bin.join("python")) {
        return Ok(bin);
    }
    line.status("python -m venv");
    process::quiet(Command::new(python).args(["-m", "venv", "--clear"]).arg(folder), line).map_err(missing)?;
    line.status("pip install");
    process::quiet(pip(&bin).arg("install").arg("--requirement").arg(requirements), line).map_err(missing)?;
    fs::write(stamp, wanted).map_err(|error| missing(error.into()))?;
    Ok(bin)
}

/// The pip of an environment, never asking and never looking for a newer self.
pub fn pip(bin: &Path) -> Command {
    let mut command = Command::new(bin.join("python"));
    command.args(["-m", "pip", "--no-input", "--disable-pip-version-check", "--quiet"]);
    command
}
