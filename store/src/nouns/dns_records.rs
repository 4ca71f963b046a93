//! DNS records. The rule: the row is written before any call to a vendor and never deleted; every
//! change is a compare-and-set on the version.

use std::sync::LazyLock;

use domain::{
    code::Code,
    dns::{DnsState, DnsType},
    id::{DnsRecordId, JobId, NodeId, ProviderId, UserId},
    list::{Filter, Page},
    node::{Cleanup, Drift},
    time::Timestamp,
    valid::{RecordName, ZoneName},
};

use crate::{
    Conn, StoreError,
    args::{Arg, args, json},
    list::{Letters, List, ListOf},
    record::Record,
    sql::{Statement, Table},
};

/// A DNS record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsRecordRow {
    /// Its id.
    pub id: DnsRecordId,
    /// The account through which it is made.
    pub provider_id: ProviderId,
    /// Its zone.
    pub zone: ZoneName,
    /// Its name within the zone.
    pub name: RecordName,
    /// Its type.
    pub kind: DnsType,
    /// Its content.
    pub content: String,
    /// Seconds for which it may be remembered.
    pub ttl: Option<u32>,
    /// Whether the vendor's proxy stands before it.
    pub proxied: bool,
    /// Where it stands.
    pub state: DnsState,
    /// The code of the failure.
    pub code: Option<Code>,
    /// The failure in one sentence.
    pub message: Option<String>,
    /// Whether something may still be there that is to be taken away.
    pub cleanup: Cleanup,
    /// The vendor's id.
    pub vendor_id: Option<String>,
    /// The node that it names.
    pub node_id: Option<NodeId>,
    /// When its creation was first tried at the vendor.
    pub create_attempted_at: Option<Timestamp>,
    /// Whether a person let Hangar take over what it had not written.
    pub adopted: bool,
    /// When the vendor was asked last.
    pub observed_at: Option<Timestamp>,
    /// Where the vendor's truth differs.
    pub drift: Vec<Drift>,
    /// Who asked for it.
    pub created_by: UserId,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
    /// When the vendor confirmed that it is gone.
    pub deleted_at: Option<Timestamp>,
    /// Counts every change.
    pub version: i64,
}

impl DnsRecordRow {
    /// Its whole name, without a dot at the end.
    pub fn fqdn(&self) -> String {
        match self.name.as_str() {
            "@" => self.zone.to_string(),
            name => format!("{name}.{}", self.zone),
        }
    }
}

const STORED: &[&str] = &[
    "id",
    "provider_id",
    "zone",
    "name",
    "search",
    "type",
    "content",
    "ttl",
    "proxied",
    "state",
    "code",
    "message",
    "cleanup",
    "vendor_id",
    "node_id",
    "create_attempted_at",
    "adopted",
    "observed_at",
    "drift",
    "created_by",
    "created_at",
    "updated_at",
    "deleted_at",
    "version",
];
const COLUMNS: &str = "id, provider_id, zone, name, type, content, ttl, proxied, state, code, message, cleanup, \
    vendor_id, node_id, create_attempted_at, adopted, observed_at, drift, created_by, created_at, updated_at, \
    deleted_at, version";

/// Records of a node that are read at once.
const AT_ONCE: u32 = 200;

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new("dns_records", STORED, COLUMNS));
static OF_NODE: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new("SELECT {columns} FROM dns_records WHERE node_id = $1 AND id > $2 ORDER BY id LIMIT $3", COLUMNS)
});
static OF_NAME: LazyLock<Statement> = LazyLock::new(|| {
    let of = "SELECT {columns} FROM dns_records WHERE provider_id = $1 AND zone = $2 AND name = $3 \
        AND state IN ('requested', 'creating', 'active', 'deleting') ORDER BY type LIMIT 10";
    Statement::new(of, COLUMNS)
});
static CLEANUP_PENDING: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new("SELECT {columns} FROM dns_records WHERE cleanup = 'pending' ORDER BY id LIMIT $1", COLUMNS)
});
static TO_OBSERVE: LazyLock<Statement> = LazyLock::new(|| {
    let stale = "SELECT {columns} FROM dns_records WHERE state = 'active' AND observed_at < $1 \
        ORDER BY observed_at, id LIMIT $2";
    Statement::new(stale, COLUMNS)
});
static AT_ZONE: LazyLock<Statement> = LazyLock::new(|| {
    let at = "SELECT {columns} FROM dns_records WHERE provider_id = $1 AND zone = $2 AND id > $3 ORDER BY id LIMIT $4";
    Statement::new(at, COLUMNS)
});
static DRIFTED: LazyLock<Statement> = LazyLock::new(|| {
    let drifted = "SELECT {columns} FROM dns_records WHERE drift <> '[]' AND state = 'active' ORDER BY id LIMIT $1";
    Statement::new(drifted, COLUMNS)
});
const NEXT_ZONE: &str = "SELECT zone FROM dns_records WHERE provider_id = $1 AND zone > $2 ORDER BY zone LIMIT 1";
const MAKERS_OF_NODE: &str = "SELECT j.id AS id FROM dns_records r \
    JOIN jobs j ON j.subject_id = r.id AND j.subject_type = 'dns_record' AND j.status IN ('queued', 'running') \
    WHERE r.node_id = $1 AND j.kind = 'dns_create' ORDER BY j.id LIMIT 100";
