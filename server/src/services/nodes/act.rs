//! Acting on nodes: gates and job in one transaction; only the bounded reads call the vendor.

use std::{collections::HashMap, time::Duration};

use domain::{
    access::Principal,
    code::Code,
    id::{JobId, NodeId},
    job::Subject,
    list::Filter,
    node::{Drift, Health, NodeCreate, NodeFacts, NodeState, node_actions, node_identity},
    pool::{PoolVmEvent, PoolVmStatus},
    provider::{Capability, ProviderStatus},
    time::Timestamp,
};
use serde_json::{Value, json};
use store::{Conn, NodeRow, ProviderRow};

use super::write::{Replace, node_destroy_in, node_retry_in};
use crate::{
    fault::Fault,
    services::{
        Acted, Services,
        accounts::provider_fault,
        audit::{Happened, audit_in, event},
        need_admin,
        observe::unfit_words,
        pools::assign_waiting_in,
        providers::done,
    },
};

impl Services {
    /// Carries out an action of a node by its identity or alias.
    ///
    /// # Errors
    /// `not_found` for an identity that is none; `action_blocked` with the gates.
    pub async fn node_act(&self, who: &Principal, id: &NodeId, identity: &str, input: Value) -> Result<Acted, Fault> {
        need_admin(who)?;
        let spec = node_identity(identity).ok_or_else(|| Fault::not_found("action"))?;
        let outcome = match spec.identity {
            "record-history" => done(&self.history(who, &Subject::new("node", id), Filter::default()).await?),
            "get-server-status" => self.node_status(who, id).await,
            "check-health" => self.node_check(who, id).await,
            "destroy-node" => {
                let _ = input;
                self.node_begin(who, id, "destroy-node").await
            }
            "retry-node" => self.node_begin(who, id, "retry-node").await,
            other => {
                // Not offered by any adapter yet: the gates say so.
                self.node_gate(who, id, other).await?;
                Err(Fault::new(Code::ActionBlocked, format!("{other} is not offered.")))
            }
        };
        if let Err(fault) = &outcome {
            self.audit_refused(Some(who), spec.identity, Subject::new("node", id), fault).await;
        }
        outcome
    }

    /// Refuses unless every gate of `identity` passes now.
    async fn node_gate(&self, who: &Principal, id: &NodeId, identity: &str) -> Result<(NodeRow, ProviderRow), Fault> {
        let mut c = self.store.read().await?;
        let row = c.node_get(id).await?.ok_or_else(|| Fault::not_found("node"))?;
        let provider = c.provider_get(&row.provider_id).await?;
        let facts = self.facts_in(&mut c, &row, provider.as_ref()).await?;
        gate(&facts, who, identity)?;
        let provider = provider.ok_or_else(|| Fault::not_found("account"))?;
        Ok((row, provider))
    }

    /// Asks the vendor for the server's present state and records what came.
    async fn node_status(&self, who: &Principal, id: &NodeId) -> Result<Acted, Fault> {
        let (row, provider) = self.node_gate(who, id, "get-server-status").await?;
        let open = self.account(&provider)?;
        let infra = open.account.infra().ok_or_else(|| Fault::not_found("action"))?;
        let infra_id = row.infra_id.clone().unwrap_or_default();
        let status = tokio::time::timeout(Duration::from_secs(10), infra.status(&infra_id))
            .await
            .map_err(|_| Fault::new(Code::ProviderUnreachable, "The vendor did not answer within 10 seconds."))?
            .map_err(provider_fault)?;
        let now = self.clock.now();
        let drift = self.node_compared(who, &row, status.as_ref()).await?;
        let observed = match &status {
            Some(s) => json!({ "found": true, "status": s.status, "ipv4": s.ipv4, "ipv6": s.ipv6 }),
            None => json!({ "found": false }),
        };
        Ok(Acted::Done(
            json!({ "node_id": id, "infra_id": infra_id, "observed_at": now, "observed": observed, "drift": drift }),
        ))
    }

    /// Runs the readiness checks now and records what came.
    async fn node_check(&self, who: &Principal, id: &NodeId) -> Result<Acted, Fault> {
        let (row, provider) = self.node_gate(who, id, "check-health").await?;
        let reasons = self.node_probe(&row, &provider, Duration::from_secs(10)).await?;
        let now = self.clock.now();
        let health = Health { ready: reasons.is_empty(), reason_codes: reasons, checked_at: Some(now) };
        let (id_owned, health_owned, who_owned) = (id.clone(), health.clone(), who.clone());
        self.write::<(), Fault, _>(move |c| {
            let (id, health, who) = (id_owned.clone(), health_owned.clone(), who_owned.clone());
            Box::pin(async move {
                let Some(mut row) = c.node_lock(&id).await? else { return Ok(()) };
                // A result that comes late says nothing about a node that has moved on.
                if row.state != NodeState::Ready {
                    return Ok(());
                }
                let words: Vec<_> = health.reason_codes.iter().map(|r| r.as_str()).collect();
                let detail = if words.is_empty() { "healthy".to_owned() } else { words.join(", ") };
                row.health = health;
                if row.health.ready {
                    // Whoever answers is neither off nor gone, whatever was seen before.
                    row.drift.retain(|it| !it.is_unfit());
                }
                row.updated_at = now;
                c.node_save(&row).await?;
                vm_fitness_in(c, &row, unfit_words(&row).as_deref(), now).await?;
                audit_in(c, Happened::ok(&who, "check-health", Subject::new("node", &id), now).detail(detail)).await?;
                Ok(c.event_insert(&[event("node", &id, row.version + 1, None)]).await?)
            })
        })
        .await?;
        done(&health)
    }

