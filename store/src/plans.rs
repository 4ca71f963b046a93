//! Tests that read the plans of every query as SQLite makes them without statistics. The rule: no
//! query walks over a table, and no list is sorted after the fact, so that nothing's cost grows
//! with the table.

use std::collections::BTreeSet;

use domain::{
    access::UserStatus,
    audit::{LiveEvent, Outcome},
    code::Code,
    id::{AllocationId, AuditId, BackupId, DnsRecordId, JobId, NodeId, PoolId, ProviderId, UserId},
    job::{JobStatus, Lane, Subject},
    list::Filter,
    orphan::{OrphanKind, OrphanSubject},
    pool::{Cleaning, PoolVmSource, PoolVmStatus},
    provider::ProviderStatus,
    time::Timestamp,
    valid::{PoolName, PoolVmId, ProfileName},
};
use sqlx::{Connection as _, Row as _};

use crate::{
    AllocationRow, BlueprintRow, Conn, FreshId as _, OrphanRow, PoolRow, PoolVmRow, ProfileRow, ProviderRow,
    SessionRow, Store, StoreError, UserRow, Which,
};

const AT: Timestamp = Timestamp::from_millis(1_000);

fn filters() -> Vec<Filter> {
    let some = |text: &str| Some(text.to_owned());
    let mut all = Vec::new();
    // Every set of fields, each with and without a search word and on both kinds of search.
    for fields in 0..128_u32 {
        for q in [None, some("al"), some("alc_01"), some("job_01"), some("nod_01")] {
            let on = |bit: u32, text: &str| (fields & (1 << bit) != 0).then(|| text.to_owned());
            all.push(Filter {
                status: on(0, "ready"),
                pool: on(1, "default"),
                provider: on(2, "prv_1"),
                user: on(3, "usr_admin"),
                kind: on(4, "node"),
                subject: on(5, "nod_1"),
                node: on(6, "nod_1"),
                q,
                cursor: None,
                limit: Some(10),
            });
        }
    }
    all.push(Filter { status: some("live"), ..Filter::default() });
    all
}

async fn lists(c: &mut Conn, filter: &Filter) -> Result<(), StoreError> {
    let pool = PoolName::default_pool();
    c.provider_page(filter).await?;
    c.nodes_page(filter).await?;
    c.dns_records_page(filter).await?;
    c.dns_records_count(filter, 1000).await?;
    c.backups_page(filter).await?;
    c.backups_count(filter, 1000).await?;
    c.nodes_count(filter, 1000).await?;
    c.jobs_page(filter).await?;
    c.jobs_count(filter, 1000).await?;
    c.pools_page(filter).await?;
    c.pool_vms_page(&pool, filter).await?;
    c.pool_vms_count(&pool, filter, 1000).await?;
    c.allocations_page(filter).await?;
    c.allocations_count(filter, 1000).await?;
    c.users_page(filter).await?;
    c.users_count(filter, 1000).await?;
    c.audit_page(filter).await?;
    c.audit_count(filter, 1000).await?;
    Ok(())
}

