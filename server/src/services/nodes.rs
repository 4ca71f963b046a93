//! Acquiring nodes and acting on them. Everything that reaches the vendor becomes a job, except
//! the one bounded read of `get-server-status`.

use std::{collections::HashMap, time::Duration};

use ::providers::{Chosen, Selection, choose, ssh::HostKey};
use domain::{
    access::Principal,
    code::Code,
    id::{JobId, NodeId, ProviderId},
    job::{JobKind, JobStatus, Subject},
    list::{FieldError, Filter, Listing},
    node::{
        AcquireOptions, Cleanup, Health, NodeAccepted, NodeCreate, NodeEvent, NodeFacts, NodeState, NodeView, Profile,
        node_actions, node_identity,
    },
    pool::{PoolVmEvent, PoolVmStatus},
    provider::{Capability, ProviderStatus},
    time::{SECOND, Timestamp},
    valid::{CockpitTemplate, NodeName, PoolName, amount_micros},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use store::{Conn, FreshId, JobRow, NodeRow, ProviderRow};

use super::{
    Acted, NodeJobState, Services,
    accounts::{provider_fault, provider_fields},
    audit::{Happened, audit_in, event},
    idempotency::{self, Idempotent},
    need_admin,
    pools::{assign_waiting_in, pool_ensure_default_in},
    providers::done,
    views::{Depth, node_view},
};
use crate::fault::Fault;

/// A catalogue that takes longer than this to come does not hold up the answer; the job asks again.
const CATALOG_BOUND: Duration = Duration::from_secs(10);

/// Everything of a new node that is known before its transaction.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub spec: NodeCreate,
    pub name: NodeName,
    pub chosen: Option<Chosen>,
    pub ssh_user: String,
    pub ssh_port: i64,
}

impl Services {
    /// Writes down a node that is wanted and the job that will make it.
    ///
    /// # Errors
    /// `provider_not_connected`, or `validation` naming the field.
    pub async fn node_acquire(
        &self,
        who: &Principal,
        request: NodeCreate,
        idempotent: Option<Idempotent>,
    ) -> Result<NodeAccepted, Fault> {
        need_admin(who)?;
        let provider = match self.store.read().await?.provider_get(&request.provider_id).await? {
            Some(row) => row,
            None => return Err(Fault::field("/provider_id", "use the id of a connected account")),
        };
        let wanted = self.node_wanted(&provider, request).await?;
        let now = self.clock.now();
        let id = NodeId::fresh();
        let (key_public, key_sealed) = self.host_key(&id)?;
        let settings = self.settings.work.clone();
        let who_owned = who.clone();
        self.write::<NodeAccepted, Fault, _>(move |c| {
            let (who, wanted, id, settings) = (who_owned.clone(), wanted.clone(), id.clone(), settings.clone());
            let key = (key_public.clone(), key_sealed.clone());
            let idempotent = idempotent.clone();
            Box::pin(async move {
                let accepted =
                    node_insert_in(c, &who, &wanted, Growth::Yes, id, key, settings.max_attempts, now).await?;
                idempotency::store_in(c, idempotent.as_ref(), 202, &accepted, now).await?;
                Ok(accepted)
            })
        })
        .await
    }

