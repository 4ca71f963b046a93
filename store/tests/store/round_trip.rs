//! What is written is what is read, for every row and every method that changes one.

use std::collections::BTreeMap;

use domain::{
    access::{Role, UserStatus},
    allocation::AllocationStatus,
    audit::{AuditEntry, LiveEvent, Outcome},
    code::Code,
    dns::{DnsState, DnsType},
    id::{AuditId, BackupId, DnsRecordId, UserId},
    job::{JobError, JobKind, JobStep, StepStatus, Subject},
    list::Filter,
    node::{Cleanup, Drift, Health, NodeState, PartState, PartUsage, ReasonCode},
    orphan::{OrphanKind, OrphanSubject},
    pool::{Cleaning, PoolCounts, PoolVmSource, PoolVmStatus},
    profile::ProfileDefinition,
    provider::ProviderStatus,
    time::{HOUR, SECOND},
};
use store::{
    BackupRow, BlueprintRow, DnsRecordRow, FreshId as _, IdentityRow, OrphanRow, PricedNodes, ProfileRow, SessionRow,
    StoreError, Which, constraint,
};

use crate::common::{self, NOW, allocation, both, node, op, pool, pool_name, provider, user, vm, vm_id, with_node};

#[tokio::test]
async fn providers() {
    both(|db| async move {
        let mut row = provider("Main");
        row.settings = serde_json::json!({ "endpoint": "http://127.0.0.1:1", "ssh_port": 22 });
        row.secret_sealed = Some("v1.k.x".to_owned());
        row.last_code = Some(Code::ProviderTokenReadonly);
        row.last_message = Some("näh \"'%_".to_owned());
        row.connected_at = Some(NOW);
        row.last_checked_at = Some(NOW.plus(1));
        row.failures = 5;
        row.failure_code = Some(Code::ProviderQuotaExceeded);
        row.paused_until = Some(NOW.plus(HOUR));
        row.observed_at = Some(NOW);
        row.observe_failed = Some("no answer".to_owned());
        row.owned = Some(7);
        db.write(op!(row => |c| c.provider_insert(&row).await)).await.unwrap();
        let mut c = db.read().await;
        assert_eq!(c.provider_get(&row.id).await.unwrap().unwrap(), row);
        assert_eq!(c.provider_list().await.unwrap(), [row.clone()]);
        drop(c);

        let fresh = provider("second");
        db.write(op!(fresh => |c| c.provider_insert(&fresh).await)).await.unwrap();
        let id = fresh.id.clone();
        let check = |status, at| {
            let (id, code) = (id.clone(), Code::ProviderUnreachable);
            db.write(op!(id => |c| {
                let code = (status != ProviderStatus::Connected).then_some(code);
                c.provider_check_set(&id, status, code, Some("checked"), at, at.plus(300 * SECOND), None).await
            }))
        };
        assert_eq!(check(ProviderStatus::Degraded, NOW).await.unwrap(), Some(2));
        assert_eq!(db.read().await.provider_get(&id).await.unwrap().unwrap().connected_at, None);
        assert_eq!(check(ProviderStatus::Connected, NOW.plus(1)).await.unwrap(), Some(3));
        assert_eq!(check(ProviderStatus::Connected, NOW.plus(2)).await.unwrap(), Some(4));
        let seen = db.read().await.provider_get(&id).await.unwrap().unwrap();
        assert_eq!(seen.connected_at, Some(NOW.plus(1)), "the first success is kept");
        assert_eq!((seen.last_checked_at, seen.last_code), (Some(NOW.plus(2)), None));
        assert_eq!(seen.next_check_at, NOW.plus(2 + 300 * SECOND));
        let due = db.read().await.provider_due(NOW, 10).await.unwrap();
        assert_eq!(due.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["Main"]);

        let set = db.write(op!(id => |c| c.provider_secret_set(&id, "v1.k.y", NOW).await)).await.unwrap();
        assert!(set);
        let new = serde_json::json!({ "endpoint": "http://127.0.0.1:2" });
        assert!(db.write(op!(id, new => |c| c.provider_settings_set(&id, &new, "v1.k.z", NOW).await)).await.unwrap());
        let seen = db.read().await.provider_get(&id).await.unwrap().unwrap();
        assert_eq!((seen.settings, seen.secret_sealed.as_deref(), seen.version), (new, Some("v1.k.z"), 6));
        assert!(db.write(op!(id => |c| c.provider_delete(&id, NOW).await)).await.unwrap());
        assert!(!db.write(op!(id => |c| c.provider_delete(&id, NOW).await)).await.unwrap());
        let mut c = db.read().await;
        assert_eq!(c.provider_get(&id).await.unwrap(), None);
        let record = c.provider_record(&id).await.unwrap().unwrap();
        assert_eq!((record.name.as_str(), record.secret_sealed), ("second", None), "the secret is forgotten");
        assert_eq!(c.provider_list().await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn nodes() {
    both(|db| async move {
        let account = provider("main");
        let plain = node(&account.id, "plain");
        let mut full = node(&account.id, "full");
        full.infra_id = Some("4711".to_owned());
        full.action_id = Some("12".to_owned());
        full.state = NodeState::Failed;
        full.failed_stage = Some(NodeState::Verifying);
        full.code = Some(Code::ProvisionNotReady);
        full.message = Some("not ready".to_owned());
        full.cleanup = Cleanup::Pending;
        full.host = Some("127.0.0.1".to_owned());
        full.ipv4 = Some("127.0.0.1".to_owned());
        full.ipv6 = Some("::1".to_owned());
        full.fqdn = Some("full.example.org".to_owned());
        full.server_type = Some("cx22".to_owned());
        full.location = Some("fsn1".to_owned());
        full.image = Some("debian-13".to_owned());
        full.price_monthly = Some("3.79".to_owned());
        full.currency = Some("EUR".to_owned());
        full.profile = "docker-host".parse().unwrap();
        full.profile_version = Some(3);
        full.cockpit_port = Some(8081);
        full.blueprint = Some("shop".parse().unwrap());
        full.blueprint_version = Some(2);
        full.tag = Some("1.2".to_owned());
        full.secrets_sealed = Some("v1.k.y".to_owned());
        full.price_hourly = Some("0.0060".to_owned());
        full.ready_at = Some(NOW);
        full.spec.labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        full.host_key_public = Some("ssh-ed25519 AAAA".to_owned());
        full.host_key_sealed = Some("v1.k.x".to_owned());
        full.ssh_user = Some("root".to_owned());
        full.ssh_port = Some(22);
        full.create_attempted_at = Some(NOW);
        full.health = Health {
            ready: false,
            reason_codes: vec![ReasonCode::NodeNotReady, ReasonCode::NodeUnreachable],
            checked_at: Some(NOW),
            usage: vec![PartUsage { memory_bytes: Some(u64::MAX), ..PartUsage::new("web", PartState::Healthy) }],
        };
        full.observed_at = Some(NOW.plus(5));
        full.drift = vec![Drift {
            field: "ipv4".to_owned(),
            recorded: "a".to_owned(),
            observed: "b".to_owned(),
            guidance: "c".to_owned(),
        }];
        full.pool = Some(pool_name("default"));
        full.cockpit_url = Some("https://full.example.org/".parse().unwrap());
        full.keep_until = Some(NOW.plus(HOUR));
        full.destroyed_at = Some(NOW.plus(2));
        db.write(op!(account, plain, full => |c| {
            c.provider_insert(&account).await?;
            c.node_insert(&plain).await?;
            c.node_insert(&full).await
        }))
        .await
        .unwrap();
        let mut c = db.read().await;
        assert_eq!(c.node_get(&plain.id).await.unwrap().unwrap(), plain);
        assert_eq!(c.node_get(&full.id).await.unwrap().unwrap(), full);
        assert_eq!(c.nodes_by_state_count().await.unwrap().len(), 2);
        let priced = PricedNodes {
            currency: Some("EUR".to_owned()),
            price_monthly: Some("3.79".to_owned()),
            price_hourly: Some("0.0060".to_owned()),
            nodes: 1,
        };
        let unpriced = PricedNodes { currency: None, price_monthly: None, price_hourly: None, nodes: 1 };
        let spend = c.nodes_spend().await.unwrap();
        assert!(spend.len() == 2 && spend.contains(&priced) && spend.contains(&unpriced), "{spend:?}");
        assert_eq!(c.nodes_spend_of_pool(&pool_name("default")).await.unwrap(), [priced]);
        assert_eq!(c.nodes_of_profile_count(&full.profile).await.unwrap(), 1);
        assert_eq!(c.nodes_cleanup_pending(5).await.unwrap(), [full.clone()]);
        assert_eq!(c.nodes_keep_expired(NOW, 5).await.unwrap(), []);
        assert_eq!(c.nodes_keep_expired(NOW.plus(HOUR), 5).await.unwrap(), [full.clone()]);
        assert_eq!(c.nodes_at_account(&account.id, "", 5).await.unwrap(), [full.clone()]);
        assert_eq!(c.nodes_at_account(&account.id, "4711", 5).await.unwrap(), []);
        drop(c);

        // Compare-and-set: the second of two who read the same loses, and the row stays the first's.
        let mut first = plain.clone();
        first.state = NodeState::Creating;
        first.pool = Some(pool_name("default"));
        let mut second = plain.clone();
        second.state = NodeState::Destroying;
        assert!(db.write(op!(first => |c| c.node_save(&first).await)).await.unwrap());
        assert!(!db.write(op!(second => |c| c.node_save(&second).await)).await.unwrap());
        let seen = db.read().await.node_get(&plain.id).await.unwrap().unwrap();
        assert_eq!((seen.state, seen.version), (NodeState::Creating, 2));
        assert_eq!(db.read().await.nodes_of_pool_coming(&pool_name("default")).await.unwrap(), 1);
        assert_eq!(db.read().await.provider_live_counts(&account.id).await.unwrap().0, 2);

        first.version = 2;
        first.state = NodeState::Destroyed;
        let locked = db
            .write(op!(first => |c| {
                let locked = c.node_lock(&first.id).await?;
                c.node_save(&first).await?;
                Ok(locked)
            }))
            .await
            .unwrap();
        assert_eq!(locked.unwrap().state, NodeState::Creating);
        let mut c = db.read().await;
        assert_eq!(c.nodes_by_state_count().await.unwrap(), [(NodeState::Failed, 1)]);
        assert_eq!(c.nodes_of_pool_coming(&pool_name("default")).await.unwrap(), 0);
        assert_eq!(c.provider_live_counts(&account.id).await.unwrap().0, 1);
    })
    .await;
}

#[tokio::test]
async fn a_machine_being_laid_anew_is_not_one_on_its_way() {
    both(|db| async move {
        let mut row = with_node(&db).await;
        row.state = NodeState::Verifying;
        row.pool = Some(pool_name("default"));
        let mut machine = vm("default", row.id.as_str(), 1);
        machine.source = PoolVmSource::Node;
        machine.node_id = Some(row.id.clone());
        machine.status = PoolVmStatus::Cleaning;
        db.write(op!(row, machine => |c| {
            c.node_save(&row).await?;
            c.pool_vm_insert(&machine).await
        }))
        .await
        .unwrap();
        assert_eq!(db.read().await.nodes_of_pool_coming(&pool_name("default")).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn jobs_and_their_steps() {
    both(|db| async move {
        let mut row = common::job(JobKind::NodeProvision, Subject::new("node", "nod_1"));
        row.subject_name = Some("Älpha".to_owned());
        row.step = Some("create_server".to_owned());
        row.state = serde_json::json!({ "server": 5, "list": [1, null] });
        row.progress = 40;
        row.error = Some(JobError::new(Code::ProviderLocked, "busy"));
        row.deadline_at = Some(NOW.plus(1));
        row.started_at = Some(NOW.plus(2));
        db.write(op!(row => |c| c.job_insert(&row).await)).await.unwrap();
        let step = |status| JobStep {
            name: "create_server".to_owned(),
            label: "Create the server".to_owned(),
            status,
            started_at: Some(NOW),
            finished_at: None,
            detail: Some("cx22 at fsn1".to_owned()),
        };
        let (running, done) = (step(StepStatus::Running), step(StepStatus::Succeeded));
        let id = row.id.clone();
        let (late, early) = (done.clone(), running.clone());
        db.write(op!(id, late, early => |c| {
            c.job_step_put(&id, 2, &late).await?;
            c.job_step_put(&id, 1, &early).await
        }))
        .await
        .unwrap();
        let again = done.clone();
        assert_eq!(db.read().await.job_steps(&id).await.unwrap(), [running, done.clone()]);
        db.write(op!(id, again => |c| c.job_step_put(&id, 1, &again).await)).await.unwrap();

        let mut c = db.read().await;
        assert_eq!(c.job_get(&id).await.unwrap().unwrap(), row);
        assert_eq!(c.job_steps(&id).await.unwrap(), [done.clone(), done]);
        assert_eq!(c.job_open_for("node", "nod_1").await.unwrap().unwrap(), row);
        assert_eq!(c.job_open_for("pool", "nod_1").await.unwrap(), None);
        assert_eq!(c.job_latest_for("node", "nod_1").await.unwrap().unwrap(), row);
        assert_eq!(c.jobs_status_counts().await.unwrap(), (0, 1));
        drop(c);
        db.write(op!(id => |c| c.job_steps_clear(&id).await)).await.unwrap();
        assert_eq!(db.read().await.job_steps(&id).await.unwrap(), []);
    })
    .await;
}

/// However many there are: each is kept full.
#[tokio::test]
async fn every_pool_is_read() {
    both(|db| async move {
        let mut pools: Vec<_> = (0..450).map(|n| pool(&format!("pool-{n}"))).collect();
        db.write(op!(pools => |c| {
            for row in &pools {
                c.pool_insert(row).await?;
            }
            Ok(())
        }))
        .await
        .unwrap();
        let mut read = db.read().await.pools_all().await.unwrap();
        for rows in [&mut pools, &mut read] {
            rows.sort_by(|one, other| one.name.as_str().cmp(other.name.as_str()));
        }
        assert_eq!(read, pools);
    })
    .await;
}

#[tokio::test]
async fn pools_and_machines() {
    both(|db| async move {
        let account = provider("main");
        let mut row = pool("default");
        row.target_ready = Some(2);
        row.max_size = Some(10);
        row.cleaning = Cleaning::Rebuild;
        row.template = Some(common::spec(&account.id, "template"));
        let mut machine = vm("default", "VM.1:a_b", 3);
        machine.host = Some("10.0.0.1".to_owned());
        machine.cockpit_url = Some("http://10.0.0.1:9090/x?y=1".parse().unwrap());
        machine.note = Some("new".to_owned());
        machine.ssh_user = Some("ops".to_owned());
        machine.ssh_port = Some(2222);
        machine.labels = BTreeMap::from([("rack".to_owned(), "7".to_owned())]);
        assert!(!db.read().await.pools_exist().await.unwrap());
        assert!(!db.read().await.listed_ever().await.unwrap());
        db.write(op!(row, machine => |c| {
            c.pool_insert(&row).await?;
            c.pool_vm_insert(&machine).await
        }))
        .await
        .unwrap();
        let mut c = db.read().await;
        assert_eq!(c.pool_get(&row.name).await.unwrap().unwrap(), row);
        assert_eq!(c.pools_all().await.unwrap(), [row.clone()]);
        assert_eq!(c.pool_vm_get(&machine.id).await.unwrap().unwrap(), machine);
        assert_eq!(c.pool_vms_listed().await.unwrap(), [machine.clone()]);
        assert!(c.pools_exist().await.unwrap() && c.listed_ever().await.unwrap());
        drop(c);

        let mut changed = row.clone();
        changed.target_ready = None;
        changed.template = None;
        assert!(db.write(op!(changed => |c| c.pool_save(&changed).await)).await.unwrap());
        assert!(!db.write(op!(changed => |c| c.pool_save(&changed).await)).await.unwrap());
        changed.version = 2;
        assert_eq!(db.read().await.pool_get(&row.name).await.unwrap().unwrap(), changed);
        let mut parked = machine.clone();
        parked.status = PoolVmStatus::Maintenance;
        assert!(db.write(op!(parked => |c| c.pool_vm_save(&parked).await)).await.unwrap());
        assert!(!db.write(op!(parked => |c| c.pool_vm_save(&parked).await)).await.unwrap());

        let waiting = allocation("default", None);
        let node = with_node_in_pool(&db).await;
        db.write(op!(waiting => |c| c.allocation_insert(&waiting).await)).await.unwrap();
        let counts = db.read().await.pool_counts(&row.name).await.unwrap();
        assert_eq!(counts, PoolCounts { maintenance: 1, waiting: 1, coming: 1, ..PoolCounts::default() });
        assert_eq!(node.pool, Some(row.name.clone()));
        assert_eq!(db.read().await.pools_with_waiting_and_available().await.unwrap(), []);
        let free = vm("default", "vm-2", 4);
        db.write(op!(free => |c| c.pool_vm_insert(&free).await)).await.unwrap();
        assert_eq!(db.read().await.pools_with_waiting_and_available().await.unwrap(), [row.name.clone()]);
        let name = row.name.clone();
        assert!(db.write(op!(name => |c| c.pool_delete(&name).await)).await.unwrap());
        assert!(!db.write(op!(name => |c| c.pool_delete(&name).await)).await.unwrap());
    })
    .await;
}

async fn with_node_in_pool(db: &common::Db) -> store::NodeRow {
    let mut row = with_node(db).await;
    row.pool = Some(pool_name("default"));
    let saved = row.clone();
    assert!(db.write(op!(row => |c| c.node_save(&row).await)).await.unwrap());
    saved
}

#[tokio::test]
async fn allocations() {
    both(|db| async move {
        let machine = vm("default", "vm-1", 1);
        let mut row = allocation("default", Some(&machine.id));
        row.forge_id = Some("17".to_owned());
        row.host = Some("10.0.0.1".to_owned());
        row.is_demo = true;
        row.cost_cents = Some(-5);
        row.cockpit_url = Some("https://10.0.0.1/".parse().unwrap());
        row.ssh_pub_key = Some("ssh-ed25519 AAAA".to_owned());
        row.reason = Some("user".to_owned());
        row.released_at = Some(NOW.plus(9));
        let (first, second) = (allocation("default", None), allocation("default", None));
        db.write(op!(machine, row, first, second => |c| {
            c.pool_vm_insert(&machine).await?;
            c.allocation_insert(&row).await?;
            c.allocation_insert(&second).await?;
            c.allocation_insert(&first).await
        }))
        .await
        .unwrap();
        let end = row.expires_at.unwrap();
        let mut c = db.read().await;
        assert_eq!(c.allocation_get(&row.id).await.unwrap().unwrap(), row);
        assert_eq!(c.allocation_of_vm(&machine.id).await.unwrap().unwrap(), row);
        assert_eq!(c.allocations_open_of_user(&UserId::admin()).await.unwrap(), 3);
        assert_eq!(c.allocations_of_user(&UserId::admin(), Which::Open).await.unwrap().len(), 3);
        assert_eq!(c.allocation_waiting_first(&row.pool).await.unwrap().unwrap(), first, "who asked first");
        assert_eq!(c.allocation_position(&first).await.unwrap(), 1);
        assert_eq!(c.allocation_position(&second).await.unwrap(), 2);
        assert_eq!(c.allocations_expired(end.plus(-1), 5).await.unwrap(), []);
        assert_eq!(c.allocations_expired(end, 5).await.unwrap(), [row.clone()]);
        drop(c);

        let mut over = row.clone();
        over.status = AllocationStatus::Releasing;
        assert!(db.write(op!(over => |c| c.allocation_save(&over).await)).await.unwrap());
        assert!(!db.write(op!(over => |c| c.allocation_save(&over).await)).await.unwrap());
        assert_eq!(db.read().await.allocation_of_vm(&machine.id).await.unwrap().unwrap().id, row.id);
        assert_eq!(db.read().await.allocations_open_of_user(&UserId::admin()).await.unwrap(), 2);
        over.version = 2;
        over.status = AllocationStatus::Released;
        assert!(db.write(op!(over => |c| c.allocation_save(&over).await)).await.unwrap());
        let mut c = db.read().await;
        assert_eq!(c.allocation_of_vm(&machine.id).await.unwrap(), None);
        assert_eq!(c.allocations_of_user(&UserId::admin(), Which::Over).await.unwrap().len(), 1);
        assert_eq!(c.allocations_of_user(&UserId::admin(), Which::Open).await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn people_and_their_identities() {
    both(|db| async move {
        let row = user("Ada");
        let identity = |subject: &str, login: &str, at| IdentityRow {
            forge: "https://forge.example".to_owned(),
            subject: subject.to_owned(),
            login: login.to_owned(),
            user_id: row.id.clone(),
            linked_at: at,
        };
        let (first, second) = (identity("17", "ada", NOW), identity("18", "lovelace", NOW.plus(1)));
        let (a, b, person) = (first.clone(), second.clone(), row.clone());
        db.write(op!(person, a, b => |c| {
            c.user_insert(&person).await?;
            c.identity_insert(&b).await?;
            c.identity_insert(&a).await
        }))
        .await
        .unwrap();
        let mut c = db.read().await;
        let seen = c.user_get(&row.id).await.unwrap().unwrap();
        assert_eq!(seen.forge_id.as_deref(), Some("17"), "the identity that was linked first");
        assert_eq!(seen.forge_login.as_deref(), Some("ada"));
        let expected =
            store::UserRow { forge_id: seen.forge_id.clone(), forge_login: seen.forge_login.clone(), ..row.clone() };
        assert_eq!(seen, expected);
        assert_eq!(c.user_by_identity("https://forge.example", "18").await.unwrap().unwrap().id, row.id);
        assert_eq!(c.user_by_identity("https://forge.example", "ada").await.unwrap(), None);
        assert_eq!(c.identities_of(&row.id).await.unwrap(), [first, second]);
        let nobody = UserId::fresh();
        let names = c.users_names([&row.id, &nobody, &UserId::admin(), &row.id]).await.unwrap();
        let expected = [(row.id.clone(), row.display_name.clone()), (UserId::admin(), "Administrator".to_owned())];
        assert_eq!(names, expected.into());
        assert!(c.users_names([]).await.unwrap().is_empty());
        drop(c);

        let id = row.id.clone();
        db.write(op!(id => |c| {
            c.identity_login_set("https://forge.example", "17", "countess").await?;
            c.user_seen(&id, NOW.plus(7)).await
        }))
        .await
        .unwrap();
        let mut seen = db.read().await.user_get(&id).await.unwrap().unwrap();
        assert_eq!((seen.forge_login.as_deref(), seen.last_seen_at), (Some("countess"), Some(NOW.plus(7))));
        seen.role = Role::Admin;
        seen.status = UserStatus::Suspended;
        seen.max_active = 4;
        let saved = db
            .write(op!(seen => |c| {
                c.user_lock(&seen.id).await?;
                c.user_save(&seen).await
            }))
            .await
            .unwrap();
        assert!(saved);
        assert!(!db.write(op!(seen => |c| c.user_save(&seen).await)).await.unwrap());
        seen.version = 2;
        assert_eq!(db.read().await.user_get(&id).await.unwrap().unwrap(), seen);
    })
    .await;
}

#[tokio::test]
async fn a_session_that_ended_is_not_brought_back() {
    both(|db| async move {
        let row = SessionRow {
            id_hash: "aa".to_owned(),
            user_id: Some(UserId::admin()),
            data: "{}".to_owned(),
            expires_at: NOW.plus(10),
        };
        let other = SessionRow { id_hash: "bb".to_owned(), user_id: None, ..row.clone() };
        db.write(op!(row, other => |c| {
            c.session_insert(&row).await?;
            c.session_insert(&other).await
        }))
        .await
        .unwrap();
        assert_eq!(db.read().await.session_get("aa", NOW).await.unwrap().unwrap(), row);
        assert_eq!(db.read().await.session_get("aa", NOW.plus(10)).await.unwrap(), None, "strictly before its end");
        let changed = SessionRow { data: "{\"a\":1}".to_owned(), expires_at: NOW.plus(20), ..row.clone() };
        assert!(db.write(op!(changed => |c| c.session_update(&changed).await)).await.unwrap());
        assert_eq!(db.read().await.session_get("aa", NOW).await.unwrap().unwrap(), changed);
        assert!(db.write(|c| Box::pin(async move { c.session_delete("aa").await })).await.unwrap());
        assert!(!db.write(op!(changed => |c| c.session_update(&changed).await)).await.unwrap());
        assert_eq!(db.read().await.session_get("aa", NOW).await.unwrap(), None);
        db.write(op!(row => |c| c.session_insert(&row).await)).await.unwrap();
        let ended = db.write(|c| Box::pin(async move { c.sessions_delete_of(&UserId::admin()).await })).await.unwrap();
        let purged = db.write(|c| Box::pin(async move { c.sessions_purge(NOW.plus(10)).await })).await.unwrap();
        assert_eq!((ended, purged), (1, 1));
        assert!(!format!("{row:?}").contains("aa"), "a log line must not tell the hash");
    })
    .await;
}

#[tokio::test]
async fn trail_and_events() {
    both(|db| async move {
        let entry = |action: &str, subject: Subject, outcome, code| AuditEntry {
            id: AuditId::fresh(),
            at: NOW,
            actor: "usr_admin".to_owned(),
            actor_name: Some("Administrator".to_owned()),
            action: action.to_owned(),
            subject,
            outcome,
            code,
            detail: Some("by hand".to_owned()),
        };
        let a = entry("node.acquire", Subject::new("node", "nod_1"), Outcome::Ok, None);
        let b = entry("destroy-node", Subject::new("node", "nod_1"), Outcome::Refused, Some(Code::ActionBlocked));
        let c_ = entry("pool.create", Subject::new("pool", "nod_1"), Outcome::Ok, None);
        let entries = vec![a.clone(), b.clone(), c_.clone()];
        let event = |n| LiveEvent { kind: "node".to_owned(), id: "nod_1".to_owned(), version: n };
        let events: Vec<_> = (1..=50).map(|n| (event(n), (n % 2 == 0).then(UserId::admin))).collect();
        assert_eq!(db.read().await.events_last_seq().await.unwrap(), 0);
        let sent = events.clone();
        db.write(op!(entries, sent => |c| {
            for entry in &entries {
                c.audit_insert(entry, Some("req-1")).await?;
            }
            c.event_insert(&sent).await
        }))
        .await
        .unwrap();
        let mut c = db.read().await;
        assert_eq!(c.audit_of("node", "nod_1", 10).await.unwrap(), [b.clone(), a.clone()]);
        let about = Filter { subject: Some("nod_1".to_owned()), kind: Some("pool".to_owned()), ..Filter::default() };
        assert_eq!(c.audit_page(&about).await.unwrap().items, std::slice::from_ref(&c_));
        let refused = Filter { status: Some("refused".to_owned()), ..Filter::default() };
        assert_eq!(c.audit_page(&refused).await.unwrap().items, [b]);
        assert_eq!(c.audit_count(&Filter::default(), 1000).await.unwrap(), 3);

        let rows = c.events_after(0, 100).await.unwrap();
        let seen: Vec<_> = rows.iter().map(|row| (row.event.clone(), row.user_id.clone())).collect();
        assert_eq!(seen, events, "all, in the order in which they were announced");
        assert!(rows.windows(2).all(|w| w[0].seq < w[1].seq));
        let last = c.events_last_seq().await.unwrap();
        assert_eq!(rows.last().unwrap().seq, last);
        assert_eq!(c.events_after(rows[9].seq, 5).await.unwrap(), rows[10..15]);
        drop(c);
        db.write(|c| Box::pin(async move { c.events_purge(10).await })).await.unwrap();
        assert_eq!(db.read().await.events_after(0, 100).await.unwrap(), rows[40..]);
        db.write(|c| Box::pin(async move { c.events_purge(0).await })).await.unwrap();
        let more = vec![(event(99), None)];
        db.write(op!(more => |c| c.event_insert(&more).await)).await.unwrap();
        let next = db.read().await.events_after(last, 10).await.unwrap();
        assert_eq!(next.len(), 1, "numbers are not used again");
    })
    .await;
}

#[tokio::test]
async fn settings_keys_and_failures() {
    both(|db| async move {
        let put_new = |value: &str| {
            let value = value.to_owned();
            db.write(op!(value => |c| c.setting_put_new("instance", &value).await))
        };
        assert_eq!(put_new("one").await.unwrap(), "one");
        assert_eq!(put_new("two").await.unwrap(), "one", "what stands there stays");
        db.write(|c| Box::pin(async move { c.setting_put("instance", "three").await })).await.unwrap();
        assert_eq!(db.read().await.setting_get("instance").await.unwrap().as_deref(), Some("three"));
        assert_eq!(db.read().await.setting_get("else").await.unwrap(), None);

        let put = |principal: &'static str| {
            db.write(move |c| {
                Box::pin(async move { c.idempotency_put(principal, "POST /x", "k", "hash", 201, "{}", NOW).await })
            })
        };
        put("usr_admin").await.unwrap();
        put("usr_2").await.unwrap();
        assert!(put("usr_2").await.unwrap_err().is_conflict(store::constraint::IDEMPOTENCY));
        let kept = db.read().await.idempotency_get("usr_2", "POST /x", "k").await.unwrap().unwrap();
        assert_eq!((kept.status, kept.body.as_str(), kept.body_hash.as_str()), (201, "{}", "hash"));
        assert_eq!(db.read().await.idempotency_get("usr_2", "POST /y", "k").await.unwrap(), None);
        let purged = db.write(|c| Box::pin(async move { c.idempotency_purge(NOW.plus(1)).await })).await.unwrap();
        assert_eq!(purged, 2);

        db.write(|c| {
            Box::pin(async move {
                c.login_failure_add("10.0.0.1", NOW).await?;
                c.login_failure_add("10.0.0.1", NOW.plus(5)).await?;
                c.login_failure_add("10.0.0.2", NOW.plus(5)).await
            })
        })
        .await
        .unwrap();
        let mut c = db.read().await;
        assert_eq!(c.login_failures_since("10.0.0.1", NOW).await.unwrap(), 2);
        assert_eq!(c.login_failures_since("10.0.0.1", NOW.plus(1)).await.unwrap(), 1);
        drop(c);
        db.write(|c| Box::pin(async move { c.login_failures_clear("10.0.0.1").await })).await.unwrap();
        assert_eq!(db.read().await.login_failures_since("10.0.0.1", NOW).await.unwrap(), 0);
        let purged = db.write(|c| Box::pin(async move { c.login_failures_purge(NOW.plus(6)).await })).await.unwrap();
        assert_eq!(purged, 1);
    })
    .await;
}

#[tokio::test]
async fn reading_cannot_change_anything() {
    both(|db| async move {
        let mut c = db.read().await;
        assert!(matches!(c.setting_put("a", "b").await, Err(StoreError::Invalid(_))));
        assert!(matches!(c.pool_vm_claim(&pool_name("default"), NOW).await, Err(StoreError::Invalid(_))));
        let nothing: &[(LiveEvent, Option<UserId>)] = &[];
        assert!(matches!(c.event_insert(nothing).await, Err(StoreError::Invalid(_))));
        assert_eq!(c.setting_get("a").await.unwrap(), None);
        assert_eq!(c.pool_vm_get(&vm_id("vm-1")).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn failures_and_observations_of_an_account() {
    both(|db| async move {
        let row = provider("main");
        let id = row.id.clone();
        db.write(op!(row => |c| c.provider_insert(&row).await)).await.unwrap();
        let until = NOW.plus(HOUR);
        let code = Some(Code::ProviderInvalidRequest);
        assert!(db.write(op!(id => |c| c.provider_failures_set(&id, 3, code, Some(until)).await)).await.unwrap());
        assert!(db.write(op!(id => |c| c.provider_observe_failed_set(&id, "no answer").await)).await.unwrap());
        let seen = db.read().await.provider_get(&id).await.unwrap().unwrap();
        assert_eq!((seen.failures, seen.failure_code, seen.paused_until), (3, code, Some(until)));
        assert_eq!((seen.observed_at, seen.observe_failed.as_deref()), (None, Some("no answer")));
        assert!(db.write(op!(id => |c| c.provider_observed_set(&id, NOW, 4).await)).await.unwrap());
        let seen = db.read().await.provider_get(&id).await.unwrap().unwrap();
        assert_eq!((seen.observed_at, seen.observe_failed, seen.owned, seen.version), (Some(NOW), None, Some(4), 2));
    })
    .await;
}

#[tokio::test]
async fn versions_of_a_profile() {
    both(|db| async move {
        let row = |name: &str, version| ProfileRow {
            name: name.parse().unwrap(),
            version,
            definition: ProfileDefinition { script: format!("echo {version}"), ..ProfileDefinition::base() },
            created_by: UserId::admin(),
            created_at: NOW.plus(version.into()),
        };
        let (first, second, other) = (row("docker", 1), row("docker", 2), row("base", 1));
        db.write(op!(first, second, other => |c| {
            c.profile_insert(&first).await?;
            c.profile_insert(&second).await?;
            c.profile_insert(&other).await
        }))
        .await
        .unwrap();
        let again = db.write(op!(second => |c| c.profile_insert(&second).await)).await;
        assert!(matches!(again, Err(StoreError::Conflict { .. })), "{again:?}");
        let mut c = db.read().await;
        assert_eq!(c.profile_get(&first.name, 1).await.unwrap(), Some(first.clone()));
        assert_eq!(c.profile_get(&first.name, 3).await.unwrap(), None);
        assert_eq!(c.profile_versions(&first.name, 10).await.unwrap(), [second.clone(), first.clone()]);
        assert_eq!(c.profiles_all().await.unwrap(), [(other.name, 1), (first.name, 2)]);
    })
    .await;
}

#[tokio::test]
async fn versions_of_a_blueprint() {
    both(|db| async move {
        let row = |name: &str, version| BlueprintRow {
            name: name.parse().unwrap(),
            version,
            definition: serde_json::from_value(serde_json::json!({"file": format!("x: {version}"), "services": []}))
                .unwrap(),
            created_by: UserId::admin(),
            created_at: NOW.plus(version.into()),
            retired_at: None,
        };
        let (first, second, other) = (row("shop", 1), row("shop", 2), row("blog", 1));
        db.write(op!(first, second, other => |c| {
            c.blueprint_insert(&first).await?;
            c.blueprint_insert(&second).await?;
            c.blueprint_insert(&other).await
        }))
        .await
        .unwrap();
        let again = db.write(op!(second => |c| c.blueprint_insert(&second).await)).await;
        assert!(matches!(again, Err(StoreError::Conflict { .. })), "{again:?}");
        let mut c = db.read().await;
        assert_eq!(c.blueprint_get(&first.name, 1).await.unwrap(), Some(first.clone()));
        assert_eq!(c.blueprint_get(&first.name, 3).await.unwrap(), None);
        assert_eq!(c.blueprint_newest(&first.name).await.unwrap(), Some(second.clone()));
        let heads = c.blueprint_versions(&first.name, 10).await.unwrap();
        assert_eq!(heads.iter().map(|head| head.version).collect::<Vec<_>>(), [2, 1]);
        let listed = c.blueprints_listed("", 10).await.unwrap();
        let told: Vec<_> =
            listed.iter().map(|it| (it.name.as_str(), it.version, it.definition.file.as_str())).collect();
        assert_eq!(told, [("blog", 1, ""), ("shop", 2, "")], "in the newest version, without the file");
        assert_eq!(c.blueprints_listed("blog", 10).await.unwrap().len(), 1);
        assert_eq!(c.blueprints_listed("", 1).await.unwrap().len(), 1);
        drop(c);
        let name = first.name.clone();
        let retired = db.write(op!(name => |c| c.blueprint_retire(&name, NOW).await)).await.unwrap();
        assert_eq!(retired, 2);
        let left = db.read().await.blueprints_listed("", 10).await.unwrap();
        assert_eq!(left.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["blog"]);
        let held = db.write(op!(name => |c| c.blueprint_lock(&name, 2).await)).await.unwrap().unwrap();
        assert_eq!(held.retired_at, Some(NOW));
    })
    .await;
}

#[tokio::test]
async fn backups() {
    both(|db| async move {
        let node = with_node(&db).await;
        let row = BackupRow {
            id: BackupId::fresh(),
            node_id: node.id.clone(),
            node_name: node.name.to_string(),
            provider_id: node.provider_id.clone(),
            blueprint: Some("shop".parse().unwrap()),
            blueprint_version: Some(1),
            tag: Some("1".to_owned()),
            folder: "20261120".to_owned(),
            files: vec!["db.tar".to_owned()],
            bytes: 12,
            created_at: NOW,
        };
        db.write(op!(row => |c| c.backup_insert(&row).await)).await.unwrap();
        let mut c = db.read().await;
        assert_eq!(c.backup_get(&row.id).await.unwrap(), Some(row.clone()));
        let of = |subject: &str| Filter { subject: Some(subject.to_owned()), ..Filter::default() };
        assert_eq!(c.backups_page(&of(node.id.as_str())).await.unwrap().items, std::slice::from_ref(&row));
        assert_eq!(c.backups_count(&of("nod_0"), 10).await.unwrap(), 0);
        drop(c);
        assert!(db.write(op!(row => |c| c.backup_delete(&row.id).await)).await.unwrap());
        assert!(!db.write(op!(row => |c| c.backup_delete(&row.id).await)).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn orphans() {
    both(|db| async move {
        let account = provider("main");
        let row = OrphanRow {
            provider_id: account.id.clone(),
            infra_id: "12".to_owned(),
            subject: OrphanSubject::Server,
            detail: None,
            kind: OrphanKind::Unknown,
            name: "alpha".to_owned(),
            node_id: Some("nod_1".to_owned()),
            reason: "why".to_owned(),
            first_seen_at: NOW,
            last_seen_at: NOW,
        };
        let later =
            OrphanRow { first_seen_at: NOW.plus(9), last_seen_at: NOW.plus(9), name: "beta".to_owned(), ..row.clone() };
        let gone = OrphanRow { kind: OrphanKind::Gone, node_id: None, ..later.clone() };
        db.write(op!(account, row, later, gone => |c| {
            c.provider_insert(&account).await?;
            c.orphan_seen(&row).await?;
            c.orphan_seen(&gone).await?;
            c.orphan_seen(&later).await
        }))
        .await
        .unwrap();
        let seen = OrphanRow { first_seen_at: NOW, ..later.clone() };
        assert_eq!(db.read().await.orphans_all(10).await.unwrap(), [seen.clone(), gone.clone()]);
        let id = account.id.clone();
        assert_eq!(db.read().await.orphan_get(&id, "12", OrphanKind::Unknown).await.unwrap(), Some(seen));
        db.write(op!(id => |c| c.orphans_unseen_delete(&id, OrphanSubject::Server, NOW.plus(9)).await)).await.unwrap();
        assert_eq!(db.read().await.orphans_all(10).await.unwrap().len(), 2, "both were seen just now");
        db.write(op!(id => |c| c.orphan_delete(&id, "12", OrphanKind::Gone).await)).await.unwrap();
        assert_eq!(db.read().await.orphans_all(10).await.unwrap().len(), 1);
        db.write(op!(id => |c| c.orphans_unseen_delete(&id, OrphanSubject::Server, NOW.plus(10)).await)).await.unwrap();
        assert_eq!(db.read().await.orphans_all(10).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn dns_records() {
    both(|db| async move {
        let account = provider("main");
        let host = node(&account.id, "alpha");
        let plain = DnsRecordRow {
            id: DnsRecordId::fresh(),
            provider_id: account.id.clone(),
            zone: "example.org".parse().unwrap(),
            name: "alpha".parse().unwrap(),
            kind: DnsType::A,
            content: "192.0.2.1".to_owned(),
            ttl: None,
            proxied: false,
            state: DnsState::Requested,
            code: None,
            message: None,
            cleanup: Cleanup::None,
            vendor_id: None,
            node_id: None,
            create_attempted_at: None,
            adopted: false,
            observed_at: None,
            drift: Vec::new(),
            created_by: UserId::admin(),
            created_at: NOW,
            updated_at: NOW,
            deleted_at: None,
            version: 1,
        };
        let full = DnsRecordRow {
            id: DnsRecordId::fresh(),
            kind: DnsType::Aaaa,
            content: "2001:db8::1".to_owned(),
            ttl: Some(60),
            proxied: true,
            state: DnsState::Active,
            code: Some(Code::DnsNameConflict),
            message: Some("why".to_owned()),
            cleanup: Cleanup::Pending,
            vendor_id: Some("abc".to_owned()),
            node_id: Some(host.id.clone()),
            create_attempted_at: Some(NOW),
            adopted: true,
            observed_at: Some(NOW.plus(5)),
            drift: vec![Drift {
                field: "content".to_owned(),
                recorded: "a".to_owned(),
                observed: "b".to_owned(),
                guidance: "c".to_owned(),
            }],
            deleted_at: Some(NOW),
            ..plain.clone()
        };
        db.write(op!(account, host, plain, full => |c| {
            c.provider_insert(&account).await?;
            c.node_insert(&host).await?;
            c.dns_record_insert(&plain).await?;
            c.dns_record_insert(&full).await
        }))
        .await
        .unwrap();
        let mut c = db.read().await;
        assert_eq!(c.dns_record_get(&plain.id).await.unwrap().unwrap(), plain);
        assert_eq!(c.dns_record_get(&full.id).await.unwrap().unwrap(), full);
        assert_eq!(c.dns_records_of_node(&host.id).await.unwrap(), std::slice::from_ref(&full));
        assert_eq!(
            c.dns_records_of_name(&account.id, &plain.zone, &plain.name).await.unwrap(),
            [plain.clone(), full.clone()]
        );
        assert_eq!(c.dns_records_cleanup_pending(5).await.unwrap(), std::slice::from_ref(&full));
        assert_eq!(c.dns_records_to_observe(NOW.plus(5), 5).await.unwrap(), []);
        assert_eq!(c.dns_records_to_observe(NOW.plus(6), 5).await.unwrap(), std::slice::from_ref(&full));
        let by_name = Filter { q: Some("alpha.exam".to_owned()), ..Filter::default() };
        assert_eq!(c.dns_records_page(&by_name).await.unwrap().items, [plain.clone(), full.clone()]);
        assert_eq!(c.provider_live_counts(&account.id).await.unwrap().1, 2);
        drop(c);

        // One of ours under a name and type, until it is given up or gone.
        let second = DnsRecordRow { id: DnsRecordId::fresh(), ..plain.clone() };
        let again = db.write(op!(second => |c| c.dns_record_insert(&second).await)).await;
        assert!(
            matches!(&again, Err(StoreError::Conflict { constraint }) if constraint == constraint::DNS_NAME),
            "{again:?}"
        );
        let failed = DnsRecordRow { state: DnsState::Failed, ..plain.clone() };
        assert!(db.write(op!(failed => |c| c.dns_record_save(&failed).await)).await.unwrap());
        assert!(!db.write(op!(failed => |c| c.dns_record_save(&failed).await)).await.unwrap(), "an older version");
        db.write(op!(second => |c| c.dns_record_insert(&second).await)).await.unwrap();
        assert_eq!(
            db.read().await.provider_live_counts(&account.id).await.unwrap().1,
            2,
            "nothing was asked for the failed one"
        );
    })
    .await;
}
