//! The provisioner: how an allocation gets its machine. The rule: everything happens in the
//! caller's transaction, so that quota, pool and claim are decided together.

use ::providers::async_trait;
use domain::{
    allocation::{AllocationEvent, AllocationStatus, ReleaseReason},
    id::{AllocationId, UserId},
    node::NodeState,
    pool::{Cleaning, PoolVmEvent, PoolVmSource, PoolVmStatus},
    time::{HOUR, Timestamp},
    valid::PoolName,
};
use store::{AllocationRow, Conn, FreshId, PoolRow, PoolVmRow};

use super::{audit::event, nodes::unfit_note, pools::assign_waiting_in};
use crate::fault::Fault;

/// What is asked of a provisioner.
#[derive(Debug, Clone)]
pub struct AllocateRequest {
    /// For whom.
    pub user_id: UserId,
    /// That person's id at the Forge, kept as it is now.
    pub forge_id: Option<String>,
    /// From which pool.
    pub pool: PoolName,
    /// For how many hours.
    pub duration_hours: u32,
    /// A public SSH key to note with it.
    pub ssh_pub_key: Option<String>,
    /// What it costs in cents.
    pub cost_cents: Option<i64>,
    /// The present.
    pub now: Timestamp,
}

/// What is still to be done after a release, outside its transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AfterRelease {
    /// Nothing: the machine is free again, parked or retired.
    Nothing,
    /// The node behind the machine is to be laid anew or replaced, as its pool says.
    CleanNode(domain::id::NodeId),
    /// The node behind the machine is to be destroyed: the machine was drained.
    DestroyNode(domain::id::NodeId),
}

/// Hands machines out and takes them back.
#[async_trait]
pub trait Provisioner: Send + Sync {
    /// The name that allocations carry.
    fn name(&self) -> &'static str;

    /// Whether what it hands out is for show.
    fn is_demo(&self) -> bool;

    /// Claims a machine, or puts the request at the end of the waiting list. The caller holds the
    /// lock of the pool.
    ///
    /// # Errors
    /// [`Fault`] if the store does not answer.
    async fn allocate(&self, c: &mut Conn, request: &AllocateRequest) -> Result<AllocationRow, Fault>;

    /// Takes the machine of an active allocation back, or the request out of the waiting list.
    /// Returns the machine that was held.
    ///
    /// # Errors
    /// [`Fault`] if the store does not answer.
    async fn release(
        &self,
        c: &mut Conn,
        allocation: &mut AllocationRow,
        reason: ReleaseReason,
        now: Timestamp,
    ) -> Result<Option<PoolVmRow>, Fault>;

    /// Where an allocation stands; `None` if there is no such one.
    ///
    /// # Errors
    /// [`Fault`] if the store does not answer.
    async fn status(&self, c: &mut Conn, id: &AllocationId) -> Result<Option<AllocationStatus>, Fault>;
}

/// Hands out the machines of the pools, each to one person at a time.
#[derive(Debug, Clone)]
pub struct PoolAssignmentProvisioner {
    demo: bool,
}

impl PoolAssignmentProvisioner {
    /// The provisioner of this installation; with `demo`, what it hands out carries `is_demo`.
    pub fn new(demo: bool) -> Self {
        Self { demo }
    }
}

#[async_trait]
impl Provisioner for PoolAssignmentProvisioner {
    fn name(&self) -> &'static str {
        if self.demo { "demo" } else { "pool" }
    }

    fn is_demo(&self) -> bool {
        self.demo
    }

    async fn allocate(&self, c: &mut Conn, request: &AllocateRequest) -> Result<AllocationRow, Fault> {
        let now = request.now;
        let mut row = AllocationRow {
            id: AllocationId::fresh(),
            user_id: request.user_id.clone(),
            forge_id: request.forge_id.clone(),
            pool: request.pool.clone(),
            pool_vm_id: None,
            host: None,
            provisioner: self.name().to_owned(),
            is_demo: self.demo,
            status: AllocationStatus::Waiting,
            cost_cents: request.cost_cents,
            cockpit_url: None,
            duration_hours: request.duration_hours,
            ssh_pub_key: request.ssh_pub_key.clone(),
            reason: None,
            created_at: now,
            allocated_at: None,
            expires_at: None,
            released_at: None,
            version: 1,
        };
        // First come, first served: nobody passes those who wait.
        match c.pool_vm_claim_unless_waiting(&request.pool, now).await? {
            Some(vm) => activate(&mut row, &vm, now)?,
            None => {
                row.reason =
                    Some("No machine of the pool is free; the request keeps its place in the waiting list.".to_owned())
            }
        }
        c.allocation_insert(&row).await?;
        Ok(row)
    }

    async fn release(
        &self,
        c: &mut Conn,
        allocation: &mut AllocationRow,
        reason: ReleaseReason,
        now: Timestamp,
    ) -> Result<Option<PoolVmRow>, Fault> {
        allocation.status = allocation.status.apply(AllocationEvent::Release).map_err(|e| Fault::internal(&e))?;
        allocation.reason = Some(reason.as_str().to_owned());
        allocation.released_at = Some(now);
        let Some(vm_id) = allocation.pool_vm_id.clone() else { return Ok(None) };
        let Some(mut vm) = c.pool_vm_lock(&vm_id).await? else { return Ok(None) };
        vm.status = vm.status.apply(PoolVmEvent::Release).map_err(|e| Fault::internal(&e))?;
        if vm.status == PoolVmStatus::Retired {
            vm.note = Some("Retired when it was released; not cleaned since.".to_owned());
        }
        vm.updated_at = now;
        c.pool_vm_save(&vm).await?;
        vm.version += 1;
        Ok(Some(vm))
    }

    async fn status(&self, c: &mut Conn, id: &AllocationId) -> Result<Option<AllocationStatus>, Fault> {
        Ok(c.allocation_get(id).await?.map(|row| row.status))
    }
}

