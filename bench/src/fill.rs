//! Rows for the databases that are measured. The rule: they go in through the store, a few hundred
//! per transaction, and look as those of a living installation do.

use std::sync::Arc;

use anyhow::Result;
use domain::{
    access::{Role, UserStatus},
    allocation::AllocationStatus,
    id::{AllocationId, NodeId, PoolId, ProviderId, UserId},
    node::{Cleanup, Health, NodeCreate, NodeState},
    pool::{Cleaning, PoolVmSource, PoolVmStatus},
    provider::ProviderStatus,
    time::{HOUR, Timestamp},
};
use store::{
    AllocationRow, FreshId as _, NodeRow, PoolRow, PoolVmRow, ProviderRow, SessionRow, Store, StoreError, UserRow,
};

/// Rows in one transaction.
const CHUNK: usize = 500;

/// Writes `rows` with one of the store's methods.
macro_rules! write_all {
    ($store:expr, $rows:expr, $method:ident) => {{
        let mut rows = $rows;
        while !rows.is_empty() {
            let chunk: Arc<Vec<_>> = Arc::new(rows.drain(..rows.len().min(CHUNK)).collect());
            $store
                .write::<(), StoreError, _>(move |c| {
                    let chunk = Arc::clone(&chunk);
                    Box::pin(async move {
                        for row in chunk.iter() {
                            c.$method(row).await?;
                        }
                        Ok(())
                    })
                })
                .await?;
        }
    }};
}

/// The present.
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// `count` people who may hold `quota` machines each.
pub async fn people(store: &Store, count: usize, quota: u32) -> Result<Vec<UserId>> {
    let rows: Vec<_> = (0..count)
        .map(|n| UserRow {
            id: UserId::fresh(),
            display_name: format!("Person {n}"),
            role: Role::User,
            status: UserStatus::Active,
            max_active: quota,
            forge_id: None,
            forge_login: None,
            last_seen_at: None,
            created_at: now(),
            version: 1,
        })
        .collect();
    let ids = rows.iter().map(|row| row.id.clone()).collect();
    write_all!(store, rows, user_insert);
    Ok(ids)
}

/// A browser session for each of them; answers what their cookies hold.
pub async fn sessions(store: &Store, people: &[UserId]) -> Result<Vec<String>> {
    use base64::Engine as _;
    use sha2::Digest as _;
    let (now, end) = (now(), now().plus(12 * HOUR));
    let mut cookies = Vec::with_capacity(people.len());
    let mut rows = Vec::with_capacity(people.len());
    for (n, user) in people.iter().enumerate() {
        let id = (i128::try_from(n)? + 1).to_le_bytes();
        cookies.push(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id));
        let data = serde_json::json!({ "user": user, "seen": now.millis(), "until": end.millis() });
        rows.push(SessionRow {
            id_hash: sha2::Sha256::digest(id).iter().map(|byte| format!("{byte:02x}")).collect(),
            user_id: Some(user.clone()),
            data: data.to_string(),
            expires_at: end,
        });
    }
    write_all!(store, rows, session_insert);
    Ok(cookies)
}

/// A pool with `count` machines that are free.
pub async fn pool(store: &Store, name: &str, count: usize) -> Result<()> {
    let pool = PoolRow {
        id: PoolId::fresh(),
        name: name.parse()?,
        target_ready: None,
        max_size: None,
        cleaning: Cleaning::None,
        template: None,
        max_duration_hours: 720,
        created_at: now(),
        version: 1,
    };
    write_all!(store, vec![pool], pool_insert);
    let mut rows = Vec::with_capacity(count);
    for n in 0..count {
        rows.push(PoolVmRow {
            id: format!("{name}-{n:06}").parse()?,
            pool: name.parse()?,
            source: PoolVmSource::Listed,
            node_id: None,
            host: Some(format!("10.{}.{}.{}", n >> 16, (n >> 8) & 255, n & 255)),
            cockpit_url: Some(format!("https://{name}-{n:06}.example.org/").parse()?),
            status: PoolVmStatus::Available,
            note: None,
            ssh_user: None,
            ssh_port: None,
            labels: Default::default(),
            position: i64::try_from(n)?,
            updated_at: now(),
            version: 1,
        });
    }
    write_all!(store, rows, pool_vm_insert);
    Ok(())
}