    /// Begins a job on a node after its gates have passed, gates and job in one transaction.
    async fn node_begin(&self, who: &Principal, id: &NodeId, identity: &'static str) -> Result<Acted, Fault> {
        let now = self.clock.now();
        let (id, who) = (id.clone(), who.clone());
        let max_attempts = self.settings.work.max_attempts;
        let capabilities: HashMap<String, Vec<Capability>> =
            self.kinds().into_iter().map(|k| (k.kind, k.capabilities)).collect();
        let job_id = self
            .write::<JobId, Fault, _>(move |c| {
                let (id, who, capabilities) = (id.clone(), who.clone(), capabilities.clone());
                Box::pin(async move {
                    let known = c.node_get(&id).await?.ok_or_else(|| Fault::not_found("node"))?;
                    let provider = c.provider_get(&known.provider_id).await?;
                    let vm = id.as_str().parse().map_err(|e| Fault::internal(&e))?;
                    // Locked in the order of everybody: pool, machine, node. A claim and a destroy
                    // never pass each other, and nobody is told to wait for a machine that stays.
                    if let Some(pool) = &known.pool {
                        c.pool_lock(pool).await?;
                    }
                    c.pool_vm_lock(&vm).await?;
                    let row = c.node_lock(&id).await?.ok_or_else(|| Fault::not_found("node"))?;
                    let facts = NodeFacts {
                        id: id.clone(),
                        state: row.state,
                        cleanup: row.cleanup,
                        has_server: row.infra_id.is_some(),
                        open_job: c.job_open_for("node", id.as_str()).await?.map(|j| j.id),
                        allocation: c.allocation_of_vm(&vm).await?.map(|a| a.id),
                        provider_status: provider.as_ref().map_or(ProviderStatus::Disconnected, |p| p.status),
                        capabilities: provider.and_then(|p| capabilities.get(&p.kind).cloned()).unwrap_or_default(),
                        has_login: row.profile.has_login(),
                        powered_off: row.drift.iter().any(Drift::is_powered_off),
                    };
                    gate(&facts, &who, identity)?;
                    match identity {
                        "destroy-node" => node_destroy_in(c, &who, row, Replace::No, max_attempts, now).await,
                        _ => node_retry_in(c, &who, row, max_attempts, now).await,
                    }
                })
            })
            .await?;
        Ok(Acted::Accepted { job_id })
    }

    /// Begins to destroy the nodes whose time after a failure is up. Nothing bills for ever because
    /// nobody looked.
    ///
    /// # Errors
    /// [`Fault`] if the store does not answer.
    pub async fn nodes_keep_sweep(&self) -> Result<usize, Fault> {
        let due = self.store.read().await?.nodes_keep_expired(self.clock.now(), 20).await?;
        let system = Principal::system();
        let mut begun = 0;
        for row in due {
            match self.node_begin(&system, &row.id, "destroy-node").await {
                Ok(_) => begun += 1,
                Err(fault) => {
                    tracing::warn!(node = %row.id, code = %fault.code, "a failed node could not be taken away yet")
                }
            }
        }
        Ok(begun)
    }

    /// The operations by their plain names.
    ///
    /// # Errors
    /// `not_found` for an operation that is none.
    pub async fn infra_operation(&self, who: &Principal, operation: &str, input: Value) -> Result<Acted, Fault> {
        need_admin(who)?;
        match operation {
            "create-server" => {
                let request: NodeCreate =
                    serde_json::from_value(input).map_err(|e| Fault::unreadable("The operation's input", &e))?;
                done(&self.node_acquire(who, request, None).await?).map(|acted| match acted {
                    Acted::Done(value) => {
                        match value.get("job_id").and_then(Value::as_str).and_then(|s| s.parse().ok()) {
                            Some(job_id) => Acted::Accepted { job_id },
                            None => Acted::Done(value),
                        }
                    }
                    accepted => accepted,
                })
            }
            "delete-server" => self.node_act(who, &node_id(&input)?, "destroy-node", json!({})).await,
            "get-server-status" => self.node_act(who, &node_id(&input)?, "get-server-status", json!({})).await,
            _ => Err(Fault::not_found("operation")),
        }
    }
}

fn node_id(input: &Value) -> Result<NodeId, Fault> {
    input
        .get("node_id")
        .and_then(Value::as_str)
        .and_then(|s| s.parse().ok())
        .ok_or_else(|| Fault::field("/node_id", "give the id of a node"))
}

fn gate(facts: &NodeFacts, who: &Principal, identity: &str) -> Result<(), Fault> {
    match node_actions(facts, who).into_iter().find(|a| a.identity == identity) {
        Some(action) if action.enabled => Ok(()),
        Some(action) => Err(Fault::blocked(&action)),
        None => Err(Fault::not_found("action")),
    }
}

/// How the note of a machine begins that is held back because its node is not fit.
const UNFIT: &str = "Its node is not fit: ";

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
        (Some(_), PoolVmStatus::Available) => PoolVmEvent::Park,
        (None, PoolVmStatus::Maintenance) if held_back => PoolVmEvent::MarkClean,
        _ => return Ok(()),
    };
    vm.status = vm.status.apply(happened).map_err(|e| Fault::internal(&e))?;
    vm.note = unfit.map(|why| format!("{UNFIT}{why}."));
    vm.updated_at = now;
    c.pool_vm_save(&vm).await?;
    c.event_insert(&[event("pool", pool, now.millis(), None)]).await?;
    if vm.status == PoolVmStatus::Available {
        assign_waiting_in(c, pool, now).await?;
    }
    Ok(())
}
