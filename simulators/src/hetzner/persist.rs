//! The state file. Rule: it is replaced whole, by a rename, so that a killed simulator leaves
//! either the state before a change or the state after it.

use std::{fs, io, io::Write as _, path::Path};

use super::world::Saved;
use crate::SimulatorError;

/// Reads the state; a missing file is an empty state.
pub(super) fn load(path: &Path) -> Result<Saved, SimulatorError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Saved::default()),
        Err(source) => {
            return Err(SimulatorError::StateRead { path: path.to_owned(), source });
        }
    };
    serde_json::from_slice(&text).map_err(|source| SimulatorError::StateFormat { path: path.to_owned(), source })
}

/// Replaces the state.
pub(super) fn save(path: &Path, saved: &Saved) -> io::Result<()> {
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    // The file holds host keys: a named temporary file is readable by its owner only.
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    serde_json::to_writer(&mut file, saved)?;
    file.flush()?;
    file.persist(path)?;
    Ok(())
}
