//! Keeps what must not be lost of a node before it is destroyed. The rule: a backup is whole and on the
//! disk before its row tells of it, and before anything is taken away.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ::providers::{BackupMade, BackupWish};
use domain::{
    code::{Code, Retry},
    id::BackupId,
    job::StepStatus,
};
use store::{BackupRow, FreshId as _, JobRow, NodeRow, ProviderRow};

use super::{
    journal::JobJournal,
    node_prepare::target,
    runner::{Failure, Signals, Stop},
};
use crate::{
    fault::Fault,
    services::{Lease, Services, UNFINISHED, backup_made_in, is_plain_file_name},
};

/// A backup that takes longer has failed, unless it goes on at a good pace.
const WITHIN: Duration = Duration::from_secs(3_600);

/// What the step is called.
const BACKUP: (&str, &str) = ("backup", "Keep what must not be lost");

/// The most bytes of its disk that a backup leaves to others; the database may lie there too.
const RESERVE_MOST: u64 = 1 << 30;

/// Makes the backup of a node's machine, and writes down that it is there.
pub(super) async fn keep(
    services: &Arc<Services>,
    node: &NodeRow,
    provider: &ProviderRow,
    job: &JobRow,
    lease: &Lease,
    mut signals: Signals,
    journal: &mut JobJournal,
) -> Result<(), Stop> {
    journal.begin(BACKUP.0, BACKUP.1, |_, _| Box::pin(async { Ok(()) })).await?;
    let open = services.account(provider)?;
    let infra = open.account.infra().ok_or_else(|| failed("This kind of account makes no backups."))?;
    // Each attempt has its own: one that lost its lease and does not know it yet touches no other's.
    let stem = job.created_at.rfc3339().replace([':', '.'], "-");
    // An attempt before this one may have written its backup down and never learnt of it.
    if services.backup_of_job(&node.id, &stem).await? {
        return settled(services, lease, journal, "It was made before. It is listed under Backups.", None).await;
    }
    let name = format!("{stem}-{}", lease.fence);
    let home = services.backup_folder(&node.id);
    let folder = home.join(format!("{name}{UNFINISHED}"));
    let fence = lease.fence;
    let (most_bytes, leave_bytes) = on_disk(&folder, move |folder| {
        earlier_cleared(&home, &stem, fence)?;
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(folder)?;
        room(folder)
    })
    .await?;
    if most_bytes == 0 {
        on_disk(&folder, clear).await?;
        return Err(failed("The disk of the backups is full but for what is left to others."));
    }
    let wish = BackupWish { into: &folder, most_bytes, leave_bytes, within: WITHIN };
    // A copy may take long; whoever ends the job is not kept waiting for it.
    let target = target(node);
    let done = tokio::select! {
        done = infra.backup(&target, &wish, journal) => done,
        () = signals.cancelled() => {
            on_disk(&folder, clear).await?;
            return Err(Stop::Cancelled);
        }
    };
    let made = match done {
        Ok(made) => made,
        Err(error) if error.lost => {
            let stop = journal.stopped().unwrap_or(Stop::Lost);
            if is_cancelled(&stop) {
                on_disk(&folder, clear).await?;
            }
            return Err(stop);
        }
        // What is gone has nothing to keep; that is not taken from one answer alone.
        Err(error) if error.code == Code::ProviderResourceGone => {
            on_disk(&folder, clear).await?;
            if let Some(id) = &node.infra_id
                && infra.status(id).await?.is_some()
            {
                return Err(failed("The vendor says both that the stack is gone and that it is there."));
            }
            None
        }
        Err(error) => {
            on_disk(&folder, clear).await?;
            return Err(error.into());
        }
    };
    let Some(made) = made else {
        on_disk(&folder, clear).await?;
        return settled(services, lease, journal, "There is nothing to keep.", None).await;
    };
    let files = made.files.clone();
    let whole = services.backup_folder(&node.id).join(&name);
    let kept = whole.clone();
    let bytes = match on_disk(&folder, move |folder| secured(folder, &whole, &made)).await {
        Ok(bytes) => bytes,
        Err(stop) => {
            on_disk(&folder, clear).await?;
            return Err(stop);
        }
    };
    let row = BackupRow {
        id: BackupId::fresh(),
        node_id: node.id.clone(),
        node_name: node.name.to_string(),
        provider_id: node.provider_id.clone(),
        blueprint: node.blueprint.clone(),
        blueprint_version: node.blueprint_version,
        tag: node.tag.clone(),
        folder: name,
        bytes,
        created_at: services.clock().now(),
        files,
    };
    let what = if row.files.len() == 1 { "1 file".to_owned() } else { format!("{} files", row.files.len()) };
    let words = format!("{what}, {bytes} bytes. It is listed under Backups.");
    let stored = settled(services, lease, journal, &words, Some(row)).await;
    if stored.as_ref().is_err_and(is_cancelled) {
        on_disk(&kept, clear).await?;
    }
    stored
}

