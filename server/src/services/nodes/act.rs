//! Acting on nodes: gates and job in one transaction; only the bounded reads call the vendor.

use std::{collections::HashMap, time::Duration};

use domain::{
    access::Principal,
    code::Code,
    id::{JobId, NodeId},
    job::{JobKind, Subject},
    list::Filter,
    node::{Drift, NodeCreate, NodeDestroy, NodeFacts, NodeState, NodeUpgrade, node_actions, node_identity},
    provider::{Capability, ProviderStatus},
    time::Timestamp,
};
use serde_json::{Value, json};
use store::{Conn, NodeRow, ProviderRow};

use super::{
    verb::{Begin, node_verb_in},
    wanted::input_of,
    write::{Backup, Replace, afresh_in, is_kept_whole, node_destroy_in, node_kept_in, node_retry_in},
};
use crate::{
    fault::Fault,
    services::{Acted, Services, Verb, accounts::provider_fault, need_admin, providers::done, spending::held_code},
};

/// A question for one machine that somebody waits for.
const STATUS_BOUND: Duration = Duration::from_secs(10);

/// What is begun on a node.
#[derive(Debug, Clone)]
enum Work {
    Destroy(NodeDestroy),
    /// Its time after a failure is up: destroyed unless somebody took it up meanwhile.
    Expired,
    Retry,
    Verb(Box<Begin>),
}

impl Work {
    fn identity(&self) -> &'static str {
        match self {
            Self::Destroy(_) | Self::Expired => "destroy-node",
            Self::Retry => "retry-node",
            Self::Verb(begin) => begin.identity,
        }
    }
}

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
            "destroy-node" => match input_of::<NodeDestroy>(input) {
                Ok(wish) => self.node_begin(who, id, Work::Destroy(wish)).await,
                Err(fault) => Err(fault),
            },
            "retry-node" => self.node_begin(who, id, Work::Retry).await,
            identity => self.node_verb(who, id, identity, input).await,
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
        let status = tokio::time::timeout(STATUS_BOUND, infra.status(&infra_id))
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

    /// Begins one of the verbs: the gates, then what is wanted, then both again in the transaction.
    async fn node_verb(&self, who: &Principal, id: &NodeId, identity: &str, input: Value) -> Result<Acted, Fault> {
        let (row, provider) = self.node_gate(who, id, identity).await?;
        let begin = match identity {
            "check-health" => Begin::new("check-health", JobKind::NodeHealthCheck, Verb::HealthCheck),
            "suspend-node" => Begin::new("suspend-node", JobKind::NodeSuspend, Verb::Suspend),
            "resume-node" => Begin::new("resume-node", JobKind::NodeResume, Verb::Resume),
            "upgrade-node" => {
                let wish: NodeUpgrade = input_of(input)?;
                let same = wish.tag.is_some() && wish.tag == row.tag;
                let mut row = row;
                if same {
                    // What there is to bring back is seen now, and not with the next regular look.
                    self.node_looked(who, &row, &provider).await;
                    row = self.store.read().await?.node_get(id).await?.ok_or_else(|| Fault::not_found("node"))?;
                }
                let begin = self.upgrade_wanted(&row, &provider, &wish).await?;
                if !same && let Verb::ChangeTag { .. } = begin.verb {
                    self.node_looked(who, &row, &provider).await;
                }
                begin
            }
            "rebuild-node" => {
                let wish: NodeUpgrade = input_of(input)?;
                if wish.server_type.is_some() {
                    return Err(Fault::field("/server_type", "leave it out: a rebuild keeps the type"));
                }
                self.rebuild_wanted(&row, &provider, wish.image.as_deref()).await?
            }
            "exec-command" => self.exec_wanted(&row, &provider, &input_of(input)?).await?,
            _ => return Err(Fault::not_found("action")),
        };
        self.node_begin(who, id, Work::Verb(Box::new(begin))).await
    }

    /// Looks at what the vendor says of a node now, so that what was done there meanwhile counts for
    /// the gates. What does not answer is found out by the job.
    async fn node_looked(&self, who: &Principal, row: &NodeRow, provider: &ProviderRow) {
        let Ok(open) = self.account(provider) else { return };
        let (Some(infra), Some(id)) = (open.account.infra(), &row.infra_id) else { return };
        if let Ok(Ok(status)) = tokio::time::timeout(STATUS_BOUND, infra.status(id)).await
            && let Err(fault) = self.node_compared(who, row, status.as_ref()).await
        {
            tracing::info!(node = %row.id, code = %fault.code, "what was seen of a node could not be written down");
        }
    }

    /// Begins a job on a node after its gates have passed, gates and job in one transaction.
    async fn node_begin(&self, who: &Principal, id: &NodeId, work: Work) -> Result<Acted, Fault> {
        let now = self.clock.now();
        let (id, who) = (id.clone(), who.clone());
        let max_attempts = self.settings.work.max_attempts;
        let capabilities: HashMap<String, Vec<Capability>> =
            self.kinds().into_iter().map(|k| (k.kind, k.capabilities)).collect();
        let job_id = self
            .write::<JobId, Fault, _>(move |c| {
                let (id, who, work, capabilities) = (id.clone(), who.clone(), work.clone(), capabilities.clone());
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
                    let afresh = match &work {
                        Work::Retry => afresh_in(c, &row, provider.as_ref(), now).await?,
                        _ => None,
                    };
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
                        is_stack: row.blueprint.is_some(),
                        powered_off: row.drift.iter().any(Drift::is_powered_off),
                        kept_whole: is_kept_whole(&row),
                        afresh,
                    };
                    gate(&facts, &who, work.identity())?;
                    match &work {
                        Work::Expired if !is_expired(&row, now) => {
                            Err(Fault::new(Code::ConflictState, "The node was taken up again meanwhile."))
                        }
                        Work::Destroy(wish) => {
                            let backup = backup_in(c, &row, wish).await?;
                            node_destroy_in(c, &who, row, (Replace::No, backup), max_attempts, now).await
                        }
                        Work::Expired => {
                            node_destroy_in(c, &who, row, (Replace::No, Backup::No), max_attempts, now).await
                        }
                        Work::Retry => node_retry_in(c, &who, row, max_attempts, now).await,
                        Work::Verb(begin) if is_kept_whole(&row) => {
                            node_kept_in(c, &who, row, begin, max_attempts, now).await
                        }
                        Work::Verb(begin) if begin.verb.is_for_another_than(row.state) => {
                            let words = "The node was suspended or resumed meanwhile.";
                            Err(Fault::new(Code::ConflictState, words))
                        }
                        Work::Verb(begin) => node_verb_in(c, &who, row, begin, max_attempts, now).await,
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
        let mut begun = 0;
        for row in due {
            match self.node_keep_end(&row.id).await {
                Ok(_) => begun += 1,
                Err(fault) => {
                    tracing::warn!(node = %row.id, code = %fault.code, "a failed node could not be taken away yet")
                }
            }
        }
        Ok(begun)
    }

    /// Begins to destroy a node whose time after a failure is up, as it stands in the transaction.
    ///
    /// # Errors
    /// `conflict_state` if it was taken up again; `action_blocked` with the gates.
    pub async fn node_keep_end(&self, id: &NodeId) -> Result<Acted, Fault> {
        self.node_begin(&Principal::system(), id, Work::Expired).await
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
            "create-dns-record" | "delete-dns-record" => self.dns_operation(who, operation, input).await,
            // The others are actions of a node by their own names.
            operation if node_identity(operation).is_some_and(|spec| spec.method == "POST") => {
                let (node, rest) = node_id_taken(input)?;
                self.node_act(who, &node, operation, rest).await
            }
            _ => Err(Fault::not_found("operation")),
        }
    }
}

