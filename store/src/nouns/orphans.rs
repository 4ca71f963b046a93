//! Differences between vendor and database, as they were last seen. The rule: what is seen again
//! keeps the moment when it was first seen; what is seen no more is forgotten.

use domain::{id::ProviderId, orphan::OrphanKind, time::Timestamp};

use crate::{Conn, StoreError, args::args, record::Record};

/// A difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrphanRow {
    /// The account.
    pub provider_id: ProviderId,
    /// The vendor's id.
    pub infra_id: String,
    /// On which side it is.
    pub kind: OrphanKind,
    /// Its name at the vendor, or the node's.
    pub name: String,
    /// The node that its label names, as it stands there, or whose record it is.
    pub node_id: Option<String>,
    /// Why it is taken for an orphan.
    pub reason: String,
    /// When it was first seen.
    pub first_seen_at: Timestamp,
    /// When it was last seen.
    pub last_seen_at: Timestamp,
}

const SEEN: &str = "INSERT INTO orphans (provider_id, infra_id, kind, name, node_id, reason, first_seen_at, last_seen_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (provider_id, infra_id, kind) DO UPDATE SET \
    name = excluded.name, node_id = excluded.node_id, reason = excluded.reason, last_seen_at = excluded.last_seen_at";
const UNSEEN: &str = "DELETE FROM orphans WHERE provider_id = $1 AND last_seen_at < $2";
const FORGET: &str = "DELETE FROM orphans WHERE provider_id = $1 AND infra_id = $2 AND kind = $3";
const ALL: &str = "SELECT provider_id, infra_id, kind, name, node_id, reason, first_seen_at, last_seen_at FROM orphans \
    ORDER BY first_seen_at, provider_id, infra_id, kind LIMIT $1";
const GET: &str = "SELECT provider_id, infra_id, kind, name, node_id, reason, first_seen_at, last_seen_at FROM orphans \
    WHERE provider_id = $1 AND infra_id = $2 AND kind = $3";

fn row(record: &Record) -> Result<OrphanRow, StoreError> {
    Ok(OrphanRow {
        provider_id: record.parse("provider_id")?,
        infra_id: record.text("infra_id")?,
        kind: record.parse("kind")?,
        name: record.text("name")?,
        node_id: record.opt_text("node_id")?,
        reason: record.text("reason")?,
        first_seen_at: record.time("first_seen_at")?,
        last_seen_at: record.time("last_seen_at")?,
    })
}

impl Conn {
    /// Notes that a difference was seen; one that is known keeps when it was first seen.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn orphan_seen(&mut self, orphan: &OrphanRow) -> Result<(), StoreError> {
        let OrphanRow { provider_id, infra_id, kind, name, node_id, reason, first_seen_at, last_seen_at } = orphan;
        let args = args![provider_id, infra_id, *kind, name, node_id, reason, *first_seen_at, *last_seen_at];
        self.change(SEEN, args).await.map(drop)
    }

    /// Forgets the differences of an account that were last seen before `now`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn orphans_unseen_delete(&mut self, provider: &ProviderId, now: Timestamp) -> Result<(), StoreError> {
        self.change(UNSEEN, args![provider, now]).await.map(drop)
    }

    /// Forgets one difference.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn orphan_delete(
        &mut self,
        provider: &ProviderId,
        infra_id: &str,
        kind: OrphanKind,
    ) -> Result<(), StoreError> {
        self.change(FORGET, args![provider, infra_id, kind]).await.map(drop)
    }

    /// One difference.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn orphan_get(
        &mut self,
        provider: &ProviderId,
        infra_id: &str,
        kind: OrphanKind,
    ) -> Result<Option<OrphanRow>, StoreError> {
        self.row(GET, args![provider, infra_id, kind]).await?.as_ref().map(row).transpose()
    }

    /// The differences, the longest known first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn orphans_all(&mut self, limit: u32) -> Result<Vec<OrphanRow>, StoreError> {
        self.rows(ALL, args![limit]).await?.iter().map(row).collect()
    }
}
