//! Installing Debian packages, as root only.
//!
//! Rule: a package's service never starts: `policy-rc.d` forbids it while apt runs and is taken
//! away again by the same shell, also when it is interrupted.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::{Found, Missing};
use crate::process;
use crate::progress::Line;

/// Runs apt with services held; `$@` are the packages.
const INSTALL: &str = r#"
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' > "$policy" && chmod 755 "$policy"
fi
apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
"#;

/// Whether we are root.
pub fn is_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| process::output(Command::new("id").arg("-u")).is_ok_and(|id| id == "0"))
}

/// Whether Debian knows this package as installed.
pub fn is_installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|output| output.stdout == b"installed")
}

/// Installs the packages, or says that `what` is missing and how to get it.
pub fn install(what: &str, packages: &[&str], line: &mut Line) -> Found<()> {
    let missing = |reason: String| Missing {
        reason,
        install: format!(
            "{}apt-get install --no-install-recommends {}",
            if is_root() { "" } else { "sudo " },
            packages.join(" ")
        ),
    };
    if std::env::var_os("HANGAR_XTASK_NO_INSTALL").is_some() {
        return Err(missing(format!("{what} is not here, and HANGAR_XTASK_NO_INSTALL is set")));
    }
    if !is_root() {
        return Err(missing(format!("{what} is not here")));
    }
    if process::find(&["apt-get"]).is_none() {
        return Err(missing(format!("{what} is not here, nor is apt-get")));
    }
    lists_update(line);
    line.status(&format!("apt-get install {}", packages.join(" ")));
    let mut command = Command::new("sh");
    command.args(["-c", INSTALL, "sh"]).args(packages);
    process::quiet(environment(&mut command), line)
        .map_err(|error| missing(format!("apt-get could not install {what}: {error:#}")))
}

/// Once a run. An error is not ours to judge: old lists may do, and installing will tell.
fn lists_update(line: &mut Line) {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        line.status("apt-get update");
        drop(process::quiet(environment(Command::new("apt-get").arg("update")), line));
    });
}

/// apt drops to the user `_apt`, who must be able to write where TMPDIR points: else it warns and
/// goes on with old lists.
fn environment(command: &mut Command) -> &mut Command {
    command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    if let Some(open) = ["/tmp", "/var/tmp"].into_iter().find(|dir| is_open(dir)) {
        command.env("TMPDIR", open);
    }
    command
}

fn is_open(folder: &str) -> bool {
    use std::os::unix::fs::PermissionsExt;
    Path::new(folder).metadata().is_ok_and(|data| data.permissions().mode() & 0o1777 == 0o1777)
}
