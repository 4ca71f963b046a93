//! Lists: every row once, whatever happens between two pages.

use std::collections::BTreeSet;

use domain::{
    id::UserId,
    job::{JobKind, Subject},
    list::Filter,
    node::NodeState,
};
use store::StoreError;

use crate::common::{Db, allocation, both, job, node, op, pool, pool_name, provider, user, vm};

fn q(word: &str) -> Filter {
    Filter { q: Some(word.to_owned()), limit: Some(7), ..Filter::default() }
}

/// Walks a list to its end and gives the keys in order.
macro_rules! walk {
    ($db:expr, $filter:expr, |$c:ident, $f:ident| $page:expr, $key:expr) => {{
        let mut filter: Filter = $filter;
        let mut keys = Vec::new();
        loop {
            let mut conn = $db.read().await;
            let ($c, $f) = (&mut conn, &filter);
            let page = $page.unwrap();
            assert!(page.items.len() <= usize::try_from(filter.limit.unwrap_or(50)).unwrap());
            keys.extend(page.items.iter().map($key));
            match page.next_cursor {
                Some(cursor) => filter.cursor = Some(cursor),
                None => break keys,
            }
        }
    }};
}

#[tokio::test]
async fn each_row_is_seen_once_newest_first() {
    both(|db| async move {
        let account = provider("main");
        let rows: Vec<_> = (0..50)
            .map(|n| {
                let mut row = node(&account.id, &format!("n{:02}", n % 20));
                row.state = if n % 3 == 0 { NodeState::Destroyed } else { NodeState::Ready };
                row.pool = (n % 2 == 0).then(|| pool_name("even"));
                row
            })
            .collect();
        let all = rows.clone();
        db.write(op!(account, rows => |c| {
            c.provider_insert(&account).await?;
            for row in &rows {
                c.node_insert(row).await?;
            }
            Ok(())
        }))
        .await
        .unwrap();
        let ids = |keep: &dyn Fn(usize) -> bool| -> Vec<String> {
            (0..50).rev().filter(|n| keep(*n)).map(|n| all[n].id.to_string()).collect()
        };
        let seen = async |filter: Filter| {
            let count = db.read().await.nodes_count(&filter, 1000).await.unwrap();
            let keys =
                walk!(db, Filter { limit: Some(7), ..filter }, |c, f| c.nodes_page(f).await, |n| n.id.to_string());
            assert_eq!(keys.len(), usize::try_from(count).unwrap());
            keys
        };
        assert_eq!(seen(Filter::default()).await, ids(&|_| true));
        let status = |word: &str| Filter { status: Some(word.to_owned()), ..Filter::default() };
        assert_eq!(seen(status("destroyed")).await, ids(&|n| n % 3 == 0));
        assert_eq!(seen(status("live")).await, ids(&|n| n % 3 != 0));
        assert_eq!(seen(status("nonsense")).await, ids(&|_| false));
        assert_eq!(
            seen(Filter { pool: Some("even".to_owned()), ..status("ready") }).await,
            ids(&|n| n % 6 == 2 || n % 6 == 4)
        );
        assert_eq!(seen(Filter { provider: Some(account.id.to_string()), ..Filter::default() }).await.len(), 50);
        assert_eq!(seen(Filter { provider: Some("prv_0".to_owned()), ..Filter::default() }).await.len(), 0);

        // By name: 'n1' begins the names of 10 to 19, each of which stands there two or three times.
        let by_name = seen(q("N1")).await;
        let wanted: BTreeSet<_> = (0..50).filter(|n| n % 20 >= 10).map(|n| all[n].id.to_string()).collect();
        assert_eq!(by_name.len(), wanted.len(), "each once");
        assert_eq!(by_name.iter().cloned().collect::<BTreeSet<_>>(), wanted);
        let names: Vec<_> =
            by_name.iter().map(|id| all.iter().find(|n| n.id.as_str() == id).unwrap().name.to_string()).collect();
        assert!(names.is_sorted(), "{names:?}");
        assert_eq!(
            seen(Filter { status: Some("ready".to_owned()), ..q("n1") }).await.len(),
            wanted.len() - (0..50).filter(|n| n % 20 >= 10 && n % 3 == 0).count()
        );
        // By id.
        assert_eq!(seen(q(all[4].id.as_str())).await, [all[4].id.to_string()]);
        assert_eq!(seen(q("nod_")).await, ids(&|_| true));
        // What would be a pattern or a quote elsewhere is a letter here.
        for odd in ["%", "_", "'", "n%", "\"", "\\", "\u{10FFFF}", "n\0"] {
            assert_eq!(seen(q(odd)).await, Vec::<String>::new(), "{odd:?}");
        }
        assert_eq!(db.read().await.nodes_count(&Filter::default(), 30).await.unwrap(), 30, "counted up to the cap");
    })
    .await;
}

