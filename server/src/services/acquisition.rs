//! The life of a node as its jobs drive it: every step's outcome is stored here, in the transaction
//! of the job's own step.

use std::collections::BTreeMap;

use ::providers::{Machine, MachineFacts};
use domain::{
    access::Principal,
    code::Code,
    id::NodeId,
    job::{JobError, JobKind, Subject},
    node::{Cleanup, Health, NodeEvent, NodeState, ReasonCode},
    pool::{PoolVmEvent, PoolVmSource, PoolVmStatus},
    time::Timestamp,
    valid::PoolVmId,
};
use store::{Conn, JobRow, PoolVmRow};

use super::{
    audit::{Happened, audit_in, event},
    backups::secrets_forgotten_in,
    blueprints::NodeKeys,
    breaker::{acquisition_failed_in, acquisition_succeeded_in},
    lease::NodeJobState,
    nodes::{Growth, Wanted, job_row, node_insert_in, node_place_lock_in, seconds, vm_fitness_in},
    pools::assign_waiting_in,
    probe::cockpit_of,
    spending::{Asked, admit_in},
};
use crate::fault::Fault;

/// Moves a node on by `happened`; an event that does not fit (a step that is repeated after a
/// crash) changes nothing.
pub(crate) async fn node_event_in(c: &mut Conn, id: &NodeId, happened: NodeEvent, now: Timestamp) -> Result<(), Fault> {
    let Some(mut row) = c.node_lock(id).await? else { return Ok(()) };
    let Ok(next) = row.state.apply(happened) else { return Ok(()) };
    row.state = next;
    if happened == NodeEvent::CreateBegun {
        row.create_attempted_at = Some(now);
    }
    row.updated_at = now;
    c.node_save(&row).await?;
    if happened == NodeEvent::HandedOver {
        acquisition_succeeded_in(c, &row.provider_id, now).await?;
    }
    Ok(c.event_insert(&[event("node", id, row.version + 1, None)]).await?)
}

/// Notes which version of its profile runs on the node.
pub(crate) async fn node_profile_in(c: &mut Conn, id: &NodeId, version: u32, now: Timestamp) -> Result<(), Fault> {
    let Some(mut row) = c.node_lock(id).await? else { return Ok(()) };
    row.profile_version = Some(version);
    row.updated_at = now;
    c.node_save(&row).await?;
    Ok(c.event_insert(&[event("node", id, row.version + 1, None)]).await?)
}

/// Notes the node's name.
pub(crate) async fn node_fqdn_in(c: &mut Conn, id: &NodeId, fqdn: &str, now: Timestamp) -> Result<(), Fault> {
    let Some(mut row) = c.node_lock(id).await? else { return Ok(()) };
    row.fqdn = Some(fqdn.to_owned());
    row.updated_at = now;
    c.node_save(&row).await?;
    Ok(c.event_insert(&[event("node", id, row.version + 1, None)]).await?)
}

/// Notes what is known of the machine so far.
pub(crate) async fn node_found_in(
    c: &mut Conn,
    id: &NodeId,
    facts: &MachineFacts,
    now: Timestamp,
) -> Result<(), Fault> {
    let Some(mut row) = c.node_lock(id).await? else { return Ok(()) };
    let set = |slot: &mut Option<String>, value: &Option<String>| {
        if value.is_some() {
            slot.clone_from(value);
        }
    };
    set(&mut row.infra_id, &facts.infra_id);
    set(&mut row.action_id, &facts.action_id);
    set(&mut row.host, &facts.host);
    set(&mut row.ipv4, &facts.ipv4);
    set(&mut row.ipv6, &facts.ipv6);
    set(&mut row.server_type, &facts.server_type);
    set(&mut row.location, &facts.location);
    set(&mut row.image, &facts.image);
    set(&mut row.price_monthly, &facts.price_monthly);
    set(&mut row.price_hourly, &facts.price_hourly);
    row.observed_at = Some(now);
    row.updated_at = now;
    c.node_save(&row).await?;
    Ok(c.event_insert(&[event("node", id, row.version + 1, None)]).await?)
}

/// Notes what the vendor made, where its adapter has not told all of it before.
pub(crate) async fn node_made_in(c: &mut Conn, id: &NodeId, machine: &Machine, now: Timestamp) -> Result<(), Fault> {
    let Some(mut row) = c.node_lock(id).await? else { return Ok(()) };
    // An adapter of stacks names its steps itself, so what they mean for the node is said here.
    if let Ok(next) = row.state.apply(NodeEvent::ServerAccepted) {
        row.state = next;
    }
    row.infra_id.get_or_insert_with(|| machine.infra_id.clone());
    row.host.get_or_insert_with(|| machine.host.clone());
    row.ipv4 = row.ipv4.or_else(|| machine.ipv4.clone());
    row.ipv6 = row.ipv6.or_else(|| machine.ipv6.clone());
    row.cockpit_port = machine.cockpit_port.map(i64::from).or(row.cockpit_port);
    row.observed_at = Some(now);
    row.updated_at = now;
    c.node_save(&row).await?;
    Ok(c.event_insert(&[event("node", id, row.version + 1, None)]).await?)
}

