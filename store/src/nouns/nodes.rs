//! Nodes. The rule: the row is written before any call to a vendor and never deleted; every change
//! is a compare-and-set on the version.

use std::sync::LazyLock;

use domain::{
    code::Code,
    id::{NodeId, ProviderId, UserId},
    list::{Filter, Page},
    node::{Cleanup, Drift, Health, NodeCreate, NodeState},
    time::Timestamp,
    valid::{BlueprintName, CockpitUrl, NodeName, PoolName, ProfileName},
};

use crate::{
    Conn, StoreError,
    args::{Arg, args, json},
    list::{Letters, List, ListOf},
    record::Record,
    sql::{Statement, Table},
};

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// The account through which it is made.
    pub provider_id: ProviderId,
    /// Its deterministic name at the vendor; unique.
    pub server_name: String,
    /// The vendor's id of the server.
    pub infra_id: Option<String>,
    /// The vendor's id of the action that made it.
    pub action_id: Option<String>,
    /// Where it stands.
    pub state: NodeState,
    /// The state in which it failed.
    pub failed_stage: Option<NodeState>,
    /// The code of the failure.
    pub code: Option<Code>,
    /// The failure in one sentence.
    pub message: Option<String>,
    /// Whether something it left behind is still to be taken away.
    pub cleanup: Cleanup,
    /// Where it is reached.
    pub host: Option<String>,
    /// Its IPv4 address.
    pub ipv4: Option<String>,
    /// Its IPv6 address.
    pub ipv6: Option<String>,
    /// Its DNS name.
    pub fqdn: Option<String>,
    /// Its type.
    pub server_type: Option<String>,
    /// Its location.
    pub location: Option<String>,
    /// Its image.
    pub image: Option<String>,
    /// Its price per month, a decimal.
    pub price_monthly: Option<String>,
    /// Its price per hour that has begun, a decimal.
    pub price_hourly: Option<String>,
    /// The currency of the prices.
    pub currency: Option<String>,
    /// How it is prepared and checked.
    pub profile: ProfileName,
    /// The version of its profile that ran on it last.
    pub profile_version: Option<u32>,
    /// What was asked for.
    pub spec: NodeCreate,
    /// Its public SSH host key.
    pub host_key_public: Option<String>,
    /// Its private SSH host key, sealed.
    pub host_key_sealed: Option<String>,
    /// The user for SSH.
    pub ssh_user: Option<String>,
    /// The port for SSH.
    pub ssh_port: Option<i64>,
    /// When its creation was first tried at the vendor.
    pub create_attempted_at: Option<Timestamp>,
    /// What the last check found.
    pub health: Health,
    /// When the vendor was asked last.
    pub observed_at: Option<Timestamp>,
    /// Where the vendor's truth differs.
    pub drift: Vec<Drift>,
    /// Its pool.
    pub pool: Option<PoolName>,
    /// Its cockpit.
    pub cockpit_url: Option<CockpitUrl>,
    /// The port of its host at which its cockpit answers, where the machine decides that.
    pub cockpit_port: Option<i64>,
    /// The blueprint that it was made from, where it is a stack.
    pub blueprint: Option<BlueprintName>,
    /// The version of the blueprint.
    pub blueprint_version: Option<u32>,
    /// The version that the stack runs.
    pub tag: Option<String>,
    /// The secrets that were made for the stack, by name, sealed.
    pub secrets_sealed: Option<String>,
    /// Until when it is kept although it failed.
    pub keep_until: Option<Timestamp>,
    /// When it first passed its verification.
    pub ready_at: Option<Timestamp>,
    /// Who asked for it.
    pub created_by: UserId,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
    /// When the vendor confirmed that it is gone.
    pub destroyed_at: Option<Timestamp>,
    /// Counts every change.
    pub version: i64,
}

const STORED: &[&str] = &[
    "id",
    "name",
    "provider_id",
    "server_name",
    "infra_id",
    "action_id",
    "state",
    "failed_stage",
    "code",
    "message",
    "cleanup",
    "host",
    "ipv4",
    "ipv6",
    "fqdn",
    "server_type",
    "location",
    "image",
    "price_monthly",
    "price_hourly",
    "currency",
    "profile",
    "profile_version",
    "spec",
    "host_key_public",
    "host_key_sealed",
    "ssh_user",
    "ssh_port",
    "create_attempted_at",
    "health",
    "observed_at",
    "drift",
    "pool",
    "cockpit_url",
    "cockpit_port",
    "blueprint",
    "blueprint_version",
    "tag",
    "secrets_sealed",
    "keep_until",
    "ready_at",
    "created_by",
    "created_at",
    "updated_at",
    "destroyed_at",
    "version",
];

