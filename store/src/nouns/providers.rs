//! Provider accounts. The rule: a deleted account keeps its row, without its secret, because nodes
//! still refer to it; its name is free again.

use std::sync::LazyLock;

use domain::{
    code::Code,
    id::ProviderId,
    list::{Filter, Page},
    provider::ProviderStatus,
    time::Timestamp,
};
use serde_json::Value;

use crate::{
    Conn, StoreError,
    args::{Arg, args, json},
    list::{Letters, List, ListOf},
    record::Record,
    sql::{Statement, Table},
};

/// A connected account.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderRow {
    /// Its id.
    pub id: ProviderId,
    /// The kind, such as `hetzner`.
    pub kind: String,
    /// What people call it; unique among the living.
    pub name: String,
    /// As the kind's settings schema says.
    pub settings: Value,
    /// The sealed secret.
    pub secret_sealed: Option<String>,
    /// How it stands.
    pub status: ProviderStatus,
    /// The code of the last failed check.
    pub last_code: Option<Code>,
    /// The last check in one sentence.
    pub last_message: Option<String>,
    /// When a check first succeeded.
    pub connected_at: Option<Timestamp>,
    /// When it was checked last.
    pub last_checked_at: Option<Timestamp>,
    /// When it is to be checked next.
    pub next_check_at: Timestamp,
    /// Acquisitions through it that failed in a row, each for a reason that does not pass by itself.
    pub failures: u32,
    /// The code of the last one.
    pub failure_code: Option<Code>,
    /// Until when no further acquisition is begun.
    pub paused_until: Option<Timestamp>,
    /// When its machines were last compared with what is recorded.
    pub observed_at: Option<Timestamp>,
    /// Why that has failed since.
    pub observe_failed: Option<String>,
    /// When its credential ends, where the vendor says so.
    pub expires_at: Option<Timestamp>,
    /// Machines at the vendor that carry this installation's labels, as last observed.
    pub owned: Option<u32>,
    /// When it was connected.
    pub created_at: Timestamp,
    /// Counts every change.
    pub version: i64,
}

impl std::fmt::Debug for ProviderRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProviderRow")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("name", &self.name)
            .field("status", &self.status)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

const COLUMNS: &str = "id, kind, name, settings, secret_sealed, status, last_code, last_message, connected_at, \
    last_checked_at, next_check_at, failures, failure_code, paused_until, observed_at, observe_failed, owned, expires_at, \
    created_at, version";
const STORED: &[&str] = &[
    "id",
    "kind",
    "name",
    "search",
    "settings",
    "secret_sealed",
    "status",
    "last_code",
    "last_message",
    "connected_at",
    "last_checked_at",
    "next_check_at",
    "failures",
    "failure_code",
    "paused_until",
    "observed_at",
    "observe_failed",
    "owned",
    "expires_at",
    "created_at",
    "version",
];

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new("providers", STORED, COLUMNS));
static GET: LazyLock<Statement> =
    LazyLock::new(|| Statement::new("SELECT {columns} FROM providers WHERE id = $1 AND deleted_at IS NULL", COLUMNS));
static LOCK: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new("SELECT {columns} FROM providers WHERE id = $1 AND deleted_at IS NULL{lock}", COLUMNS)
});
static LIVING: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new("SELECT {columns} FROM providers WHERE deleted_at IS NULL ORDER BY id LIMIT 500", COLUMNS)
});
static DUE: LazyLock<Statement> = LazyLock::new(|| {
    let due = "SELECT {columns} FROM providers WHERE deleted_at IS NULL AND next_check_at <= $1 \
        ORDER BY next_check_at, id LIMIT $2";
    Statement::new(due, COLUMNS)
});
static OBSERVE_DUE: LazyLock<Statement> = LazyLock::new(|| {
    let due = "SELECT {columns} FROM providers WHERE deleted_at IS NULL AND next_observe_at <= $1 \
        ORDER BY next_observe_at, id LIMIT $2";
    Statement::new(due, COLUMNS)
});
static LIST: LazyLock<ListOf> = LazyLock::new(|| ListOf {
    select: format!("SELECT {COLUMNS} FROM providers"),
    table: "providers",
    id: "id",
    prefix: "prv_",
    search: "search",
    letters: Letters::Folded,
});

const CHECKED: &str = "UPDATE providers SET status = $2, last_code = $3, last_message = $4, last_checked_at = $5, \
    next_check_at = $6, connected_at = COALESCE(connected_at, CASE WHEN $2 = 'connected' THEN $5 END), \
    expires_at = CASE WHEN $2 = 'connected' THEN CAST($7 AS BIGINT) ELSE expires_at END, \
    next_observe_at = CASE WHEN $2 = 'connected' AND status <> 'connected' THEN $5 ELSE next_observe_at END, \
    version = version + 1 WHERE id = $1 AND deleted_at IS NULL RETURNING version";