/// Whether a backup is made of a node that is destroyed: where it is wanted or its data asks for it,
/// and where there is data at all.
async fn backup_in(c: &mut Conn, row: &NodeRow, wish: &NodeDestroy) -> Result<Backup, Fault> {
    let (Some(name), Some(version)) = (&row.blueprint, row.blueprint_version) else {
        let words = "leave it out: Hangar keeps no backups of servers, only of stacks";
        return if wish.backup == Some(true) { Err(Fault::field("/backup", words)) } else { Ok(Backup::No) };
    };
    let wanted = wish.backup.unwrap_or(row.ready_at.is_some());
    if !wanted {
        return Ok(Backup::No);
    }
    let blueprint = c.blueprint_get(name, version).await?.ok_or_else(|| Fault::not_found("blueprint"))?;
    Ok(if blueprint.definition.has_data() { Backup::First } else { Backup::No })
}

/// Whether a node failed, and the time for which it was kept is up.
fn is_expired(row: &NodeRow, now: Timestamp) -> bool {
    row.state == NodeState::Failed && row.keep_until.is_some_and(|until| until <= now)
}

/// The node that an operation names, and the rest of its input.
fn node_id_taken(mut input: Value) -> Result<(NodeId, Value), Fault> {
    let id = input.as_object_mut().and_then(|fields| fields.remove("node_id"));
    let id = id.as_ref().and_then(Value::as_str).and_then(|s| s.parse().ok());
    id.map(|id| (id, input)).ok_or_else(|| Fault::field("/node_id", "give the id of a node"))
}

fn gate(facts: &NodeFacts, who: &Principal, identity: &str) -> Result<(), Fault> {
    match node_actions(facts, who).into_iter().find(|a| a.identity == identity) {
        Some(action) if action.enabled => Ok(()),
        Some(action) => {
            let hold = facts.afresh.as_ref().and_then(|afresh| afresh.hold.as_ref());
            Err(held_code(&action, hold)
                .map_or_else(|| Fault::blocked(&action), |code| Fault { code, ..Fault::blocked(&action) }))
        }
        None => Err(Fault::not_found("action")),
    }
}