/// Notes what the node will cost, once the pair is known, unless it may not cost that.
pub(crate) async fn node_price_in(
    c: &mut Conn,
    id: &NodeId,
    chosen: &::providers::Chosen,
    now: Timestamp,
) -> Result<(), Fault> {
    let Some(mut row) = c.node_lock(id).await? else { return Ok(()) };
    let asked = Asked {
        price_monthly: Some(&chosen.price_monthly).filter(|price| !price.is_empty()).map(String::as_str),
        currency: Some(&chosen.currency),
        instead_of: Some(&row),
    };
    admit_in(c, asked).await?;
    let first = chosen.pairs.first();
    row.server_type = first.map(|p| p.server_type.clone());
    row.location = first.map(|p| p.location.clone());
    row.image = Some(chosen.image.clone());
    row.price_monthly = Some(chosen.price_monthly.clone());
    row.price_hourly = first.and_then(|p| p.price_hourly.clone());
    row.currency = Some(chosen.currency.clone());
    row.updated_at = now;
    c.node_save(&row).await?;
    Ok(())
}

/// Whether the work that is over made a machine that was given back fit for the next person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cleaned {
    /// Nothing of whoever had it before is left.
    Yes,
    /// It is as they left it.
    No,
}

/// The node is in service, by `happened`: it is ready, and in its pool unless `reasons` speak against
/// it. A machine that was given back meanwhile is for [`node_settled_in`](super::node_settled_in),
/// unless this cleaned it; one that is being drained stays so.
pub(crate) async fn node_ready_in(
    c: &mut Conn,
    id: &NodeId,
    happened: NodeEvent,
    reasons: &[ReasonCode],
    cleaned: Cleaned,
    now: Timestamp,
) -> Result<(), Fault> {
    node_place_lock_in(c, id).await?;
    let Some(mut row) = c.node_lock(id).await? else { return Ok(()) };
    let Ok(next) = row.state.apply(happened) else { return Ok(()) };
    row.state = next;
    row.failed_stage = None;
    row.code = None;
    row.message = None;
    row.keep_until = None;
    row.ready_at = row.ready_at.or(Some(now));
    row.cockpit_url = cockpit_of(&row);
    let (ready, reason_codes) = (reasons.is_empty(), reasons.to_vec());
    row.health = Health { ready, reason_codes, checked_at: Some(now), usage: Vec::new() };
    if reasons.is_empty() {
        row.drift.retain(|it| !it.is_down() && !it.is_broken());
    }
    row.updated_at = now;
    let saved = row.version + 1;
    c.node_save(&row).await?;
    audit_in(
        c,
        Happened::ok(&Principal::system(), "node.ready", Subject::new("node", id), now)
            .detail(row.host.clone().unwrap_or_default()),
    )
    .await?;
    c.event_insert(&[event("node", id, saved, None)]).await?;
    if !reasons.is_empty() {
        let words: Vec<_> = reasons.iter().map(|r| r.as_str()).collect();
        return vm_fitness_in(c, &row, Some(&words.join(", ")), now).await;
    }
    let Some(pool) = row.pool.clone() else { return Ok(()) };
    let vm_id: PoolVmId = id.as_str().parse().map_err(|e| Fault::internal(&e))?;
    match c.pool_vm_lock(&vm_id).await? {
        Some(mut vm) => {
            if cleaned == Cleaned::Yes
                && let Ok(next) = vm.status.apply(PoolVmEvent::Cleaned)
            {
                vm.status = next;
                vm.host = row.host.clone();
                vm.cockpit_url = row.cockpit_url.clone();
                vm.note = None;
                vm.updated_at = now;
                c.pool_vm_save(&vm).await?;
            } else {
                vm_fitness_in(c, &row, None, now).await?;
            }
        }
        None => {
            c.pool_vm_insert(&PoolVmRow {
                id: vm_id,
                pool: pool.clone(),
                source: PoolVmSource::Node,
                node_id: Some(id.clone()),
                host: row.host.clone(),
                cockpit_url: row.cockpit_url.clone(),
                status: PoolVmStatus::Available,
                note: None,
                ssh_user: row.ssh_user.clone(),
                ssh_port: row.ssh_port,
                labels: BTreeMap::new(),
                position: now.millis(),
                updated_at: now,
                version: 1,
            })
            .await?;
        }
    }
    c.event_insert(&[event("pool", &pool, now.millis(), None)]).await?;
    assign_waiting_in(c, &pool, now).await
}

