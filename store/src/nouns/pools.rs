//! Pools. The rule: a pool's name is its key towards everything else; its row is deleted only when
//! nothing is in it.

use std::sync::LazyLock;

use domain::{
    id::PoolId,
    list::{Filter, Page},
    node::NodeCreate,
    pool::{Cleaning, PoolCounts},
    time::Timestamp,
    valid::PoolName,
};

use crate::{
    Conn, StoreError,
    args::{Arg, args, json},
    list::{Letters, List, ListOf},
    record::Record,
    sql::{Statement, Table},
};

/// A pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolRow {
    /// Its id.
    pub id: PoolId,
    /// Its name; unique.
    pub name: PoolName,
    /// How many ready ones to keep.
    pub target_ready: Option<u32>,
    /// How many machines at most.
    pub max_size: Option<u32>,
    /// How machines are cleaned.
    pub cleaning: Cleaning,
    /// From what more are acquired.
    pub template: Option<NodeCreate>,
    /// The longest time for which a machine is given, in hours.
    pub max_duration_hours: u32,
    /// When it came into being.
    pub created_at: Timestamp,
    /// Counts every change.
    pub version: i64,
}

const STORED: &[&str] =
    &["id", "name", "target_ready", "max_size", "cleaning", "template", "max_duration_hours", "created_at", "version"];

/// Pools read at once.
const AT_ONCE: usize = 200;

static COLUMNS: LazyLock<String> = LazyLock::new(|| STORED.join(", "));
static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new("pools", STORED, &COLUMNS));
static GET: LazyLock<Statement> =
    LazyLock::new(|| Statement::new("SELECT {columns} FROM pools WHERE name = $1", &COLUMNS));
static LOCK: LazyLock<Statement> =
    LazyLock::new(|| Statement::new("SELECT {columns} FROM pools WHERE name = $1{lock}", &COLUMNS));
static INSERT_NEW: LazyLock<Statement> = LazyLock::new(|| {
    let places: Vec<String> = (1..=STORED.len()).map(|n| format!("${n}")).collect();
    let insert =
        format!("INSERT INTO pools ({}) VALUES ({}) ON CONFLICT (name) DO NOTHING", *COLUMNS, places.join(", "));
    Statement::new(&insert, "")
});
static AFTER: LazyLock<Statement> = LazyLock::new(|| {
    let after = format!("SELECT {{columns}} FROM pools WHERE name > $1 ORDER BY name LIMIT {AT_ONCE}");
    Statement::new(&after, &COLUMNS)
});
static LIST: LazyLock<ListOf> = LazyLock::new(|| ListOf {
    select: format!("SELECT {} FROM pools", *COLUMNS),
    table: "pools",
    id: "id",
    prefix: "pol_",
    search: "name",
    letters: Letters::Folded,
});

const DELETE: &str = "DELETE FROM pools WHERE name = $1";
const EXIST: &str = "SELECT 1 AS one FROM pools LIMIT 1";
const COUNTS: &str = "SELECT \
    CAST((SELECT COUNT(*) FROM pool_vms WHERE pool = $1 AND status = 'available') AS BIGINT) AS available, \
    CAST((SELECT COUNT(*) FROM pool_vms WHERE pool = $1 AND status = 'allocated') AS BIGINT) AS allocated, \
    CAST((SELECT COUNT(*) FROM pool_vms WHERE pool = $1 AND status = 'cleaning') AS BIGINT) AS cleaning, \
    CAST((SELECT COUNT(*) FROM pool_vms WHERE pool = $1 AND status = 'maintenance') AS BIGINT) AS maintenance, \
    CAST((SELECT COUNT(*) FROM pool_vms WHERE pool = $1 AND status = 'draining') AS BIGINT) AS draining, \
    CAST((SELECT COUNT(*) FROM allocations WHERE pool = $1 AND status = 'waiting') AS BIGINT) AS waiting";
const WANTED: &str = "SELECT name FROM pools WHERE \
    EXISTS (SELECT 1 FROM allocations WHERE allocations.pool = pools.name AND allocations.status = 'waiting') \
    AND EXISTS (SELECT 1 FROM pool_vms WHERE pool_vms.pool = pools.name AND pool_vms.status = 'available') \
    ORDER BY name LIMIT 200";

fn values(p: &PoolRow) -> Result<Vec<Arg>, StoreError> {
    Ok(args![
        &p.id,
        &p.name,
        p.target_ready,
        p.max_size,
        p.cleaning,
        match &p.template {
            Some(template) => json(template)?,
            None => Arg::Text(None),
        },
        p.max_duration_hours,
        p.created_at,
        p.version,
    ])
}

