//! What stands in the database when a node is wanted, destroyed or tried again. Everything here runs
//! in its caller's transaction.

use domain::{
    access::{Principal, Via},
    code::Code,
    id::{JobId, NodeId},
    job::{JobKind, Subject},
    list::Filter,
    node::{Afresh, Cleanup, Health, NodeAccepted, NodeCreate, NodeEvent, NodeState},
    pool::PoolVmEvent,
    time::{SECOND, Timestamp},
    valid::{PoolName, ProfileName},
};
use store::{Conn, JobRow, NodeRow, ProviderRow};

use super::{
    acquire::Wanted,
    verb::{Begin, node_verb_in, unready},
};
use crate::{
    fault::Fault,
    services::{
        NodeJobState, Verb,
        audit::{Happened, audit_in, event},
        blueprints::{NodeKeys, blueprint_hold_in},
        breaker,
        dns::{names_again_in, names_insert_in},
        pools::pool_ensure_default_in,
        spending::{Asked, NO_PRICE, admit_in, retry_admit_in, retry_hold_in},
        views::breaker_of,
    },
};

/// Whether a node makes its pool larger or takes another one's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::services) enum Growth {
    /// It is one more.
    Yes,
    /// It takes the place of one that is gone.
    No,
}

/// Writes down a node and the job that makes it, in the caller's transaction.
#[expect(clippy::too_many_arguments, reason = "each is of its own kind")]
pub(in crate::services) async fn node_insert_in(
    c: &mut Conn,
    who: &Principal,
    wanted: &Wanted,
    growth: Growth,
    id: NodeId,
    keys: NodeKeys,
    max_attempts: u32,
    now: Timestamp,
) -> Result<NodeAccepted, Fault> {
    if let Some(pool) = &wanted.spec.pool {
        if *pool == PoolName::default_pool() {
            pool_ensure_default_in(c, now).await?;
        }
        let Some(row) = c.pool_lock(pool).await? else {
            return Err(Fault::field("/pool", "use the name of a pool that exists, or default"));
        };
        if let (Some(most), Growth::Yes) = (row.max_size, growth) {
            let counts = c.pool_counts(pool).await?;
            let members = counts.available
                + counts.allocated
                + counts.cleaning
                + counts.maintenance
                + counts.draining
                + counts.coming;
            if members >= most {
                return Err(Fault::field("/pool", format!("the pool already holds the {most} machines it may hold")));
            }
        }
    }
    let chosen = wanted.chosen.as_ref();
    let first = chosen.and_then(|chosen| chosen.pairs.first());
    // What takes another one's place is written down all the same, so that it is not forgotten: its
    // job waits until it may be asked for.
    let stack = wanted.stack.as_ref();
    if let Some(choice) = stack {
        blueprint_hold_in(c, choice, growth == Growth::Yes).await?;
    }
    if growth == Growth::Yes {
        let price = chosen.map(|chosen| chosen.price_monthly.as_str()).filter(|price| !price.is_empty());
        let price = stack.map_or(price, |_| Some(NO_PRICE));
        let currency = chosen.map(|chosen| chosen.currency.as_str());
        admit_in(c, Asked { price_monthly: price, currency, instead_of: None }).await?;
        if let Some(row) = c.provider_get(&wanted.spec.provider_id).await?
            && breaker::paused_until(&row, now).is_some()
        {
            return Err(Fault {
                recovery: Some(Box::new(Code::AccountPaused.recovery())),
                ..Fault::new(Code::AccountPaused, breaker::paused_words(&row, now))
            });
        }
    }
    let host_key = keys.host.unzip();
    let node = NodeRow {
        server_name: format!("{}-{}", wanted.name, id.short()),
        name: wanted.name.clone(),
        provider_id: wanted.spec.provider_id.clone(),
        infra_id: None,
        action_id: None,
        state: NodeState::Requested,
        failed_stage: None,
        code: None,
        message: None,
        cleanup: Cleanup::None,
        host: None,
        ipv4: None,
        ipv6: None,
        fqdn: None,
        server_type: first.map(|p| p.server_type.clone()).or_else(|| wanted.spec.server_type.clone()),
        location: first.map(|p| p.location.clone()).or_else(|| wanted.spec.location.clone()),
        image: chosen.map(|ch| ch.image.clone()).or_else(|| wanted.spec.image.clone()),
        price_monthly: stack.map(|_| NO_PRICE.to_owned()).or_else(|| chosen.map(|ch| ch.price_monthly.clone())),
        price_hourly: first.and_then(|p| p.price_hourly.clone()),
        currency: chosen.map(|ch| ch.currency.clone()),
        // Hangar logs in to no stack.
        profile: match stack {
            Some(_) => ProfileName::none(),
            None => wanted.spec.profile.clone().unwrap_or_else(ProfileName::base),
        },
        profile_version: None,
        spec: wanted.spec.clone(),
        host_key_public: host_key.0,
        host_key_sealed: host_key.1,
        ssh_user: stack.is_none().then(|| wanted.ssh_user.clone()),
        ssh_port: stack.is_none().then_some(wanted.ssh_port),
        create_attempted_at: None,
        health: Health { reason_codes: vec![domain::node::ReasonCode::NodeNotReady], ..Health::default() },
        observed_at: None,
        drift: Vec::new(),
        pool: wanted.spec.pool.clone(),
        cockpit_url: None,
        cockpit_port: None,
        blueprint: stack.map(|choice| choice.blueprint.clone()),
        blueprint_version: stack.map(|choice| choice.version),
        tag: stack.map(|choice| choice.tag.clone()),
        secrets_sealed: keys.secrets_sealed,
        keep_until: None,
        ready_at: None,
        created_by: who.user_id.clone(),
        created_at: now,
        updated_at: now,
        destroyed_at: None,
        version: 1,
        id: id.clone(),
    };
    c.node_insert(&node).await?;
    names_insert_in(c, who, &node, wanted.named, now).await?;
    let state = NodeJobState { replacement: growth == Growth::No, ..NodeJobState::default() };
    let job = job_row(JobKind::NodeProvision, &node, state, who, max_attempts, now)?;
    c.job_insert(&job).await?;
    let place = match (stack, first) {
        (Some(of), _) => format!("{} ({} version {}, tag {})", node.name, of.blueprint, of.version, of.tag),
        (None, Some(pair)) => format!("{} ({} at {})", node.name, pair.server_type, pair.location),
        (None, None) => node.name.to_string(),
    };
    audit_in(c, Happened::ok(who, "node.acquire", Subject::new("node", &id), now).detail(place)).await?;
    c.event_insert(&[event("node", &id, 1, None), event("job", &job.id, 1, None)]).await?;
    Ok(NodeAccepted { node_id: id, job_id: job.id })
}