async fn reads(c: &mut Conn) -> Result<(), StoreError> {
    let pool = PoolName::default_pool();
    let (user, node, job, provider) = (UserId::admin(), NodeId::fresh(), JobId::fresh(), ProviderId::fresh());
    let vm: PoolVmId = "vm-1".parse().unwrap();
    c.provider_get(&provider).await?;
    c.provider_record(&provider).await?;
    c.provider_list().await?;
    c.provider_due(AT, 10).await?;
    c.providers_observe_due(AT, 10).await?;
    c.provider_live_counts(&provider).await?;
    c.node_get(&node).await?;
    c.nodes_by_state_count().await?;
    c.dns_record_get(&DnsRecordId::fresh()).await?;
    c.dns_records_of_node(&node).await?;
    c.dns_makers_of_node(&node).await?;
    c.dns_records_of_name(&provider, &"example.org".parse().unwrap(), &"a".parse().unwrap()).await?;
    c.dns_records_cleanup_pending(10).await?;
    c.dns_records_to_observe(AT, 10).await?;
    c.dns_records_at_zone(&provider, &"example.org".parse().unwrap(), "", 10).await?;
    c.dns_zones_written(&provider, 10).await?;
    c.dns_records_drifted(10).await?;
    c.nodes_spend().await?;
    c.nodes_spend_of_pool(&pool).await?;
    c.nodes_of_profile_count(&ProfileName::base()).await?;
    c.nodes_at_account(&provider, "", 10).await?;
    c.nodes_drifted(10).await?;
    c.node_at(&provider, "1").await?;
    c.profile_get(&ProfileName::base(), 1).await?;
    c.profile_versions(&ProfileName::base(), 10).await?;
    c.profiles_all().await?;
    let blueprint = "shop".parse().unwrap();
    c.blueprint_get(&blueprint, 1).await?;
    c.blueprint_newest(&blueprint).await?;
    c.blueprint_versions(&blueprint, 10).await?;
    c.blueprints_listed("", 10).await?;
    c.nodes_of_blueprint_count(&blueprint).await?;
    c.backup_get(&BackupId::fresh()).await?;
    c.orphans_all(10).await?;
    c.orphan_get(&provider, "1", OrphanKind::Unknown).await?;
    c.nodes_keep_expired(AT, 10).await?;
    c.nodes_of_pool_coming(&pool).await?;
    c.nodes_cleanup_pending(10).await?;
    c.job_get(&job).await?;
    c.job_open_for("node", node.as_str()).await?;
    c.job_latest_for("node", node.as_str()).await?;
    c.jobs_status_counts().await?;
    c.job_next_due(Lane::Making).await?;
    c.job_steps(&job).await?;
    c.pool_get(&pool).await?;
    c.pools_all().await?;
    c.pool_counts(&pool).await?;
    c.pools_exist().await?;
    c.pools_with_waiting_and_available().await?;
    c.pool_vm_get(&vm).await?;
    c.pool_vms_listed().await?;
    c.listed_ever().await?;
    c.allocation_get(&AllocationId::fresh()).await?;
    c.allocation_of_vm(&vm).await?;
    c.allocations_open_of_user(&user).await?;
    c.allocations_of_user(&user, Which::Open).await?;
    c.allocations_of_user(&user, Which::Over).await?;
    c.allocation_waiting_first(&pool).await?;
    c.allocation_position(&allocation()).await?;
    c.allocations_expired(AT, 10).await?;
    c.user_get(&user).await?;
    c.users_names([&user]).await?;
    c.user_by_identity("https://forge", "1").await?;
    c.identities_of(&user).await?;
    c.session_get("hash", AT).await?;
    c.audit_of("node", node.as_str(), 10).await?;
    c.events_after(0, 10).await?;
    c.events_last_seq().await?;
    c.setting_get("key").await?;
    c.idempotency_get("usr_admin", "/", "key").await?;
    c.login_failures_since("key", AT).await?;
    Ok(())
}

