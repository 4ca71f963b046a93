//! The life of a node as its jobs drive it: every step's outcome is stored here, each in one
//! transaction that also proves that the worker still holds the job.

use std::{collections::BTreeMap, time::Duration};

use ::providers::{MachineFacts, MachinePower, ssh};
use domain::{
    access::Principal,
    code::Code,
    id::{JobId, NodeId},
    job::{JobError, JobKind, JobStatus, JobStep, Subject},
    node::{Cleanup, Health, NodeEvent, NodeState, ReasonCode},
    pool::{PoolVmEvent, PoolVmSource, PoolVmStatus},
    time::Timestamp,
    valid::{CockpitFacts, CockpitTemplate, PoolVmId},
};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Conn, JobRow, NodeRow, PoolVmRow, ProviderRow, StoreError};

use super::{
    Services,
    audit::{Happened, audit_in, event},
    breaker::{acquisition_failed_in, acquisition_succeeded_in},
    nodes::{Growth, Wanted, job_row, node_insert_in, seconds},
    pools::assign_waiting_in,
    spending::{Asked, admit_in},
};
use crate::fault::Fault;

/// What a job on a node keeps between its steps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeJobState {
    /// What the adapter noted, by its own keys.
    #[serde(default)]
    pub journal: BTreeMap<String, Value>,
    /// Whether the node was handed over to SSH already.
    #[serde(default)]
    pub handed_over: bool,
    /// Why everything is being undone, once that has begun.
    #[serde(default)]
    pub undo: Option<Undo>,
    /// Whether the same node is acquired anew once this one is gone.
    #[serde(default)]
    pub replace: bool,
    /// Whether the node takes another one's place: then it waits for room under the spending cap.
    #[serde(default)]
    pub replacement: bool,
}

/// Why an acquisition is being undone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Undo {
    /// The failure that is reported at the end.
    pub error: JobError,
    /// How the job ends: failed or cancelled.
    pub ends: JobStatus,
}

/// The hold a worker has on a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    pub job: JobId,
    pub fence: i64,
}

/// Why a job's transaction did not come about.
#[derive(Debug)]
pub(crate) enum LeaseError {
    /// Another worker holds the job now.
    Lost,
    /// Something else went wrong.
    Fault(Fault),
}

impl From<StoreError> for LeaseError {
    fn from(error: StoreError) -> Self {
        Self::Fault(error.into())
    }
}

impl From<Fault> for LeaseError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Where a job stands, stored with every step.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoint {
    pub step: Option<String>,
    pub state: Value,
    pub progress: u8,
    /// Steps that changed, with their place in the timeline.
    pub steps: Vec<(i64, JobStep)>,
}

