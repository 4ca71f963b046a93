//! Backups that were made of nodes before they were destroyed. The rule: a row tells of files that are
//! there whole; they are deleted before their row.

use std::sync::LazyLock;

use domain::{
    id::{BackupId, NodeId, ProviderId},
    list::{Filter, Page},
    time::Timestamp,
    valid::BlueprintName,
};

use crate::{
    Conn, StoreError,
    args::{args, json},
    list::{Letters, List, ListOf},
    record::Record,
};

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRow {
    /// Its id.
    pub id: BackupId,
    /// The node.
    pub node_id: NodeId,
    /// The node's name.
    pub node_name: String,
    /// The account through which the node was made.
    pub provider_id: ProviderId,
    /// The blueprint that the node was made from.
    pub blueprint: Option<BlueprintName>,
    /// The version of the blueprint.
    pub blueprint_version: Option<u32>,
    /// The version that the node ran.
    pub tag: Option<String>,
    /// Its folder within the node's.
    pub folder: String,
    /// Its files' names.
    pub files: Vec<String>,
    /// Their size together, in bytes.
    pub bytes: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

const COLUMNS: &str = "id, node_id, node_name, provider_id, blueprint, blueprint_version, tag, folder, files, bytes, \
    created_at";
const INSERT: &str = "INSERT INTO backups (id, node_id, node_name, provider_id, blueprint, blueprint_version, tag, \
    folder, files, bytes, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
const GET: &str = "SELECT id, node_id, node_name, provider_id, blueprint, blueprint_version, tag, folder, files, \
    bytes, created_at FROM backups WHERE id = $1";
const DELETE: &str = "DELETE FROM backups WHERE id = $1";

static LIST: LazyLock<ListOf> = LazyLock::new(|| ListOf {
    select: format!("SELECT {COLUMNS} FROM backups"),
    table: "backups",
    id: "id",
    prefix: "bak_",
    search: "node_name",
    letters: Letters::Folded,
});

fn row(record: &Record) -> Result<BackupRow, StoreError> {
    Ok(BackupRow {
        id: record.parse("id")?,
        node_id: record.parse("node_id")?,
        node_name: record.text("node_name")?,
        provider_id: record.parse("provider_id")?,
        blueprint: record.opt_parse("blueprint")?,
        blueprint_version: record.opt_number("blueprint_version")?,
        tag: record.opt_text("tag")?,
        folder: record.text("folder")?,
        files: record.json("files")?,
        bytes: u64::try_from(record.int("bytes")?).unwrap_or(0),
        created_at: record.time("created_at")?,
    })
}

fn list(filter: &Filter) -> List<'static> {
    List::new(&LIST)
        .only("node_id", filter.subject.as_deref())
        .only("provider_id", filter.provider.as_deref())
        .search(filter)
}

impl Conn {
    /// Adds a backup.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn backup_insert(&mut self, backup: &BackupRow) -> Result<(), StoreError> {
        let b = backup;
        let values = args![
            &b.id,
            &b.node_id,
            &b.node_name,
            &b.provider_id,
            &b.blueprint,
            b.blueprint_version,
            &b.tag,
            &b.folder,
            json(&b.files)?,
            i64::try_from(b.bytes).unwrap_or(i64::MAX),
            b.created_at,
        ];
        self.change(INSERT, values).await.map(drop)
    }

    /// A backup.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn backup_get(&mut self, id: &BackupId) -> Result<Option<BackupRow>, StoreError> {
        self.row(GET, args![id]).await?.as_ref().map(row).transpose()
    }

    /// Removes a backup's row; answers whether there was one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn backup_delete(&mut self, id: &BackupId) -> Result<bool, StoreError> {
        self.change_one(DELETE, args![id]).await
    }

    /// A page of backups, newest first: `subject` is the node, `provider` the account; `q` begins a
    /// node's name or a backup's id.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`].
    pub async fn backups_page(&mut self, filter: &Filter) -> Result<Page<BackupRow>, StoreError> {
        list(filter).page(self, filter, row).await
    }

    /// How many backups fit `filter`, counted up to `cap`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn backups_count(&mut self, filter: &Filter, cap: u32) -> Result<u32, StoreError> {
        list(filter).count(self, cap).await
    }
}
