//! What the tests share: a fresh database of either engine, and rows to put into it.

use std::{panic::AssertUnwindSafe, pin::Pin, str::FromStr as _};

use domain::{
    access::{Role, UserStatus},
    allocation::AllocationStatus,
    id::{AllocationId, JobId, NodeId, PoolId, ProviderId, UserId},
    job::{JobKind, JobStatus, Subject},
    node::{Cleanup, Health, NodeCreate, NodeState},
    pool::{Cleaning, PoolVmSource, PoolVmStatus},
    provider::ProviderStatus,
    time::Timestamp,
    valid::{PoolName, PoolVmId},
};
use futures::{FutureExt as _, future::BoxFuture};
use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};
use store::{
    AllocationRow, Conn, FreshId as _, JobRow, NodeRow, PoolRow, PoolVmRow, ProviderRow, Store, StoreError, UserRow,
};

/// Some moment. Nothing depends on which.
pub const NOW: Timestamp = Timestamp::from_millis(1_750_000_000_123);

/// A fresh, migrated database.
#[derive(Clone)]
pub struct Db {
    pub store: Store,
    pub url: String,
}

impl Db {
    /// Another process on the same database would have a store of its own. On SQLite there is one.
    pub async fn second(&self) -> Store {
        if self.store.is_sqlite() { self.store.clone() } else { Store::open(&self.url).await.unwrap() }
    }

    pub async fn read(&self) -> Conn {
        self.store.read().await.unwrap()
    }

    /// Writes, with the store's own errors.
    pub async fn write<T, F>(&self, f: F) -> Result<T, StoreError>
    where
        F: for<'a> Fn(&'a mut Conn) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync + 'static,
        T: Send + 'static,
    {
        self.store.write::<T, StoreError, F>(f).await
    }
}

/// The body of a write: the names before the bar are cloned into each run.
macro_rules! op {
    ($($name:ident),* => |$c:ident| $body:expr) => {{
        $(let $name = $name.clone();)*
        move |$c| {
            $(let $name = $name.clone();)*
            Box::pin(async move { $body })
        }
    }};
}
pub(crate) use op;

/// Runs `test` on SQLite and on PostgreSQL, each with a database of its own that is gone afterwards.
pub async fn both<F, Fut>(test: F)
where
    F: Fn(Db) -> Fut,
    Fut: Future<Output = ()>,
{
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("hangar.db").display());
    println!("on SQLite");
    run(&url, &test).await;
    let Some(server) = postgres() else { return };
    println!("on PostgreSQL");
    let name = format!("hangar_test_{}", AllocationId::fresh().as_str().trim_start_matches("alc_"));
    let server = PgConnectOptions::from_str(&server).unwrap();
    let mut admin = server.connect().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await.unwrap();
    let url = server.clone().database(&name).to_url_lossy().to_string();
    let ended = AssertUnwindSafe(run(&url, &test)).catch_unwind().await;
    let drop = format!("DROP DATABASE {name} WITH (FORCE)");
    sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&mut admin).await.unwrap();
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
}

async fn run<F, Fut>(url: &str, test: &F)
where
    F: Fn(Db) -> Fut,
    Fut: Future<Output = ()>,
{
    let store = Store::open(url).await.unwrap();
    store.migrate().await.unwrap();
    let db = Db { store: store.clone(), url: url.to_owned() };
    let test: Pin<Box<dyn Future<Output = ()>>> = Box::pin(test(db));
    test.await;
    store.close().await;
}

/// The server on which test databases may be made.
pub fn postgres() -> Option<String> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let url = set("HANGAR_TEST_POSTGRES_URL");
    assert!(
        url.is_some() || set("HANGAR_TEST_FAST").is_some() || set("HANGAR_ALLOW_MISSING").is_some(),
        "HANGAR_TEST_POSTGRES_URL is missing; set HANGAR_TEST_FAST=1 to leave PostgreSQL out"
    );
    url
}

pub fn pool_name(name: &str) -> PoolName {
    name.parse().unwrap()
}

pub fn vm_id(id: &str) -> PoolVmId {
    id.parse().unwrap()
}

pub fn user(name: &str) -> UserRow {
    UserRow {
        id: UserId::fresh(),
        display_name: name.to_owned(),
        role: Role::User,
        status: UserStatus::Active,
        max_active: 1,
        forge_id: None,
        forge_login: None,
        last_seen_at: None,
        created_at: NOW,
        version: 1,
    }
}

