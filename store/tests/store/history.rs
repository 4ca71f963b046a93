//! A random history of everything that happens to a pool, by several at once. The rule that must
//! hold at every moment: a machine has at most one holder, and exactly the machines that are
//! allocated or draining have one.

use std::collections::BTreeMap;

use domain::{
    allocation::{AllocationEvent, AllocationStatus},
    list::Filter,
    pool::{PoolVmEvent, PoolVmStatus},
};
use store::{Conn, Store, StoreError};

use crate::common::{Db, NOW, allocation, both, op, pool_name, vm, vm_id};

const MACHINES: u64 = 6;
const POOL: &str = "default";

/// A small generator (SplitMix64): the same seed gives the same history of wishes.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    }
}

#[derive(Debug)]
enum Fault {
    /// Somebody else was first; nothing was changed.
    Lost,
    Store(StoreError),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Asks for a machine: gets the first free one, or waits.
async fn ask(c: &mut Conn) -> Result<(), Fault> {
    let vm = c.pool_vm_claim(&pool_name(POOL), NOW).await?;
    Ok(c.allocation_insert(&allocation(POOL, vm.as_ref().map(|vm| &vm.id))).await?)
}

/// Gives a machine to who has waited longest.
async fn serve(c: &mut Conn) -> Result<(), Fault> {
    let Some(mut row) = c.allocation_waiting_first(&pool_name(POOL)).await? else { return Ok(()) };
    let Some(vm) = c.pool_vm_claim(&row.pool.clone(), NOW).await? else { return Ok(()) };
    row.status = row.status.apply(AllocationEvent::Claim).unwrap();
    row.pool_vm_id = Some(vm.id);
    saved(c.allocation_save(&row).await?)
}

/// Takes the machine back from its holder; in two steps, with a chance of something in between.
async fn give_back(c: &mut Conn, machine: u64) -> Result<(), Fault> {
    let id = vm_id(&format!("vm-{machine}"));
    let Some(mut row) = c.allocation_of_vm(&id).await? else { return Ok(()) };
    let Some(mut vm) = c.pool_vm_lock(&id).await? else { return Ok(()) };
    if row.status == AllocationStatus::Active {
        row.status = row.status.apply(AllocationEvent::Release).unwrap();
        return saved(c.allocation_save(&row).await?);
    }
    row.status = row.status.apply(AllocationEvent::Finish).unwrap();
    let Ok(next) = vm.status.apply(PoolVmEvent::Release) else { return Err(Fault::Lost) };
    vm.status = next;
    saved(c.allocation_save(&row).await?)?;
    saved(c.pool_vm_save(&vm).await?)
}

/// Something an operator does to a machine, if its state allows.
async fn operate(c: &mut Conn, machine: u64, event: PoolVmEvent) -> Result<(), Fault> {
    let Some(mut vm) = c.pool_vm_get(&vm_id(&format!("vm-{machine}"))).await? else { return Ok(()) };
    let Ok(next) = vm.status.apply(event) else { return Ok(()) };
    vm.status = next;
    saved(c.pool_vm_save(&vm).await?)
}

fn saved(saved: bool) -> Result<(), Fault> {
    if saved { Ok(()) } else { Err(Fault::Lost) }
}

async fn live(store: Store, seed: u64, steps: u32) -> u32 {
    let mut dice = Dice(seed);
    let mut lost = 0;
    for _ in 0..steps {
        let (what, machine) = (dice.roll(12), dice.roll(MACHINES));
        let event = match dice.roll(6) {
            0 => PoolVmEvent::Park,
            1 => PoolVmEvent::Leave,
            2 | 3 => PoolVmEvent::Return,
            _ => PoolVmEvent::MarkClean,
        };
        let outcome = store
            .write::<(), Fault, _>(move |c| {
                Box::pin(async move {
                    match what {
                        0..=2 => ask(c).await,
                        3 | 4 => serve(c).await,
                        5..=7 => give_back(c, machine).await,
                        8 | 9 => operate(c, machine, PoolVmEvent::Cleaned).await,
                        _ => operate(c, machine, event).await,
                    }
                })
            })
            .await;
        match outcome {
            Ok(()) => {}
            Err(Fault::Lost) => lost += 1,
            Err(Fault::Store(error)) => panic!("seed {seed}: {error:?}"),
        }
    }
    lost
}

async fn check(db: &Db, seed: u64) {
    // One transaction, so that it is one moment.
    let (vms, holders) = db
        .write(|c| {
            Box::pin(async move {
                let vms = c.pool_vms_listed().await?;
                let mut holders: BTreeMap<String, u32> = BTreeMap::new();
                for status in ["active", "releasing"] {
                    let filter = Filter { status: Some(status.to_owned()), limit: Some(200), ..Filter::default() };
                    for row in c.allocations_page(&filter).await?.items {
                        *holders.entry(row.pool_vm_id.map(String::from).unwrap_or_default()).or_default() += 1;
                    }
                }
                Ok((vms, holders))
            })
        })
        .await
        .unwrap();
    assert_eq!(vms.len(), usize::try_from(MACHINES).unwrap());
    for vm in vms {
        let held = matches!(vm.status, PoolVmStatus::Allocated | PoolVmStatus::Draining);
        let count = holders.get(vm.id.as_str()).copied().unwrap_or(0);
        assert_eq!(count, u32::from(held), "seed {seed}: {} is {} and has {count} holders", vm.id, vm.status);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_never_has_two_holders() {
    both(|db| async move {
        let rows: Vec<_> = (0..MACHINES).map(|n| vm(POOL, &format!("vm-{n}"), i64::try_from(n).unwrap())).collect();
        db.write(op!(rows => |c| {
            for row in &rows {
                c.pool_vm_insert(row).await?;
            }
            Ok(())
        }))
        .await
        .unwrap();
        let stores = [db.store.clone(), db.second().await];
        for seed in 0..6 {
            let lives = (0..8_u64).map(|n| {
                let store = stores[usize::from(n % 2 == 1)].clone();
                tokio::spawn(live(store, seed * 100 + n, 40))
            });
            for outcome in futures::future::join_all(lives).await {
                outcome.unwrap();
            }
            check(&db, seed).await;
        }
        let past = Filter { status: Some("released".to_owned()), ..Filter::default() };
        let over = db.read().await.allocations_count(&past, 1000).await.unwrap();
        assert!(over > 20, "only {over} allocations ran their course: this history shows nothing");
        if !db.store.is_sqlite() {
            stores[1].close().await;
        }
    })
    .await;
}
