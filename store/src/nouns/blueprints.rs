//! Blueprints that administrators stored. The rule: a version is never changed or deleted, only
//! followed by another one or retired.

use std::sync::LazyLock;

use domain::{blueprint::BlueprintDefinition, id::UserId, time::Timestamp, valid::BlueprintName};

use crate::{
    Conn, StoreError,
    args::{args, json},
    record::Record,
    sql::Statement,
};

/// One version of a blueprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlueprintRow {
    /// Its name.
    pub name: BlueprintName,
    /// Counts from 1.
    pub version: u32,
    /// What it holds.
    pub definition: BlueprintDefinition,
    /// Who stored it.
    pub created_by: UserId,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it was retired.
    pub retired_at: Option<Timestamp>,
}

/// A blueprint that is not retired, in its newest version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlueprintListed {
    /// Its name.
    pub name: BlueprintName,
    /// Counts from 1.
    pub version: u32,
    /// What it holds, without the file.
    pub definition: BlueprintDefinition,
    /// Who stored it.
    pub created_by: UserId,
    /// When it was stored.
    pub created_at: Timestamp,
    /// Live nodes that were made from any of its versions.
    pub nodes: u32,
}

/// A version of a blueprint without what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlueprintHead {
    /// Counts from 1.
    pub version: u32,
    /// Who stored it.
    pub created_by: UserId,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it was retired.
    pub retired_at: Option<Timestamp>,
}

const GET: &str = "SELECT name, version, definition, created_by, created_at, retired_at, file FROM blueprints \
    WHERE name = $1 AND version = $2";
const NEWEST: &str = "SELECT name, version, definition, created_by, created_at, retired_at, file FROM blueprints \
    WHERE name = $1 ORDER BY version DESC LIMIT 1";
const HEADS: &str = "SELECT version, created_by, created_at, retired_at FROM blueprints \
    WHERE name = $1 ORDER BY version DESC LIMIT $2";
const LISTED: &str = "SELECT b.name, b.version, b.definition, b.created_by, b.created_at, \
    (SELECT CAST(COUNT(*) AS BIGINT) FROM nodes n WHERE n.blueprint = b.name AND n.state <> 'destroyed') AS nodes \
    FROM blueprints b WHERE b.name > $1 AND b.retired_at IS NULL \
    AND b.version = (SELECT MAX(m.version) FROM blueprints m WHERE m.name = b.name) ORDER BY b.name LIMIT $2";
const INSERT: &str = "INSERT INTO blueprints (name, version, definition, created_by, created_at, retired_at, file) \
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const RETIRE: &str = "UPDATE blueprints SET retired_at = $2 WHERE name = $1 AND retired_at IS NULL";
static LOCK: LazyLock<Statement> = LazyLock::new(|| {
    let lock = "SELECT version, created_by, created_at, retired_at FROM blueprints \
        WHERE name = $1 AND version = $2{lock}";
    Statement::new(lock, "")
});

fn row(record: &Record) -> Result<BlueprintRow, StoreError> {
    Ok(BlueprintRow {
        name: record.parse("name")?,
        version: record.number("version")?,
        definition: BlueprintDefinition { file: record.text("file")?, ..record.json("definition")? },
        created_by: record.parse("created_by")?,
        created_at: record.time("created_at")?,
        retired_at: record.opt_time("retired_at")?,
    })
}

fn listed(record: &Record) -> Result<BlueprintListed, StoreError> {
    Ok(BlueprintListed {
        name: record.parse("name")?,
        version: record.number("version")?,
        definition: record.json("definition")?,
        created_by: record.parse("created_by")?,
        created_at: record.time("created_at")?,
        nodes: record.number("nodes")?,
    })
}

fn head(record: &Record) -> Result<BlueprintHead, StoreError> {
    Ok(BlueprintHead {
        version: record.number("version")?,
        created_by: record.parse("created_by")?,
        created_at: record.time("created_at")?,
        retired_at: record.opt_time("retired_at")?,
    })
}

impl Conn {
    /// Stores a version.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if somebody stored this version meanwhile.
    pub async fn blueprint_insert(&mut self, blueprint: &BlueprintRow) -> Result<(), StoreError> {
        let BlueprintRow { name, version, definition, created_by, created_at, retired_at } = blueprint;
        // Lists leave the file out: it may be large.
        let BlueprintDefinition { file, .. } = definition;
        let rest = BlueprintDefinition { file: String::new(), ..definition.clone() };
        let values = args![name, *version, json(&rest)?, created_by, *created_at, *retired_at, file];
        self.change(INSERT, values).await.map(drop)
    }

    /// One version of a blueprint.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn blueprint_get(
        &mut self,
        name: &BlueprintName,
        version: u32,
    ) -> Result<Option<BlueprintRow>, StoreError> {
        self.row(GET, args![name, version]).await?.as_ref().map(row).transpose()
    }

    /// The newest version of a blueprint, retired or not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn blueprint_newest(&mut self, name: &BlueprintName) -> Result<Option<BlueprintRow>, StoreError> {
        self.row(NEWEST, args![name]).await?.as_ref().map(row).transpose()
    }

    /// One version of a blueprint, held until the transaction ends: it is not retired meanwhile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn blueprint_lock(
        &mut self,
        name: &BlueprintName,
        version: u32,
    ) -> Result<Option<BlueprintHead>, StoreError> {
        self.row(&LOCK, args![name, version]).await?.as_ref().map(head).transpose()
    }

    /// The versions of a blueprint, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn blueprint_versions(
        &mut self,
        name: &BlueprintName,
        limit: u32,
    ) -> Result<Vec<BlueprintHead>, StoreError> {
        self.rows(HEADS, args![name, limit]).await?.iter().map(head).collect()
    }

    /// Retires every version of a blueprint; answers how many were not yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn blueprint_retire(&mut self, name: &BlueprintName, now: Timestamp) -> Result<u64, StoreError> {
        self.change(RETIRE, args![name, now]).await
    }

    /// Up to `limit` blueprints that are not retired, those after the name `after`, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn blueprints_listed(&mut self, after: &str, limit: u32) -> Result<Vec<BlueprintListed>, StoreError> {
        self.rows(LISTED, args![after, limit]).await?.iter().map(listed).collect()
    }
}
