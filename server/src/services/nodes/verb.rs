//! What stands in the database when a verb begins on a node and when it is over. The rule: a node
//! that is not fit to be handed out is held back in the same transaction that makes it so.

use domain::{
    access::Principal,
    id::{JobId, NodeId},
    job::{JobKind, Subject},
    node::{Health, NodeEvent, NodeState, PartUsage, ReasonCode},
    pool::{PoolVmEvent, PoolVmStatus},
    time::Timestamp,
    valid::{amount_display, amount_micros},
};
use store::{Conn, NodeRow};

use super::write::job_row;
use crate::{
    fault::Fault,
    services::{
        NewType, NodeJobState, Verb,
        audit::{Happened, audit_in, event},
        observe::unfit_words,
        pools::assign_waiting_in,
        spending::{Asked, admit_in},
    },
};

/// A verb that is about to begin.
#[derive(Debug, Clone)]
pub(in crate::services) struct Begin {
    /// The action's identity, for the trail.
    pub identity: &'static str,
    pub kind: JobKind,
    pub verb: Verb,
    /// What happens to the node with it.
    pub happened: Option<NodeEvent>,
    /// What the trail says about it.
    pub detail: String,
    /// Whether it makes a pool's machine fit for the next person.
    pub cleaning: bool,
}

impl Begin {
    pub fn new(identity: &'static str, kind: JobKind, verb: Verb) -> Self {
        Self { identity, kind, happened: verb.begins(), verb, detail: String::new(), cleaning: false }
    }

    pub fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self }
    }
}

/// Begins a verb on a node whose gates have passed, in the caller's transaction, which holds the
/// node's pool, machine and row.
pub(in crate::services) async fn node_verb_in(
    c: &mut Conn,
    who: &Principal,
    mut row: NodeRow,
    begin: &Begin,
    max_attempts: u32,
    now: Timestamp,
) -> Result<JobId, Fault> {
    if let Verb::ChangeType(new) = &begin.verb {
        let asked = Asked {
            price_monthly: new.price_monthly.as_deref(),
            currency: Some(&new.currency),
            instead_of: Some(&row),
        };
        admit_in(c, asked).await?;
        // Whoever asks for more meanwhile already finds it dearer.
        if micros(&new.price_monthly) > micros(&row.price_monthly) {
            row.price_monthly.clone_from(&new.price_monthly);
            row.price_hourly.clone_from(&new.price_hourly);
            row.currency = Some(new.currency.clone());
        }
    }
    if let Some(happened) = begin.happened {
        row.state = row.state.apply(happened).map_err(|e| Fault::internal(&e))?;
        row.health = unready(&row);
        row.updated_at = now;
        c.node_save(&row).await?;
        row.version += 1;
        vm_fitness_in(c, &row, Some(&format!("it is {}", row.state)), now).await?;
    }
    let state = NodeJobState { verb: Some(begin.verb.clone()), cleaning: begin.cleaning, ..NodeJobState::default() };
    let job = job_row(begin.kind, &row, state, who, max_attempts, now)?;
    c.job_insert(&job).await?;
    let mut line = Happened::ok(who, begin.identity, Subject::new("node", &row.id), now);
    if !begin.detail.is_empty() {
        line = line.detail(begin.detail.clone());
    }
    audit_in(c, line).await?;
    c.event_insert(&[event("node", &row.id, row.version, None), event("job", &job.id, 1, None)]).await?;
    Ok(job.id)
}

fn micros(price: &Option<String>) -> u64 {
    price.as_deref().and_then(|price| amount_micros(price).ok()).unwrap_or(0)
}

/// The node keeps its type after all, and costs what it cost.
pub(crate) async fn node_price_kept_in(c: &mut Conn, id: &NodeId, new: &NewType, now: Timestamp) -> Result<(), Fault> {
    let Some(mut row) = c.node_lock(id).await? else { return Ok(()) };
    let (monthly, hourly, currency) = &new.before;
    row.price_monthly.clone_from(monthly);
    row.price_hourly.clone_from(hourly);
    row.currency.clone_from(currency);
    row.updated_at = now;
    c.node_save(&row).await?;
    Ok(())
}

/// The health of a node on which somebody works.
pub(in crate::services) fn unready(row: &NodeRow) -> Health {
    let checked_at = row.health.checked_at;
    Health { ready: false, reason_codes: vec![ReasonCode::NodeNotReady], checked_at, usage: Vec::new() }
}