    /// Checks a request for a node as far as it can be checked before its job runs.
    pub(crate) async fn node_wanted(&self, provider: &ProviderRow, spec: NodeCreate) -> Result<Wanted, Fault> {
        let mut errors = Vec::new();
        let mut wrong =
            |pointer: &str, message: String| errors.push(FieldError { pointer: pointer.to_owned(), message });
        let name = spec.name.parse::<NodeName>().map_err(|e| wrong("/name", e.to_string())).ok();
        if let Some(template) = &spec.cockpit_url
            && let Err(error) = CockpitTemplate::parse(template)
        {
            wrong("/cockpit_url", error.to_string());
        }
        if let Some(price) = &spec.max_price_monthly
            && let Err(error) = amount_micros(price)
        {
            wrong("/max_price_monthly", error.to_string());
        }
        if spec.user_data.as_ref().is_some_and(|d| d.len() > 24 * 1024) {
            wrong("/user_data", "user data is at most 24 KiB".to_owned());
        }
        if spec.verify_cockpit == Some(true) && spec.cockpit_url.is_none() {
            wrong("/verify_cockpit", "verifying the cockpit needs a cockpit_url".to_owned());
        }
        for (key, value) in &spec.labels {
            if !label_key(key) || !label_value(value) {
                wrong(
                    &format!("/labels/{key}"),
                    "keys are 1 to 63 and values up to 63 letters, digits and . _ -, and no key begins with hangar or managed-by".to_owned(),
                );
            }
        }
        let capabilities = self.capabilities(&provider.kind);
        if !capabilities.contains(&Capability::Provision) {
            wrong("/provider_id", format!("accounts of kind {} make no nodes", provider.kind));
        }
        if spec.compose.is_some() && provider.kind != "docker-compose" {
            wrong("/compose", format!("accounts of kind {} make servers, not Compose stacks", provider.kind));
        }
        if let Some(dns) = &spec.dns {
            let known = self.store.read().await?.provider_get(&dns.provider_id).await?;
            if !known.is_some_and(|p| self.capabilities(&p.kind).contains(&Capability::Dns)) {
                wrong("/dns/provider_id", "use an account whose kind offers DNS".to_owned());
            }
        }
        if !errors.is_empty() {
            return Err(Fault::fields(errors));
        }
        let Some(name) = name else { return Err(Fault::field("/name", "a name is needed")) };
        if provider.status != ProviderStatus::Connected {
            return Err(Fault {
                recovery: Some(Box::new(Code::ProviderNotConnected.recovery())),
                ..Fault::new(
                    Code::ProviderNotConnected,
                    format!(
                        "The account {} is {}; its last check said: {}",
                        provider.name,
                        provider.status,
                        provider.last_message.as_deref().unwrap_or("nothing yet.")
                    ),
                )
            });
        }
        let chosen = match tokio::time::timeout(CATALOG_BOUND, self.catalog_of(provider)).await {
            Ok(Ok(catalog)) => Some(choose(&catalog, &Selection::from(&spec)).map_err(provider_fields)?),
            // The vendor does not answer now: the job chooses when it does.
            Ok(Err(_)) | Err(_) => None,
        };
        let setting = |key: &str| provider.settings.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
        Ok(Wanted {
            name,
            chosen,
            ssh_user: setting("ssh_user").unwrap_or_else(|| "root".to_owned()),
            ssh_port: provider
                .settings
                .get("ssh_port")
                .and_then(|v| v.as_i64().or_else(|| v.as_str()?.parse().ok()))
                .unwrap_or(22),
            spec,
        })
    }

    /// A fresh host key for a node: the public half, and the private half sealed.
    pub(crate) fn host_key(&self, id: &NodeId) -> Result<(String, String), Fault> {
        let key = HostKey::generate().map_err(|e| Fault::internal(&e))?;
        let sealed = self
            .keyring
            .seal(&host_key_row(id), key.private_openssh().expose_secret().as_bytes())
            .map_err(|e| Fault::internal(&e))?;
        Ok((key.public_openssh().to_owned(), sealed))
    }

    /// Opens a node's private host key.
    pub(crate) fn host_key_open(&self, node: &NodeRow) -> Result<Option<HostKey>, Fault> {
        let Some(sealed) = &node.host_key_sealed else { return Ok(None) };
        let text = self.keyring.open(&host_key_row(&node.id), sealed).map_err(|e| Fault::internal(&e))?;
        let text = std::str::from_utf8(&text).map_err(|e| Fault::internal(&e))?;
        HostKey::from_openssh(SecretString::from(text)).map(Some).map_err(|e| Fault::internal(&e))
    }