static COLUMNS: LazyLock<String> = LazyLock::new(|| STORED.join(", "));
static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new("nodes", STORED, &COLUMNS));
static KEEP_EXPIRED: LazyLock<Statement> = LazyLock::new(|| {
    let expired = "SELECT {columns} FROM nodes WHERE state = 'failed' AND keep_until <= $1 \
        AND (infra_id IS NOT NULL OR create_attempted_at IS NOT NULL) ORDER BY keep_until, id LIMIT $2";
    Statement::new(expired, &COLUMNS)
});
static AT_ACCOUNT: LazyLock<Statement> = LazyLock::new(|| {
    let at = "SELECT {columns} FROM nodes WHERE provider_id = $1 AND infra_id IS NOT NULL AND state <> 'destroyed' \
        AND infra_id > $2 ORDER BY infra_id LIMIT $3";
    Statement::new(at, &COLUMNS)
});
static LIST: LazyLock<ListOf> = LazyLock::new(|| ListOf {
    select: format!("SELECT {} FROM nodes", *COLUMNS),
    table: "nodes",
    id: "id",
    prefix: "nod_",
    search: "name",
    letters: Letters::Folded,
});

static CLEANUP_PENDING: LazyLock<Statement> = LazyLock::new(|| {
    let pending = "SELECT {columns} FROM nodes WHERE cleanup = 'pending' ORDER BY id LIMIT $1";
    Statement::new(pending, &COLUMNS)
});

static AT: LazyLock<Statement> = LazyLock::new(|| {
    let at = "SELECT {columns} FROM nodes WHERE provider_id = $1 AND infra_id = $2 AND state <> 'destroyed' \
        ORDER BY id DESC LIMIT 1";
    Statement::new(at, &COLUMNS)
});
static DRIFTED: LazyLock<Statement> = LazyLock::new(|| {
    let drifted =
        "SELECT {columns} FROM nodes WHERE drift <> '[]' AND state <> 'destroyed' AND id > '' ORDER BY id LIMIT $1";
    Statement::new(drifted, &COLUMNS)
});

/// Nodes of one statement that notes a moment.
const OBSERVED_AT_ONCE: usize = 100;

const BY_STATE: &str =
    "SELECT state, CAST(COUNT(*) AS BIGINT) AS n FROM nodes WHERE state <> 'destroyed' GROUP BY state";
/// What may still bill; the same words stand in the indexes.
macro_rules! bills {
    () => {
        "state <> 'destroyed' AND NOT (state = 'failed' AND (cleanup = 'done' \
         OR (cleanup = 'none' AND create_attempted_at IS NULL)))"
    };
}
const SPEND: &str = concat!(
    "SELECT currency, price_monthly, price_hourly, CAST(COUNT(*) AS BIGINT) AS n FROM nodes WHERE ",
    bills!(),
    " GROUP BY currency, price_monthly, price_hourly"
);
const SPEND_OF_POOL: &str = concat!(
    "SELECT currency, price_monthly, price_hourly, CAST(COUNT(*) AS BIGINT) AS n FROM nodes WHERE pool = $1 AND ",
    bills!(),
    " GROUP BY currency, price_monthly, price_hourly"
);
const OF_PROFILE: &str = "SELECT CAST(COUNT(*) AS BIGINT) AS n FROM nodes WHERE profile = $1 AND state <> 'destroyed'";
const OF_BLUEPRINT: &str =
    "SELECT CAST(COUNT(*) AS BIGINT) AS n FROM nodes WHERE blueprint = $1 AND state <> 'destroyed'";
const COMING: &str = "SELECT CAST(COUNT(*) AS BIGINT) AS n FROM nodes WHERE pool = $1 \
    AND state IN ('requested', 'creating', 'starting', 'naming', 'provisioning', 'verifying') \
    AND NOT EXISTS (SELECT 1 FROM pool_vms WHERE pool_vms.id = nodes.id AND pool_vms.status <> 'retired')";

fn values(n: &NodeRow) -> Result<Vec<Arg>, StoreError> {
    Ok(args![
        &n.id,
        &n.name,
        &n.provider_id,
        &n.server_name,
        &n.infra_id,
        &n.action_id,
        n.state,
        n.failed_stage,
        n.code,
        &n.message,
        n.cleanup,
        &n.host,
        &n.ipv4,
        &n.ipv6,
        &n.fqdn,
        &n.server_type,
        &n.location,
        &n.image,
        &n.price_monthly,
        &n.price_hourly,
        &n.currency,
        &n.profile,
        n.profile_version,
        json(&n.spec)?,
        &n.host_key_public,
        &n.host_key_sealed,
        &n.ssh_user,
        n.ssh_port,
        n.create_attempted_at,
        json(&n.health)?,
        n.observed_at.map_or(0, Timestamp::millis),
        json(&n.drift)?,
        &n.pool,
        &n.cockpit_url,
        n.cockpit_port,
        &n.blueprint,
        n.blueprint_version,
        &n.tag,
        &n.secrets_sealed,
        n.keep_until,
        n.ready_at,
        &n.created_by,
        n.created_at,
        n.updated_at,
        n.destroyed_at,
        n.version,
    ])
}