/// The node is stopped, or still is.
pub(crate) async fn node_stopped_in(
    c: &mut Conn,
    id: &NodeId,
    happened: NodeEvent,
    now: Timestamp,
) -> Result<(), Fault> {
    node_place_lock_in(c, id).await?;
    let Some(mut row) = c.node_lock(id).await? else { return Ok(()) };
    let Ok(next) = row.state.apply(happened) else { return Ok(()) };
    row.state = next;
    row.health = unready(&row);
    row.observed_at = Some(now);
    row.updated_at = now;
    c.node_save(&row).await?;
    vm_fitness_in(c, &row, Some("it is suspended"), now).await?;
    Ok(c.event_insert(&[event("node", id, row.version + 1, None)]).await?)
}

/// The node is of another type now, and costs what that costs.
pub(crate) async fn node_upgraded_in(c: &mut Conn, id: &NodeId, new: &NewType, now: Timestamp) -> Result<(), Fault> {
    let Some(mut row) = c.node_lock(id).await? else { return Ok(()) };
    let Ok(next) = row.state.apply(NodeEvent::Upgraded) else { return Ok(()) };
    row.state = next;
    retyped_in(c, row, new, now).await
}

/// The vendor says that the node is of this type.
pub(crate) async fn node_type_in(c: &mut Conn, id: &NodeId, new: &NewType, now: Timestamp) -> Result<(), Fault> {
    match c.node_lock(id).await? {
        Some(row) => retyped_in(c, row, new, now).await,
        None => Ok(()),
    }
}

async fn retyped_in(c: &mut Conn, mut row: NodeRow, new: &NewType, now: Timestamp) -> Result<(), Fault> {
    row.server_type = Some(new.server_type.clone());
    // A price that is not known now leaves the former one: better that is added up than nothing.
    if new.price_monthly.is_some() {
        row.price_monthly.clone_from(&new.price_monthly);
        row.price_hourly.clone_from(&new.price_hourly);
        row.currency = Some(new.currency.clone()).filter(|c| !c.is_empty()).or(row.currency);
    }
    row.observed_at = Some(now);
    row.updated_at = now;
    c.node_save(&row).await?;
    let price = new.price_monthly.as_deref().map(|p| format!(", {} {} a month", amount_display(p), new.currency));
    let system = Principal::system();
    let line = Happened::ok(&system, "node.upgraded", Subject::new("node", &row.id), now).detail(format!(
        "{}{}",
        new.server_type,
        price.unwrap_or_default()
    ));
    audit_in(c, line).await?;
    Ok(c.event_insert(&[event("node", &row.id, row.version + 1, None)]).await?)
}

/// The vendor laid the node anew: from here on it shows the fresh host key, and is prepared like a
/// new one.
pub(crate) async fn node_rebuilt_in(
    c: &mut Conn,
    id: &NodeId,
    image: &str,
    fresh_key: Option<&(String, String)>,
    now: Timestamp,
) -> Result<(), Fault> {
    let Some(mut row) = c.node_lock(id).await? else { return Ok(()) };
    let Ok(next) = row.state.apply(NodeEvent::Rebuilt) else { return Ok(()) };
    row.state = next;
    row.image = Some(image.to_owned());
    row.profile_version = None;
    if let Some((public, sealed)) = fresh_key {
        row.host_key_public = Some(public.clone());
        row.host_key_sealed = Some(sealed.clone());
    }
    row.observed_at = Some(now);
    row.updated_at = now;
    c.node_save(&row).await?;
    let system = Principal::system();
    let line = Happened::ok(&system, "node.rebuilt", Subject::new("node", id), now).detail(image);
    audit_in(c, line).await?;
    Ok(c.event_insert(&[event("node", id, row.version + 1, None)]).await?)
}

