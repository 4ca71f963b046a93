//! The invariants that the schema itself holds, with the same name on both engines.

use domain::{
    allocation::AllocationStatus,
    job::{JobKind, JobStatus, Subject},
    time::SECOND,
};
use store::{FreshId as _, IdentityRow, StoreError, constraint};

use crate::common::{NOW, allocation, both, job, node, op, pool, provider, user, vm, with_node};

fn conflict<T: std::fmt::Debug>(outcome: Result<T, StoreError>, name: &str) {
    let error = outcome.unwrap_err();
    assert!(error.is_conflict(name), "{error:?} is not a conflict of {name}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_machine_has_one_holder() {
    both(|db| async move {
        let machine = vm("default", "vm-1", 1);
        let mut first = allocation("default", Some(&machine.id));
        let second = allocation("default", Some(&machine.id));
        db.write(op!(machine, first => |c| {
            c.pool_vm_insert(&machine).await?;
            c.allocation_insert(&first).await
        }))
        .await
        .unwrap();
        conflict(db.write(op!(second => |c| c.allocation_insert(&second).await)).await, constraint::ONE_HOLDER);
        // Also while it is being given back, and for one that has waited.
        first.status = AllocationStatus::Releasing;
        assert!(db.write(op!(first => |c| c.allocation_save(&first).await)).await.unwrap());
        conflict(db.write(op!(second => |c| c.allocation_insert(&second).await)).await, constraint::ONE_HOLDER);
        let mut waiting = allocation("default", None);
        db.write(op!(waiting => |c| c.allocation_insert(&waiting).await)).await.unwrap();
        waiting.status = AllocationStatus::Active;
        waiting.pool_vm_id = Some(machine.id.clone());
        conflict(db.write(op!(waiting => |c| c.allocation_save(&waiting).await)).await, constraint::ONE_HOLDER);
        // Once it is free, the next may hold it.
        first.status = AllocationStatus::Released;
        first.version = 2;
        assert!(db.write(op!(first => |c| c.allocation_save(&first).await)).await.unwrap());
        db.write(op!(second => |c| c.allocation_insert(&second).await)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn who_waits_holds_nothing_and_who_is_active_holds_something() {
    both(|db| async move {
        let machine = vm("default", "vm-1", 1);
        db.write(op!(machine => |c| c.pool_vm_insert(&machine).await)).await.unwrap();
        let mut wrong = allocation("default", Some(&machine.id));
        wrong.status = AllocationStatus::Waiting;
        let refused = db.write(op!(wrong => |c| c.allocation_insert(&wrong).await)).await;
        assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
        let mut wrong = allocation("default", None);
        wrong.status = AllocationStatus::Active;
        let refused = db.write(op!(wrong => |c| c.allocation_insert(&wrong).await)).await;
        assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn a_node_has_one_open_job() {
    both(|db| async move {
        let subject = Subject::new("node", with_node(&db).await.id);
        let first = job(JobKind::NodeProvision, subject.clone());
        let second = job(JobKind::NodeDestroy, subject.clone());
        db.write(op!(first => |c| c.job_insert(&first).await)).await.unwrap();
        conflict(db.write(op!(second => |c| c.job_insert(&second).await)).await, constraint::JOB_ONE_OPEN);
        // Other subjects may have several.
        let fills =
            [job(JobKind::PoolFill, Subject::new("pool", "p")), job(JobKind::PoolFill, Subject::new("pool", "p"))];
        db.write(op!(fills => |c| {
            c.job_insert(&fills[0]).await?;
            c.job_insert(&fills[1]).await
        }))
        .await
        .unwrap();
        let id = first.id.clone();
        let claimed = db
            .write(|c| {
                Box::pin(
                    async move { c.job_claim_due("w", domain::job::Lane::Making, NOW, NOW.plus(SECOND), 10).await },
                )
            })
            .await
            .unwrap();
        let fence = claimed.iter().find(|j| j.id == id).unwrap().fence;
        conflict(db.write(op!(second => |c| c.job_insert(&second).await)).await, constraint::JOB_ONE_OPEN);
        let ended =
            db.write(op!(id => |c| c.job_finish(&id, fence, JobStatus::Failed, None, NOW).await)).await.unwrap();
        assert!(ended);
        db.write(op!(second => |c| c.job_insert(&second).await)).await.unwrap();
        conflict(db.write(op!(id => |c| c.job_retry(&id, NOW).await)).await, constraint::JOB_ONE_OPEN);
        let restarted = db.write(op!(id => |c| c.job_restart(&id, &serde_json::json!({}), 3, NOW).await)).await;
        conflict(restarted, constraint::JOB_ONE_OPEN);
    })
    .await;
}

#[tokio::test]
async fn names_and_ids_are_taken_once() {
    both(|db| async move {
        let first = provider("main");
        let same = provider("main");
        db.write(op!(first => |c| c.provider_insert(&first).await)).await.unwrap();
        conflict(db.write(op!(same => |c| c.provider_insert(&same).await)).await, constraint::PROVIDER_NAME);
        let id = first.id.clone();
        db.write(op!(id => |c| c.provider_delete(&id, NOW).await)).await.unwrap();
        db.write(op!(same => |c| c.provider_insert(&same).await)).await.unwrap();

        let row = node(&same.id, "alpha");
        let mut twin = node(&same.id, "alpha");
        twin.server_name = row.server_name.clone();
        db.write(op!(row => |c| c.node_insert(&row).await)).await.unwrap();
        conflict(db.write(op!(twin => |c| c.node_insert(&twin).await)).await, constraint::NODE_SERVER_NAME);

        let (a, b) = (pool("default"), pool("default"));
        db.write(op!(a => |c| c.pool_insert(&a).await)).await.unwrap();
        conflict(db.write(op!(b => |c| c.pool_insert(&b).await)).await, constraint::POOL_NAME);

        let (a, b) = (vm("default", "vm-1", 1), vm("other", "vm-1", 1));
        db.write(op!(a => |c| c.pool_vm_insert(&a).await)).await.unwrap();
        conflict(db.write(op!(b => |c| c.pool_vm_insert(&b).await)).await, constraint::POOL_VM_ID);

        let person = user("Ada");
        let identity = IdentityRow {
            forge: "f".to_owned(),
            subject: "1".to_owned(),
            login: "ada".to_owned(),
            user_id: person.id.clone(),
            linked_at: NOW,
        };
        db.write(op!(person, identity => |c| {
            c.user_insert(&person).await?;
            c.identity_insert(&identity).await
        }))
        .await
        .unwrap();
        conflict(db.write(op!(identity => |c| c.identity_insert(&identity).await)).await, constraint::IDENTITY);
    })
    .await;
}

#[tokio::test]
async fn rows_refer_to_what_is_there() {
    both(|db| async move {
        let orphan = node(&domain::id::ProviderId::fresh(), "alpha");
        let refused = db.write(op!(orphan => |c| c.node_insert(&orphan).await)).await;
        assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
        let mut stranger = allocation("default", None);
        stranger.user_id = domain::id::UserId::fresh();
        let refused = db.write(op!(stranger => |c| c.allocation_insert(&stranger).await)).await;
        assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
    })
    .await;
}