fn row(record: &Record) -> Result<NodeRow, StoreError> {
    Ok(NodeRow {
        id: record.parse("id")?,
        name: record.parse("name")?,
        provider_id: record.parse("provider_id")?,
        server_name: record.text("server_name")?,
        infra_id: record.opt_text("infra_id")?,
        action_id: record.opt_text("action_id")?,
        state: record.parse("state")?,
        failed_stage: record.opt_parse("failed_stage")?,
        code: record.opt_code("code")?,
        message: record.opt_text("message")?,
        cleanup: record.parse("cleanup")?,
        host: record.opt_text("host")?,
        ipv4: record.opt_text("ipv4")?,
        ipv6: record.opt_text("ipv6")?,
        fqdn: record.opt_text("fqdn")?,
        server_type: record.opt_text("server_type")?,
        location: record.opt_text("location")?,
        image: record.opt_text("image")?,
        price_monthly: record.opt_text("price_monthly")?,
        price_hourly: record.opt_text("price_hourly")?,
        currency: record.opt_text("currency")?,
        profile: record.parse("profile")?,
        profile_version: record.opt_number("profile_version")?,
        spec: record.json("spec")?,
        host_key_public: record.opt_text("host_key_public")?,
        host_key_sealed: record.opt_text("host_key_sealed")?,
        ssh_user: record.opt_text("ssh_user")?,
        ssh_port: record.opt_int("ssh_port")?,
        create_attempted_at: record.opt_time("create_attempted_at")?,
        health: record.json("health")?,
        observed_at: record.opt_time("observed_at")?.filter(|at| at.millis() != 0),
        drift: record.json("drift")?,
        pool: record.opt_parse("pool")?,
        cockpit_url: record.opt_parse("cockpit_url")?,
        cockpit_port: record.opt_int("cockpit_port")?,
        blueprint: record.opt_parse("blueprint")?,
        blueprint_version: record.opt_number("blueprint_version")?,
        tag: record.opt_text("tag")?,
        secrets_sealed: record.opt_text("secrets_sealed")?,
        keep_until: record.opt_time("keep_until")?,
        ready_at: record.opt_time("ready_at")?,
        created_by: record.parse("created_by")?,
        created_at: record.time("created_at")?,
        updated_at: record.time("updated_at")?,
        destroyed_at: record.opt_time("destroyed_at")?,
        version: record.int("version")?,
    })
}

/// Nodes that cost the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricedNodes {
    /// The currency of the prices, where they are known.
    pub currency: Option<String>,
    /// The price of each per month, a decimal.
    pub price_monthly: Option<String>,
    /// The price of each per hour that has begun, a decimal.
    pub price_hourly: Option<String>,
    /// How many there are.
    pub nodes: u32,
}

fn priced(record: &Record) -> Result<PricedNodes, StoreError> {
    Ok(PricedNodes {
        currency: record.opt_text("currency")?,
        price_monthly: record.opt_text("price_monthly")?,
        price_hourly: record.opt_text("price_hourly")?,
        nodes: record.number("n")?,
    })
}

fn list(filter: &Filter) -> List<'static> {
    let (state, live) = match filter.status.as_deref() {
        Some("live") => (None, true),
        state => (state, false),
    };
    let list = List::new(&LIST);
    let list = match filter.pool.as_deref() {
        Some(pool) => list.only("pool", Some(pool)).and("state", state),
        None => list.only("provider_id", filter.provider.as_deref()).only("state", state),
    };
    // With a pool the account is looked at row by row.
    let list = if filter.pool.is_some() { list.only("provider_id", filter.provider.as_deref()) } else { list };
    let list = if live { list.fixed("state <> 'destroyed'") } else { list };
    list.search(filter)
}

impl Conn {
    /// Adds a node.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] of [`constraint::NODE_SERVER_NAME`](crate::constraint::NODE_SERVER_NAME).
    pub async fn node_insert(&mut self, node: &NodeRow) -> Result<(), StoreError> {
        self.change(&TABLE.insert, values(node)?).await.map(drop)
    }