    /// The nodes, newest first.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn nodes_page(&self, who: &Principal, filter: Filter) -> Result<Listing<NodeView>, Fault> {
        need_admin(who)?;
        let mut c = self.store.read().await?;
        let page = c.nodes_page(&filter).await?;
        let count = c.nodes_count(&filter, Listing::<()>::COUNT_CAP).await?;
        let providers: HashMap<ProviderId, ProviderRow> =
            c.provider_list().await?.into_iter().map(|p| (p.id.clone(), p)).collect();
        let items = page.items.iter().map(|row| node_view(row, providers.get(&row.provider_id), None, None)).collect();
        Ok(Listing { items, next_cursor: page.next_cursor, count })
    }

    /// One node.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn node_show(&self, who: &Principal, id: &NodeId) -> Result<NodeView, Fault> {
        need_admin(who)?;
        let mut c = self.store.read().await?;
        let row = c.node_get(id).await?.ok_or_else(|| Fault::not_found("node"))?;
        let provider = c.provider_get(&row.provider_id).await?;
        let job = c.job_latest_for("node", id.as_str()).await?;
        let facts = self.facts_in(&mut c, &row, provider.as_ref()).await?;
        Ok(node_view(&row, provider.as_ref(), job.as_ref(), Some((&facts, who))))
    }

    async fn facts_in(&self, c: &mut Conn, row: &NodeRow, provider: Option<&ProviderRow>) -> Result<NodeFacts, Fault> {
        let open = c.job_open_for("node", row.id.as_str()).await?.map(|j| j.id);
        let vm = row.id.as_str().parse().map_err(|e| Fault::internal(&e))?;
        let allocation = c.allocation_of_vm(&vm).await?.map(|a| a.id);
        Ok(self.node_facts(row, provider, open, allocation))
    }

    /// What the acquire form offers.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn acquire_options(
        &self,
        who: &Principal,
        provider: Option<ProviderId>,
    ) -> Result<AcquireOptions, Fault> {
        need_admin(who)?;
        let (rows, pools) = {
            let mut c = self.store.read().await?;
            (c.provider_list().await?, c.pools_all().await?)
        };
        let can: Vec<_> = rows.iter().filter(|r| self.capabilities(&r.kind).contains(&Capability::Provision)).collect();
        let chosen = match &provider {
            Some(id) => can.iter().find(|r| &r.id == id),
            None => can
                .iter()
                .find(|r| r.status == ProviderStatus::Connected && r.kind == self.settings.preselected_kind)
                .or_else(|| can.iter().find(|r| r.status == ProviderStatus::Connected)),
        };
        let catalog = match chosen {
            None => Err("Connect an account first.".to_owned()),
            Some(row) => match tokio::time::timeout(CATALOG_BOUND, self.catalog_of(row)).await {
                Ok(Ok(catalog)) => Ok((*catalog).clone()),
                Ok(Err(fault)) => Err(fault.detail),
                Err(_) => Err("The vendor did not answer within 10 seconds.".to_owned()),
            },
        };
        let mut pools: Vec<PoolName> = pools.into_iter().map(|p| p.name).collect();
        if !pools.contains(&PoolName::default_pool()) {
            pools.insert(0, PoolName::default_pool());
        }
        let demo = self.settings.demo.as_ref();
        let ssh_off = demo.and_then(|d| d.ssh_off.clone()).or_else(|| self.ssh_missing.clone());
        Ok(AcquireOptions {
            providers: can.iter().map(|r| self.provider_view(r, 0, 0, Depth::List)).collect(),
            selected: chosen.map(|r| r.id.clone()),
            catalog,
            pools,
            suggested_cockpit_url: demo.map(|d| d.cockpit_url.clone()),
            suggested_profile: if ssh_off.is_some() { Profile::None } else { Profile::Base },
            profile_note: ssh_off.map(|why| format!("SSH verification is off here: {why}")),
        })
    }

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
        let drift = super::acquisition::drift_of(&row, status.as_ref());
        let id_owned = id.clone();
        let drift_owned = drift.clone();
        self.write::<(), Fault, _>(move |c| {
            let (id, drift) = (id_owned.clone(), drift_owned.clone());
            Box::pin(async move {
                let Some(mut row) = c.node_lock(&id).await? else { return Ok(()) };
                row.observed_at = Some(now);
                row.drift = drift;
                row.updated_at = now;
                c.node_save(&row).await?;
                if row.state == NodeState::Ready {
                    let gone = row.drift.iter().find(|d| matches!(d.field.as_str(), "server" | "status"));
                    let unfit = gone.map(|d| format!("the vendor says {}", d.observed));
                    vm_fitness_in(c, &row, unfit.as_deref(), now).await?;
                }
                Ok(c.event_insert(&[event("node", &id, row.version + 1, None)]).await?)
            })
        })
        .await?;
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
                row.updated_at = now;
                c.node_save(&row).await?;
                let unfit = (!row.health.ready).then_some(detail.as_str());
                vm_fitness_in(c, &row, unfit, now).await?;
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
                        has_login: row.profile != Profile::None,
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

