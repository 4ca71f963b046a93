//! BIND 9 with `dig` and `nsupdate`: the tests of DNS updates start a private `named`.
//!
//! Rule: only the programs are wanted; the system's own name server is not started.

use std::path::{Path, PathBuf};

use super::{Found, Missing, apt};
use crate::process;
use crate::progress::Line;

/// The path of `named`; `dig` and `nsupdate` are there then too.
pub fn named(line: &mut Line) -> Found<PathBuf> {
    if let Some(path) = installed() {
        return Ok(path);
    }
    apt::install("BIND", &["bind9", "bind9-dnsutils"], line)?;
    installed().ok_or_else(|| Missing {
        reason: "BIND was installed but named, dig or nsupdate is not found".into(),
        install: "put named, dig and nsupdate into PATH".into(),
    })
}

fn installed() -> Option<PathBuf> {
    process::find(&["dig"])?;
    process::find(&["nsupdate"])?;
    // An ordinary user's PATH seldom has the sbin folders.
    process::find(&["named"]).or_else(|| {
        ["/usr/sbin/named", "/usr/local/sbin/named"]
            .into_iter()
            .map(Path::new)
            .find(|path| process::is_executable(path))
            .map(Path::to_owned)
    })
}