async fn changes(c: &mut Conn) -> Result<(), StoreError> {
    let pool = PoolName::default_pool();
    let (node, job, provider) = (NodeId::fresh(), JobId::fresh(), ProviderId::fresh());
    c.provider_insert(&ProviderRow {
        id: provider.clone(),
        kind: "hetzner".to_owned(),
        name: "main".to_owned(),
        settings: serde_json::json!({}),
        secret_sealed: None,
        status: ProviderStatus::Degraded,
        last_code: Some(Code::ProviderUnreachable),
        last_message: None,
        connected_at: None,
        last_checked_at: None,
        next_check_at: AT,
        failures: 0,
        failure_code: None,
        paused_until: None,
        observed_at: None,
        observe_failed: None,
        owned: None,
        expires_at: None,
        created_at: AT,
        version: 1,
    })
    .await?;
    c.provider_lock(&provider).await?;
    c.provider_check_set(&provider, ProviderStatus::Connected, None, None, AT, AT, None).await?;
    c.provider_secret_set(&provider, "sealed", AT).await?;
    c.provider_settings_set(&provider, &serde_json::json!({}), "sealed", AT).await?;
    c.provider_failures_set(&provider, 1, None, None).await?;
    c.provider_observed_set(&provider, AT, 1).await?;
    c.provider_observe_claim(&provider, AT, AT).await?;
    c.nodes_observed_set(std::slice::from_ref(&node), AT).await?;
    c.provider_observe_failed_set(&provider, "why").await?;
    c.orphan_seen(&OrphanRow {
        provider_id: provider.clone(),
        infra_id: "1".to_owned(),
        subject: OrphanSubject::Server,
        detail: None,
        kind: OrphanKind::Unknown,
        name: "a".to_owned(),
        node_id: None,
        reason: "why".to_owned(),
        first_seen_at: AT,
        last_seen_at: AT,
    })
    .await?;
    c.orphans_unseen_delete(&provider, OrphanSubject::Server, AT).await?;
    c.orphan_delete(&provider, "1", OrphanKind::Unknown).await?;
    c.profile_insert(&ProfileRow {
        name: ProfileName::base(),
        version: 1,
        definition: domain::profile::ProfileDefinition::base(),
        created_by: UserId::admin(),
        created_at: AT,
    })
    .await?;
    let blueprint: BlueprintRow = BlueprintRow {
        name: "shop".parse().unwrap(),
        version: 1,
        definition: serde_json::from_value(serde_json::json!({"file": "x: 1", "services": []})).unwrap(),
        created_by: UserId::admin(),
        created_at: AT,
        retired_at: None,
    };
    c.blueprint_insert(&blueprint).await?;
    c.blueprint_lock(&blueprint.name, 1).await?;
    c.blueprint_retire(&blueprint.name, AT).await?;
    c.backup_delete(&BackupId::fresh()).await?;
    c.setting_lock("key").await?;
    c.provider_delete(&provider, AT).await?;
    c.node_lock(&node).await?;
    c.dns_record_lock(&DnsRecordId::fresh()).await?;
    c.job_lock(&job).await?;
    c.job_claim_due("worker", Lane::Making, AT, AT, 10).await?;
    c.job_heartbeat(&job, 1, AT).await?;
    c.job_checkpoint(&job, 1, None, &serde_json::json!({}), 1, AT).await?;
    c.job_requeue(&job, 1, AT, None, AT).await?;
    c.job_hold(&job, 1, AT, &domain::job::JobError::new(Code::AcquisitionPaused, "why")).await?;
    c.jobs_wake(Code::AcquisitionPaused, AT).await?;
    c.job_finish(&job, 1, JobStatus::Failed, None, AT).await?;
    c.job_output_set(&job, 1, &domain::job::CommandOutput::default()).await?;
    c.job_deadline_set(&job, 1, None).await?;
    c.job_cancel_request(&job, AT).await?;
    c.job_retry(&job, AT).await?;
    c.job_restart(&job, &serde_json::json!({}), 3, AT).await?;
    c.job_steps_clear(&job).await?;
    let row = PoolRow {
        id: PoolId::fresh(),
        name: pool.clone(),
        target_ready: None,
        max_size: None,
        cleaning: Cleaning::None,
        template: None,
        max_duration_hours: 1,
        created_at: AT,
        version: 1,
    };
    c.pool_insert(&row).await?;
    c.pool_lock(&pool).await?;
    c.pool_save(&row).await?;
    c.pool_delete(&pool).await?;
    let vm = PoolVmRow {
        id: "vm-1".parse().unwrap(),
        pool: pool.clone(),
        source: PoolVmSource::Listed,
        node_id: None,
        host: None,
        cockpit_url: None,
        status: PoolVmStatus::Available,
        note: None,
        ssh_user: None,
        ssh_port: None,
        labels: Default::default(),
        position: 1,
        updated_at: AT,
        version: 1,
    };
    c.pool_vm_insert(&vm).await?;
    c.pool_vm_lock(&vm.id).await?;
    c.pool_vm_save(&vm).await?;
    c.pool_vm_claim(&pool, AT).await?;
    c.pool_vm_claim_unless_waiting(&pool, AT).await?;
    let mut allocation = allocation();
    c.allocation_insert(&allocation).await?;
    c.allocation_waiting_first(&pool).await?;
    c.allocation_lock(&allocation.id).await?;
    allocation.reason = Some("no machine is free".to_owned());
    c.allocation_save(&allocation).await?;
    let mut user = UserRow {
        id: UserId::fresh(),
        display_name: "Ada".to_owned(),
        role: domain::access::Role::User,
        status: UserStatus::Active,
        max_active: 1,
        forge_id: None,
        forge_login: None,
        last_seen_at: None,
        created_at: AT,
        version: 1,
    };
    c.user_insert(&user).await?;
    c.user_lock(&user.id).await?;
    user.max_active = 2;
    c.user_save(&user).await?;
    c.user_seen(&user.id, AT).await?;
    c.identity_login_set("https://forge", "1", "ada").await?;
    let session =
        SessionRow { id_hash: "hash".to_owned(), user_id: Some(user.id.clone()), data: String::new(), expires_at: AT };
    c.session_insert(&session).await?;
    c.session_update(&session).await?;
    c.session_delete("hash").await?;
    c.sessions_delete_of(&user.id).await?;
    c.sessions_purge(AT).await?;
    c.setting_put_new("key", "value").await?;
    c.setting_put("key", "value").await?;
    c.idempotency_put("usr_admin", "/", "key", "hash", 201, "{}", AT).await?;
    c.idempotency_purge(AT).await?;
    c.login_failure_add("key", AT).await?;
    c.login_failures_clear("key").await?;
    c.login_failures_purge(AT).await?;
    let event = LiveEvent { kind: "node".to_owned(), id: node.to_string(), version: 1 };
    c.event_insert(&[(event, None)]).await?;
    let entry = domain::audit::AuditEntry {
        id: AuditId::fresh(),
        at: AT,
        actor: "system".to_owned(),
        actor_name: None,
        action: "node.acquire".to_owned(),
        subject: Subject::new("node", &node),
        outcome: Outcome::Ok,
        code: None,
        detail: None,
    };
    c.audit_insert(&entry, None).await?;
    c.pending_write().await?;
    c.events_purge(10).await?;
    Ok(())
}

