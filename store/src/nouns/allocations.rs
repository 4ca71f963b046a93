//! Allocations. The rule: that a machine has at most one holder is a constraint of the table, not
//! the care of its callers.

use std::sync::LazyLock;

use domain::{
    allocation::AllocationStatus,
    id::{AllocationId, UserId},
    list::{Filter, Page},
    time::Timestamp,
    valid::{CockpitUrl, PoolName, PoolVmId},
};

use crate::{
    Conn, StoreError,
    args::{Arg, args},
    list::{Letters, List, ListOf},
    record::Record,
    sql::{Statement, Table},
};

/// An allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllocationRow {
    /// Its id.
    pub id: AllocationId,
    /// Whose it is.
    pub user_id: UserId,
    /// The Forge's id of that user when the machine was handed out.
    pub forge_id: Option<String>,
    /// The pool.
    pub pool: PoolName,
    /// The machine.
    pub pool_vm_id: Option<PoolVmId>,
    /// Where the machine is reached.
    pub host: Option<String>,
    /// The provisioner that made it.
    pub provisioner: String,
    /// Whether the demo provisioner made it.
    pub is_demo: bool,
    /// Where it stands.
    pub status: AllocationStatus,
    /// What it costs in cents.
    pub cost_cents: Option<i64>,
    /// The cockpit as it was when the machine was handed out.
    pub cockpit_url: Option<CockpitUrl>,
    /// For how many hours it was asked.
    pub duration_hours: u32,
    /// A public SSH key to put on the machine.
    pub ssh_pub_key: Option<String>,
    /// Why it ended, or why it waits.
    pub reason: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When the machine was handed out.
    pub allocated_at: Option<Timestamp>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was given back.
    pub released_at: Option<Timestamp>,
    /// Counts every change.
    pub version: i64,
}

/// Which allocations of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Waiting, active or being released.
    Open,
    /// Those that are over.
    Over,
}

const STORED: &[&str] = &[
    "id",
    "user_id",
    "forge_id",
    "pool",
    "pool_vm_id",
    "host",
    "provisioner",
    "is_demo",
    "status",
    "cost_cents",
    "cockpit_url",
    "duration_hours",
    "ssh_pub_key",
    "reason",
    "created_at",
    "allocated_at",
    "expires_at",
    "released_at",
    "version",
];

static COLUMNS: LazyLock<String> = LazyLock::new(|| STORED.join(", "));
static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new("allocations", STORED, &COLUMNS));

/// A statement over the columns of this table.
macro_rules! select {
    ($($name:ident = $text:literal;)*) => {$(
        static $name: LazyLock<Statement> = LazyLock::new(|| Statement::new($text, &COLUMNS));
    )*};
}
select! {
    OF_VM = "SELECT {columns} FROM allocations WHERE pool_vm_id = $1 AND status IN ('active', 'releasing')";
    OPEN_OF_USER = "SELECT {columns} FROM allocations WHERE user_id = $1 \
        AND status IN ('waiting', 'active', 'releasing') ORDER BY id DESC LIMIT $2";
    OVER_OF_USER = "SELECT {columns} FROM allocations WHERE user_id = $1 AND status = 'released' ORDER BY id DESC LIMIT $2";
    WAITING_FIRST = "SELECT {columns} FROM allocations WHERE pool = $1 AND status = 'waiting' \
        ORDER BY created_at, id LIMIT 1{skip_locked}";
    WAITING_SEEN = "SELECT {columns} FROM allocations WHERE pool = $1 AND status = 'waiting' \
        ORDER BY created_at, id LIMIT 1";
    EXPIRED = "SELECT {columns} FROM allocations WHERE status = 'active' AND expires_at <= $1 \
        ORDER BY expires_at, id LIMIT $2";
}
static LIST: LazyLock<ListOf> = LazyLock::new(|| ListOf {
    select: format!("SELECT {} FROM allocations", *COLUMNS),
    table: "allocations",
    id: "id",
    prefix: "alc_",
    search: "pool_vm_id",
    letters: Letters::AsTheyAre,
});

const OPEN_COUNT: &str = "SELECT CAST(COUNT(*) AS BIGINT) AS n FROM allocations \
    WHERE user_id = $1 AND status IN ('waiting', 'active')";
const POSITION: &str = "SELECT CAST(COUNT(*) AS BIGINT) AS n FROM allocations \
    WHERE pool = $1 AND status = 'waiting' AND (created_at, id) <= ($2, $3)";

/// The most allocations of one person in one answer.
const OF_USER_MOST: u32 = 100;

fn values(a: &AllocationRow) -> Vec<Arg> {
    args![
        &a.id,
        &a.user_id,
        &a.forge_id,
        &a.pool,
        &a.pool_vm_id,
        &a.host,
        &a.provisioner,
        a.is_demo,
        a.status,
        a.cost_cents,
        &a.cockpit_url,
        a.duration_hours,
        &a.ssh_pub_key,
        &a.reason,
        a.created_at,
        a.allocated_at,
        a.expires_at,
        a.released_at,
        a.version,
    ]
}