pub fn provider(name: &str) -> ProviderRow {
    ProviderRow {
        id: ProviderId::fresh(),
        kind: "hetzner".to_owned(),
        name: name.to_owned(),
        settings: serde_json::json!({}),
        secret_sealed: None,
        status: ProviderStatus::Degraded,
        last_code: None,
        last_message: None,
        connected_at: None,
        last_checked_at: None,
        next_check_at: NOW,
        failures: 0,
        failure_code: None,
        paused_until: None,
        observed_at: None,
        observe_failed: None,
        owned: None,
        expires_at: None,
        created_at: NOW,
        version: 1,
    }
}

pub fn spec(provider: &ProviderId, name: &str) -> NodeCreate {
    serde_json::from_value(serde_json::json!({ "provider_id": provider, "name": name })).unwrap()
}

pub fn node(provider: &ProviderId, name: &str) -> NodeRow {
    let id = NodeId::fresh();
    NodeRow {
        name: name.parse().unwrap(),
        provider_id: provider.clone(),
        server_name: format!("{name}-{}", id.short()),
        id,
        infra_id: None,
        action_id: None,
        state: NodeState::Requested,
        failed_stage: None,
        code: None,
        message: None,
        cleanup: Cleanup::None,
        host: None,
        ipv4: None,
        ipv6: None,
        fqdn: None,
        server_type: None,
        location: None,
        image: None,
        price_monthly: None,
        price_hourly: None,
        currency: None,
        profile: domain::valid::ProfileName::none(),
        profile_version: None,
        spec: spec(provider, name),
        host_key_public: None,
        host_key_sealed: None,
        ssh_user: None,
        ssh_port: None,
        create_attempted_at: None,
        health: Health::default(),
        observed_at: None,
        drift: Vec::new(),
        pool: None,
        cockpit_url: None,
        cockpit_port: None,
        blueprint: None,
        blueprint_version: None,
        tag: None,
        secrets_sealed: None,
        keep_until: None,
        ready_at: None,
        created_by: UserId::admin(),
        created_at: NOW,
        updated_at: NOW,
        destroyed_at: None,
        version: 1,
    }
}

pub fn job(kind: JobKind, subject: Subject) -> JobRow {
    JobRow {
        id: JobId::fresh(),
        kind,
        status: JobStatus::Queued,
        subject,
        subject_name: None,
        attempt: 0,
        max_attempts: 3,
        step: None,
        state: serde_json::json!({}),
        progress: 0,
        error: None,
        output: None,
        cancel_requested: false,
        fence: 0,
        lease_owner: None,
        lease_until: None,
        run_after: NOW,
        deadline_at: None,
        created_by: UserId::admin(),
        created_at: NOW,
        started_at: None,
        finished_at: None,
        version: 1,
    }
}

pub fn pool(name: &str) -> PoolRow {
    PoolRow {
        id: PoolId::fresh(),
        name: pool_name(name),
        target_ready: None,
        max_size: None,
        cleaning: Cleaning::None,
        template: None,
        max_duration_hours: 720,
        created_at: NOW,
        version: 1,
    }
}

pub fn vm(pool: &str, id: &str, position: i64) -> PoolVmRow {
    PoolVmRow {
        id: vm_id(id),
        pool: pool_name(pool),
        source: PoolVmSource::Listed,
        node_id: None,
        host: None,
        cockpit_url: None,
        status: PoolVmStatus::Available,
        note: None,
        ssh_user: None,
        ssh_port: None,
        labels: Default::default(),
        position,
        updated_at: NOW,
        version: 1,
    }
}

/// An active allocation of `vm`, or a waiting one.
pub fn allocation(pool: &str, vm: Option<&PoolVmId>) -> AllocationRow {
    AllocationRow {
        id: AllocationId::fresh(),
        user_id: UserId::admin(),
        forge_id: None,
        pool: pool_name(pool),
        pool_vm_id: vm.cloned(),
        host: None,
        provisioner: "pool".to_owned(),
        is_demo: false,
        status: if vm.is_some() { AllocationStatus::Active } else { AllocationStatus::Waiting },
        cost_cents: None,
        cockpit_url: None,
        duration_hours: 24,
        ssh_pub_key: None,
        reason: None,
        created_at: NOW,
        allocated_at: vm.map(|_| NOW),
        expires_at: vm.map(|_| NOW.plus(24 * domain::time::HOUR)),
        released_at: None,
        version: 1,
    }
}

/// Adds an account with one node.
pub async fn with_node(db: &Db) -> NodeRow {
    let provider = provider("main");
    let node = node(&provider.id, "alpha");
    let kept = node.clone();
    db.write(op!(provider, node => |c| {
        c.provider_insert(&provider).await?;
        c.node_insert(&node).await
    }))
    .await
    .unwrap();
    kept
}