const SECRET: &str = "UPDATE providers SET secret_sealed = $2, next_check_at = $3, version = version + 1 \
    WHERE id = $1 AND deleted_at IS NULL";
const SETTINGS: &str = "UPDATE providers SET settings = $2, secret_sealed = $3, next_check_at = $4, \
    version = version + 1 WHERE id = $1 AND deleted_at IS NULL";
const DELETE: &str = "UPDATE providers SET deleted_at = $2, secret_sealed = NULL, status = 'disconnected', \
    version = version + 1 WHERE id = $1 AND deleted_at IS NULL";
const FAILURES: &str = "UPDATE providers SET failures = $2, failure_code = $3, paused_until = $4, version = version + 1 \
    WHERE id = $1 AND deleted_at IS NULL";
// No change of the version: how fresh an account's picture is, is no change of the account.
const OBSERVED: &str = "UPDATE providers SET observed_at = $2, owned = $3, observe_failed = NULL \
    WHERE id = $1 AND deleted_at IS NULL";
const OBSERVE_CLAIM: &str = "UPDATE providers SET next_observe_at = $3 \
    WHERE id = $1 AND next_observe_at <= $2 AND deleted_at IS NULL";
const OBSERVE_FAILED: &str = "UPDATE providers SET observe_failed = $2 WHERE id = $1 AND deleted_at IS NULL";
const LIVE_NODES: &str = "SELECT CAST(COUNT(*) AS BIGINT) AS n FROM nodes WHERE provider_id = $1 AND state <> 'destroyed' \
    AND NOT (state = 'failed' AND (cleanup = 'done' OR (cleanup = 'none' AND create_attempted_at IS NULL)))";

const LIVE_RECORDS: &str = "SELECT CAST(COUNT(*) AS BIGINT) AS n FROM dns_records WHERE provider_id = $1 AND state <> 'deleted' \
    AND NOT (state = 'failed' AND (cleanup = 'done' OR (cleanup = 'none' AND create_attempted_at IS NULL)))";

fn values(p: &ProviderRow) -> Result<Vec<Arg>, StoreError> {
    Ok(args![
        &p.id,
        &p.kind,
        &p.name,
        p.name.to_lowercase(),
        json(&p.settings)?,
        &p.secret_sealed,
        p.status,
        p.last_code,
        &p.last_message,
        p.connected_at,
        p.last_checked_at,
        p.next_check_at,
        p.failures,
        p.failure_code,
        p.paused_until,
        p.observed_at.map_or(0, Timestamp::millis),
        &p.observe_failed,
        p.owned,
        p.expires_at,
        p.created_at,
        p.version,
    ])
}

fn row(record: &Record) -> Result<ProviderRow, StoreError> {
    Ok(ProviderRow {
        id: record.parse("id")?,
        kind: record.text("kind")?,
        name: record.text("name")?,
        settings: record.json("settings")?,
        secret_sealed: record.opt_text("secret_sealed")?,
        status: record.parse("status")?,
        last_code: record.opt_code("last_code")?,
        last_message: record.opt_text("last_message")?,
        connected_at: record.opt_time("connected_at")?,
        last_checked_at: record.opt_time("last_checked_at")?,
        next_check_at: record.time("next_check_at")?,
        failures: record.number("failures")?,
        failure_code: record.opt_code("failure_code")?,
        paused_until: record.opt_time("paused_until")?,
        observed_at: record.opt_time("observed_at")?.filter(|at| at.millis() != 0),
        observe_failed: record.opt_text("observe_failed")?,
        owned: record.opt_number("owned")?,
        expires_at: record.opt_time("expires_at")?,
        created_at: record.time("created_at")?,
        version: record.int("version")?,
    })
}

fn list(filter: &Filter) -> List<'static> {
    List::new(&LIST)
        .fixed("deleted_at IS NULL")
        .only("status", filter.status.as_deref())
        .only("kind", filter.kind.as_deref())
        .search(filter)
}

impl Conn {
    /// Adds an account.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] of [`constraint::PROVIDER_NAME`](crate::constraint::PROVIDER_NAME).
    pub async fn provider_insert(&mut self, provider: &ProviderRow) -> Result<(), StoreError> {
        self.change(&TABLE.insert, values(provider)?).await.map(drop)
    }