/// A job on a node, queued now.
pub(in crate::services) fn job_row(
    kind: JobKind,
    node: &NodeRow,
    state: NodeJobState,
    who: &Principal,
    max_attempts: u32,
    now: Timestamp,
) -> Result<JobRow, Fault> {
    let state = serde_json::to_value(state).map_err(|e| Fault::internal(&e))?;
    let subject = Subject::new("node", &node.id);
    Ok(JobRow::queued(kind, subject, Some(node.name.to_string()), state, max_attempts, &who.user_id, now))
}

/// Whether a node that is destroyed is acquired anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::services) enum Replace {
    /// It is gone for good.
    No,
    /// The same again takes its place in its pool.
    Yes,
    /// Its machine is being cleaned; what takes its place is decided by the pool's target.
    Later,
}

/// Whether what must not be lost of a node is kept before it is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::services) enum Backup {
    /// It is, and nothing is taken away if that fails.
    First,
    /// It is not.
    No,
}

/// What is done with a node that its pool takes away by itself, in the caller's transaction. Nobody is
/// asked, so it is as the pool's template says now, or as the node was asked for: whoever wants backups
/// of a pool means the machines that are in it. One that never served has nothing to keep.
pub(in crate::services) async fn backup_of_pool_in(c: &mut Conn, row: &NodeRow) -> Result<Backup, Fault> {
    if row.ready_at.is_none() || row.blueprint.is_none() {
        return Ok(Backup::No);
    }
    let wants = |spec: &NodeCreate| spec.compose.as_ref().is_some_and(|compose| compose.backup);
    let pool = match &row.pool {
        Some(name) => c.pool_get(name).await?,
        None => None,
    };
    let template = pool.and_then(|pool| pool.template);
    Ok(if wants(&row.spec) || template.as_ref().is_some_and(wants) { Backup::First } else { Backup::No })
}

