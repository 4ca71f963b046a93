//! The state file. Rule: it is replaced whole, by a rename, so that a killed simulator leaves
//! either the state before a change or the state after it.

use std::{fs, io, io::Write as _, path::Path};

use super::world::Saved;
use crate::SimulatorError;

/// Reads the state; `None` when there is no file yet.
pub(super) fn load(path: &Path) -> Result<Option<Saved>, SimulatorError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SimulatorError::StateRead { path: path.to_owned(), source }),
    };
    let saved = serde_json::from_slice(&text);
    saved.map(Some).map_err(|source| SimulatorError::StateFormat { path: path.to_owned(), source })
}

/// Replaces the state.
pub(super) fn save(path: &Path, saved: &Saved) -> io::Result<()> {
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    serde_json::to_writer(&mut file, saved)?;
    file.flush()?;
    file.persist(path)?;
    Ok(())
}
