//! Leases: who holds a job, and that whoever lost it changes nothing.

use std::collections::BTreeSet;

use domain::{
    code::Code,
    job::{JobError, JobKind, JobStatus, Lane, Subject},
    time::{SECOND, Timestamp},
};
use store::{FreshId as _, JobRow, Store, StoreError};

use crate::common::{Db, NOW, both, job, op};

async fn claim(store: &Store, worker: &str, now: Timestamp, limit: u32) -> Vec<JobRow> {
    let worker = worker.to_owned();
    store
        .write::<_, StoreError, _>(
            op!(worker => |c| c.job_claim_due(&worker, Lane::Making, now, now.plus(15 * SECOND), limit).await),
        )
        .await
        .unwrap()
}

async fn queued(db: &Db, count: usize) -> Vec<JobRow> {
    let rows: Vec<JobRow> = (0..count)
        .map(|n| {
            let id = domain::id::NodeId::fresh();
            let mut row = job(JobKind::NodeProvision, Subject::new("node", id));
            row.run_after = NOW.plus(i64::try_from(n).unwrap());
            row
        })
        .collect();
    let kept = rows.clone();
    db.write(op!(rows => |c| {
        for row in &rows {
            c.job_insert(row).await?;
        }
        Ok(())
    }))
    .await
    .unwrap();
    kept
}