#[tokio::test]
async fn what_comes_in_between_disturbs_no_page() {
    both(|db| async move {
        let insert = |n: usize| {
            let rows: Vec<_> = (0..n).map(|_| allocation("default", None)).collect();
            let db = db.clone();
            async move {
                let kept = rows.clone();
                db.write(op!(rows => |c| {
                    for row in &rows {
                        c.allocation_insert(row).await?;
                    }
                    Ok(())
                }))
                .await
                .unwrap();
                kept
            }
        };
        let first = insert(30).await;
        let mut filter = Filter { limit: Some(10), user: Some(UserId::admin().to_string()), ..Filter::default() };
        let mut seen = Vec::new();
        loop {
            let page = db.read().await.allocations_page(&filter).await.unwrap();
            seen.extend(page.items.into_iter().map(|a| a.id));
            insert(3).await;
            match page.next_cursor {
                Some(cursor) => filter.cursor = Some(cursor),
                None => break,
            }
        }
        assert_eq!(seen, first.iter().rev().map(|a| a.id.clone()).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn the_other_lists() {
    both(|db| async move {
        let people: Vec<_> = (0..12).map(|n| user(&format!("Person {n:02}"))).collect();
        let pools: Vec<_> = (0..12).map(|n| pool(&format!("p{:02}", 11 - n))).collect();
        let vms: Vec<_> = (0..12).map(|n| vm("p00", &format!("VM-{n:02}"), n)).collect();
        let jobs: Vec<_> = (0..12)
            .map(|n| {
                let mut row = job(JobKind::PoolFill, Subject::new("pool", format!("p{:02}", n % 3)));
                row.subject_name = Some(format!("P{:02}", n % 3));
                row
            })
            .collect();
        let accounts: Vec<_> = (0..12).map(|n| provider(&format!("Account {n:02}"))).collect();
        let held = allocation("p00", Some(&vms[3].id));
        let holder = held.id.clone();
        let (a, b, d, e) = (people.clone(), pools.clone(), jobs.clone(), accounts.clone());
        let v = vms.clone();
        db.write(op!(a, b, v, d, e, held => |c| {
            for n in 0..12 {
                c.user_insert(&a[n]).await?;
                c.pool_insert(&b[n]).await?;
                c.pool_vm_insert(&v[n]).await?;
                c.job_insert(&d[n]).await?;
                c.provider_insert(&e[n]).await?;
            }
            c.allocation_insert(&held).await
        }))
        .await
        .unwrap();
        let seven = || Filter { limit: Some(7), ..Filter::default() };

        let seen = walk!(db, seven(), |c, f| c.users_page(f).await, |u| u.display_name.clone());
        assert_eq!(seen.len(), 13);
        assert_eq!((seen[0].as_str(), seen[1].as_str()), ("Administrator", "Person 11"));
        assert_eq!(
            walk!(db, q("PERSON 1"), |c, f| c.users_page(f).await, |u| u.display_name.clone()),
            ["Person 10", "Person 11"]
        );
        assert_eq!(walk!(db, q("person"), |c, f| c.users_page(f).await, |u| u.id.clone()).len(), 12);

        let seen = walk!(db, seven(), |c, f| c.pools_page(f).await, |p| p.name.to_string());
        assert_eq!(seen, (0..12).map(|n| format!("p{n:02}")).collect::<Vec<_>>(), "pools by name");

        let seen = walk!(db, seven(), |c, f| c.pool_vms_page(&pool_name("p00"), f).await, |v| v.clone());
        assert_eq!(seen.len(), 12);
        for (vm, allocation) in &seen {
            assert_eq!(allocation.as_ref(), (vm.id == vms[3].id).then_some(&holder));
        }
        assert_eq!(
            walk!(db, q("VM-1"), |c, f| c.pool_vms_page(&pool_name("p00"), f).await, |v| v.0.id.to_string()),
            ["VM-11", "VM-10"]
        );
        assert_eq!(
            walk!(db, seven(), |c, f| c.pool_vms_page(&pool_name("p01"), f).await, |v| v.0.id.to_string()).len(),
            0
        );

        let of = Filter { subject: Some("p01".to_owned()), ..seven() };
        assert_eq!(walk!(db, of, |c, f| c.jobs_page(f).await, |j| j.id.clone()).len(), 4);
        assert_eq!(walk!(db, q("p02"), |c, f| c.jobs_page(f).await, |j| j.id.clone()).len(), 4);
        let kind = Filter { kind: Some("pool_fill".to_owned()), status: Some("queued".to_owned()), ..seven() };
        assert_eq!(walk!(db, kind, |c, f| c.jobs_page(f).await, |j| j.id.clone()).len(), 12);

        assert_eq!(walk!(db, seven(), |c, f| c.provider_page(f).await, |p| p.id.clone()).len(), 12);
        assert_eq!(walk!(db, q("account 03"), |c, f| c.provider_page(f).await, |p| p.name.clone()), ["Account 03"]);
        assert_eq!(walk!(db, q("VM-0"), |c, f| c.allocations_page(f).await, |a| a.id.clone()), [holder]);
    })
    .await;
}

#[tokio::test]
async fn pages_have_bounds_and_cursors_are_checked() {
    both(|db| async move {
        many(&db, 210).await;
        let len = async |limit| {
            db.read().await.allocations_page(&Filter { limit, ..Filter::default() }).await.unwrap().items.len()
        };
        assert_eq!((len(None).await, len(Some(0)).await, len(Some(1)).await, len(Some(9999)).await), (50, 1, 1, 200));
        for cursor in ["", "nonsense", "nod_01", "alc_", "alc_\u{e9}", "alc_'; DROP TABLE allocations; --", "alc_\0"] {
            let filter = Filter { cursor: Some(cursor.to_owned()), ..Filter::default() };
            let refused = db.read().await.allocations_page(&filter).await;
            assert!(matches!(refused, Err(StoreError::BadCursor)), "{cursor:?}: {refused:?}");
            let refused = db.read().await.allocations_page(&Filter { q: Some("vm".to_owned()), ..filter }).await;
            assert!(matches!(refused, Err(StoreError::BadCursor)), "{cursor:?}: {refused:?}");
        }
        let gone = Filter { cursor: Some("usr_0".to_owned()), q: Some("a".to_owned()), ..Filter::default() };
        assert!(matches!(db.read().await.users_page(&gone).await, Err(StoreError::BadCursor)));
    })
    .await;
}

async fn many(db: &Db, count: usize) {
    let rows: Vec<_> = (0..count).map(|_| allocation("default", None)).collect();
    db.write(op!(rows => |c| {
        for row in &rows {
            c.allocation_insert(row).await?;
        }
        Ok(())
    }))
    .await
    .unwrap();
}