    /// A node.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn node_get(&mut self, id: &NodeId) -> Result<Option<NodeRow>, StoreError> {
        self.row(&TABLE.get, args![id]).await?.as_ref().map(row).transpose()
    }

    /// A node, held until the transaction ends.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn node_lock(&mut self, id: &NodeId) -> Result<Option<NodeRow>, StoreError> {
        self.row(&TABLE.lock, args![id]).await?.as_ref().map(row).transpose()
    }

    /// Writes a node if nobody did since it was read, and counts the version up; answers whether it
    /// was written.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn node_save(&mut self, node: &NodeRow) -> Result<bool, StoreError> {
        self.change_one(&TABLE.save, values(node)?).await
    }

    /// A page of nodes, newest first: `status` is the state, or `live` for all that are not
    /// destroyed; `pool`, `provider`; `q` begins a name or an id.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`].
    pub async fn nodes_page(&mut self, filter: &Filter) -> Result<Page<NodeRow>, StoreError> {
        list(filter).page(self, filter, row).await
    }

    /// How many nodes fit `filter`, counted up to `cap`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn nodes_count(&mut self, filter: &Filter, cap: u32) -> Result<u32, StoreError> {
        list(filter).count(self, cap).await
    }

    /// How many live nodes there are in each state; states without one are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn nodes_by_state_count(&mut self) -> Result<Vec<(NodeState, u32)>, StoreError> {
        let rows = self.rows(BY_STATE, Vec::new()).await?;
        rows.iter().map(|record| Ok((record.parse("state")?, record.number("n")?))).collect()
    }

    /// Nodes that left something behind which is still to be taken away, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn nodes_cleanup_pending(&mut self, limit: u32) -> Result<Vec<NodeRow>, StoreError> {
        self.rows(&CLEANUP_PENDING, args![limit]).await?.iter().map(row).collect()
    }

    /// What all nodes that may still bill cost, one entry for each pair of prices.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn nodes_spend(&mut self) -> Result<Vec<PricedNodes>, StoreError> {
        self.rows(SPEND, Vec::new()).await?.iter().map(priced).collect()
    }

    /// The same for the nodes of one pool.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn nodes_spend_of_pool(&mut self, pool: &PoolName) -> Result<Vec<PricedNodes>, StoreError> {
        self.rows(SPEND_OF_POOL, args![pool]).await?.iter().map(priced).collect()
    }

    /// How many live nodes have a profile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn nodes_of_profile_count(&mut self, profile: &ProfileName) -> Result<u32, StoreError> {
        self.count(OF_PROFILE, args![profile]).await
    }

    /// How many live nodes were made from a blueprint.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn nodes_of_blueprint_count(&mut self, blueprint: &BlueprintName) -> Result<u32, StoreError> {
        self.count(OF_BLUEPRINT, args![blueprint]).await
    }

    /// Failed nodes that may still cost money and are kept no longer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn nodes_keep_expired(&mut self, now: Timestamp, limit: u32) -> Result<Vec<NodeRow>, StoreError> {
        self.rows(&KEEP_EXPIRED, args![now, limit]).await?.iter().map(row).collect()
    }

    /// How many nodes of a pool are being made and are not yet one of its machines.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn nodes_of_pool_coming(&mut self, pool: &PoolName) -> Result<u32, StoreError> {
        self.count(COMING, args![pool]).await
    }

    /// Nodes of an account that have a server and are not destroyed, by the vendor's id, from the one
    /// after `after` on (begin with the empty text).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn nodes_at_account(
        &mut self,
        provider: &ProviderId,
        after: &str,
        limit: u32,
    ) -> Result<Vec<NodeRow>, StoreError> {
        self.rows(&AT_ACCOUNT, args![provider, after, limit]).await?.iter().map(row).collect()
    }

    /// The node of an account that has this server and is not destroyed; the newest, should there be
    /// several.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn node_at(&mut self, provider: &ProviderId, infra_id: &str) -> Result<Option<NodeRow>, StoreError> {
        self.row(&AT, args![provider, infra_id]).await?.as_ref().map(row).transpose()
    }

    /// Notes that nodes were found as they are recorded at `now`. No change of the version: how fresh
    /// the picture of a node is, is no change of the node.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn nodes_observed_set(&mut self, ids: &[NodeId], now: Timestamp) -> Result<(), StoreError> {
        for some in ids.chunks(OBSERVED_AT_ONCE) {
            // Always as many places, so that there are few statements; those left over repeat the last.
            let places: Vec<String> = (2..OBSERVED_AT_ONCE + 2).map(|n| format!("${n}")).collect();
            let sql = format!("UPDATE nodes SET observed_at = $1 WHERE id IN ({})", places.join(", "));
            let ids = (0..OBSERVED_AT_ONCE).filter_map(|n| some.get(n).or(some.last())).map(Arg::from);
            self.change(sql, args![now].into_iter().chain(ids).collect()).await?;
        }
        Ok(())
    }

    /// Live nodes at which the vendor's truth differs from what is recorded, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn nodes_drifted(&mut self, limit: u32) -> Result<Vec<NodeRow>, StoreError> {
        self.rows(&DRIFTED, args![limit]).await?.iter().map(row).collect()
    }
}