fn allocation() -> AllocationRow {
    AllocationRow {
        id: AllocationId::fresh(),
        user_id: UserId::admin(),
        forge_id: None,
        pool: PoolName::default_pool(),
        pool_vm_id: None,
        host: None,
        provisioner: "pool".to_owned(),
        is_demo: false,
        status: domain::allocation::AllocationStatus::Waiting,
        cost_cents: None,
        cockpit_url: None,
        duration_hours: 24,
        ssh_pub_key: None,
        reason: None,
        created_at: AT,
        allocated_at: None,
        expires_at: None,
        released_at: None,
        version: 1,
    }
}

/// Whether a step of the plan of `text` is one whose cost grows with a table.
fn grows(text: &str, step: &str) -> bool {
    // Pools and accounts are few, and what walks over them is bounded by them.
    let small = ["pools", "providers"];
    if let Some(rest) = step.strip_prefix("SCAN ") {
        let table = rest.split(' ').next().unwrap_or_default();
        // A walk along an index that stops after a page. Without a condition nothing is passed over.
        let last = &text[text.rfind(" FROM ").unwrap_or(0)..];
        let bounded = last.contains("LIMIT") && !last.contains("WHERE");
        // A walk over the living only, for the figures of the overview.
        let living = rest.contains("INDEX nodes_live");
        // The condition is the index's own.
        let whole_index = rest.contains("INDEX nodes_cleanup")
            || rest.contains("INDEX pool_vms_listed")
            || rest.contains("INDEX dns_records_cleanup")
            || rest.contains("INDEX dns_records_live");
        let page_of_living = text.contains("WHERE state <> 'destroyed' ORDER BY id DESC LIMIT") && living;
        let parts = matches!(table, "due" | "(subquery-1)" | "(subquery-2)" | "counted" | "CONSTANT" | "1");
        return !(small.contains(&table) || bounded || living || whole_index || page_of_living || parts);
    }
    step.contains("TEMP B-TREE") && !small.iter().any(|table| text.contains(&format!("FROM {table} ")))
}

