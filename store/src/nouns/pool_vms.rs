//! Pool VMs. The rule: one statement hands a machine out, so that no two callers ever get the same.

use std::{collections::BTreeMap, sync::LazyLock};

use domain::{
    id::{AllocationId, NodeId},
    list::{Filter, Page},
    pool::{PoolVmSource, PoolVmStatus},
    time::Timestamp,
    valid::{CockpitUrl, PoolName, PoolVmId},
};

use crate::{
    Conn, StoreError,
    args::{Arg, args, json},
    list::{Letters, List, ListOf},
    record::Record,
    sql::{Statement, Table},
};

/// A machine of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolVmRow {
    /// Its id.
    pub id: PoolVmId,
    /// Its pool.
    pub pool: PoolName,
    /// Where it comes from.
    pub source: PoolVmSource,
    /// The node behind it.
    pub node_id: Option<NodeId>,
    /// Where it is reached.
    pub host: Option<String>,
    /// Its cockpit.
    pub cockpit_url: Option<CockpitUrl>,
    /// Where it stands.
    pub status: PoolVmStatus,
    /// Why it stands there, where that needs saying.
    pub note: Option<String>,
    /// The user for SSH.
    pub ssh_user: Option<String>,
    /// The port for SSH.
    pub ssh_port: Option<i64>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// Its turn: the lowest is handed out first.
    pub position: i64,
    /// When it changed last.
    pub updated_at: Timestamp,
    /// Counts every change.
    pub version: i64,
}

const STORED: &[&str] = &[
    "id",
    "pool",
    "source",
    "node_id",
    "host",
    "cockpit_url",
    "status",
    "note",
    "ssh_user",
    "ssh_port",
    "labels",
    "position",
    "updated_at",
    "version",
];

static COLUMNS: LazyLock<String> = LazyLock::new(|| STORED.join(", "));
static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new("pool_vms", STORED, &COLUMNS));
static CLAIM: LazyLock<Statement> = LazyLock::new(|| {
    let claim = "UPDATE pool_vms SET status = 'allocated', note = NULL, updated_at = $2, version = version + 1 \
        WHERE id = (SELECT id FROM pool_vms WHERE pool = $1 AND status = 'available' \
        AND NOT EXISTS (SELECT 1 FROM allocations a WHERE a.pool_vm_id = pool_vms.id \
        AND a.status IN ('active', 'releasing')) ORDER BY position, id LIMIT 1{skip_locked}) RETURNING {columns}";
    Statement::new(claim, &COLUMNS)
});
static CLAIM_UNLESS_WAITING: LazyLock<Statement> = LazyLock::new(|| {
    let claim = "UPDATE pool_vms SET status = 'allocated', note = NULL, updated_at = $2, version = version + 1 \
        WHERE id = (SELECT id FROM pool_vms WHERE pool = $1 AND status = 'available' \
        ORDER BY position, id LIMIT 1{skip_locked}) \
        AND NOT EXISTS (SELECT 1 FROM allocations WHERE allocations.pool = $1 AND allocations.status = 'waiting') \
        RETURNING {columns}";
    Statement::new(claim, &COLUMNS)
});
static LISTED: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new("SELECT {columns} FROM pool_vms WHERE source = 'listed' ORDER BY position, id", &COLUMNS)
});
static LIST: LazyLock<ListOf> = LazyLock::new(|| ListOf {
    // The condition on the status is the one of the index, word for word.
    select: format!(
        "SELECT {}, (SELECT a.id FROM allocations a WHERE a.pool_vm_id = pool_vms.id \
         AND a.status IN ('active', 'releasing')) AS allocation_id FROM pool_vms",
        *COLUMNS
    ),
    table: "pool_vms",
    id: "id",
    prefix: "",
    search: "id",
    letters: Letters::AsTheyAre,
});

const LISTED_EVER: &str = "SELECT 1 AS one FROM pool_vms WHERE source = 'listed' LIMIT 1";

fn values(v: &PoolVmRow) -> Result<Vec<Arg>, StoreError> {
    Ok(args![
        &v.id,
        &v.pool,
        v.source,
        &v.node_id,
        &v.host,
        &v.cockpit_url,
        v.status,
        &v.note,
        &v.ssh_user,
        v.ssh_port,
        json(&v.labels)?,
        v.position,
        v.updated_at,
        v.version,
    ])
}