#[tokio::test]
async fn a_claim_takes_what_is_due_in_order() {
    both(|db| async move {
        let rows = queued(&db, 3).await;
        assert_eq!(claim(&db.store, "w", NOW.plus(-1), 10).await, []);
        assert_eq!(db.read().await.job_next_due(Lane::Making).await.unwrap(), Some(NOW));
        let taken = claim(&db.store, "w", NOW.plus(1), 10).await;
        assert_eq!(taken.iter().map(|j| &j.id).collect::<Vec<_>>(), [&rows[0].id, &rows[1].id]);
        let first = &taken[0];
        assert_eq!((first.status, first.attempt, first.fence, first.version), (JobStatus::Running, 1, 1, 2));
        assert_eq!((first.lease_owner.as_deref(), first.started_at), (Some("w"), Some(NOW.plus(1))));
        assert_eq!(first.lease_until, Some(NOW.plus(1 + 15 * SECOND)));
        assert_eq!(&db.read().await.job_get(&first.id).await.unwrap().unwrap(), first, "as it stands");
        assert_eq!(db.read().await.job_next_due(Lane::Making).await.unwrap(), Some(NOW.plus(2)));
        assert_eq!(claim(&db.store, "w", NOW.plus(2), 10).await.len(), 1);
        assert_eq!(db.read().await.jobs_status_counts().await.unwrap(), (3, 0));
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_ran_out_goes_on_under_a_new_fence() {
    both(|db| async move {
        queued(&db, 1).await;
        let old = claim(&db.store, "old", NOW, 1).await.remove(0);
        assert_eq!(claim(&db.store, "new", NOW.plus(15 * SECOND), 1).await, [], "not before it has run out");
        let late = NOW.plus(15 * SECOND + 1);
        let new = claim(&db.store, "new", late, 1).await.remove(0);
        assert_eq!((new.id.clone(), new.fence, new.attempt), (old.id.clone(), 2, 1), "the same attempt");
        assert_eq!(new.started_at, old.started_at);

        // The old holder changes nothing, whatever it tries.
        let (id, fence) = (old.id.clone(), old.fence);
        let error = JobError::new(Code::JobTimeout, "late");
        let tried = db
            .write(op!(id, error => |c| Ok((
                c.job_heartbeat(&id, fence, late.plus(SECOND)).await?,
                c.job_checkpoint(&id, fence, Some("x"), &serde_json::json!(1), 99, late).await?,
                c.job_requeue(&id, fence, late, Some(&error), late).await?,
                c.job_deadline_set(&id, fence, Some(late)).await?,
                c.job_finish(&id, fence, JobStatus::Succeeded, None, late).await?,
            ))))
            .await
            .unwrap();
        assert_eq!(tried, (None, false, false, false, false));
        assert_eq!(db.read().await.job_get(&id).await.unwrap().unwrap(), new);
        let fence = new.fence;
        let alive = db.write(op!(id => |c| c.job_heartbeat(&id, fence, late.plus(60 * SECOND)).await)).await.unwrap();
        assert_eq!(alive, Some(false));
        assert_eq!(claim(&db.store, "third", late.plus(30 * SECOND), 1).await, [], "a sign of life holds it");
    })
    .await;
}

#[tokio::test]
async fn a_job_runs_its_course() {
    both(|db| async move {
        queued(&db, 1).await;
        let held = claim(&db.store, "w", NOW, 1).await.remove(0);
        let (id, fence) = (held.id.clone(), held.fence);
        let done = db
            .write(op!(id => |c| {
                c.job_deadline_set(&id, fence, Some(NOW.plus(SECOND))).await?;
                c.job_checkpoint(&id, fence, Some("create_server"), &serde_json::json!({ "server": 1 }), 30, NOW).await?;
                c.job_checkpoint(&id, fence, None, &serde_json::json!({ "server": 2 }), 40, NOW).await
            }))
            .await
            .unwrap();
        assert!(done);
        let seen = db.read().await.job_get(&id).await.unwrap().unwrap();
        assert_eq!((seen.step.as_deref(), seen.progress), (Some("create_server"), 40));
        assert_eq!((seen.state, seen.deadline_at), (serde_json::json!({ "server": 2 }), Some(NOW.plus(SECOND))));

        let error = JobError::new(Code::ProviderUnreachable, "no answer");
        let later = NOW.plus(5 * SECOND);
        let kept = error.clone();
        assert!(db.write(op!(id, error => |c| c.job_requeue(&id, fence, later, Some(&error), NOW).await)).await.unwrap());
        let seen = db.read().await.job_get(&id).await.unwrap().unwrap();
        assert_eq!((seen.status, seen.run_after, seen.error), (JobStatus::Queued, later, Some(kept)));
        assert_eq!((seen.lease_owner, seen.lease_until), (None, None));

        let again = claim(&db.store, "w", later, 1).await.remove(0);
        assert_eq!((again.attempt, again.fence, again.started_at), (2, 2, Some(NOW)));
        assert!(db.write(op!(id => |c| c.job_cancel_request(&id, later).await)).await.unwrap());
        let fence = again.fence;
        let stop = db.write(op!(id => |c| c.job_heartbeat(&id, fence, later.plus(SECOND)).await)).await.unwrap();
        assert_eq!(stop, Some(true), "the worker hears of it");
        let wrong = db.write(op!(id => |c| c.job_finish(&id, fence, JobStatus::Queued, None, later).await)).await;
        assert!(matches!(wrong, Err(StoreError::Invalid(_))));
        let cancelled = JobError::new(Code::JobCancelled, "stopped");
        let error = cancelled.clone();
        assert!(
            db.write(op!(id, error => |c| c.job_finish(&id, fence, JobStatus::Cancelled, Some(&error), later).await))
                .await
                .unwrap()
        );
        assert!(!db.write(op!(id => |c| c.job_cancel_request(&id, later).await)).await.unwrap(), "it is over");
        assert!(db.write(op!(id => |c| c.job_retry(&id, later).await)).await.unwrap());
        assert!(!db.write(op!(id => |c| c.job_retry(&id, later).await)).await.unwrap(), "it is queued");
        let seen = db.read().await.job_get(&id).await.unwrap().unwrap();
        assert_eq!((seen.status, seen.attempt, seen.cancel_requested), (JobStatus::Queued, 0, false));
        assert_eq!((seen.finished_at, seen.error), (None, Some(cancelled)), "what went wrong stays to be seen");

        let last = claim(&db.store, "w", later, 1).await.remove(0);
        let fence = last.fence;
        assert!(db.write(op!(id => |c| c.job_finish(&id, fence, JobStatus::Succeeded, None, later).await)).await.unwrap());
        let seen = db.read().await.job_get(&id).await.unwrap().unwrap();
        assert_eq!((seen.progress, seen.finished_at, seen.error), (100, Some(later), None));
        assert_eq!(db.read().await.job_next_due(Lane::Making).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_restart_begins_from_the_given_checkpoint() {
    both(|db| async move {
        queued(&db, 1).await;
        let held = claim(&db.store, "w", NOW, 1).await.remove(0);
        let (id, fence) = (held.id.clone(), held.fence);
        db.write(op!(id => |c| c.job_finish(&id, fence, JobStatus::Failed, None, NOW).await)).await.unwrap();
        let restarted =
            db.write(op!(id => |c| c.job_restart(&id, &serde_json::json!({ "from": 2 }), 7, NOW).await)).await.unwrap();
        assert!(restarted);
        let seen = db.read().await.job_get(&id).await.unwrap().unwrap();
        assert_eq!((seen.status, seen.attempt, seen.max_attempts), (JobStatus::Queued, 0, 7));
        assert_eq!((seen.state, seen.progress), (serde_json::json!({ "from": 2 }), 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_workers_take_each_job_once() {
    both(|db| async move {
        let rows = queued(&db, 40).await;
        let stores = [db.store.clone(), db.second().await];
        // First as queued jobs, then as jobs whose workers all vanished.
        for (round, now) in [(1, NOW.plus(SECOND)), (2, NOW.plus(60 * SECOND))] {
            let workers = (0..16).map(|n| {
                let store = stores[n % 2].clone();
                tokio::spawn(async move {
                    let mut mine = Vec::new();
                    // SKIP LOCKED may leave a row to its present holder: ask until nothing is left.
                    loop {
                        let taken = claim(&store, &format!("w{n}"), now, 3).await;
                        if taken.is_empty() {
                            return mine;
                        }
                        mine.extend(taken);
                    }
                })
            });
            let taken: Vec<JobRow> =
                futures::future::join_all(workers).await.into_iter().flat_map(Result::unwrap).collect();
            let ids: BTreeSet<_> = taken.iter().map(|j| j.id.clone()).collect();
            assert_eq!(taken.len(), rows.len(), "round {round}: each once");
            assert_eq!(ids.len(), rows.len(), "round {round}: all");
            assert!(taken.iter().all(|j| j.fence == round && j.attempt == 1), "round {round}");
        }
        if !db.store.is_sqlite() {
            stores[1].close().await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_takes_away_has_a_lane_of_its_own() {
    both(|db| async move {
        let making = job(JobKind::NodeProvision, Subject::new("node", "nod_1"));
        let mut removing = job(JobKind::NodeDestroy, Subject::new("node", "nod_2"));
        removing.run_after = NOW.plus(1);
        db.write(op!(making, removing => |c| {
            c.job_insert(&making).await?;
            c.job_insert(&removing).await
        }))
        .await
        .unwrap();
        let mut c = db.read().await;
        assert_eq!(c.job_next_due(Lane::Removing).await.unwrap(), Some(NOW.plus(1)));
        assert_eq!(c.job_next_due(Lane::Making).await.unwrap(), Some(NOW));
        drop(c);
        let now = NOW.plus(1);
        let claimed = db
            .write(op!(now => |c| c.job_claim_due("w", Lane::Removing, now, now.plus(SECOND), 10).await))
            .await
            .unwrap();
        assert_eq!(claimed.iter().map(|job| &job.id).collect::<Vec<_>>(), [&removing.id]);
        // Its lease runs out: it is taken up again in the same lane.
        let later = now.plus(2 * SECOND);
        let other = db
            .write(op!(later => |c| c.job_claim_due("v", Lane::Making, later, later.plus(SECOND), 10).await))
            .await
            .unwrap();
        assert_eq!(other.iter().map(|job| &job.id).collect::<Vec<_>>(), [&making.id]);
        let again = db
            .write(op!(later => |c| c.job_claim_due("v", Lane::Removing, later, later.plus(SECOND), 10).await))
            .await
            .unwrap();
        assert_eq!((again[0].id.clone(), again[0].fence), (removing.id.clone(), 2));
    })
    .await;
}