/// `count` allocations of the past, spread over `people`.
pub async fn allocations(store: &Store, pool: &str, people: &[UserId], count: usize) -> Result<Vec<AllocationId>> {
    let mut rows = Vec::with_capacity(count);
    for n in 0..count {
        let began = now().plus(-24 * HOUR);
        rows.push(AllocationRow {
            id: AllocationId::fresh(),
            user_id: people.get(n % people.len().max(1)).cloned().unwrap_or_else(UserId::admin),
            forge_id: Some(n.to_string()),
            pool: pool.parse()?,
            pool_vm_id: None,
            host: Some(format!("10.{}.{}.{}", n >> 16, (n >> 8) & 255, n & 255)),
            provisioner: "pool".to_owned(),
            is_demo: false,
            status: AllocationStatus::Released,
            cost_cents: Some(120),
            cockpit_url: Some(format!("https://machine-{n:06}.example.org/").parse()?),
            duration_hours: 24,
            ssh_pub_key: None,
            reason: Some("user".to_owned()),
            created_at: began,
            allocated_at: Some(began),
            expires_at: Some(began.plus(24 * HOUR)),
            released_at: Some(began.plus(HOUR)),
            version: 3,
        });
    }
    let ids = rows.iter().map(|row| row.id.clone()).collect();
    write_all!(store, rows, allocation_insert);
    Ok(ids)
}

/// `count` nodes of one account, a tenth of them alive.
pub async fn nodes(store: &Store, count: usize) -> Result<()> {
    let provider = ProviderRow {
        id: ProviderId::fresh(),
        kind: "hetzner".to_owned(),
        name: "Measured".to_owned(),
        settings: serde_json::json!({}),
        secret_sealed: None,
        status: ProviderStatus::Degraded,
        last_code: None,
        last_message: None,
        connected_at: None,
        last_checked_at: None,
        next_check_at: now().plus(1_000 * HOUR),
        failures: 0,
        failure_code: None,
        paused_until: None,
        observed_at: None,
        observe_failed: None,
        owned: None,
        expires_at: None,
        created_at: now(),
        version: 1,
    };
    let account = provider.id.clone();
    write_all!(store, vec![provider], provider_insert);
    let mut rows = Vec::with_capacity(count);
    for n in 0..count {
        let name = format!("node-{n:06}");
        let spec: NodeCreate = serde_json::from_value(serde_json::json!({
            "provider_id": account, "name": name, "server_type": "cx23", "location": "fsn1", "image": "debian-13",
        }))?;
        let id = NodeId::fresh();
        let alive = n % 10 == 0;
        let address = format!("10.{}.{}.{}", n >> 16, (n >> 8) & 255, n & 255);
        rows.push(NodeRow {
            price_hourly: None,
            profile_version: None,
            ready_at: None,
            name: name.parse()?,
            provider_id: account.clone(),
            server_name: format!("hangar-{name}-{}", id.short()),
            id,
            infra_id: (!alive).then(|| (1_000_000 + n).to_string()),
            action_id: None,
            state: if alive { NodeState::Ready } else { NodeState::Destroyed },
            failed_stage: None,
            code: None,
            message: None,
            cleanup: Cleanup::None,
            host: Some(address.clone()),
            ipv4: Some(address),
            ipv6: None,
            fqdn: None,
            server_type: Some("cx23".to_owned()),
            location: Some("fsn1".to_owned()),
            image: Some("debian-13".to_owned()),
            price_monthly: Some("3.4900".to_owned()),
            currency: Some("EUR".to_owned()),
            profile: domain::valid::ProfileName::none(),
            spec,
            host_key_public: None,
            host_key_sealed: None,
            ssh_user: None,
            ssh_port: None,
            create_attempted_at: Some(now()),
            health: Health::default(),
            observed_at: Some(now()),
            drift: Vec::new(),
            pool: Some("default".parse()?),
            cockpit_url: None,
            cockpit_port: None,
            blueprint: None,
            blueprint_version: None,
            tag: None,
            secrets_sealed: None,
            keep_until: None,
            created_by: UserId::admin(),
            created_at: now(),
            updated_at: now(),
            destroyed_at: (!alive).then(now),
            version: 1,
        });
    }
    write_all!(store, rows, node_insert);
    Ok(())
}
