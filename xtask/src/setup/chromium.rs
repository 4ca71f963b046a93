//! A Chromium for the browser tests: `CHROMIUM` or `CHROME` name one, else the installed one.

use std::path::PathBuf;

use super::{Found, Missing, apt};
use crate::process;
use crate::progress::Line;

const NAMES: [&str; 5] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome"];

const MAC: &str = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome";

/// The path of the browser.
pub fn chromium(line: &mut Line) -> Found<PathBuf> {
    for name in ["CHROMIUM", "CHROME"] {
        if let Some(path) = std::env::var_os(name).map(PathBuf::from) {
            return if process::is_executable(&path) {
                Ok(path)
            } else {
                Err(Missing {
                    reason: format!("{name} names {}, which is no program", path.display()),
                    install: format!("set {name} to the path of a Chromium, or unset it"),
                })
            };
        }
    }
    if let Some(path) = installed() {
        return Ok(path);
    }
    apt::install("Chromium", &["chromium"], line)?;
    installed().ok_or_else(|| Missing {
        reason: "Chromium was installed but is not in PATH".into(),
        install: "set CHROMIUM to its path".into(),
    })
}

fn installed() -> Option<PathBuf> {
    let mac = PathBuf::from(MAC);
    process::find(&NAMES).or_else(|| process::is_executable(&mac).then_some(mac))
}
