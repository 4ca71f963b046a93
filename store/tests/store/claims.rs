//! Handing out machines: each to one at a time, in their turn, whoever asks and however many.

use std::collections::BTreeSet;

use domain::pool::PoolVmStatus;
use store::StoreError;

use crate::common::{NOW, allocation, both, op, pool_name, vm};

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
