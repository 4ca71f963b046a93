//! What follows a release: the hook to the deployer, then cleaning, then the next in the waiting
//! list. The rule: a machine is never handed to the next person before its cleaning succeeded.

use std::sync::Arc;

use domain::{
    access::Principal,
    allocation::{AllocationEvent, AllocationStatus, ReleaseReason},
    id::{AllocationId, NodeId},
    job::{JobKind, Subject},
    node::{NodeEvent, NodeState},
    pool::{Cleaning, PoolVmEvent, PoolVmSource, PoolVmStatus},
    provider::Capability,
    time::Timestamp,
    valid::{PoolName, PoolVmId},
};
use serde::{Deserialize, Serialize};
use store::{AllocationRow, Conn, JobRow, PoolRow, PoolVmRow};

use super::{
    Services, Verb,
    audit::{Happened, audit_in, event},
    nodes::{
        Begin, Replace, backup_of_pool_in, node_destroy_in, node_place_lock_in, node_verb_in, vm_waits_for_cleaning_in,
    },
    pools::assign_waiting_in,
    provisioner::{AfterRelease, HookCleaned, PoolAssignmentProvisioner, Provisioner, allocation_events},
};
use crate::fault::Fault;

/// What a release's job keeps: the outbox entry of the hook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseJobState {
    /// The machine that was given back.
    pub pool_vm_id: PoolVmId,
    /// The allocation that ended.
    pub allocation_id: AllocationId,
}

/// Attempts to reach the deployer before the machine is held back for an administrator.
pub(crate) const HOOK_ATTEMPTS: u32 = 8;

/// Everything a release needs besides the transaction.
#[derive(Clone)]
pub(super) struct Releaser {
    provisioner: Arc<dyn Provisioner>,
    hook: bool,
    cleaner: Cleaner,
}

/// Everything the cleaning of a machine needs besides the transaction.
#[derive(Clone)]
pub(crate) struct Cleaner {
    demo: bool,
    max_attempts: u32,
    /// The kinds of account whose adapter lays machines anew.
    rebuilding: Arc<[String]>,
}

impl Services {
    pub(super) fn releaser(&self) -> Releaser {
        Releaser {
            provisioner: self.provisioner.clone(),
            hook: self.settings.deployer_url.is_some(),
            cleaner: self.cleaner(),
        }
    }

    /// What cleaning needs to know of this installation.
    pub(crate) fn cleaner(&self) -> Cleaner {
        let kinds = self.kinds().into_iter().filter(|k| k.capabilities.contains(&Capability::Rebuild));
        Cleaner {
            demo: self.settings.provisioner_demo,
            max_attempts: self.settings.work.max_attempts,
            rebuilding: kinds.map(|k| k.kind).collect(),
        }
    }

    /// The deployer knows (or there is none any more): the machine is cleaned and the allocation
    /// over, in the caller's transaction. A release that was finished before changes nothing: its
    /// machine may be somebody else's by now.
    pub(crate) async fn release_hook_done_in(
        c: &mut Conn,
        entry: &ReleaseJobState,
        hook: HookCleaned,
        cleaner: &Cleaner,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let Some(pool) = finish_in(c, &entry.allocation_id).await? else { return Ok(()) };
        if let Some(mut vm) = c.pool_vm_lock(&entry.pool_vm_id).await? {
            clean_in(c, &mut vm, hook, cleaner, now).await?;
        }
        assign_waiting_in(c, &pool, now).await
    }

    /// The deployer could not be told: a listed machine is held back for an administrator; one that
    /// is backed by a node is replaced all the same.
    pub(crate) async fn release_hook_failed_in(
        c: &mut Conn,
        entry: &ReleaseJobState,
        cleaner: &Cleaner,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let Some(pool) = finish_in(c, &entry.allocation_id).await? else { return Ok(()) };
        let Some(mut vm) = c.pool_vm_lock(&entry.pool_vm_id).await? else { return Ok(()) };
        if vm.source == PoolVmSource::Node {
            clean_in(c, &mut vm, HookCleaned::No, cleaner, now).await?;
        } else if vm.status == PoolVmStatus::Cleaning {
            vm.status = vm.status.apply(PoolVmEvent::Park).map_err(|e| Fault::internal(&e))?;
            vm.note =
                Some("Released; the release hook could not be delivered. Clean it, then mark it available.".to_owned());
            vm.updated_at = now;
            c.pool_vm_save(&vm).await?;
            c.event_insert(&[event("pool", &vm.pool, now.millis(), None)]).await?;
        }
        assign_waiting_in(c, &pool, now).await
    }
}

impl Releaser {
    /// Releases an open allocation in the caller's transaction. Returns the machine for which the
    /// hook would have been sent, if none is configured.
    pub async fn release_in(
        &self,
        c: &mut Conn,
        who: &Principal,
        mut row: AllocationRow,
        reason: ReleaseReason,
        now: Timestamp,
    ) -> Result<Option<String>, Fault> {
        // The pool before its machine, as everywhere: two releases never wait for one another.
        c.pool_lock(&row.pool).await?;
        let held = self.provisioner.release(c, &mut row, reason, now).await?;
        let line = Happened::ok(who, "release-allocation", Subject::new("allocation", &row.id), now)
            .detail(format!("reason: {reason}"));
        audit_in(c, line).await?;
        let Some(mut vm) = held else {
            if row.status == AllocationStatus::Releasing {
                row.status = row.status.apply(AllocationEvent::Finish).map_err(|e| Fault::internal(&e))?;
            }
            c.allocation_save(&row).await?;
            row.version += 1;
            c.event_insert(&allocation_events(&row)).await?;
            return Ok(None);
        };
        if self.hook {
            c.allocation_save(&row).await?;
            row.version += 1;
            let job = hook_job(&row, &vm, who, now)?;
            c.job_insert(&job).await?;
            c.event_insert(&allocation_events(&row)).await?;
            c.event_insert(&[event("job", &job.id, 1, None)]).await?;
            return Ok(None);
        }
        row.status = row.status.apply(AllocationEvent::Finish).map_err(|e| Fault::internal(&e))?;
        c.allocation_save(&row).await?;
        row.version += 1;
        c.event_insert(&allocation_events(&row)).await?;
        let vm_id = vm.id.to_string();
        clean_in(c, &mut vm, HookCleaned::No, &self.cleaner, now).await?;
        Ok(Some(vm_id))
    }
}