/// The work on a node was given up: it is failed, and says in which stage and why.
pub(crate) async fn node_failed_in(
    c: &mut Conn,
    id: &NodeId,
    error: &JobError,
    cleanup: Cleanup,
    now: Timestamp,
) -> Result<(), Fault> {
    node_place_lock_in(c, id).await?;
    let Some(mut row) = c.node_lock(id).await? else { return Ok(()) };
    if let Ok(next) = row.state.apply(NodeEvent::Failed) {
        row.failed_stage = Some(row.state);
        row.state = next;
        use NodeState as S;
        if matches!(row.failed_stage, Some(S::Requested | S::Creating | S::Starting | S::Naming)) {
            acquisition_failed_in(c, &row.provider_id, error.code, now).await?;
        }
    }
    row.code = Some(error.code);
    row.message = Some(error.message.clone());
    row.cleanup = cleanup;
    row.health.ready = false;
    if !row.health.reason_codes.contains(&ReasonCode::NodeNotReady) {
        row.health.reason_codes.insert(0, ReasonCode::NodeNotReady);
    }
    // What served once is never taken away because a later verb failed, and nothing because its
    // backup did.
    let kept = error.code != Code::ProviderBackupFailed;
    if kept && cleanup == Cleanup::None && row.infra_id.is_some() && row.ready_at.is_none() {
        row.keep_until = Some(now.plus(seconds(row.spec.keep_failed_for.map_or(86_400, i64::from))));
    }
    row.updated_at = now;
    c.node_save(&row).await?;
    vm_fitness_in(c, &row, Some(&format!("it failed with {}", error.code)), now).await?;
    audit_in(
        c,
        Happened::ok(&Principal::system(), "node.failed", Subject::new("node", id), now)
            .detail(error.message.clone())
            .failed(error.code),
    )
    .await?;
    Ok(c.event_insert(&[event("node", id, row.version + 1, None)]).await?)
}

/// What a clean-up came to.
#[derive(Clone)]
pub(crate) enum Undone {
    /// Nothing is left. With `again`, the same node is acquired anew, if what failed was its
    /// replacement.
    Done {
        /// What takes its place.
        again: Option<Box<Again>>,
    },
    /// Something may be left; it is looked for again.
    Pending {
        /// When.
        next_look: Timestamp,
        /// Whether the same node is acquired anew in the end.
        replace: bool,
    },
}

/// Everything that was made for a failed node is gone, or is going to be looked for again.
pub(crate) async fn node_undone_in(c: &mut Conn, id: &NodeId, undone: Undone, now: Timestamp) -> Result<(), Fault> {
    node_place_lock_in(c, id).await?;
    let Some(mut row) = c.node_lock(id).await? else { return Ok(()) };
    let system = Principal::system();
    row.updated_at = now;
    let (cleanup, words, again) = match undone {
        Undone::Done { again } => (Cleanup::Done, "Nothing is left at the vendor.", again),
        Undone::Pending { next_look, replace } => {
            let state = NodeJobState { replace, ..NodeJobState::default() };
            let job = job_row(JobKind::NodeCleanup, &row, state, &system, CLEANUP_ATTEMPTS, now)?;
            c.job_insert(&JobRow { run_after: next_look, ..job.clone() }).await?;
            c.event_insert(&[event("job", &job.id, 1, None)]).await?;
            (Cleanup::Pending, "Something may be left at the vendor; it is looked for again.", None)
        }
    };
    row.cleanup = cleanup;
    let was_destroying = cleanup == Cleanup::Done && row.failed_stage == Some(NodeState::Destroying);
    if was_destroying {
        // What failed was the destruction itself: with the server gone it has come about after all.
        for happened in [NodeEvent::DestroyBegun, NodeEvent::DestroyConfirmed] {
            if let Ok(next) = row.state.apply(happened) {
                row.state = next;
            }
        }
        row.destroyed_at = Some(now);
    }
    c.node_save(&row).await?;
    audit_in(c, Happened::ok(&system, "node.cleanup", Subject::new("node", id), now).detail(words)).await?;
    c.event_insert(&[event("node", id, row.version + 1, None)]).await?;
    if was_destroying {
        secrets_forgotten_in(c, id, now).await?;
        vm_retire_in(c, id, now).await?;
        node_again_in(c, again, now).await?;
    }
    Ok(())
}

