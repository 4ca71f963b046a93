//! OpenSSH's client and server: simulated servers run an unprivileged sshd for verification.
//!
//! Rule: only the programs are wanted; the system's own sshd is not started.

use std::path::{Path, PathBuf};

use super::{Found, Missing, apt};
use crate::process;
use crate::progress::Line;

/// The path of `sshd`; `ssh` and `ssh-keygen` are in PATH then too.
pub fn sshd(line: &mut Line) -> Found<PathBuf> {
    if let Some(path) = installed() {
        return Ok(path);
    }
    apt::install("OpenSSH", &["openssh-server", "openssh-client"], line)?;
    installed().ok_or_else(|| Missing {
        reason: "OpenSSH was installed but sshd or ssh is not found".into(),
        install: "put sshd and ssh into PATH".into(),
    })
}

fn installed() -> Option<PathBuf> {
    process::find(&["ssh"])?;
    process::find(&["ssh-keygen"])?;
    // An ordinary user's PATH seldom has the sbin folders.
    process::find(&["sshd"]).or_else(|| {
        ["/usr/sbin/sshd", "/usr/local/sbin/sshd"]
            .into_iter()
            .map(Path::new)
            .find(|path| process::is_executable(path))
            .map(Path::to_owned)
    })
}
