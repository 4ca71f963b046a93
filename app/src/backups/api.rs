//! The server functions of backups. The rule: seam first, answer last, nothing between.
#![expect(missing_docs, reason = "the fields that the macro makes are the arguments of the functions")]

use domain::{
    blueprint::BackupView,
    id::BackupId,
    list::{Filter, Listing},
};
use leptos::{prelude::*, server_fn::codec::Json};

use crate::Fault;
#[cfg(feature = "ssr")]
use crate::seam::seam;

/// One page of the backups.
#[server(name = ListBackups, prefix = "/rpc", endpoint = "backups/list", input = Json)]
pub async fn list(filter: Filter) -> Result<Listing<BackupView>, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.backups.list(&seam.who, filter).await)
}

/// Deletes a backup, or forgets one whose files are missing.
#[server(name = DeleteBackup, prefix = "/rpc", endpoint = "backups/delete")]
pub async fn delete(id: BackupId, #[server(default)] missing: bool) -> Result<(), Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.backups.delete(&seam.who, id, missing).await)
}