/// Ends a releasing allocation; answers its pool, or nothing if it was not releasing.
async fn finish_in(c: &mut Conn, id: &AllocationId) -> Result<Option<PoolName>, Fault> {
    let Some(known) = c.allocation_get(id).await? else { return Ok(None) };
    c.pool_lock(&known.pool).await?;
    let Some(mut row) = c.allocation_lock(id).await? else { return Ok(None) };
    let Ok(next) = row.status.apply(AllocationEvent::Finish) else { return Ok(None) };
    row.status = next;
    c.allocation_save(&row).await?;
    row.version += 1;
    c.event_insert(&allocation_events(&row)).await?;
    Ok(Some(row.pool))
}

async fn clean_in(
    c: &mut Conn,
    vm: &mut PoolVmRow,
    hook: HookCleaned,
    cleaner: &Cleaner,
    now: Timestamp,
) -> Result<(), Fault> {
    let pool = c.pool_lock(&vm.pool).await?;
    match PoolAssignmentProvisioner::on_release(c, vm, pool.as_ref(), hook, cleaner.demo, now).await? {
        AfterRelease::Nothing => {}
        AfterRelease::DestroyNode(node) => node_removed_in(c, &node, Replace::No, cleaner, now).await?,
        AfterRelease::CleanNode(node) => node_cleaned_in(c, &node, pool.as_ref(), cleaner, now).await?,
    }
    Ok(c.event_insert(&[event("pool", &vm.pool, now.millis(), None)]).await?)
}

/// Begins to make the node of a machine fit for the next person: lays it anew where its pool wants
/// that and it is in order, else replaces it. While another job works on it nothing begins; that
/// job's end comes back here.
async fn node_cleaned_in(
    c: &mut Conn,
    id: &NodeId,
    pool: Option<&PoolRow>,
    cleaner: &Cleaner,
    now: Timestamp,
) -> Result<(), Fault> {
    let Some(row) = c.node_lock(id).await? else { return Ok(()) };
    if c.job_open_for("node", id.as_str()).await?.is_some() {
        return Ok(());
    }
    let provider = c.provider_get(&row.provider_id).await?;
    let offered = provider.is_some_and(|p| cleaner.rebuilding.contains(&p.kind));
    let wanted = pool.is_some_and(|p| p.cleaning == Cleaning::Rebuild);
    if let (true, true, NodeState::Ready, Some(image)) = (wanted, offered, row.state, row.image.clone()) {
        let begin = Begin {
            cleaning: true,
            ..Begin::new("rebuild-node", JobKind::NodeRebuild, Verb::Rebuild { image }).detail("given back: cleaned")
        };
        node_verb_in(c, &Principal::system(), row, &begin, cleaner.max_attempts, now).await?;
        return Ok(());
    }
    // A pool with a target is filled up by the reconciler; another one gets the same again.
    let replace = match pool.and_then(|p| p.target_ready) {
        Some(_) => Replace::Later,
        None => Replace::Yes,
    };
    node_removed_in(c, id, replace, cleaner, now).await
}

async fn node_removed_in(
    c: &mut Conn,
    id: &NodeId,
    replace: Replace,
    cleaner: &Cleaner,
    now: Timestamp,
) -> Result<(), Fault> {
    let Some(row) = c.node_lock(id).await? else { return Ok(()) };
    let may = row.state.apply(NodeEvent::DestroyBegun).is_ok();
    if may && c.job_open_for("node", id.as_str()).await?.is_none() {
        let backup = backup_of_pool_in(c, &row).await?;
        node_destroy_in(c, &Principal::system(), row, (replace, backup), cleaner.max_attempts, now).await?;
    }
    Ok(())
}

/// A job on a node is over: if its machine was given back meanwhile, or its cleaning failed, what
/// was to follow begins now. Called in the transaction that ends the job.
pub(crate) async fn node_settled_in(c: &mut Conn, id: &NodeId, cleaner: &Cleaner, now: Timestamp) -> Result<(), Fault> {
    node_place_lock_in(c, id).await?;
    let Some(mut vm) = vm_waits_for_cleaning_in(c, id).await? else { return Ok(()) };
    clean_in(c, &mut vm, HookCleaned::No, cleaner, now).await
}

fn hook_job(row: &AllocationRow, vm: &PoolVmRow, who: &Principal, now: Timestamp) -> Result<JobRow, Fault> {
    let state = ReleaseJobState { pool_vm_id: vm.id.clone(), allocation_id: row.id.clone() };
    let state = serde_json::to_value(state).map_err(|e| Fault::internal(&e))?;
    let subject = Subject::new("allocation", &row.id);
    let name = Some(vm.id.to_string());
    Ok(JobRow::queued(JobKind::AllocationRelease, subject, name, state, HOOK_ATTEMPTS, &who.user_id, now))
}