/// A machine could not be taken away now: its node is failed, and what may be left is looked for again.
/// The one place that decides it: where a backup is still owed nothing is taken away, and a person
/// decides what becomes of it.
pub(crate) async fn node_not_destroyed_in(
    c: &mut Conn,
    id: &NodeId,
    error: &JobError,
    state: &NodeJobState,
    next_look: Timestamp,
    now: Timestamp,
) -> Result<(), Fault> {
    if state.owes_backup() {
        let why = backup_owed(error.clone());
        node_failed_in(c, id, &why, Cleanup::None, now).await?;
        return vm_noted_in(c, id, &format!("its backup failed: {}", why.message), now).await;
    }
    node_failed_in(c, id, error, Cleanup::Pending, now).await?;
    node_undone_in(c, id, Undone::Pending { next_look, replace: state.replace }, now).await
}

/// Why a machine stays whose backup was wanted.
pub(crate) fn backup_owed(error: JobError) -> JobError {
    match error.code {
        Code::ProviderBackupFailed => error,
        code => JobError::new(
            Code::ProviderBackupFailed,
            format!("The backup could not be made, so nothing was taken away. {code}: {}", error.message),
        ),
    }
}

/// Says on a node's machine that is being cleaned what it waits for.
pub(crate) async fn vm_noted_in(c: &mut Conn, id: &NodeId, words: &str, now: Timestamp) -> Result<(), Fault> {
    node_place_lock_in(c, id).await?;
    let vm_id: PoolVmId = id.as_str().parse().map_err(|e| Fault::internal(&e))?;
    let Some(mut vm) = c.pool_vm_lock(&vm_id).await? else { return Ok(()) };
    if vm.status != PoolVmStatus::Cleaning || vm.note.as_deref() == Some(words) {
        return Ok(());
    }
    vm.note = Some(words.to_owned());
    vm.updated_at = now;
    c.pool_vm_save(&vm).await?;
    Ok(c.event_insert(&[event("pool", &vm.pool, now.millis(), None)]).await?)
}

/// A clean-up is in effect never given up: with the longest back-off this is more than ten years.
pub(crate) const CLEANUP_ATTEMPTS: u32 = 1_000_000;

/// The server is gone: the node is destroyed and out of its pool. With `again`, the same is
/// acquired anew in its place.
pub(crate) async fn node_destroyed_in(
    c: &mut Conn,
    id: &NodeId,
    again: Option<Box<Again>>,
    now: Timestamp,
) -> Result<(), Fault> {
    node_place_lock_in(c, id).await?;
    let Some(mut row) = c.node_lock(id).await? else { return Ok(()) };
    let Ok(next) = row.state.apply(NodeEvent::DestroyConfirmed) else { return Ok(()) };
    row.state = next;
    row.destroyed_at = Some(now);
    row.updated_at = now;
    if row.cleanup == Cleanup::Pending {
        row.cleanup = Cleanup::Done;
    }
    c.node_save(&row).await?;
    let system = Principal::system();
    audit_in(c, Happened::ok(&system, "node.destroyed", Subject::new("node", id), now)).await?;
    c.event_insert(&[event("node", id, row.version + 1, None)]).await?;
    secrets_forgotten_in(c, id, now).await?;
    vm_retire_in(c, id, now).await?;
    node_again_in(c, again, now).await
}

/// The node that takes another one's place.
#[derive(Clone)]
pub(crate) struct Again {
    /// What is wanted.
    pub wanted: Wanted,
    /// Its id.
    pub id: NodeId,
    /// What was made afresh for it.
    pub keys: NodeKeys,
    /// Attempts of its job.
    pub max_attempts: u32,
}

/// Acquires a node in the place of one that is gone. It is no growth of the pool, so its size is
/// not asked; if the pool is gone, nothing takes the place.
async fn node_again_in(c: &mut Conn, again: Option<Box<Again>>, now: Timestamp) -> Result<(), Fault> {
    let Some(again) = again else { return Ok(()) };
    let Again { wanted, id, keys, max_attempts } = *again;
    if let Some(pool) = &wanted.spec.pool
        && c.pool_get(pool).await?.is_none()
    {
        return Ok(());
    }
    node_insert_in(c, &Principal::system(), &wanted, Growth::No, id, keys, max_attempts, now).await?;
    Ok(())
}

async fn vm_retire_in(c: &mut Conn, id: &NodeId, now: Timestamp) -> Result<(), Fault> {
    let vm_id: PoolVmId = id.as_str().parse().map_err(|e| Fault::internal(&e))?;
    let Some(mut vm) = c.pool_vm_lock(&vm_id).await? else { return Ok(()) };
    if let Ok(next) = vm.status.apply(PoolVmEvent::Leave) {
        vm.status = next;
        vm.note = None;
        vm.updated_at = now;
        c.pool_vm_save(&vm).await?;
        c.event_insert(&[event("pool", &vm.pool, now.millis(), None)]).await?;
    }
    Ok(())
}