/// The step is over, and its backup is written down with it.
async fn settled(
    services: &Arc<Services>,
    lease: &Lease,
    journal: &mut JobJournal,
    words: &str,
    row: Option<BackupRow>,
) -> Result<(), Stop> {
    journal.state.backed_up = true;
    let closed = journal.close(StepStatus::Succeeded, Some(words), services.clock().now());
    let job = lease.job.clone();
    let stored = journal
        .write(&closed, move |c, now| {
            let (row, job) = (row.clone(), job.clone());
            Box::pin(async move {
                // From here on it is taken away: an end that was asked for before comes first.
                if c.job_get(&job).await?.is_some_and(|job| job.cancel_requested) {
                    return Err(Fault::new(Code::JobCancelled, "The job was cancelled."));
                }
                match row {
                    Some(row) => backup_made_in(c, &row, now).await,
                    None => Ok(()),
                }
            })
        })
        .await;
    if stored.is_err() {
        journal.state.backed_up = false;
    }
    stored
}

fn is_cancelled(stop: &Stop) -> bool {
    match stop {
        Stop::Cancelled => true,
        Stop::Failed(failure) => failure.error.code == Code::JobCancelled,
        Stop::Lost => false,
    }
}

/// Looks at what the adapter wrote, makes it private, and has it on the disk under its last name; answers
/// its size.
fn secured(folder: &Path, whole: &Path, made: &BackupMade) -> io::Result<u64> {
    let wrong = |words: String| io::Error::new(io::ErrorKind::InvalidData, words);
    let mut bytes = 0;
    if made.files.is_empty() {
        return Err(wrong("no file was written".to_owned()));
    }
    for name in &made.files {
        if !is_plain_file_name(name) {
            return Err(wrong("a file has a name that is not plain".to_owned()));
        }
        let path = folder.join(name);
        let found = fs::symlink_metadata(&path)?;
        if !found.is_file() {
            return Err(wrong(format!("{name} is not a file")));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        fs::File::open(&path)?.sync_all()?;
        bytes += found.len();
    }
    if bytes != made.bytes {
        return Err(wrong(format!("{} bytes were announced and {bytes} written", made.bytes)));
    }
    fs::File::open(folder)?.sync_all()?;
    fs::rename(folder, whole)?;
    // Up to the folder in which the first backup made that of all backups.
    for folder in whole.ancestors().skip(1).take(3) {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(bytes)
}

/// Bytes that may be written at `folder`, and those of its disk that stay free.
fn room(folder: &Path) -> io::Result<(u64, u64)> {
    let disk = rustix::fs::statvfs(folder)?;
    let reserve = (disk.f_blocks.saturating_mul(disk.f_frsize) / 20).min(RESERVE_MOST);
    Ok((disk.f_bavail.saturating_mul(disk.f_frsize).saturating_sub(reserve), reserve))
}

/// Takes away what earlier attempts of the same job left. None of them can tell of its files any more:
/// that needs the lease, which has gone on.
fn earlier_cleared(home: &Path, stem: &str, fence: i64) -> io::Result<()> {
    let entries = match fs::read_dir(home) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let its = name.to_str().and_then(|name| name.strip_prefix(stem)?.strip_prefix('-'));
        let its = its.map(|rest| rest.strip_suffix(UNFINISHED).unwrap_or(rest));
        if its.and_then(|fence| fence.parse::<i64>().ok()).is_some_and(|its| its < fence) {
            clear(&entry.path())?;
        }
    }
    Ok(())
}

/// Takes a folder away that may not be there.
fn clear(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Does something on the disk without holding up anybody.
async fn on_disk<T, F>(folder: &Path, work: F) -> Result<T, Stop>
where
    T: Send + 'static,
    F: FnOnce(&Path) -> io::Result<T> + Send + 'static,
{
    let folder: PathBuf = folder.to_owned();
    let done = tokio::task::spawn_blocking(move || work(&folder)).await;
    done.map_err(|_| failed("The disk could not be worked on."))?
        .map_err(|error| failed(&format!("The backup could not be kept on the disk: {error}.")))
}

fn failed(words: &str) -> Stop {
    Stop::Failed(Failure { retry: Retry::No, ..Failure::new(Code::ProviderBackupFailed, words) })
}
