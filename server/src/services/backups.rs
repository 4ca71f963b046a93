//! Backups that were made of nodes before they were destroyed. The rule: they are files of this
//! installation's data folder that only administrators reach, by names that were checked.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use domain::{
    access::Principal,
    blueprint::BackupView,
    code::Code,
    id::{BackupId, NodeId},
    job::Subject,
    list::{Filter, Listing},
    node::NodeState,
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
    /// What it holds.
    pub content: BackupContent,
    /// Its size in bytes.
    pub bytes: u64,
}

/// What a file of a backup holds.
#[derive(Clone, PartialEq, Eq)]
pub enum BackupContent {
    /// It lies on the disk.
    Disk(PathBuf),
    /// It is made when it is asked for. It may hold secrets: never printed.
    Held(Vec<u8>),
}

impl std::fmt::Debug for BackupContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Disk(path) => f.debug_tuple("Disk").field(path).finish(),
            Self::Held(_) => f.debug_tuple("Held").finish_non_exhaustive(),
        }
    }
}

/// The file with the secrets that were generated for the stack: without them what was kept may be
/// unreadable. They are sealed until somebody downloads the backup.
const SECRETS: &str = "secrets.env";

/// What ends the name of a folder whose backup is not whole yet.
pub(crate) const UNFINISHED: &str = ".part";