/// Notes what the readiness checks found and what the node's parts took, and holds the node back or
/// lets it go again.
pub(crate) async fn node_health_in(
    c: &mut Conn,
    id: &NodeId,
    reasons: &[ReasonCode],
    usage: &[PartUsage],
    now: Timestamp,
) -> Result<(), Fault> {
    node_place_lock_in(c, id).await?;
    let Some(mut row) = c.node_lock(id).await? else { return Ok(()) };
    let (checked_at, usage) = (Some(now), usage.to_vec());
    row.health = match row.state {
        NodeState::Ready => Health { ready: reasons.is_empty(), reason_codes: reasons.to_vec(), checked_at, usage },
        // What was found while it is being worked on says more than that it is not ready.
        s if s.is_working() => Health {
            ready: false,
            reason_codes: {
                let mut all = vec![ReasonCode::NodeNotReady];
                all.extend(reasons.iter().copied().filter(|r| *r != ReasonCode::NodeNotReady));
                all
            },
            checked_at,
            usage,
        },
        // A result that comes late says nothing about a node that has moved on.
        _ => return Ok(()),
    };
    if row.health.ready {
        // Whoever answers is neither off nor gone, whatever was seen before.
        row.drift.retain(|it| !it.is_down() && !it.is_broken());
    }
    row.updated_at = now;
    c.node_save(&row).await?;
    if row.state == NodeState::Ready {
        vm_fitness_in(c, &row, unfit_words(&row).as_deref(), now).await?;
    }
    Ok(c.event_insert(&[event("node", id, row.version + 1, None)]).await?)
}

/// Holds the node's pool and machine, in the order of everybody: pool, machine, node.
pub(crate) async fn node_place_lock_in(c: &mut Conn, id: &NodeId) -> Result<(), Fault> {
    let Some(known) = c.node_get(id).await? else { return Ok(()) };
    if let Some(pool) = &known.pool {
        c.pool_lock(pool).await?;
        c.pool_vm_lock(&id.as_str().parse().map_err(|e| Fault::internal(&e))?).await?;
    }
    Ok(())
}

/// Whether the node's machine was given back and still waits for its cleaning or its end: what a
/// job on the node kept from beginning, or what failed.
pub(in crate::services) async fn vm_waits_for_cleaning_in(
    c: &mut Conn,
    id: &NodeId,
) -> Result<Option<store::PoolVmRow>, Fault> {
    let vm_id = id.as_str().parse().map_err(|e| Fault::internal(&e))?;
    let Some(vm) = c.pool_vm_lock(&vm_id).await? else { return Ok(None) };
    if !matches!(vm.status, PoolVmStatus::Cleaning | PoolVmStatus::Retired) {
        return Ok(None);
    }
    // While the deployer is being told, that job sees to the rest.
    let open = c.allocation_of_vm(&vm_id).await?.is_some();
    Ok((!open).then_some(vm))
}

/// How the note of a machine begins that is held back because its node is not fit.
const UNFIT: &str = "Its node is not fit: ";

/// The note of a machine that is held back because its node is not fit.
pub(in crate::services) fn unfit_note(why: &str) -> String {
    format!("{UNFIT}{why}.")
}

/// Holds a free machine back while its node is not fit to be given to anyone, and lets it go again
/// once it is.
pub(in crate::services) async fn vm_fitness_in(
    c: &mut Conn,
    row: &NodeRow,
    unfit: Option<&str>,
    now: Timestamp,
) -> Result<(), Fault> {
    let Some(pool) = &row.pool else { return Ok(()) };
    let id = row.id.as_str().parse().map_err(|e| Fault::internal(&e))?;
    let Some(mut vm) = c.pool_vm_lock(&id).await? else { return Ok(()) };
    let held_back = vm.note.as_deref().is_some_and(|note| note.starts_with(UNFIT));
    let happened = match (unfit, vm.status) {
        (Some(_), PoolVmStatus::Available) => Some(PoolVmEvent::Park),
        // The reason may have changed.
        (Some(_), PoolVmStatus::Maintenance) if held_back => None,
        (None, PoolVmStatus::Maintenance) if held_back => Some(PoolVmEvent::MarkClean),
        _ => return Ok(()),
    };
    if let Some(happened) = happened {
        vm.status = vm.status.apply(happened).map_err(|e| Fault::internal(&e))?;
    }
    vm.note = unfit.map(unfit_note);
    if unfit.is_none() {
        vm.host.clone_from(&row.host);
        vm.cockpit_url.clone_from(&row.cockpit_url);
    }
    vm.updated_at = now;
    c.pool_vm_save(&vm).await?;
    c.event_insert(&[event("pool", pool, now.millis(), None)]).await?;
    if vm.status == PoolVmStatus::Available {
        assign_waiting_in(c, pool, now).await?;
    }
    Ok(())
}
