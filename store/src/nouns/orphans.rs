//! Differences between vendor and database, as they were last seen. The rule: what is seen again
//! keeps the moment when it was first seen; what is seen no more is forgotten.

use domain::{
    id::ProviderId,
    orphan::{OrphanKind, OrphanSubject},
    time::Timestamp,
};
use serde_json::Value;

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
    /// What it is.
    pub subject: OrphanSubject,
    /// Its name at the vendor, or the node's.
    pub name: String,
    /// The node that its label names, as it stands there, or whose record it is.
    pub node_id: Option<String>,
    /// What stands at the vendor, where its id alone does not find it again.
    pub detail: Option<Value>,
    /// Why it is taken for an orphan.
    pub reason: String,
    /// When it was first seen.
    pub first_seen_at: Timestamp,
    /// When it was last seen.
    pub last_seen_at: Timestamp,
}

const SEEN: &str = "INSERT INTO orphans (provider_id, infra_id, kind, subject, name, node_id, detail, reason, first_seen_at, \
    last_seen_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (provider_id, infra_id, kind) DO UPDATE SET \
    subject = excluded.subject, name = excluded.name, node_id = excluded.node_id, detail = excluded.detail, \
    reason = excluded.reason, last_seen_at = excluded.last_seen_at";
const UNSEEN: &str = "DELETE FROM orphans WHERE provider_id = $1 AND subject = $2 AND last_seen_at < $3";
const FORGET: &str = "DELETE FROM orphans WHERE provider_id = $1 AND infra_id = $2 AND kind = $3";
const ALL: &str = "SELECT provider_id, infra_id, kind, subject, name, node_id, detail, reason, first_seen_at, last_seen_at \
    FROM orphans ORDER BY first_seen_at, provider_id, infra_id, kind LIMIT $1";
const GET: &str = "SELECT provider_id, infra_id, kind, subject, name, node_id, detail, reason, first_seen_at, last_seen_at \
    FROM orphans WHERE provider_id = $1 AND infra_id = $2 AND kind = $3";

fn row(record: &Record) -> Result<OrphanRow, StoreError> {
    Ok(OrphanRow {
        provider_id: record.parse("provider_id")?,
        infra_id: record.text("infra_id")?,
        kind: record.parse("kind")?,
        subject: record.parse("subject")?,
        name: record.text("name")?,
        node_id: record.opt_text("node_id")?,
        detail: record.opt_text("detail")?.and_then(|text| serde_json::from_str(&text).ok()),
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
        let o = orphan;
        let detail = o.detail.as_ref().map(Value::to_string);
        let (first, last) = (o.first_seen_at, o.last_seen_at);
        let args =
            args![&o.provider_id, &o.infra_id, o.kind, o.subject, &o.name, &o.node_id, &detail, &o.reason, first, last];
        self.change(SEEN, args).await.map(drop)
    }

    /// Forgets the differences of this kind of an account that were last seen before `now`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn orphans_unseen_delete(
        &mut self,
        provider: &ProviderId,
        subject: OrphanSubject,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.change(UNSEEN, args![provider, subject, now]).await.map(drop)
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