/// Begins to destroy a node, in the caller's transaction: the node leaves its pool at once.
pub(in crate::services) async fn node_destroy_in(
    c: &mut Conn,
    who: &Principal,
    mut row: NodeRow,
    (replace, backup): (Replace, Backup),
    max_attempts: u32,
    now: Timestamp,
) -> Result<JobId, Fault> {
    row.state = row.state.apply(NodeEvent::DestroyBegun).map_err(|e| Fault::internal(&e))?;
    row.keep_until = None;
    row.updated_at = now;
    row.health.ready = false;
    let state = NodeJobState {
        replace: replace == Replace::Yes,
        backup: backup == Backup::First,
        unattended: who.via == Via::System,
        ..NodeJobState::default()
    };
    let job = job_row(JobKind::NodeDestroy, &row, state, who, max_attempts, now)?;
    let mut events = vec![event("node", &row.id, row.version + 1, None), event("job", &job.id, 1, None)];
    let vm_id = row.id.as_str().parse().map_err(|e| Fault::internal(&e))?;
    if let Some(mut vm) = c.pool_vm_lock(&vm_id).await? {
        // One that is being replaced stays visible as cleaning until its server is gone.
        if replace == Replace::No
            && let Ok(next) = vm.status.apply(PoolVmEvent::Leave)
        {
            vm.status = next;
            vm.updated_at = now;
            c.pool_vm_save(&vm).await?;
            events.push(event("pool", &vm.pool, vm.version + 1, None));
        }
    }
    c.node_save(&row).await?;
    c.job_insert(&job).await?;
    let kept = if backup == Backup::First { ", after a backup" } else { "" };
    let line = Happened::ok(who, "destroy-node", Subject::new("node", &row.id), now);
    audit_in(c, line.detail(format!("{}{kept}", row.name))).await?;
    c.event_insert(&events).await?;
    Ok(job.id)
}

/// Whether a node was to be destroyed and its backup failed: nothing of it was taken away.
pub(in crate::services) fn is_kept_whole(row: &NodeRow) -> bool {
    row.state == NodeState::Failed
        && row.failed_stage == Some(NodeState::Destroying)
        && row.cleanup == Cleanup::None
        && row.code == Some(Code::ProviderBackupFailed)
        && row.infra_id.is_some()
}

/// Takes a node into use again that was to be destroyed and was not, in the caller's transaction. Its
/// machine is held back until an administrator says whom it is for: its last holder's data is on it.
pub(in crate::services) async fn node_kept_in(
    c: &mut Conn,
    who: &Principal,
    mut row: NodeRow,
    begin: &Begin,
    max_attempts: u32,
    now: Timestamp,
) -> Result<JobId, Fault> {
    let vm_id = row.id.as_str().parse().map_err(|e| Fault::internal(&e))?;
    if let Some(mut vm) = c.pool_vm_lock(&vm_id).await? {
        // It left its pool when it was to be destroyed, or was being cleaned.
        for happened in [PoolVmEvent::Return, PoolVmEvent::Park] {
            vm.status = vm.status.apply(happened).unwrap_or(vm.status);
        }
        vm.note = Some("Kept when its backup failed; what was on it still is.".to_owned());
        vm.updated_at = now;
        c.pool_vm_save(&vm).await?;
        c.event_insert(&[event("pool", &vm.pool, vm.version + 1, None)]).await?;
    }
    (row.failed_stage, row.code, row.message) = (None, None, None);
    let begin = Begin {
        happened: Some(NodeEvent::RetriedFromResuming),
        ..begin.clone().detail("it was to be destroyed and is kept")
    };
    node_verb_in(c, who, row, &begin, max_attempts, now).await
}

/// Takes failed work up again, in the caller's transaction: from the stage that failed where the
/// server was kept, afresh otherwise.
pub(in crate::services) async fn node_retry_in(
    c: &mut Conn,
    who: &Principal,
    mut row: NodeRow,
    max_attempts: u32,
    now: Timestamp,
) -> Result<JobId, Fault> {
    let stage = row.failed_stage;
    if stage == Some(NodeState::Destroying) {
        // As it was wanted the first time; without a backup it is for whoever destroys it anew.
        let last = c.job_latest_for("node", row.id.as_str()).await?;
        let last = last.and_then(|job| serde_json::from_value::<NodeJobState>(job.state).ok()).unwrap_or_default();
        let replace = if last.replace { Replace::Yes } else { Replace::No };
        let backup = if last.backup && !last.backed_up { Backup::First } else { Backup::No };
        return node_destroy_in(c, who, row, (replace, backup), max_attempts, now).await;
    }
    let kept = is_kept(&row);
    if let Some(begin) = retry_of_verb_in(c, &row).await? {
        row.failed_stage = None;
        row.code = None;
        row.message = None;
        row.keep_until = None;
        return node_verb_in(c, who, row, &begin, max_attempts, now).await;
    }
    if !kept {
        retry_admit_in(c, &row).await?;
    }
    let happened = if kept { NodeEvent::RetriedFromProvisioning } else { NodeEvent::RetriedAfresh };
    row.state = row.state.apply(happened).map_err(|e| Fault::internal(&e))?;
    row.failed_stage = None;
    row.code = None;
    row.message = None;
    row.keep_until = None;
    row.health = unready(&row);
    row.updated_at = now;
    if !kept {
        row.infra_id = None;
        row.action_id = None;
        row.host = None;
        row.ipv4 = None;
        row.ipv6 = None;
        row.fqdn = None;
        row.create_attempted_at = None;
        row.cleanup = Cleanup::None;
        names_again_in(c, who, &row, now).await?;
    }
    let former_task = match kept {
        true => c.job_latest_for("node", row.id.as_str()).await?.and_then(former_task_of),
        false => None,
    };
    let begins = NodeJobState { handed_over: kept, former_task, ..NodeJobState::default() };
    let state = serde_json::to_value(&begins).map_err(|e| Fault::internal(&e))?;
    let filter = Filter {
        subject: Some(row.id.to_string()),
        kind: Some(JobKind::NodeProvision.to_string()),
        limit: Some(1),
        ..Filter::default()
    };
    let last = c.jobs_page(&filter).await?.items.into_iter().next();
    let job_id = match last {
        Some(job) if c.job_restart(&job.id, &state, max_attempts, now).await? => job.id,
        _ => {
            let job = job_row(JobKind::NodeProvision, &row, begins, who, max_attempts, now)?;
            c.job_insert(&job).await?;
            job.id
        }
    };
    c.node_save(&row).await?;
    let from = if kept { "from provisioning" } else { "afresh" };
    audit_in(c, Happened::ok(who, "retry-node", Subject::new("node", &row.id), now).detail(from)).await?;
    c.event_insert(&[event("node", &row.id, row.version + 1, None), event("job", &job_id, now.millis(), None)]).await?;
    Ok(job_id)
}

