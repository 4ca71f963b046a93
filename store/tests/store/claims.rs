//! Handing out machines: each to one at a time, in their turn, whoever asks and however many.

use std::collections::BTreeSet;

use domain::{allocation::AllocationStatus, pool::PoolVmStatus};
use store::StoreError;

use crate::common::{NOW, allocation, both, op, pool, pool_name, vm};

#[tokio::test]
async fn machines_are_handed_out_in_their_turn() {
    both(|db| async move {
        let mut rows = vec![vm("a", "vm-3", 1), vm("a", "vm-2", 2), vm("a", "vm-1", 2), vm("b", "vm-0", 0)];
        rows.push(store::PoolVmRow { status: PoolVmStatus::Maintenance, ..vm("a", "vm-9", 0) });
        db.write(op!(rows => |c| {
            for row in &rows {
                c.pool_vm_insert(row).await?;
            }
            Ok(())
        }))
        .await
        .unwrap();
        let mut turn = Vec::new();
        loop {
            let claimed = db
                .write(|c| Box::pin(async move { c.pool_vm_claim(&pool_name("a"), NOW.plus(1)).await }))
                .await
                .unwrap();
            let Some(claimed) = claimed else { break };
            assert_eq!(
                (claimed.status, claimed.version, claimed.updated_at),
                (PoolVmStatus::Allocated, 2, NOW.plus(1))
            );
            turn.push(claimed.id.to_string());
        }
        assert_eq!(turn, ["vm-3", "vm-1", "vm-2"]);
    })
    .await;
}

#[tokio::test]
async fn nobody_passes_those_who_wait() {
    both(|db| async move {
        let (mut waiting, machine) = (allocation("default", None), vm("default", "vm-1", 1));
        let (first, other) = (waiting.clone(), vm("other", "vm-2", 1));
        db.write(op!(first, machine, other => |c| {
            c.pool_vm_insert(&machine).await?;
            c.pool_vm_insert(&other).await?;
            c.allocation_insert(&first).await
        }))
        .await
        .unwrap();
        let ask = |pool: &'static str| {
            db.write(move |c| Box::pin(async move { c.pool_vm_claim_unless_waiting(&pool_name(pool), NOW).await }))
        };
        assert_eq!(ask("default").await.unwrap(), None);
        assert_eq!(ask("other").await.unwrap().map(|vm| vm.id), Some(other.id), "they wait in another pool");
        waiting.status = AllocationStatus::Released;
        assert!(db.write(op!(waiting => |c| c.allocation_save(&waiting).await)).await.unwrap());
        let claimed = ask("default").await.unwrap().unwrap();
        assert_eq!((claimed.id, claimed.status), (machine.id, PoolVmStatus::Allocated));
        assert_eq!(ask("default").await.unwrap(), None, "there is no other one");
    })
    .await;
}