fn row(record: &Record) -> Result<PoolRow, StoreError> {
    Ok(PoolRow {
        id: record.parse("id")?,
        name: record.parse("name")?,
        target_ready: record.opt_number("target_ready")?,
        max_size: record.opt_number("max_size")?,
        cleaning: record.parse("cleaning")?,
        template: record.opt_json("template")?,
        max_duration_hours: record.number("max_duration_hours")?,
        created_at: record.time("created_at")?,
        version: record.int("version")?,
    })
}

fn list(filter: &Filter) -> List<'static> {
    List::new(&LIST).by_name().search(filter)
}

impl Conn {
    /// Adds a pool.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] of [`constraint::POOL_NAME`](crate::constraint::POOL_NAME).
    pub async fn pool_insert(&mut self, pool: &PoolRow) -> Result<(), StoreError> {
        self.change(&TABLE.insert, values(pool)?).await.map(drop)
    }

    /// Adds a pool unless there is one of its name; answers whether it was added.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pool_insert_new(&mut self, pool: &PoolRow) -> Result<bool, StoreError> {
        self.change_one(&INSERT_NEW, values(pool)?).await
    }

    /// A pool.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pool_get(&mut self, name: &PoolName) -> Result<Option<PoolRow>, StoreError> {
        self.row(&GET, args![name]).await?.as_ref().map(row).transpose()
    }

    /// A pool, held until the transaction ends. Operations that share a transaction ask the database
    /// once: whoever holds the row knows how it stands.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pool_lock(&mut self, name: &PoolName) -> Result<Option<PoolRow>, StoreError> {
        if let Some(held) = self.pools_locked.iter().find(|pool| pool.name == *name) {
            return Ok(Some(held.clone()));
        }
        let pool = self.row(&LOCK, args![name]).await?.as_ref().map(row).transpose()?;
        if self.may_change().is_ok() {
            self.pools_locked.extend(pool.clone());
        }
        Ok(pool)
    }

    /// Every pool by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pools_all(&mut self) -> Result<Vec<PoolRow>, StoreError> {
        let mut pools: Vec<PoolRow> = Vec::new();
        loop {
            let after = pools.last().map_or("", |pool| pool.name.as_str());
            let next = self.rows(&AFTER, args![after]).await?;
            pools.reserve(next.len());
            for record in &next {
                pools.push(row(record)?);
            }
            if next.len() < AT_ONCE {
                return Ok(pools);
            }
        }
    }

    /// A page of pools by name; `q` begins a name.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`].
    pub async fn pools_page(&mut self, filter: &Filter) -> Result<Page<PoolRow>, StoreError> {
        list(filter).page(self, filter, row).await
    }

    /// How many pools fit `filter`, counted up to `cap`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pools_count(&mut self, filter: &Filter, cap: u32) -> Result<u32, StoreError> {
        list(filter).count(self, cap).await
    }

    /// Writes a pool if nobody did since it was read, and counts the version up; answers whether it
    /// was written.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pool_save(&mut self, pool: &PoolRow) -> Result<bool, StoreError> {
        self.pools_locked.clear();
        self.change_one(&TABLE.save, values(pool)?).await
    }

    /// Deletes a pool; answers whether there was one. Whether it is empty is the caller's to check.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pool_delete(&mut self, name: &PoolName) -> Result<bool, StoreError> {
        self.pools_locked.clear();
        self.change_one(DELETE, args![name]).await
    }

    /// How many of a pool's machines stand where, who waits and what is on its way. Its cost grows
    /// with the pool's living machines, not with its past.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pool_counts(&mut self, name: &PoolName) -> Result<PoolCounts, StoreError> {
        let coming = self.nodes_of_pool_coming(name).await?;
        let Some(record) = self.row(COUNTS, args![name]).await? else { return Ok(PoolCounts::default()) };
        Ok(PoolCounts {
            available: record.number("available")?,
            allocated: record.number("allocated")?,
            cleaning: record.number("cleaning")?,
            maintenance: record.number("maintenance")?,
            draining: record.number("draining")?,
            waiting: record.number("waiting")?,
            coming,
        })
    }

    /// Whether there is any pool.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pools_exist(&mut self) -> Result<bool, StoreError> {
        Ok(self.row(EXIST, Vec::new()).await?.is_some())
    }

    /// The pools in which somebody waits although a machine is available; at most 200.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pools_with_waiting_and_available(&mut self) -> Result<Vec<PoolName>, StoreError> {
        self.rows(WANTED, Vec::new()).await?.iter().map(|record| record.parse("name")).collect()
    }
}