/// Whether the server of a failed acquisition is there, and a retry goes on with it.
fn is_kept(row: &NodeRow) -> bool {
    row.failed_stage.is_some_and(NodeState::is_after_hand_over) && row.infra_id.is_some()
}

/// What a retry of the node must pass, where it would begin with a new server.
pub(in crate::services) async fn afresh_in(
    c: &mut Conn,
    row: &NodeRow,
    provider: Option<&ProviderRow>,
    now: Timestamp,
) -> Result<Option<Afresh>, Fault> {
    let destroys = row.failed_stage == Some(NodeState::Destroying);
    if row.state != NodeState::Failed || destroys || is_kept(row) || retry_of_verb_in(c, row).await?.is_some() {
        return Ok(None);
    }
    let hold = retry_hold_in(c, row).await?;
    Ok(Some(Afresh { hold, breaker: provider.and_then(breaker_of), now }))
}

/// The run of the profile that may still be at work after a job.
fn former_task_of(job: JobRow) -> Option<String> {
    let state = serde_json::from_value::<NodeJobState>(job.state).ok()?;
    // One that was to be ended first and never was: none of its own was begun.
    state.former_task.or_else(|| state.profile?.task)
}

/// What takes a failed verb up again: a server that may be stopped is started and verified, one that
/// may be half laid is laid anew. `None` where what failed was the acquisition.
async fn retry_of_verb_in(c: &mut Conn, row: &NodeRow) -> Result<Option<Begin>, Fault> {
    Ok(match row.failed_stage {
        Some(NodeState::Upgrading) if row.blueprint.is_some() => row.tag.clone().map(|tag| {
            let detail = format!("it is brought back to the tag {tag}");
            Begin {
                happened: Some(NodeEvent::RetriedFromUpgrading),
                ..Begin::new(
                    "retry-node",
                    JobKind::NodeUpgrade,
                    Verb::ChangeTag { from: tag.clone(), tag, suspended: false },
                )
                .detail(detail)
            }
        }),
        Some(NodeState::Suspending | NodeState::Resuming | NodeState::Upgrading) => Some(Begin {
            happened: Some(NodeEvent::RetriedFromResuming),
            ..Begin::new("retry-node", JobKind::NodeResume, Verb::Resume).detail("it is started and verified")
        }),
        Some(NodeState::Rebuilding) => {
            let last = c.job_latest_for("node", row.id.as_str()).await?;
            let wanted = last.and_then(|job| serde_json::from_value::<NodeJobState>(job.state).ok()?.verb);
            let image = match wanted {
                Some(Verb::Rebuild { image }) => Some(image),
                _ => row.image.clone(),
            };
            image.map(|image| {
                let detail = format!("it is laid anew from the image {image}");
                Begin {
                    happened: Some(NodeEvent::RetriedFromRebuilding),
                    ..Begin::new("retry-node", JobKind::NodeRebuild, Verb::Rebuild { image }).detail(detail)
                }
            })
        }
        _ => None,
    })
}

/// Seconds as a span.
pub(in crate::services) fn seconds(count: i64) -> i64 {
    count.saturating_mul(SECOND)
}