pub(super) fn host_key_row(id: &NodeId) -> String {
    format!("host_key:{id}")
}

fn label_value(text: &str) -> bool {
    let ends = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    text.is_empty()
        || (text.len() <= 63
            && ends(text.bytes().next())
            && ends(text.bytes().last())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')))
}

fn label_key(text: &str) -> bool {
    !text.is_empty() && label_value(text) && !text.starts_with("hangar") && !text.starts_with("managed-by")
}

/// Whether a node makes its pool larger or takes another one's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Growth {
    /// It is one more.
    Yes,
    /// It takes the place of one that is gone.
    No,
}

/// Writes down a node and the job that makes it, in the caller's transaction.
#[expect(clippy::too_many_arguments, reason = "each is of its own kind")]
pub(super) async fn node_insert_in(
    c: &mut Conn,
    who: &Principal,
    wanted: &Wanted,
    growth: Growth,
    id: NodeId,
    (key_public, key_sealed): (String, String),
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
        price_monthly: chosen.map(|ch| ch.price_monthly.clone()),
        currency: chosen.map(|ch| ch.currency.clone()),
        profile: wanted.spec.profile.unwrap_or(Profile::Base),
        spec: wanted.spec.clone(),
        host_key_public: Some(key_public),
        host_key_sealed: Some(key_sealed),
        ssh_user: Some(wanted.ssh_user.clone()),
        ssh_port: Some(wanted.ssh_port),
        create_attempted_at: None,
        health: Health { ready: false, reason_codes: vec![domain::node::ReasonCode::NodeNotReady], checked_at: None },
        observed_at: None,
        drift: Vec::new(),
        pool: wanted.spec.pool.clone(),
        cockpit_url: None,
        keep_until: None,
        created_by: who.user_id.clone(),
        created_at: now,
        updated_at: now,
        destroyed_at: None,
        version: 1,
        id: id.clone(),
    };
    c.node_insert(&node).await?;
    let job = job_row(JobKind::NodeProvision, &node, NodeJobState::default(), who, max_attempts, now)?;
    c.job_insert(&job).await?;
    let place = match first {
        Some(pair) => format!("{} ({} at {})", node.name, pair.server_type, pair.location),
        None => node.name.to_string(),
    };
    audit_in(c, Happened::ok(who, "node.acquire", Subject::new("node", &id), now).detail(place)).await?;
    c.event_insert(&[event("node", &id, 1, None), event("job", &job.id, 1, None)]).await?;
    Ok(NodeAccepted { node_id: id, job_id: job.id })
}