impl Services {
    /// Stores a checkpoint and whatever `more` does, or nothing at all if the lease is lost.
    pub(crate) async fn lease_write<T, F>(
        &self,
        lease: &Lease,
        checkpoint: Checkpoint,
        more: F,
    ) -> Result<T, LeaseError>
    where
        T: Send + 'static,
        F: for<'a> Fn(&'a mut Conn, Timestamp) -> BoxFuture<'a, Result<T, Fault>> + Send + Sync + 'static,
    {
        let now = self.clock.now();
        let lease = lease.clone();
        let more = std::sync::Arc::new(more);
        self.write::<T, LeaseError, _>(move |c| {
            let (lease, checkpoint, more) = (lease.clone(), checkpoint.clone(), more.clone());
            Box::pin(async move {
                let held = c
                    .job_checkpoint(
                        &lease.job,
                        lease.fence,
                        checkpoint.step.as_deref(),
                        &checkpoint.state,
                        checkpoint.progress,
                        now,
                    )
                    .await?;
                if !held {
                    return Err(LeaseError::Lost);
                }
                for (seq, step) in &checkpoint.steps {
                    c.job_step_put(&lease.job, *seq, step).await?;
                }
                let value = more(c, now).await?;
                c.event_insert(&[event("job", &lease.job, now.millis(), None)]).await?;
                Ok(value)
            })
        })
        .await
    }

    /// The readiness checks of a node, in the fixed order of the reason codes. What went wrong on
    /// the way is told as a code.
    ///
    /// # Errors
    /// [`Fault`] if Hangar's own keys cannot be used.
    pub(crate) async fn node_probe(
        &self,
        row: &NodeRow,
        provider: &ProviderRow,
        within: Duration,
    ) -> Result<Vec<ReasonCode>, Fault> {
        if !row.profile.has_login() {
            let open = self.account(provider)?;
            let running = match (open.account.infra(), &row.infra_id) {
                (Some(infra), Some(id)) => machine_runs(infra, id, within).await,
                _ => false,
            };
            let mut reasons = Vec::new();
            if !running {
                reasons.push(ReasonCode::NodeNotReady);
            }
            if row.host.is_none() {
                reasons.push(ReasonCode::NodeHostMissing);
            }
            if running && row.spec.verify_cockpit == Some(true) && !self.cockpit_answers(row, within).await {
                reasons.push(ReasonCode::NodeUnreachable);
            }
            return Ok(reasons);
        }
        match self.ssh_target(row)? {
            Err(reason) => Ok(vec![reason]),
            Ok(target) => match ssh::verify(&target, within).await {
                Ok(mut reasons) => {
                    if row.spec.verify_cockpit == Some(true) && !self.cockpit_answers(row, within).await {
                        reasons.push(ReasonCode::NodeUnreachable);
                        reasons.sort();
                    }
                    Ok(reasons)
                }
                Err(failure) if failure.code == Code::ProvisionHostKeyMismatch => Ok(vec![ReasonCode::HostKeyMismatch]),
                Err(_) => Ok(vec![ReasonCode::NodeUnreachable]),
            },
        }
    }

    /// Where and as whom Hangar logs in, or what is missing for it.
    pub(crate) fn ssh_target(&self, row: &NodeRow) -> Result<Result<ssh::SshTarget, ReasonCode>, Fault> {
        let Some(host) = row.host.clone() else { return Ok(Err(ReasonCode::NodeHostMissing)) };
        let Some(port) = row.ssh_port.and_then(|p| u16::try_from(p).ok()).filter(|p| *p != 0) else {
            return Ok(Err(ReasonCode::SshPortInvalid));
        };
        let Some(user) = row.ssh_user.clone() else { return Ok(Err(ReasonCode::SshUserMissing)) };
        let host_key_public = row.host_key_public.clone().unwrap_or_default();
        Ok(Ok(ssh::SshTarget {
            host,
            port,
            user,
            private_key_path: self.managed_key_path(),
            host_key_public,
            known_hosts_dir: self.settings.data_dir.join("known_hosts"),
        }))
    }

    /// Whether the node's cockpit answers within the time.
    pub(crate) async fn cockpit_answers(&self, row: &NodeRow, within: Duration) -> bool {
        let Some(url) = cockpit_of(row) else { return false };
        let Ok(client) = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .build()
        else {
            return false;
        };
        let deadline = tokio::time::Instant::now() + within;
        loop {
            if let Ok(answer) = client.get(url.as_str()).send().await
                && answer.status().as_u16() < 400
            {
                return true;
            }
            if tokio::time::Instant::now() + Duration::from_secs(1) > deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Whether the vendor reports the machine running within the time. An answer that is lost says
/// nothing about the machine: it is asked for again.
async fn machine_runs(infra: &dyn ::providers::InfraProvider, id: &str, within: Duration) -> bool {
    let deadline = tokio::time::Instant::now() + within;
    loop {
        match infra.status(id).await {
            Ok(Some(status)) if status.status == MachinePower::Running => return true,
            Ok(None) => return false,
            Ok(Some(_)) => {}
            Err(error) if error.is_transient() => {}
            Err(_) => return false,
        }
        if tokio::time::Instant::now() + Duration::from_millis(500) > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The node's cockpit URL, once what it needs is known.
pub(crate) fn cockpit_of(row: &NodeRow) -> Option<domain::valid::CockpitUrl> {
    let template = CockpitTemplate::parse(row.spec.cockpit_url.as_deref()?).ok()?;
    template.fill(&CockpitFacts { name: row.name.as_str(), ipv4: row.ipv4.as_deref(), fqdn: row.fqdn.as_deref() })
}

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

/// The node passed its verification: it is ready, and in its pool.
pub(crate) async fn node_ready_in(c: &mut Conn, id: &NodeId, now: Timestamp) -> Result<(), Fault> {
    let Some(mut row) = c.node_lock(id).await? else { return Ok(()) };
    let Ok(next) = row.state.apply(NodeEvent::Verified) else { return Ok(()) };
    row.state = next;
    row.failed_stage = None;
    row.code = None;
    row.message = None;
    row.cockpit_url = cockpit_of(&row);
    row.health = Health { ready: true, reason_codes: Vec::new(), checked_at: Some(now) };
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
    let Some(pool) = row.pool.clone() else { return Ok(()) };
    let vm_id: PoolVmId = id.as_str().parse().map_err(|e| Fault::internal(&e))?;
    match c.pool_vm_lock(&vm_id).await? {
        Some(mut vm) => {
            if let Ok(next) = vm.status.apply(PoolVmEvent::Cleaned).or_else(|_| vm.status.apply(PoolVmEvent::Return)) {
                vm.status = next;
                vm.host = row.host.clone();
                vm.cockpit_url = row.cockpit_url.clone();
                vm.note = None;
                vm.updated_at = now;
                c.pool_vm_save(&vm).await?;
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
    row.health =
        Health { ready: false, reason_codes: vec![ReasonCode::NodeNotReady], checked_at: row.health.checked_at };
    if cleanup == Cleanup::None && row.infra_id.is_some() {
        row.keep_until = Some(now.plus(seconds(row.spec.keep_failed_for.map_or(86_400, i64::from))));
    }
    row.updated_at = now;
    c.node_save(&row).await?;
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
        vm_retire_in(c, id, now).await?;
        node_again_in(c, again, now).await?;
    }
    Ok(())
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
    /// Its host key, public and sealed.
    pub key: (String, String),
    /// Attempts of its job.
    pub max_attempts: u32,
}

/// Acquires a node in the place of one that is gone. It is no growth of the pool, so its size is
/// not asked; if the pool is gone, nothing takes the place.
async fn node_again_in(c: &mut Conn, again: Option<Box<Again>>, now: Timestamp) -> Result<(), Fault> {
    let Some(again) = again else { return Ok(()) };
    let Again { wanted, id, key, max_attempts } = *again;
    if let Some(pool) = &wanted.spec.pool
        && c.pool_get(pool).await?.is_none()
    {
        return Ok(());
    }
    node_insert_in(c, &Principal::system(), &wanted, Growth::No, id, key, max_attempts, now).await?;
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