/// How old the folder of a backup must be that nobody finishes any more.
const ABANDONED_AFTER: Duration = Duration::from_secs(3_600);

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
        self.settings.backup_dir.join(node.as_str())
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
        drop(c);
        let mut items = Vec::with_capacity(page.items.len());
        for row in page.items {
            items.push(self.backup_view(row).await);
        }
        Ok(Listing { items, next_cursor: page.next_cursor, count })
    }

    /// One backup.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn backup_show(&self, who: &Principal, id: &BackupId) -> Result<BackupView, Fault> {
        need_admin(who)?;
        Ok(self.backup_view(self.backup_row(id).await?).await)
    }

    /// The files of a backup, to be downloaded; that is written to the trail.
    ///
    /// # Errors
    /// `not_found`; `conflict` when they are not on this machine's disk.
    pub async fn backup_open(&self, who: &Principal, id: &BackupId) -> Result<BackupFiles, Fault> {
        need_admin(who)?;
        let row = self.backup_row(id).await?;
        let folder = self.folder_of(&row)?;
        let mut files = Vec::new();
        for name in &row.files {
            let path = folder.join(name);
            let found = tokio::fs::symlink_metadata(&path).await.ok().filter(|found| found.is_file());
            match found.filter(|_| is_plain_file_name(name)) {
                Some(found) => {
                    let content = BackupContent::Disk(path);
                    files.push(BackupFile { name: name.clone(), content, bytes: found.len() });
                }
                None => {
                    let words = format!("The file {name} of this backup is not on the disk of this machine.");
                    return Err(Fault::new(Code::ConflictState, words));
                }
            }
        }
        if let Some(bytes) = self.backup_secrets(&row.node_id).await? {
            files.push(BackupFile {
                name: SECRETS.to_owned(),
                bytes: bytes.len() as u64,
                content: BackupContent::Held(bytes),
            });
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

    /// Deletes a backup: its files, then what tells of them. With `missing` also where its files are not
    /// on this machine; wherever they are, they stay.
    ///
    /// # Errors
    /// `not_found`; `conflict` when its files are not here and that was not said.
    pub async fn backup_delete(&self, who: &Principal, id: &BackupId, missing: bool) -> Result<(), Fault> {
        let outcome = self.backup_deleted(who, id, missing).await;
        if let Err(fault) = &outcome {
            self.audit_refused(Some(who), "delete-backup", Subject::new("backup", id), fault).await;
        }
        outcome
    }

    async fn backup_deleted(&self, who: &Principal, id: &BackupId, missing: bool) -> Result<(), Fault> {
        need_admin(who)?;
        let row = self.backup_row(id).await?;
        let kept = match tokio::fs::remove_dir_all(self.folder_of(&row)?).await {
            Ok(()) => "",
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && missing => {
                ", whose files were not on this machine"
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let words = "Its files are not on this machine: they may be on another one, or their disk is not mounted. Delete it where they are, or forget it with missing=true: then they stay where they are, and the stack's secrets go.";
                return Err(Fault::new(Code::ConflictState, words));
            }
            Err(error) => return Err(Fault::internal(&error)),
        };
        // The node's folder goes with its last backup; another one keeps it.
        let _ = tokio::fs::remove_dir(self.backup_folder(&row.node_id)).await;
        let (who, now) = (who.clone(), self.clock.now());
        self.write::<(), Fault, _>(move |c| {
            let (who, row) = (who.clone(), row.clone());
            Box::pin(async move {
                if !c.backup_delete(&row.id).await? {
                    return Err(Fault::not_found("backup"));
                }
                secrets_forgotten_in(c, &row.node_id, now).await?;
                let line = Happened::ok(&who, "delete-backup", Subject::new("backup", &row.id), now);
                audit_in(c, line.detail(format!("{}{kept}", row.node_name))).await?;
                Ok(c.event_insert(&[event("backup", &row.id, now.millis(), None)]).await?)
            })
        })
        .await
    }

    /// The secrets of a node's stack as a file of variables; nothing where it has none.
    async fn backup_secrets(&self, node: &NodeId) -> Result<Option<Vec<u8>>, Fault> {
        let Some(node) = self.store.read().await?.node_get(node).await? else { return Ok(None) };
        let secrets = self.stack_secrets(&node)?;
        let text: String = secrets.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        Ok((!text.is_empty()).then(|| text.into_bytes()))
    }

    async fn backup_view(&self, row: BackupRow) -> BackupView {
        let here = match self.folder_of(&row) {
            Ok(folder) => tokio::fs::try_exists(folder).await.unwrap_or(false),
            Err(_) => false,
        };
        BackupView { missing: !here, ..view(row) }
    }

    /// Takes away what was begun of backups and nobody finishes any more; answers how many. What is
    /// whole is left alone, also where no row tells of it: it may be all that there is.
    ///
    /// # Errors
    /// [`Fault`] if the store does not answer.
    pub async fn backups_sweep(&self) -> Result<usize, Fault> {
        let root = self.settings.backup_dir.clone();
        let found = tokio::task::spawn_blocking(move || unfinished(&root)).await.map_err(|e| Fault::internal(&e))?;
        let mut swept = 0;
        for (node, folder) in found {
            if self.store.read().await?.job_open_for("node", node.as_str()).await?.is_some() {
                continue;
            }
            match tokio::fs::remove_dir_all(&folder).await {
                Ok(()) => {
                    swept += 1;
                    tracing::info!(%node, folder = %folder.display(), "an unfinished backup was taken away");
                }
                Err(error) => {
                    tracing::warn!(%error, folder = %folder.display(), "an unfinished backup cannot be taken away");
                }
            }
            let _ = tokio::fs::remove_dir(self.backup_folder(&node)).await;
        }
        Ok(swept)
    }

    /// Whether a backup of a node is written down whose folder's name begins with `stem`, as those of one
    /// job do.
    pub(crate) async fn backup_of_job(&self, node: &NodeId, stem: &str) -> Result<bool, Fault> {
        let filter = Filter { subject: Some(node.to_string()), ..Filter::default() };
        let page = self.store.read().await?.backups_page(&filter).await?;
        let its = |folder: &str| folder.strip_prefix(stem).is_some_and(|rest| rest.starts_with('-'));
        Ok(page.items.iter().any(|row| its(&row.folder)))
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

/// The secrets of a node that is gone are kept as long as a backup may need them.
pub(crate) async fn secrets_forgotten_in(c: &mut Conn, id: &NodeId, now: Timestamp) -> Result<(), Fault> {
    let filter = Filter { subject: Some(id.to_string()), ..Filter::default() };
    if c.backups_count(&filter, 1).await? > 0 {
        return Ok(());
    }
    let Some(mut row) = c.node_lock(id).await? else { return Ok(()) };
    if row.state != NodeState::Destroyed || row.secrets_sealed.is_none() {
        return Ok(());
    }
    row.secrets_sealed = None;
    row.updated_at = now;
    c.node_save(&row).await?;
    Ok(())
}

/// Folders of unfinished backups that are old enough.
fn unfinished(root: &Path) -> Vec<(NodeId, PathBuf)> {
    let below = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for node in below(root) {
        let Some(id) = node.file_name().to_str().and_then(|name| name.parse::<NodeId>().ok()) else { continue };
        for one in below(&node.path()) {
            let is_begun = one.file_name().to_str().is_some_and(|name| name.ends_with(UNFINISHED));
            let age = one.metadata().and_then(|it| it.modified()).map(|at| at.elapsed().unwrap_or_default());
            if is_begun && age.is_ok_and(|age| age >= ABANDONED_AFTER) {
                found.push((id.clone(), one.path()));
            }
        }
    }
    found
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
        missing: false,
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