impl PoolAssignmentProvisioner {
    /// What comes after a release once the deployer knows of it (or there is none): the machine is
    /// made fit for the next person, or held back until somebody says that it is.
    ///
    /// # Errors
    /// [`Fault`] if the store does not answer.
    pub(super) async fn on_release(
        c: &mut Conn,
        vm: &mut PoolVmRow,
        pool: Option<&PoolRow>,
        cleaned_by_hook: HookCleaned,
        demo: bool,
        now: Timestamp,
    ) -> Result<AfterRelease, Fault> {
        if vm.status == PoolVmStatus::Retired && vm.source == PoolVmSource::Node {
            return Ok(vm.node_id.clone().map_or(AfterRelease::Nothing, AfterRelease::DestroyNode));
        }
        if vm.status != PoolVmStatus::Cleaning {
            return Ok(AfterRelease::Nothing);
        }
        let cleaning = pool.map_or(Cleaning::Replace, |p| p.cleaning);
        let happened = match (vm.source, cleaning) {
            (PoolVmSource::Node, Cleaning::None) => match unfit_in(c, vm).await? {
                None => PoolVmEvent::Cleaned,
                Some(why) => {
                    vm.note = Some(unfit_note(&why));
                    PoolVmEvent::Park
                }
            },
            (_, Cleaning::None) => PoolVmEvent::Cleaned,
            (PoolVmSource::Node, _) => {
                return Ok(vm.node_id.clone().map_or(AfterRelease::Nothing, AfterRelease::CleanNode));
            }
            (PoolVmSource::Listed, _) if cleaned_by_hook == HookCleaned::Yes || demo => PoolVmEvent::Cleaned,
            (PoolVmSource::Listed, _) => {
                vm.note = Some(
                    "Released; no release hook is configured to clean it. Clean it, then mark it available.".to_owned(),
                );
                PoolVmEvent::Park
            }
        };
        vm.status = vm.status.apply(happened).map_err(|e| Fault::internal(&e))?;
        vm.updated_at = now;
        c.pool_vm_save(vm).await?;
        vm.version += 1;
        if vm.status == PoolVmStatus::Available {
            assign_waiting_in(c, &vm.pool, now).await?;
        }
        Ok(AfterRelease::Nothing)
    }
}

/// Why the node behind a machine may not be given to anyone now, if so.
async fn unfit_in(c: &mut Conn, vm: &PoolVmRow) -> Result<Option<String>, Fault> {
    let Some(id) = &vm.node_id else { return Ok(None) };
    let node = c.node_get(id).await?;
    Ok(match node {
        Some(node) if node.state == NodeState::Ready && node.health.ready => None,
        Some(node) if node.state == NodeState::Ready => {
            Some(node.health.reason_codes.iter().map(|r| r.as_str()).collect::<Vec<_>>().join(", "))
        }
        Some(node) => Some(format!("it is {}", node.state)),
        None => Some("it is not known".to_owned()),
    })
}

/// Whether the deployer was told of a release, and so has cleaned a listed machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HookCleaned {
    /// It answered that it did.
    Yes,
    /// There is no hook.
    No,
}

/// Gives `vm` to `row`: the snapshot of host and cockpit is taken here.
pub(super) fn activate(row: &mut AllocationRow, vm: &PoolVmRow, now: Timestamp) -> Result<(), Fault> {
    if row.status == AllocationStatus::Waiting {
        row.status = row.status.apply(AllocationEvent::Claim).map_err(|e| Fault::internal(&e))?;
    }
    row.pool_vm_id = Some(vm.id.clone());
    row.host = vm.host.clone();
    row.cockpit_url = vm.cockpit_url.clone();
    row.reason = None;
    row.allocated_at = Some(now);
    row.expires_at = Some(now.plus(i64::from(row.duration_hours) * HOUR));
    Ok(())
}

/// The live events of an allocation and its pool.
pub(super) fn allocation_events(row: &AllocationRow) -> [(domain::audit::LiveEvent, Option<UserId>); 2] {
    [event("allocation", &row.id, row.version, Some(&row.user_id)), event("pool", &row.pool, row.version, None)]
}
