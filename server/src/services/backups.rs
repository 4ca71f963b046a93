//! Backups that were made of nodes before they were destroyed. The rule: they are files of this
//! installation's data folder that only administrators reach, by names that were checked.

use std::path::PathBuf;

use domain::{
    access::Principal,
    blueprint::BackupView,
    code::Code,
    id::{BackupId, NodeId},
    job::Subject,
    list::{Filter, Listing},
    time::Timestamp,
};
use store::{BackupRow, Conn};

use super::{
    Services,
    audit::{Happened, audit_in, event},
    need_admin,
};
use crate::fault::Fault;

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupFile {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A backup that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupFiles {
    /// What a file with all of it is called, without an ending.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its files.
    pub files: Vec<BackupFile>,
}

/// Whether a text is the name of a file and nothing else.
pub(crate) fn is_plain_file_name(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

impl Services {
    /// Where the backups of a node are kept.
    pub(crate) fn backup_folder(&self, node: &NodeId) -> PathBuf {
        self.settings.data_dir.join("backups").join(node.as_str())
    }

    /// The backups, newest first.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn backups_page(&self, who: &Principal, filter: Filter) -> Result<Listing<BackupView>, Fault> {
        need_admin(who)?;
        let mut c = self.store.read().await?;
        let page = c.backups_page(&filter).await?;
        let count = c.backups_count(&filter, Listing::<()>::COUNT_CAP).await?;
        let items = page.items.into_iter().map(view).collect();
        Ok(Listing { items, next_cursor: page.next_cursor, count })
    }

    /// One backup.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn backup_show(&self, who: &Principal, id: &BackupId) -> Result<BackupView, Fault> {
        need_admin(who)?;
        self.backup_row(id).await.map(view)
    }

    /// The files of a backup, to be downloaded; that is written to the trail.
    ///
    /// # Errors
    /// `not_found`; `conflict_state` when they are not on this machine's disk.
    pub async fn backup_open(&self, who: &Principal, id: &BackupId) -> Result<BackupFiles, Fault> {
        need_admin(who)?;
        let row = self.backup_row(id).await?;
        let folder = self.folder_of(&row)?;
        let mut files = Vec::new();
        for name in &row.files {
            let path = folder.join(name);
            let found = tokio::fs::symlink_metadata(&path).await.ok().filter(|found| found.is_file());
            match found.filter(|_| is_plain_file_name(name)) {
                Some(found) => files.push(BackupFile { name: name.clone(), path, bytes: found.len() }),
                None => {
                    let words = format!("The file {name} of this backup is not on the disk of this machine.");
                    return Err(Fault::new(Code::ConflictState, words));
                }
            }
        }
        let (who, now, told) = (who.clone(), self.clock.now(), row.clone());
        self.write::<(), Fault, _>(move |c| {
            let (who, row) = (who.clone(), told.clone());
            Box::pin(async move {
                let line = Happened::ok(&who, "download-backup", Subject::new("backup", &row.id), now);
                audit_in(c, line.detail(row.node_name)).await
            })
        })
        .await?;
        let name = format!("{}-{}", row.node_name, row.folder);
        Ok(BackupFiles { name, created_at: row.created_at, files })
    }

    /// Deletes a backup: its files, then what tells of them.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn backup_delete(&self, who: &Principal, id: &BackupId) -> Result<(), Fault> {
        need_admin(who)?;
        let row = self.backup_row(id).await?;
        match tokio::fs::remove_dir_all(self.folder_of(&row)?).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Fault::internal(&error)),
            _ => {}
        }
        // The node's folder goes with its last backup; another one keeps it.
        let _ = tokio::fs::remove_dir(self.backup_folder(&row.node_id)).await;
        let (who, now) = (who.clone(), self.clock.now());
        self.write::<(), Fault, _>(move |c| {
            let (who, row) = (who.clone(), row.clone());
            Box::pin(async move {
                if !c.backup_delete(&row.id).await? {
                    return Err(Fault::not_found("backup"));
                }
                let line = Happened::ok(&who, "delete-backup", Subject::new("backup", &row.id), now);
                audit_in(c, line.detail(row.node_name)).await?;
                Ok(c.event_insert(&[event("backup", &row.id, now.millis(), None)]).await?)
            })
        })
        .await
    }

    async fn backup_row(&self, id: &BackupId) -> Result<BackupRow, Fault> {
        self.store.read().await?.backup_get(id).await?.ok_or_else(|| Fault::not_found("backup"))
    }

    fn folder_of(&self, row: &BackupRow) -> Result<PathBuf, Fault> {
        match is_plain_file_name(&row.folder) {
            true => Ok(self.backup_folder(&row.node_id).join(&row.folder)),
            false => Err(Fault::not_found("backup")),
        }
    }
}

/// A backup is there, in the transaction of the job that made it.
pub(crate) async fn backup_made_in(c: &mut Conn, row: &BackupRow, now: Timestamp) -> Result<(), Fault> {
    c.backup_insert(row).await?;
    let system = Principal::system();
    let line = Happened::ok(&system, "node.backup", Subject::new("node", &row.node_id), now);
    audit_in(c, line.detail(format!("{}: {} bytes", row.id, row.bytes))).await?;
    Ok(c.event_insert(&[event("backup", &row.id, 1, None)]).await?)
}

fn view(row: BackupRow) -> BackupView {
    BackupView {
        id: row.id,
        node_id: row.node_id,
        node_name: row.node_name,
        blueprint: row.blueprint,
        blueprint_version: row.blueprint_version,
        tag: row.tag,
        files: row.files,
        bytes: row.bytes,
        created_at: row.created_at,
    }
}

#[cfg(test)]
mod tests {
    use super::is_plain_file_name;

    #[test]
    fn a_file_is_never_a_path() {
        for good in ["db.tar", "a", "my_volume-1.tar.gz", &"x".repeat(100)] {
            assert!(is_plain_file_name(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "/etc/passwd",
            "a\\b",
            ".hidden",
            "-rf",
            "a\nb",
            "a\0b",
            "ä",
            &"x".repeat(101),
        ] {
            assert!(!is_plain_file_name(bad), "{bad}");
        }
    }
}
