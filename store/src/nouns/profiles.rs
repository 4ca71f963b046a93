//! Profiles that administrators stored. The rule: a version is never changed or deleted, only
//! followed by another one.

use domain::{id::UserId, profile::ProfileDefinition, time::Timestamp, valid::ProfileName};

use crate::{
    Conn, StoreError,
    args::{args, json},
    record::Record,
};

/// One version of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileRow {
    /// Its name.
    pub name: ProfileName,
    /// Counts from 1.
    pub version: u32,
    /// What it does.
    pub definition: ProfileDefinition,
    /// Who stored it.
    pub created_by: UserId,
    /// When it was stored.
    pub created_at: Timestamp,
}

const GET: &str =
    "SELECT name, version, definition, created_by, created_at FROM profiles WHERE name = $1 AND version = $2";
const VERSIONS: &str = "SELECT name, version, definition, created_by, created_at FROM profiles \
    WHERE name = $1 ORDER BY version DESC LIMIT $2";
const NAMES: &str = "SELECT name, MAX(version) AS version FROM profiles GROUP BY name ORDER BY name LIMIT 500";
const INSERT: &str =
    "INSERT INTO profiles (name, version, definition, created_by, created_at) VALUES ($1, $2, $3, $4, $5)";

fn row(record: &Record) -> Result<ProfileRow, StoreError> {
    Ok(ProfileRow {
        name: record.parse("name")?,
        version: record.number("version")?,
        definition: record.json("definition")?,
        created_by: record.parse("created_by")?,
        created_at: record.time("created_at")?,
    })
}

impl Conn {
    /// Stores a version.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if somebody stored this version meanwhile.
    pub async fn profile_insert(&mut self, profile: &ProfileRow) -> Result<(), StoreError> {
        let ProfileRow { name, version, definition, created_by, created_at } = profile;
        self.change(INSERT, args![name, *version, json(definition)?, created_by, *created_at]).await.map(drop)
    }

    /// One version of a profile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn profile_get(&mut self, name: &ProfileName, version: u32) -> Result<Option<ProfileRow>, StoreError> {
        self.row(GET, args![name, version]).await?.as_ref().map(row).transpose()
    }

    /// The versions of a profile, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn profile_versions(&mut self, name: &ProfileName, limit: u32) -> Result<Vec<ProfileRow>, StoreError> {
        self.rows(VERSIONS, args![name, limit]).await?.iter().map(row).collect()
    }

    /// Every stored profile with its newest version's number, by name; at most 500.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn profiles_all(&mut self) -> Result<Vec<(ProfileName, u32)>, StoreError> {
        let rows = self.rows(NAMES, Vec::new()).await?;
        rows.iter().map(|record| Ok((record.parse("name")?, record.number("version")?))).collect()
    }
}