const OBSERVED: &str = "UPDATE dns_records SET observed_at = $2 WHERE id = $1 AND state = 'active'";
static LIST: LazyLock<ListOf> = LazyLock::new(|| ListOf {
    select: format!("SELECT {COLUMNS} FROM dns_records"),
    table: "dns_records",
    id: "id",
    prefix: "dns_",
    search: "search",
    letters: Letters::Folded,
});

fn values(r: &DnsRecordRow) -> Result<Vec<Arg>, StoreError> {
    Ok(args![
        &r.id,
        &r.provider_id,
        &r.zone,
        &r.name,
        r.fqdn(),
        r.kind,
        &r.content,
        r.ttl,
        r.proxied,
        r.state,
        r.code,
        &r.message,
        r.cleanup,
        &r.vendor_id,
        &r.node_id,
        r.create_attempted_at,
        r.adopted,
        r.observed_at.map_or(0, Timestamp::millis),
        json(&r.drift)?,
        &r.created_by,
        r.created_at,
        r.updated_at,
        r.deleted_at,
        r.version,
    ])
}

fn row(record: &Record) -> Result<DnsRecordRow, StoreError> {
    Ok(DnsRecordRow {
        id: record.parse("id")?,
        provider_id: record.parse("provider_id")?,
        zone: record.parse("zone")?,
        name: record.parse("name")?,
        kind: record.parse("type")?,
        content: record.text("content")?,
        ttl: record.opt_number("ttl")?,
        proxied: record.flag("proxied")?,
        state: record.parse("state")?,
        code: record.opt_code("code")?,
        message: record.opt_text("message")?,
        cleanup: record.parse("cleanup")?,
        vendor_id: record.opt_text("vendor_id")?,
        node_id: record.opt_parse("node_id")?,
        create_attempted_at: record.opt_time("create_attempted_at")?,
        adopted: record.flag("adopted")?,
        observed_at: record.opt_time("observed_at")?.filter(|at| at.millis() != 0),
        drift: record.json("drift")?,
        created_by: record.parse("created_by")?,
        created_at: record.time("created_at")?,
        updated_at: record.time("updated_at")?,
        deleted_at: record.opt_time("deleted_at")?,
        version: record.int("version")?,
    })
}

fn list(filter: &Filter) -> List<'static> {
    let (state, live) = match filter.status.as_deref() {
        Some("live") => (None, true),
        state => (state, false),
    };
    let list = List::new(&LIST)
        .only("node_id", filter.node.as_deref())
        .only("provider_id", filter.provider.as_deref())
        .only("state", state);
    let list = if live { list.fixed("state <> 'deleted'") } else { list };
    list.search(filter)
}

impl Conn {
    /// Adds a record.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] of [`constraint::DNS_NAME`](crate::constraint::DNS_NAME) if another
    /// one of ours stands under this name and type.
    pub async fn dns_record_insert(&mut self, record: &DnsRecordRow) -> Result<(), StoreError> {
        self.change(&TABLE.insert, values(record)?).await.map(drop)
    }

