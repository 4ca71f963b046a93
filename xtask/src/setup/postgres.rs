//! PostgreSQL's programs: `HANGAR_POSTGRES_BIN` names their folder, else PATH or the usual places.
//!
//! Rule: only the programs are wanted; `cluster` starts a private server with them.

use std::path::{Path, PathBuf};

use super::{Found, Missing, apt};
use crate::process;
use crate::progress::Line;

/// The folder that holds `initdb` and `postgres`.
pub fn programs(line: &mut Line) -> Found<PathBuf> {
    if let Some(folder) = std::env::var_os("HANGAR_POSTGRES_BIN").map(PathBuf::from) {
        return if is_complete(&folder) {
            Ok(folder)
        } else {
            Err(Missing {
                reason: format!("HANGAR_POSTGRES_BIN is {}, where initdb or postgres is missing", folder.display()),
                install: "set HANGAR_POSTGRES_BIN to PostgreSQL's bin folder, or unset it".into(),
            })
        };
    }
    if let Some(folder) = installed() {
        return Ok(folder);
    }
    apt::install("PostgreSQL", &["postgresql"], line)?;
    installed().ok_or_else(|| Missing {
        reason: "PostgreSQL was installed but initdb is not found".into(),
        install: "set HANGAR_POSTGRES_BIN to its bin folder".into(),
    })
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|name| process::is_executable(&folder.join(name)))
}

fn installed() -> Option<PathBuf> {
    let in_path = process::find(&["initdb"]).and_then(|initdb| {
        let real = initdb.canonicalize().unwrap_or(initdb);
        real.parent().map(Path::to_owned)
    });
    in_path
        .into_iter()
        .chain(newest_first("/usr/lib/postgresql", "bin"))
        .chain(newest_first("/opt/homebrew/opt", "bin"))
        .find(|folder| is_complete(folder))
}

/// `below/<version>/<bin>`, the highest version first.
fn newest_first(below: &str, bin: &str) -> Vec<PathBuf> {
    let mut folders: Vec<(u32, PathBuf)> = std::fs::read_dir(below)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let version = name.trim_start_matches("postgresql@").parse().ok()?;
            Some((version, entry.path().join(bin)))
        })
        .collect();
    folders.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    folders.into_iter().map(|(_, folder)| folder).collect()
}