/// Operations that share a transaction see each other's changes of a pool that they lock.
#[tokio::test]
async fn a_locked_pool_is_as_it_is() {
    both(|db| async move {
        let row = pool("default");
        db.write(op!(row => |c| {
            c.pool_insert(&row).await?;
            assert_eq!(c.pool_lock(&row.name).await?.as_ref(), Some(&row));
            assert_eq!(c.pool_lock(&row.name).await?.as_ref(), Some(&row));
            let mut changed = row.clone();
            changed.max_size = Some(7);
            assert!(c.pool_save(&changed).await?);
            let seen = c.pool_lock(&row.name).await?;
            assert_eq!(seen.map(|pool| (pool.max_size, pool.version)), Some((Some(7), 2)));
            c.pool_delete(&row.name).await?;
            assert_eq!(c.pool_lock(&row.name).await?, None);
            Ok(())
        }))
        .await
        .unwrap();
        db.write(op!(row => |c| c.pool_insert(&row).await)).await.unwrap();
        let all = (0..40).map(|n: u32| {
            db.write(op!(row => |c| {
                let mut seen = c.pool_lock(&row.name).await?.unwrap();
                seen.target_ready = Some(seen.target_ready.unwrap_or(0) + 1);
                assert!(c.pool_save(&seen).await?);
                // One that fails takes its own change back, and no other.
                if n == 20 { Err(StoreError::Invalid("on purpose")) } else { Ok(()) }
            }))
        });
        let ended = futures::future::join_all(all).await;
        assert_eq!(ended.iter().filter(|outcome| outcome.is_ok()).count(), 39);
        let seen = db.read().await.pool_get(&row.name).await.unwrap().unwrap();
        assert_eq!(seen.target_ready, Some(39));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_machine_goes_to_one() {
    both(|db| async move {
        let rows: Vec<_> = (0..40).map(|n| vm("default", &format!("vm-{n:02}"), n)).collect();
        db.write(op!(rows => |c| {
            for row in &rows {
                c.pool_vm_insert(row).await?;
            }
            Ok(())
        }))
        .await
        .unwrap();
        let stores = [db.store.clone(), db.second().await];
        let askers = (0..100).map(|n: usize| {
            let store = stores[n % 2].clone();
            tokio::spawn(async move {
                store
                    .write::<_, StoreError, _>(|c| {
                        Box::pin(async move {
                            let claimed = c.pool_vm_claim(&pool_name("default"), NOW).await?;
                            if let Some(vm) = &claimed {
                                c.allocation_insert(&allocation("default", Some(&vm.id))).await?;
                            }
                            Ok(claimed)
                        })
                    })
                    .await
                    .unwrap()
            })
        });
        let claimed: Vec<_> = futures::future::join_all(askers).await.into_iter().filter_map(Result::unwrap).collect();
        let ids: BTreeSet<_> = claimed.iter().map(|vm| vm.id.clone()).collect();
        assert_eq!(claimed.len(), ids.len(), "no machine went to two");
        assert_eq!(ids.len(), 40, "every machine went to somebody");
        let counts = db.read().await.pool_counts(&pool_name("default")).await.unwrap();
        assert_eq!((counts.available, counts.allocated), (0, 40));
        if !db.store.is_sqlite() {
            stores[1].close().await;
        }
    })
    .await;
}

/// A quota counted in the transaction that claims holds, also when one person asks everywhere at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_holds_under_the_person_s_lock() {
    both(|db| async move {
        let rows: Vec<_> = (0..20).map(|n| vm("default", &format!("vm-{n:02}"), n)).collect();
        let person = crate::common::user("Ada");
        let row = person.clone();
        db.write(op!(rows, row => |c| {
            c.user_insert(&row).await?;
            for row in &rows {
                c.pool_vm_insert(row).await?;
            }
            Ok(())
        }))
        .await
        .unwrap();
        let stores = [db.store.clone(), db.second().await];
        let askers = (0..30).map(|n: usize| {
            let (store, id) = (stores[n % 2].clone(), person.id.clone());
            tokio::spawn(async move {
                store
                    .write::<bool, StoreError, _>(op!(id => |c| {
                        c.user_lock(&id).await?;
                        if c.allocations_open_of_user(&id).await? >= 3 {
                            return Ok(false);
                        }
                        let vm = c.pool_vm_claim(&pool_name("default"), NOW).await?;
                        let mut row = allocation("default", vm.as_ref().map(|vm| &vm.id));
                        row.user_id = id;
                        c.allocation_insert(&row).await?;
                        Ok(true)
                    }))
                    .await
                    .unwrap()
            })
        });
        let given = futures::future::join_all(askers).await.into_iter().filter(|g| *g.as_ref().unwrap()).count();
        assert_eq!(given, 3);
        assert_eq!(db.read().await.allocations_open_of_user(&person.id).await.unwrap(), 3);
        if !db.store.is_sqlite() {
            stores[1].close().await;
        }
    })
    .await;
}
