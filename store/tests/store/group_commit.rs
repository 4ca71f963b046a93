//! Group commit: many operations share a commit, and none notices another.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use store::StoreError;

use crate::common::{NOW, allocation, both, op, vm};

/// An error of a caller.
#[derive(Debug)]
enum Own {
    Refused,
    Store(StoreError),
}

impl From<StoreError> for Own {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_undoes_no_other() {
    both(|db| async move {
        let machine = vm("default", "vm-1", 1);
        let held = allocation("default", Some(&machine.id));
        db.write(op!(machine, held => |c| {
            c.pool_vm_insert(&machine).await?;
            c.allocation_insert(&held).await
        }))
        .await
        .unwrap();
        let runs = Arc::new(AtomicUsize::new(0));
        let all = (0..60).map(|n| {
            let (store, runs, machine) = (db.store.clone(), Arc::clone(&runs), machine.id.clone());
            async move {
                let outcome = store
                    .write::<usize, Own, _>(move |c| {
                        let (runs, machine) = (Arc::clone(&runs), machine.clone());
                        Box::pin(async move {
                            runs.fetch_add(1, Ordering::Relaxed);
                            c.setting_put(&format!("key-{n}"), "value").await?;
                            match n % 10 {
                                // Refuses after it has changed something.
                                3 => return Err(Own::Refused),
                                // A statement fails.
                                6 => c.allocation_insert(&allocation("default", Some(&machine))).await?,
                                7 => {
                                    // A statement fails and the operation goes on as if nothing were.
                                    let _ = c.allocation_insert(&allocation("default", Some(&machine))).await;
                                }
                                9 => panic!("on purpose"),
                                _ => {}
                            }
                            Ok(n)
                        })
                    })
                    .await;
                (n, outcome)
            }
        });
        for (n, outcome) in futures::future::join_all(all).await {
            let stored = db.read().await.setting_get(&format!("key-{n}")).await.unwrap().is_some();
            match (n % 10, outcome) {
                (3, Err(Own::Refused)) => assert!(!stored),
                (6, Err(Own::Store(error))) => {
                    assert!(error.is_conflict(store::constraint::ONE_HOLDER), "{error:?}");
                    assert!(!stored);
                }
                (7, Err(Own::Store(StoreError::Aborted))) => assert!(!stored),
                (9, Err(Own::Store(StoreError::Panicked))) => assert!(!stored),
                (0 | 1 | 2 | 4 | 5 | 8, Ok(answer)) => {
                    assert_eq!(answer, n);
                    assert!(stored);
                }
                (_, outcome) => panic!("operation {n} answered {outcome:?}"),
            }
        }
        assert!(runs.load(Ordering::Relaxed) >= 60);
        db.store.ping().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn they_run_in_the_order_in_which_they_came() {
    both(|db| async move {
        let all = (0..300).map(|n| {
            db.write(move |c| {
                Box::pin(async move {
                    let before = c.setting_get("log").await?.unwrap_or_default();
                    c.setting_put("log", &format!("{before}{n},")).await
                })
            })
        });
        for outcome in futures::future::join_all(all).await {
            outcome.unwrap();
        }
        let expected: String = (0..300).map(|n| format!("{n},")).collect();
        assert_eq!(db.read().await.setting_get("log").await.unwrap().unwrap(), expected);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_share_commits_and_wake_whoever_waits() {
    both(|db| async move {
        let mut wakeups = db.store.wakeups();
        wakeups.mark_unchanged();
        let before = *wakeups.borrow();
        let all =
            (0..200).map(|n| db.write(move |c| Box::pin(async move { c.setting_put(&format!("k{n}"), "v").await })));
        for outcome in futures::future::join_all(all).await {
            outcome.unwrap();
        }
        tokio::time::timeout(Duration::from_secs(10), wakeups.changed()).await.unwrap().unwrap();
        // On PostgreSQL each commit may be heard of twice: here, and as a notification.
        let commits = *wakeups.borrow() - before;
        assert!(commits <= 100, "200 operations took {commits} commits");

        let quiet = *db.store.wakeups().borrow();
        if db.store.is_sqlite() {
            // Nobody is woken by an operation that changes nothing.
            db.write(|c| Box::pin(async move { c.setting_get("k0").await })).await.unwrap();
            assert_eq!(*db.store.wakeups().borrow(), quiet);
        }
    })
    .await;
}

#[tokio::test]
async fn other_processes_hear_of_a_commit() {
    both(|db| async move {
        if db.store.is_sqlite() {
            return;
        }
        let other = db.second().await;
        let mut wakeups = other.wakeups();
        // Once it listens it says so; then only news changes it.
        let limit = Duration::from_secs(10);
        tokio::time::timeout(limit, wakeups.wait_for(|n| *n > 0)).await.unwrap().unwrap();
        wakeups.mark_unchanged();
        db.write(|c| Box::pin(async move { c.setting_put("a", "b").await })).await.unwrap();
        tokio::time::timeout(limit, wakeups.changed()).await.unwrap().unwrap();
        other.close().await;
    })
    .await;
}

#[tokio::test]
async fn one_whose_caller_went_away_still_runs() {
    both(|db| async move {
        let mut left = Box::pin(db.write(|c| Box::pin(async move { c.setting_put("left", "behind").await })));
        // Asked once, so that it is queued, and then given up.
        assert!(futures::poll!(&mut left).is_pending());
        drop(left);
        // What is queued later runs later.
        db.write(|c| Box::pin(async move { c.setting_put("next", "one").await })).await.unwrap();
        assert_eq!(db.read().await.setting_get("left").await.unwrap().as_deref(), Some("behind"));
    })
    .await;
}

#[tokio::test]
async fn a_refusal_without_a_change_disturbs_nobody() {
    both(|db| async move {
        let runs = Arc::new(AtomicUsize::new(0));
        let all = (0..100).map(|n| {
            let (store, runs) = (db.store.clone(), Arc::clone(&runs));
            async move {
                let refused = store
                    .write::<(), Own, _>(move |c| {
                        let runs = Arc::clone(&runs);
                        Box::pin(async move {
                            runs.fetch_add(1, Ordering::Relaxed);
                            c.setting_get("quota").await?;
                            if n % 2 == 0 { Err(Own::Refused) } else { Ok(c.setting_put(&format!("k{n}"), "v").await?) }
                        })
                    })
                    .await;
                assert_eq!(refused.is_err(), n % 2 == 0);
            }
        });
        futures::future::join_all(all).await;
        assert_eq!(runs.load(Ordering::Relaxed), 100, "no operation had to be run again");
    })
    .await;
}

#[tokio::test]
async fn what_is_pending_is_part_of_the_operation() {
    both(|db| async move {
        use domain::audit::{AuditEntry, LiveEvent, Outcome};
        use store::FreshId as _;
        let entry = AuditEntry {
            id: domain::id::AuditId::fresh(),
            at: NOW,
            actor: "system".to_owned(),
            actor_name: None,
            action: "x".to_owned(),
            subject: domain::job::Subject::new("node", "nod_1"),
            outcome: Outcome::Ok,
            code: None,
            detail: None,
        };
        let event = LiveEvent { kind: "node".to_owned(), id: "nod_1".to_owned(), version: 1 };
        let told = entry.clone();
        let refused = db
            .store
            .write::<(), Own, _>(op!(told, event => |c| {
                c.audit_insert(&told, None).await?;
                c.event_insert(&[(event, None)]).await?;
                Err(Own::Refused)
            }))
            .await;
        assert!(matches!(refused, Err(Own::Refused)));
        assert_eq!(db.read().await.events_last_seq().await.unwrap(), 0);
        assert_eq!(db.read().await.audit_of("node", "nod_1", 5).await.unwrap(), []);
        // And a line that cannot be written undoes the operation.
        db.write(op!(entry => |c| c.audit_insert(&entry, None).await)).await.unwrap();
        let twice = db
            .write(op!(entry => |c| {
                c.setting_put("with", "it").await?;
                c.audit_insert(&entry, None).await
            }))
            .await;
        assert!(twice.unwrap_err().is_conflict("audit_pkey"));
        assert_eq!(db.read().await.setting_get("with").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn what_is_queued_at_the_end_is_done_and_what_comes_later_is_refused() {
    both(|db| async move {
        let mut last = Box::pin(db.write(|c| Box::pin(async move { c.setting_put("last", "one").await })));
        assert!(futures::poll!(&mut last).is_pending());
        let closed = db.store.clone();
        let (done, ()) = tokio::join!(last, closed.close());
        done.unwrap();
        let late = db.write(|c| Box::pin(async move { c.setting_put("late", "one").await })).await;
        assert!(matches!(late, Err(StoreError::Closed)), "{late:?}");
        let again = store::Store::open(&db.url).await.unwrap();
        assert_eq!(again.read().await.unwrap().setting_get("last").await.unwrap().as_deref(), Some("one"));
        again.close().await;
    })
    .await;
}

/// The server throws the writer's connections out; the writer comes back by itself.
#[tokio::test]
async fn a_lost_connection_is_replaced() {
    both(|db| async move {
        if db.store.is_sqlite() {
            return;
        }
        db.write(|c| Box::pin(async move { c.setting_put("before", "x").await })).await.unwrap();
        use sqlx::Connection as _;
        let mut admin = sqlx::PgConnection::connect(&db.url).await.unwrap();
        sqlx::raw_sql(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .execute(&mut admin)
        .await
        .unwrap();
        db.write(|c| Box::pin(async move { c.setting_put("after", "x").await })).await.unwrap();
        // Connections for reading are tried out when they were idle for long; each may fail once.
        let mut seen = None;
        for _ in 0..10 {
            let Ok(mut c) = db.store.read().await else { continue };
            if let Ok(value) = c.setting_get("after").await {
                seen = value;
                break;
            }
        }
        assert_eq!(seen.as_deref(), Some("x"));
    })
    .await;
}

/// Numbers become visible in order: who reads on from the last one seen misses none, also while two
/// processes write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_of_events_misses_none() {
    both(|db| async move {
        const EACH: i64 = 300;
        let stores = [db.store.clone(), db.second().await];
        let writers = (0..8_i64).map(|writer| {
            let store = stores[usize::from(writer % 2 == 1)].clone();
            tokio::spawn(async move {
                for n in 0..EACH / 8 {
                    let event =
                        domain::audit::LiveEvent { kind: "node".to_owned(), id: format!("nod_{writer}"), version: n };
                    store
                        .write::<(), StoreError, _>(op!(event => |c| c.event_insert(&[(event, None)]).await))
                        .await
                        .unwrap();
                }
            })
        });
        let writers: Vec<_> = writers.collect();
        let follower = async {
            let (mut last, mut seen) = (0, 0);
            while seen < EACH / 8 * 8 {
                let rows = db.read().await.events_after(last, 50).await.unwrap();
                seen += i64::try_from(rows.len()).unwrap();
                last = rows.last().map_or(last, |row| row.seq);
                tokio::task::yield_now().await;
            }
        };
        // It would wait for ever for one that it passed over.
        tokio::time::timeout(Duration::from_secs(60), follower).await.unwrap();
        for writer in writers {
            writer.await.unwrap();
        }
        if !db.store.is_sqlite() {
            stores[1].close().await;
        }
    })
    .await;
}