fn row(record: &Record) -> Result<AllocationRow, StoreError> {
    Ok(AllocationRow {
        id: record.parse("id")?,
        user_id: record.parse("user_id")?,
        forge_id: record.opt_text("forge_id")?,
        pool: record.parse("pool")?,
        pool_vm_id: record.opt_parse("pool_vm_id")?,
        host: record.opt_text("host")?,
        provisioner: record.text("provisioner")?,
        is_demo: record.flag("is_demo")?,
        status: record.parse("status")?,
        cost_cents: record.opt_int("cost_cents")?,
        cockpit_url: record.opt_parse("cockpit_url")?,
        duration_hours: record.number("duration_hours")?,
        ssh_pub_key: record.opt_text("ssh_pub_key")?,
        reason: record.opt_text("reason")?,
        created_at: record.time("created_at")?,
        allocated_at: record.opt_time("allocated_at")?,
        expires_at: record.opt_time("expires_at")?,
        released_at: record.opt_time("released_at")?,
        version: record.int("version")?,
    })
}

fn list(filter: &Filter) -> List<'static> {
    let list = List::new(&LIST);
    let (status, pool) = (filter.status.as_deref(), filter.pool.as_deref());
    let list = match (filter.user.as_deref(), pool) {
        (Some(user), pool) => list.only("user_id", Some(user)).and("status", status).only("pool", pool),
        (None, Some(pool)) => list.only("pool", Some(pool)).and("status", status),
        (None, None) => list.only("status", status),
    };
    list.search(filter)
}

impl Conn {
    /// Adds an allocation.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] of [`constraint::ONE_HOLDER`](crate::constraint::ONE_HOLDER) if
    /// somebody else holds the machine.
    pub async fn allocation_insert(&mut self, allocation: &AllocationRow) -> Result<(), StoreError> {
        self.change(&TABLE.insert, values(allocation)).await.map(drop)
    }

    /// An allocation.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn allocation_get(&mut self, id: &AllocationId) -> Result<Option<AllocationRow>, StoreError> {
        self.row(&TABLE.get, args![id]).await?.as_ref().map(row).transpose()
    }

    /// An allocation, held until the transaction ends.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn allocation_lock(&mut self, id: &AllocationId) -> Result<Option<AllocationRow>, StoreError> {
        self.row(&TABLE.lock, args![id]).await?.as_ref().map(row).transpose()
    }

    /// Writes an allocation if nobody did since it was read, and counts the version up; answers
    /// whether it was written.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] of [`constraint::ONE_HOLDER`](crate::constraint::ONE_HOLDER).
    pub async fn allocation_save(&mut self, allocation: &AllocationRow) -> Result<bool, StoreError> {
        self.change_one(&TABLE.save, values(allocation)).await
    }

    /// A page of allocations, newest first: `status`, `pool`, `user`; `q` begins a machine's id or
    /// the allocation's own.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`].
    pub async fn allocations_page(&mut self, filter: &Filter) -> Result<Page<AllocationRow>, StoreError> {
        list(filter).page(self, filter, row).await
    }

    /// How many allocations fit `filter`, counted up to `cap`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn allocations_count(&mut self, filter: &Filter, cap: u32) -> Result<u32, StoreError> {
        list(filter).count(self, cap).await
    }

    /// The allocation that holds a machine (active or releasing).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn allocation_of_vm(&mut self, vm: &PoolVmId) -> Result<Option<AllocationRow>, StoreError> {
        self.row(&OF_VM, args![vm]).await?.as_ref().map(row).transpose()
    }

    /// How many allocations count against a person's quota (waiting or active).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn allocations_open_of_user(&mut self, user: &UserId) -> Result<u32, StoreError> {
        self.count(OPEN_COUNT, args![user]).await
    }

    /// A person's allocations, newest first; at most 100.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn allocations_of_user(&mut self, user: &UserId, which: Which) -> Result<Vec<AllocationRow>, StoreError> {
        let sql = match which {
            Which::Open => &OPEN_OF_USER,
            Which::Over => &OVER_OF_USER,
        };
        self.rows(sql, args![user, OF_USER_MOST]).await?.iter().map(row).collect()
    }

    /// Who has waited longest in a pool. Inside a write it is held until the transaction ends, and
    /// one that another transaction holds is passed over.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn allocation_waiting_first(&mut self, pool: &PoolName) -> Result<Option<AllocationRow>, StoreError> {
        let sql = if self.may_change().is_ok() { &WAITING_FIRST } else { &WAITING_SEEN };
        self.row(sql, args![pool]).await?.as_ref().map(row).transpose()
    }

    /// The place of a waiting allocation in its pool's waiting list, from 1.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn allocation_position(&mut self, allocation: &AllocationRow) -> Result<u32, StoreError> {
        self.count(POSITION, args![&allocation.pool, allocation.created_at, &allocation.id]).await
    }

    /// Active allocations whose end is not after `now`, the longest overdue first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn allocations_expired(&mut self, now: Timestamp, limit: u32) -> Result<Vec<AllocationRow>, StoreError> {
        self.rows(&EXPIRED, args![now, limit]).await?.iter().map(row).collect()
    }
}