fn row(record: &Record) -> Result<PoolVmRow, StoreError> {
    Ok(PoolVmRow {
        id: record.parse("id")?,
        pool: record.parse("pool")?,
        source: record.parse("source")?,
        node_id: record.opt_parse("node_id")?,
        host: record.opt_text("host")?,
        cockpit_url: record.opt_parse("cockpit_url")?,
        status: record.parse("status")?,
        note: record.opt_text("note")?,
        ssh_user: record.opt_text("ssh_user")?,
        ssh_port: record.opt_int("ssh_port")?,
        labels: record.json("labels")?,
        position: record.int("position")?,
        updated_at: record.time("updated_at")?,
        version: record.int("version")?,
    })
}

fn list(pool: &PoolName, filter: &Filter) -> List<'static> {
    List::new(&LIST)
        .only("pool", Some(pool.as_str()))
        .and("status", filter.status.as_deref())
        .only("source", filter.kind.as_deref())
        .search(filter)
}

impl Conn {
    /// Adds a machine.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] of [`constraint::POOL_VM_ID`](crate::constraint::POOL_VM_ID).
    pub async fn pool_vm_insert(&mut self, vm: &PoolVmRow) -> Result<(), StoreError> {
        self.change(&TABLE.insert, values(vm)?).await.map(drop)
    }

    /// A machine.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pool_vm_get(&mut self, id: &PoolVmId) -> Result<Option<PoolVmRow>, StoreError> {
        self.row(&TABLE.get, args![id]).await?.as_ref().map(row).transpose()
    }

    /// A machine, held until the transaction ends.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pool_vm_lock(&mut self, id: &PoolVmId) -> Result<Option<PoolVmRow>, StoreError> {
        self.row(&TABLE.lock, args![id]).await?.as_ref().map(row).transpose()
    }

    /// Writes a machine if nobody did since it was read, and counts the version up; answers whether
    /// it was written.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pool_vm_save(&mut self, vm: &PoolVmRow) -> Result<bool, StoreError> {
        self.change_one(&TABLE.save, values(vm)?).await
    }

    /// Hands out the first available machine of a pool, by turn and id; `None` if there is none. On
    /// PostgreSQL one that another transaction is just handing out is passed over.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pool_vm_claim(&mut self, pool: &PoolName, now: Timestamp) -> Result<Option<PoolVmRow>, StoreError> {
        self.change_rows(&CLAIM, args![pool, now]).await?.first().map(row).transpose()
    }

    /// The same for somebody who asks now: first come, first served, so there is none for them while
    /// others wait in the pool.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pool_vm_claim_unless_waiting(
        &mut self,
        pool: &PoolName,
        now: Timestamp,
    ) -> Result<Option<PoolVmRow>, StoreError> {
        self.change_rows(&CLAIM_UNLESS_WAITING, args![pool, now]).await?.first().map(row).transpose()
    }

    /// A page of a pool's machines by id, descending, each with the allocation that holds it:
    /// `status`, `kind` is the source; `q` begins an id.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`].
    pub async fn pool_vms_page(
        &mut self,
        pool: &PoolName,
        filter: &Filter,
    ) -> Result<Page<(PoolVmRow, Option<AllocationId>)>, StoreError> {
        let item = |record: &Record| Ok((row(record)?, record.opt_parse("allocation_id")?));
        list(pool, filter).page(self, filter, item).await
    }

    /// How many machines of a pool fit `filter`, counted up to `cap`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pool_vms_count(&mut self, pool: &PoolName, filter: &Filter, cap: u32) -> Result<u32, StoreError> {
        list(pool, filter).count(self, cap).await
    }

    /// Every machine that an operator ever listed, retired ones included, by turn. A refresh
    /// concerns them all, so there is no bound.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pool_vms_listed(&mut self) -> Result<Vec<PoolVmRow>, StoreError> {
        self.rows(&LISTED, Vec::new()).await?.iter().map(row).collect()
    }

    /// Whether an operator ever listed a machine.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn listed_ever(&mut self) -> Result<bool, StoreError> {
        Ok(self.row(LISTED_EVER, Vec::new()).await?.is_some())
    }
}