#[tokio::test]
async fn no_query_grows_with_its_table() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("hangar.db").display());
    let store = Store::open(&url).await.unwrap();
    store.migrate().await.unwrap();

    let mut texts = BTreeSet::new();
    let mut c = store.read().await.unwrap();
    reads(&mut c).await.unwrap();
    for filter in filters() {
        lists(&mut c, &filter).await.unwrap();
    }
    texts.extend(c.texts.drain(..));
    drop(c);
    let changed = store
        .write::<Vec<String>, StoreError, _>(|c| {
            Box::pin(async move {
                c.texts.clear();
                changes(c).await?;
                Ok(std::mem::take(&mut c.texts))
            })
        })
        .await
        .unwrap();
    texts.extend(changed);
    // With a cursor: on any list, in both orders.
    let cursor = |cursor: &str, q: Option<&str>| Filter {
        cursor: Some(cursor.to_owned()),
        q: q.map(str::to_owned),
        ..Filter::default()
    };
    let mut c = store.read().await.unwrap();
    c.audit_page(&cursor("aud_01", None)).await.unwrap();
    c.users_page(&cursor("usr_admin", Some("adm"))).await.unwrap();
    texts.extend(c.texts.drain(..));
    drop(c);
    assert!(texts.len() > 150, "{} texts are too few to be all", texts.len());

    let mut raw = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let mut faults = Vec::new();
    // What an allocation, a worker and a sweep do all the time takes the index made for it.
    let mut hot: Vec<(&str, &str)> = vec![
        ("UPDATE pool_vms SET status = 'allocated'", "pool_vms_claim"),
        ("status = 'waiting' ORDER BY created_at, id LIMIT 1", "allocations_waiting"),
        ("(created_at, id) <= ($2, $3)", "allocations_waiting"),
        ("status = 'active' AND expires_at <= $1", "allocations_expiry"),
        ("WHERE pool_vm_id = $1 AND status IN", "allocations_one_holder"),
        ("WHERE user_id = $1 AND status IN ('waiting', 'active')", "allocations_user_status"),
        ("status = 'queued' AND lane = $5 AND run_after <= $2", "jobs_due"),
        ("status = 'running' AND lane = $5 AND lease_until < $2", "jobs_lease"),
        ("subject_type = $2 AND status IN", "jobs_open"),
        ("subject_type = $2 ORDER BY id DESC LIMIT 1", "jobs_subject"),
        ("AND status = 'available') AS BIGINT) AS available", "pool_vms_status"),
        ("FROM nodes WHERE pool = $1 AND state IN", "nodes_pool_state"),
        ("state = 'failed' AND keep_until <= $1", "nodes_keep"),
        ("AND infra_id > $2", "nodes_infra"),
        ("state = 'active' AND observed_at < $1", "dns_records_observe"),
        ("AND zone = $2 AND name = $3", "dns_records_name"),
    ];
    for text in &texts {
        let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"))).fetch_all(&mut raw).await;
        let plan: Vec<String> = plan.unwrap().iter().map(|step| step.get("detail")).collect();
        hot.retain(|(part, index)| !(text.contains(part) && plan.iter().any(|step| step.contains(index))));
        for step in plan {
            if grows(text, &step) {
                faults.push(format!("{step}\n    {}", &text[text.find(" FROM ").unwrap_or(0)..]));
            }
        }
    }
    assert!(hot.is_empty(), "not planned along their index, or not run: {hot:?}");
    assert!(faults.is_empty(), "{} of {} queries:\n{}", faults.len(), texts.len(), faults.join("\n"));
    store.close().await;
}