    /// A living account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn provider_get(&mut self, id: &ProviderId) -> Result<Option<ProviderRow>, StoreError> {
        self.row(&GET, args![id]).await?.as_ref().map(row).transpose()
    }

    /// A living account, held until the transaction ends.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn provider_lock(&mut self, id: &ProviderId) -> Result<Option<ProviderRow>, StoreError> {
        self.row(&LOCK, args![id]).await?.as_ref().map(row).transpose()
    }

    /// An account, also one that was disconnected: for the names in records of what it made.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn provider_record(&mut self, id: &ProviderId) -> Result<Option<ProviderRow>, StoreError> {
        self.row(&TABLE.get, args![id]).await?.as_ref().map(row).transpose()
    }

    /// Every living account, the oldest first; at most 500.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn provider_list(&mut self) -> Result<Vec<ProviderRow>, StoreError> {
        self.rows(&LIVING, Vec::new()).await?.iter().map(row).collect()
    }

    /// A page of living accounts, newest first: `status`, `kind`; `q` begins a name or an id.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`].
    pub async fn provider_page(&mut self, filter: &Filter) -> Result<Page<ProviderRow>, StoreError> {
        list(filter).page(self, filter, row).await
    }

    /// How many living accounts fit `filter`, counted up to `cap`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn provider_count(&mut self, filter: &Filter, cap: u32) -> Result<u32, StoreError> {
        list(filter).count(self, cap).await
    }

    /// Notes what a live check at `now` found; answers the new version, `None` if the account is gone.
    /// The first success is kept as the moment of connection; the end of the credential is noted with
    /// every success. What is found connected and was not is due to be compared at once.
    ///
    /// # Errors
    /// [`StoreError`].
    #[expect(clippy::too_many_arguments, reason = "each is of its own kind")]
    pub async fn provider_check_set(
        &mut self,
        id: &ProviderId,
        status: ProviderStatus,
        code: Option<Code>,
        message: Option<&str>,
        now: Timestamp,
        next_check_at: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<i64>, StoreError> {
        let args = args![id, status, code, message, now, next_check_at, expires_at];
        let rows = self.change_rows(CHECKED, args).await?;
        rows.first().map(|record| record.int("version")).transpose()
    }

    /// Stores another sealed secret and makes the next check due at `now`; answers whether the
    /// account still lives.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn provider_secret_set(
        &mut self,
        id: &ProviderId,
        sealed: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.change_one(SECRET, args![id, sealed, now]).await
    }

    /// Stores other settings and another sealed secret and makes the next check due at `now`; answers
    /// whether the account still lives.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn provider_settings_set(
        &mut self,
        id: &ProviderId,
        settings: &Value,
        sealed: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.change_one(SETTINGS, args![id, json(settings)?, sealed, now]).await
    }

    /// Disconnects an account and forgets its secret; answers whether it lived.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn provider_delete(&mut self, id: &ProviderId, now: Timestamp) -> Result<bool, StoreError> {
        self.change_one(DELETE, args![id, now]).await
    }

    /// Accounts whose next check is due, the longest overdue first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn provider_due(&mut self, now: Timestamp, limit: u32) -> Result<Vec<ProviderRow>, StoreError> {
        self.rows(&DUE, args![now, limit]).await?.iter().map(row).collect()
    }

    /// Notes how many acquisitions failed in a row, why the last one did, and until when no further
    /// one is begun.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn provider_failures_set(
        &mut self,
        id: &ProviderId,
        failures: u32,
        code: Option<Code>,
        paused_until: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        self.change_one(FAILURES, args![id, failures, code, paused_until]).await
    }

    /// Accounts whose machines are to be compared with what is recorded, the longest overdue first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn providers_observe_due(&mut self, now: Timestamp, limit: u32) -> Result<Vec<ProviderRow>, StoreError> {
        self.rows(&OBSERVE_DUE, args![now, limit]).await?.iter().map(row).collect()
    }

    /// Takes the comparison that is due at `now` and makes the next one due at `next`; answers whether
    /// nobody else took it before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn provider_observe_claim(
        &mut self,
        id: &ProviderId,
        now: Timestamp,
        next: Timestamp,
    ) -> Result<bool, StoreError> {
        self.change_one(OBSERVE_CLAIM, args![id, now, next]).await
    }

    /// Notes that the account's machines were compared with what is recorded, and how many there are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn provider_observed_set(
        &mut self,
        id: &ProviderId,
        now: Timestamp,
        owned: u32,
    ) -> Result<bool, StoreError> {
        self.change_one(OBSERVED, args![id, now, owned]).await
    }

    /// Notes why the account's machines could not be compared; when they last were stays.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn provider_observe_failed_set(&mut self, id: &ProviderId, why: &str) -> Result<bool, StoreError> {
        self.change_one(OBSERVE_FAILED, args![id, why]).await
    }

    /// How many nodes and DNS records that may still cost money were made through an account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn provider_live_counts(&mut self, id: &ProviderId) -> Result<(u32, u32), StoreError> {
        Ok((self.count(LIVE_NODES, args![id]).await?, self.count(LIVE_RECORDS, args![id]).await?))
    }
}