    /// A record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dns_record_get(&mut self, id: &DnsRecordId) -> Result<Option<DnsRecordRow>, StoreError> {
        self.row(&TABLE.get, args![id]).await?.as_ref().map(row).transpose()
    }

    /// A record, held until the transaction ends.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dns_record_lock(&mut self, id: &DnsRecordId) -> Result<Option<DnsRecordRow>, StoreError> {
        self.row(&TABLE.lock, args![id]).await?.as_ref().map(row).transpose()
    }

    /// Writes a record if nobody did since it was read, and counts the version up; answers whether it
    /// was written.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] of [`constraint::DNS_NAME`](crate::constraint::DNS_NAME).
    pub async fn dns_record_save(&mut self, record: &DnsRecordRow) -> Result<bool, StoreError> {
        self.change_one(&TABLE.save, values(record)?).await
    }

    /// All records of a node, whatever became of them, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dns_records_of_node(&mut self, node: &NodeId) -> Result<Vec<DnsRecordRow>, StoreError> {
        let mut all: Vec<DnsRecordRow> = Vec::new();
        loop {
            let after = all.last().map(|row| row.id.to_string()).unwrap_or_default();
            let page = self.rows(&OF_NODE, args![node, after, AT_ONCE]).await?;
            let is_last = page.len() < AT_ONCE as usize;
            for record in &page {
                all.push(row(record)?);
            }
            if is_last {
                return Ok(all);
            }
        }
    }

    /// The open jobs that make or take over records of a node, the oldest first; at most 100.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dns_makers_of_node(&mut self, node: &NodeId) -> Result<Vec<JobId>, StoreError> {
        self.rows(MAKERS_OF_NODE, args![node]).await?.iter().map(|record| record.parse("id")).collect()
    }

    /// The records of ours that stand under a name or are on their way there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dns_records_of_name(
        &mut self,
        provider: &ProviderId,
        zone: &ZoneName,
        name: &RecordName,
    ) -> Result<Vec<DnsRecordRow>, StoreError> {
        self.rows(&OF_NAME, args![provider, zone, name]).await?.iter().map(row).collect()
    }

    /// A page of records, newest first: `status` is the state, or `live` for all that are not
    /// deleted; `provider`; `node`; `q` begins a whole name or an id.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`].
    pub async fn dns_records_page(&mut self, filter: &Filter) -> Result<Page<DnsRecordRow>, StoreError> {
        list(filter).page(self, filter, row).await
    }

    /// How many records fit `filter`, counted up to `cap`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dns_records_count(&mut self, filter: &Filter, cap: u32) -> Result<u32, StoreError> {
        list(filter).count(self, cap).await
    }

    /// Records that left something behind which is still to be taken away, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dns_records_cleanup_pending(&mut self, limit: u32) -> Result<Vec<DnsRecordRow>, StoreError> {
        self.rows(&CLEANUP_PENDING, args![limit]).await?.iter().map(row).collect()
    }

    /// Active records that were not observed since `before`, the longest unobserved first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dns_records_to_observe(
        &mut self,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<DnsRecordRow>, StoreError> {
        self.rows(&TO_OBSERVE, args![before, limit]).await?.iter().map(row).collect()
    }

    /// The records in a zone, whatever became of them, in order of their ids.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dns_records_at_zone(
        &mut self,
        provider: &ProviderId,
        zone: &ZoneName,
        after: &str,
        limit: u32,
    ) -> Result<Vec<DnsRecordRow>, StoreError> {
        self.rows(&AT_ZONE, args![provider, zone, after, limit]).await?.iter().map(row).collect()
    }

    /// The zones of an account in which Hangar ever wrote a record; at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dns_zones_written(
        &mut self,
        provider: &ProviderId,
        limit: usize,
    ) -> Result<Vec<ZoneName>, StoreError> {
        let mut zones: Vec<ZoneName> = Vec::new();
        while zones.len() < limit {
            let after = zones.last().map(ToString::to_string).unwrap_or_default();
            // One step on the index for each zone, however many records it holds.
            match self.row(NEXT_ZONE, args![provider, after]).await? {
                Some(record) => zones.push(record.parse("zone")?),
                None => break,
            }
        }
        Ok(zones)
    }

    /// Active records that differ from what stands in their zone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dns_records_drifted(&mut self, limit: u32) -> Result<Vec<DnsRecordRow>, StoreError> {
        self.rows(&DRIFTED, args![limit]).await?.iter().map(row).collect()
    }

    /// Notes that active records were found as they are recorded. No change of the version: how fresh
    /// a record's picture is, is no change of the record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dns_records_observed_set(&mut self, ids: &[DnsRecordId], now: Timestamp) -> Result<(), StoreError> {
        for id in ids {
            self.change(OBSERVED, args![id, now]).await?;
        }
        Ok(())
    }
}
