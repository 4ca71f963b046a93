//! Starting other programs.
//!
//! Rule: a program that fails is quoted, so that nobody has to run it again to learn why.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::progress::Line;

/// The verbs of cargo that tell progress; everything else that it prints is for people.
const CARGO_VERBS: [&str; 16] = [
    "Adding",
    "Archiving",
    "Blocking",
    "Building",
    "Checking",
    "Compiling",
    "Dirty",
    "Doc-tests",
    "Downloaded",
    "Downloading",
    "Executable",
    "Finished",
    "Fresh",
    "Locking",
    "Running",
    "Updating",
];

/// Cargo in `root`, without the variables that the cargo around us set for xtask alone: build
/// scripts that watch them (ring's does) would otherwise run anew whenever the way of calling
/// changes, and everything above them be compiled again.
pub fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_own_variable) {
            command.env_remove(name);
        }
    }
    if std::io::stderr().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    command
}

fn is_own_variable(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
        || ["CARGO_BIN_NAME", "CARGO_CRATE_NAME", "OUT_DIR"].contains(&name)
}

/// Runs a program silently; its progress shows on the step's line, its warnings below it, and all
/// of it when it fails.
pub fn quiet(command: &mut Command, line: &mut Line) -> Result<()> {
    let name = describe(command);
    let (reader, writer) = std::io::pipe()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()
        .with_context(|| format!("{name} does not start"))?;
    // The command holds our copies of the writing end; the reader would never see the end.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let mut said = Vec::new();
    for text in BufReader::new(reader).split(b'\n') {
        let text = String::from_utf8_lossy(&text?).into_owned();
        if is_cargo_status(&text) {
            line.status(plain(&text).trim());
        } else {
            said.push(text);
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{name} failed ({status})\n{}", said.join("\n"));
    }
    let is_cargo = command.get_program().to_str().is_some_and(|path| path.ends_with("cargo"));
    if is_cargo {
        said.into_iter().filter(|text| !text.trim().is_empty()).for_each(|text| line.after(text));
    }
    Ok(())
}

/// Runs a program and gives what it wrote to standard output, trimmed.
pub fn output(command: &mut Command) -> Result<String> {
    let name = describe(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{name} does not start"))?;
    if !output.status.success() {
        bail!("{name} failed ({})\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The first of these programs that `PATH` has.
pub fn find(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    names
        .iter()
        .find_map(|name| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_executable(file)))
}

/// Whether this is a file that may be executed.
pub fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// The command as one would type it, for messages.
pub fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program());
    std::iter::once(program.file_name().unwrap_or(program.as_os_str()))
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The text without terminal colours.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("\x1b[") {
        plain.push_str(&rest[..start]);
        let code = &rest[start + 2..];
        let end = code.find(|c: char| c.is_ascii_alphabetic());
        rest = end.map_or("", |end| &code[end + 1..]);
    }
    plain + rest
}

fn is_cargo_status(text: &str) -> bool {
    let text = plain(text);
    let indent = text.len() - text.trim_start().len();
    let verb = text.split_whitespace().next().unwrap_or("");
    indent > 0 && indent + verb.len() == 12 && CARGO_VERBS.contains(&verb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_taken_off() {
        assert_eq!(plain("\x1b[1m\x1b[32mok\x1b[0m. 3"), "ok. 3");
        assert_eq!(plain("cut off \x1b[3"), "cut off ");
    }

    #[test]
    fn progress_of_cargo_is_told_from_what_people_must_read() {
        assert!(is_cargo_status("   Compiling leptos v0.8.23"));
        assert!(is_cargo_status("\x1b[1m\x1b[32m    Finished\x1b[0m `dev`"));
        assert!(!is_cargo_status("warning: unused variable"));
        assert!(!is_cargo_status("  Compiling is a word in this source line"));
    }

    #[test]
    fn variables_of_the_outer_cargo_are_known() {
        assert!(is_own_variable("CARGO_PKG_NAME"));
        assert!(is_own_variable("CARGO_MANIFEST_DIR"));
        assert!(!is_own_variable("CARGO_HOME"));
        assert!(!is_own_variable("CARGO_TARGET_DIR"));
    }
}