/// A job on a node, queued now.
pub(super) fn job_row(
    kind: JobKind,
    node: &NodeRow,
    state: NodeJobState,
    who: &Principal,
    max_attempts: u32,
    now: Timestamp,
) -> Result<JobRow, Fault> {
    Ok(JobRow {
        id: JobId::fresh(),
        kind,
        status: JobStatus::Queued,
        subject: Subject::new("node", &node.id),
        subject_name: Some(node.name.to_string()),
        attempt: 0,
        max_attempts,
        step: None,
        state: serde_json::to_value(state).map_err(|e| Fault::internal(&e))?,
        progress: 0,
        error: None,
        cancel_requested: false,
        fence: 0,
        lease_owner: None,
        lease_until: None,
        run_after: now,
        deadline_at: None,
        created_by: who.user_id.clone(),
        created_at: now,
        started_at: None,
        finished_at: None,
        version: 1,
    })
}

/// Whether a node that is destroyed is acquired anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replace {
    /// It is gone for good.
    No,
    /// The same again takes its place in its pool.
    Yes,
    /// Its machine is being cleaned; what takes its place is decided by the pool's target.
    Later,
}

/// Begins to destroy a node, in the caller's transaction: the node leaves its pool at once.
pub(super) async fn node_destroy_in(
    c: &mut Conn,
    who: &Principal,
    mut row: NodeRow,
    replace: Replace,
    max_attempts: u32,
    now: Timestamp,
) -> Result<JobId, Fault> {
    row.state = row.state.apply(NodeEvent::DestroyBegun).map_err(|e| Fault::internal(&e))?;
    row.keep_until = None;
    row.updated_at = now;
    row.health.ready = false;
    let state = NodeJobState { replace: replace == Replace::Yes, ..NodeJobState::default() };
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
    audit_in(c, Happened::ok(who, "destroy-node", Subject::new("node", &row.id), now).detail(row.name.to_string()))
        .await?;
    c.event_insert(&events).await?;
    Ok(job.id)
}

/// Takes failed work up again, in the caller's transaction: from the stage that failed where the
/// server was kept, afresh otherwise.
pub(super) async fn node_retry_in(
    c: &mut Conn,
    who: &Principal,
    mut row: NodeRow,
    max_attempts: u32,
    now: Timestamp,
) -> Result<JobId, Fault> {
    let kept = row.failed_stage.is_some_and(NodeState::is_after_hand_over) && row.infra_id.is_some();
    let was_destroying = row.failed_stage == Some(NodeState::Destroying);
    if was_destroying {
        return node_destroy_in(c, who, row, Replace::No, max_attempts, now).await;
    }
    let happened = if kept { NodeEvent::RetriedFromProvisioning } else { NodeEvent::RetriedAfresh };
    row.state = row.state.apply(happened).map_err(|e| Fault::internal(&e))?;
    row.failed_stage = None;
    row.code = None;
    row.message = None;
    row.keep_until = None;
    row.updated_at = now;
    if !kept {
        row.infra_id = None;
        row.action_id = None;
        row.host = None;
        row.ipv4 = None;
        row.ipv6 = None;
        row.create_attempted_at = None;
        row.cleanup = Cleanup::None;
    }
    let state = NodeJobState { handed_over: kept, ..NodeJobState::default() };
    let state = serde_json::to_value(state).map_err(|e| Fault::internal(&e))?;
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
            let job = job_row(
                JobKind::NodeProvision,
                &row,
                NodeJobState { handed_over: kept, ..NodeJobState::default() },
                who,
                max_attempts,
                now,
            )?;
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

/// How the note of a machine begins that is held back because its node is not fit.
const UNFIT: &str = "Its node is not fit: ";

/// Holds a free machine back while its node is not fit to be given to anyone, and lets it go again
/// once it is.
async fn vm_fitness_in(c: &mut Conn, row: &NodeRow, unfit: Option<&str>, now: Timestamp) -> Result<(), Fault> {
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

/// Seconds as a span.
pub(super) fn seconds(count: i64) -> i64 {
    count.saturating_mul(SECOND)
}
