//! The folder for what is handed to vendors' tools. The rule: it is one process's alone, however many
//! share the data folder, and what a killed one left there is gone before the first job begins.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// More processes than this do not share a data folder.
const MOST: u32 = 64;

/// The folder, held until this is dropped, however the process ends.
pub(crate) struct WorkFolder {
    path: PathBuf,
    _lock: File,
}

impl WorkFolder {
    /// Takes the first folder that is nobody's, and clears away what any process left that is no more.
    ///
    /// # Errors
    /// When the data folder cannot be used.
    pub(crate) fn take(data_dir: &Path) -> io::Result<Self> {
        // Tools are not started where Hangar was.
        let data_dir = std::path::absolute(data_dir)?;
        let mut own = None;
        for number in 0..MOST {
            let name = if number == 0 { "work".to_owned() } else { format!("work-{number}") };
            let (path, lock) = (data_dir.join(&name), data_dir.join(format!("{name}.lock")));
            if own.is_some() && !lock.exists() {
                break;
            }
            let lock = File::options().create(true).truncate(false).write(true).mode(0o600).open(lock)?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(error),
            }
            ::providers::work_taken_over(&path)?;
            match own {
                None => own = Some(Self { path, _lock: lock }),
                Some(_) => fs::remove_dir(&path)?,
            }
        }
        own.ok_or_else(|| io::Error::other("too many processes use this data folder"))
    }

    /// Where it is: absolute.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkFolder {
    /// Whoever ends in order leaves nothing to be looked for.
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::debug!(%error, "the folder of the tools was not removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The system lets go of the lock, and nobody clears up.
    fn died(folder: WorkFolder) {
        let path = folder.path().to_owned();
        let aside = path.with_extension("aside");
        fs::rename(&path, &aside).unwrap();
        drop(folder);
        fs::rename(&aside, &path).unwrap();
    }

    #[test]
    fn each_process_has_one_of_its_own_and_inherits_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let secret = |at: &WorkFolder| {
            fs::create_dir_all(at.path().join("prv_1/project")).unwrap();
            let file = at.path().join("prv_1/project/variables.env");
            fs::write(&file, "PASSWORD='x'").unwrap();
            file
        };
        let first = WorkFolder::take(folder.path()).unwrap();
        let of_first = secret(&first);
        let second = WorkFolder::take(folder.path()).unwrap();
        let of_second = secret(&second);
        assert!(of_first.exists(), "whoever is at work keeps what is there");
        assert_ne!(first.path(), second.path());
        // The first ends, the second dies, and one comes back.
        let path = first.path().to_owned();
        drop(first);
        assert!(!of_first.exists(), "whoever ends in order leaves nothing");
        died(second);
        let third = WorkFolder::take(folder.path()).unwrap();
        assert_eq!(third.path(), path);
        assert!(!of_second.exists(), "nothing of it is left");
        assert!(third.path().is_absolute());
    }
}
