//! The truth at the vendors: every account is looked at regularly, and what it says is compared with
//! what is recorded. The rule: one listing answers for all machines of an account; what it lacks is
//! asked for by its id before it is called gone; and a node that something works on, or that changed
//! since the listing began, is left for the next time.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use ::providers::{InfraProvider, MachinePower, MachineStatus, Trouble};
use domain::{
    access::Principal,
    code::Code,
    id::NodeId,
    job::Subject,
    node::{Cleanup, Drift, Freshness, GONE, Health, NodeState, RUNNING_AGAIN, ReasonCode, SERVICES},
    provider::{Capability, ProviderStatus},
    time::{Millis, Timestamp},
};
use store::{Conn, NodeRow, ProviderRow};

use super::{
    Services,
    accounts::provider_fault,
    audit::{Happened, audit_in, event},
    blueprints::node_port_in,
    dns::ZonesLooked,
    nodes::{is_kept_whole, vm_fitness_in},
};
use crate::fault::Fault;

/// A listing that takes longer than this has failed. It may have many pages.
const LIST_BOUND: Duration = Duration::from_secs(60);
/// A question for one machine.
const ASK_BOUND: Duration = Duration::from_secs(10);
/// Machines that a listing lacks and that are asked for in one round; the others wait.
const ASKED_AT_ONCE: usize = 25;
/// Nodes read or written at once.
const PAGE: u32 = 200;
/// Accounts observed at once by one process.
pub(crate) const OBSERVED_AT_ONCE: u32 = 20;
/// Intervals after which what is known is stale.
const STALE_AFTER: Millis = 3;

impl Services {
    /// Observes the accounts whose turn it is; answers how many. However many processes ask, each
    /// account is observed by one of them.
    ///
    /// # Errors
    /// [`Fault`] if the store does not answer; what a vendor fails with stays with its account.
    pub async fn accounts_observe_due(&self) -> Result<usize, Fault> {
        let ours = self.accounts_observe_claim(OBSERVED_AT_ONCE).await?;
        futures::future::join_all(ours.iter().map(|row| self.account_observe(row))).await;
        Ok(ours.len())
    }

    /// Takes up to `most` of the accounts whose turn it is; whoever took them observes them.
    pub(crate) async fn accounts_observe_claim(&self, most: u32) -> Result<Vec<ProviderRow>, Fault> {
        let now = self.clock.now();
        let due = self.store.read().await?.providers_observe_due(now, most).await?;
        let mut ours = Vec::new();
        for row in due {
            let (id, next) = (row.id.clone(), now.plus(self.observe_wait(&row)));
            let claimed = self
                .write::<bool, Fault, _>(move |c| {
                    let id = id.clone();
                    Box::pin(async move { Ok(c.provider_observe_claim(&id, now, next).await?) })
                })
                .await?;
            if claimed {
                ours.push(row);
            }
        }
        Ok(ours)
    }

    /// Observes an account; what keeps it from being compared is said in the log.
    pub(crate) async fn account_observe(&self, provider: &ProviderRow) {
        if let Err(fault) = self.account_compare(provider).await {
            tracing::warn!(code = %fault.code, detail = %fault.detail, "an account could not be compared");
        }
    }

    /// Until the next look: longer while the vendor grants few calls or refuses the credential, and
    /// never quite the same, so that accounts do not come all at once.
    fn observe_wait(&self, row: &ProviderRow) -> Millis {
        let work = &self.settings.work;
        let every = if row.status == ProviderStatus::Connected {
            let low = self
                .account(row)
                .ok()
                .and_then(|open| open.account.budget())
                .is_some_and(|budget| u64::from(budget.remaining) * 4 < u64::from(budget.limit));
            if low { work.observe_every.saturating_mul(4) } else { work.observe_every }
        } else {
            work.observe_every.max(work.check_every)
        };
        let mut byte = [0_u8; 1];
        let _ = getrandom::fill(&mut byte);
        every.saturating_sub(every / 10 * i64::from(byte[0]) / 255)
    }

    async fn account_compare(&self, provider: &ProviderRow) -> Result<(), Fault> {
        let capabilities = self.capabilities(&provider.kind);
        let has_machines = capabilities.contains(&Capability::Provision);
        // The names first: how they are is told with the machines, whose end of the look is the
        // account's.
        let mut untold = None;
        if capabilities.contains(&Capability::Dns) {
            match self.dns_observe(provider).await {
                Ok(looked) if has_machines => untold = looked.failed.map(|fault| fault.detail).or(looked.unlisted),
                Ok(ZonesLooked { failed: Some(fault), .. }) => return self.observe_failed(provider, &fault).await,
                Ok(looked) => return self.observed(provider, looked.owned, looked.unlisted).await,
                Err(fault) if fault.code == Code::Unavailable => return Err(fault),
                Err(fault) if has_machines => untold = Some(fault.detail),
                Err(fault) => return self.observe_failed(provider, &fault).await,
            }
        }
        if !has_machines {
            return Ok(());
        }
        let begun = self.clock.now();
        let seen = match self.account_look(provider).await {
            Ok(seen) => seen,
            // A database that does not answer says nothing of the vendor.
            Err(fault) if fault.code == Code::Unavailable => return Err(fault),
            Err(fault) => return self.observe_failed(provider, &fault).await,
        };
        let now = self.clock.now();
        let system = Principal::system();
        let (mut same, mut gone) = (Vec::new(), Vec::new());
        for (row, status) in &seen.nodes {
            let drift = drift_of(row, status.as_ref());
            let port = port_of(row, status.as_ref());
            if drift.iter().any(Drift::is_gone) {
                gone.push(row.clone());
            }
            // Held back again, should anybody have let it go meanwhile.
            let unfit = row.pool.is_some() && drift.iter().any(|it| it.is_unfit(row.host.as_deref()));
            if drift == row.drift && !unfit && port.is_none() {
                same.push(row.id.clone());
            } else {
                self.drift_put(&system, row, (drift, port), now).await?;
            }
        }
        for some in same.chunks(500) {
            let ids = some.to_vec();
            self.write::<(), Fault, _>(move |c| {
                let ids = ids.clone();
                Box::pin(async move { Ok(c.nodes_observed_set(&ids, now).await?) })
            })
            .await?;
        }
        self.orphans_seen(provider, seen.machines, gone, (begun, now), untold).await
    }

    /// An account without machines was looked at; `untold` is what could not be.
    async fn observed(&self, provider: &ProviderRow, owned: u32, untold: Option<String>) -> Result<(), Fault> {
        let (id, version, now) = (provider.id.clone(), provider.version, self.clock.now());
        let changed = provider.owned != Some(owned) || provider.observe_failed != untold;
        self.write::<(), Fault, _>(move |c| {
            let (id, untold) = (id.clone(), untold.clone());
            Box::pin(async move {
                c.provider_observed_set(&id, now, owned).await?;
                if let Some(why) = &untold {
                    c.provider_observe_failed_set(&id, why).await?;
                }
                if changed {
                    c.event_insert(&[event("provider", &id, version, None)]).await?;
                }
                Ok(())
            })
        })
        .await
    }

    async fn observe_failed(&self, provider: &ProviderRow, fault: &Fault) -> Result<(), Fault> {
        tracing::info!(provider = %provider.id, code = %fault.code, "an account could not be observed");
        if provider.observe_failed.as_deref() == Some(fault.detail.as_str()) {
            return Ok(());
        }
        let (id, why, version) = (provider.id.clone(), fault.detail.clone(), provider.version);
        self.write::<(), Fault, _>(move |c| {
            let (id, why) = (id.clone(), why.clone());
            Box::pin(async move {
                c.provider_observe_failed_set(&id, &why).await?;
                Ok(c.event_insert(&[event("provider", &id, version, None)]).await?)
            })
        })
        .await
    }

    /// What the vendor says of an account's machines, and the nodes that it says something about.
    async fn account_look(&self, provider: &ProviderRow) -> Result<Seen, Fault> {
        let open = self.account(provider)?;
        let infra = open.account.infra().ok_or_else(|| Fault::not_found("account"))?;
        // What changes from here on is newer than the listing.
        let before: HashMap<NodeId, i64> =
            self.nodes_at(provider).await?.into_iter().map(|row| (row.id, row.version)).collect();
        let machines = tokio::time::timeout(LIST_BOUND, infra.owned())
            .await
            .map_err(|_| {
                Fault::new(Code::ProviderUnreachable, "The vendor did not list the machines within a minute.")
            })?
            .map_err(provider_fault)?;
        let listed: HashMap<&str, &MachineStatus> = machines.iter().map(|it| (it.infra_id.as_str(), it)).collect();
        let mut nodes = Vec::new();
        let mut missing = Vec::new();
        for row in self.nodes_at(provider).await? {
            if !is_comparable(&row) || before.get(&row.id) != Some(&row.version) {
                continue;
            }
            match row.infra_id.as_deref().and_then(|id| listed.get(id)) {
                Some(machine) => nodes.push((row, Some((*machine).clone()))),
                // An id is never used again: what is gone stays gone.
                None if row.drift.iter().any(Drift::is_gone) => nodes.push((row, None)),
                None => missing.push(row),
            }
        }
        missing.sort_by_key(|row| row.observed_at);
        missing.truncate(ASKED_AT_ONCE);
        let answers = futures::future::join_all(missing.iter().map(|row| asked(infra, row))).await;
        for (row, answer) in missing.into_iter().zip(answers) {
            match answer {
                Ok(status) => nodes.push((row, status)),
                // Nothing was learnt of this one; it is asked for again in the next round.
                Err(fault) => tracing::info!(node = %row.id, code = %fault.code, "a machine could not be asked for"),
            }
        }
        Ok(Seen { machines, nodes })
    }

    pub(super) async fn nodes_at(&self, provider: &ProviderRow) -> Result<Vec<NodeRow>, Fault> {
        let mut all: Vec<NodeRow> = Vec::new();
        loop {
            let after = all.last().and_then(|row| row.infra_id.clone()).unwrap_or_default();
            let page = self.store.read().await?.nodes_at_account(&provider.id, &after, PAGE).await?;
            let last = page.len() < PAGE as usize;
            all.extend(page);
            if last {
                return Ok(all);
            }
        }
    }

    /// Compares one node with what the vendor says of its machine, and writes down what came.
    ///
    /// # Errors
    /// [`Fault`] if the store does not answer.
    pub(super) async fn node_compared(
        &self,
        who: &Principal,
        row: &NodeRow,
        status: Option<&MachineStatus>,
    ) -> Result<Vec<Drift>, Fault> {
        let drift = drift_of(row, status);
        self.drift_put(who, row, (drift.clone(), port_of(row, status)), self.clock.now()).await?;
        Ok(drift)
    }

    /// Writes down how a node was found and at which other port its cockpit answers, unless it has
    /// changed since it was read or something works on it. A free machine of a pool is held back while
    /// nobody can use it.
    async fn drift_put(
        &self,
        who: &Principal,
        row: &NodeRow,
        (drift, port): (Vec<Drift>, Option<u16>),
        now: Timestamp,
    ) -> Result<(), Fault> {
        let (who, id, version, pool) = (who.clone(), row.id.clone(), row.version, row.pool.clone());
        self.write::<(), Fault, _>(move |c| {
            let (who, id, pool, drift) = (who.clone(), id.clone(), pool.clone(), drift.clone());
            Box::pin(async move {
                // Locked in the order of everybody: pool, machine, node.
                if let Some(pool) = &pool {
                    c.pool_lock(pool).await?;
                    let vm = id.as_str().parse().map_err(|e| Fault::internal(&e))?;
                    c.pool_vm_lock(&vm).await?;
                }
                let Some(mut row) = c.node_lock(&id).await? else { return Ok(()) };
                if row.version != version || c.job_open_for("node", id.as_str()).await?.is_some() {
                    return Ok(());
                }
                if let Some(port) = port {
                    node_port_in(c, &id, port, now).await?;
                    let Some(moved) = c.node_lock(&id).await? else { return Ok(()) };
                    row = moved;
                }
                if row.drift == drift {
                    c.nodes_observed_set(std::slice::from_ref(&id), now).await?;
                } else {
                    row.observed_at = Some(now);
                    health_seen(&mut row, &drift, now);
                    row.drift = drift;
                    row.updated_at = now;
                    c.node_save(&row).await?;
                    audit_in(c, told(&who, &row, now)).await?;
                    c.event_insert(&[event("node", &id, row.version + 1, None)]).await?;
                }
                if row.state != NodeState::Ready {
                    return Ok(());
                }
                vm_fitness_in(c, &row, unfit_words(&row).as_deref(), now).await
            })
        })
        .await
    }

    /// How fresh what is known of a node is. Only what is regularly observed can be stale.
    pub(super) fn freshness(&self, row: &NodeRow, provider: Option<&ProviderRow>) -> Freshness {
        let known = row.observed_at.unwrap_or(row.created_at);
        let late = self.clock.now().since(known) > self.settings.work.observe_every.saturating_mul(STALE_AFTER);
        let stale = late && row.infra_id.is_some() && is_comparable(row);
        let reason = stale.then(|| match provider {
            None => "The node's account is no longer connected.".to_owned(),
            Some(provider) => provider
                .observe_failed
                .clone()
                .unwrap_or_else(|| "The vendor's answer for this machine is still awaited.".to_owned()),
        });
        Freshness { observed_at: row.observed_at, stale, reason }
    }

    /// Why what is known of an account's machines is not to be relied on, if it is not.
    pub(super) fn account_stale(&self, row: &ProviderRow) -> Option<String> {
        let capabilities = self.capabilities(&row.kind);
        if !capabilities.contains(&Capability::Provision) && !capabilities.contains(&Capability::Dns) {
            return None;
        }
        let late = self.settings.work.observe_every.saturating_mul(STALE_AFTER);
        let known = row.observed_at.unwrap_or(row.created_at);
        (self.clock.now().since(known) > late)
            .then(|| row.observe_failed.clone().unwrap_or_else(|| "It was not compared for a while.".to_owned()))
    }
}

/// What one look at an account gave.
struct Seen {
    /// Every machine that carries our labels.
    machines: Vec<MachineStatus>,
    /// Nodes with what the vendor says of their machine; `None` if it is gone.
    nodes: Vec<(NodeRow, Option<MachineStatus>)>,
}

async fn asked(infra: &dyn InfraProvider, row: &NodeRow) -> Result<Option<MachineStatus>, Fault> {
    let id = row.infra_id.as_deref().unwrap_or_default();
    tokio::time::timeout(ASK_BOUND, infra.status(id))
        .await
        .map_err(|_| Fault::new(Code::ProviderUnreachable, "The vendor did not answer within 10 seconds."))?
        .map_err(provider_fault)
}

/// Whether a node stands still, so that it can be compared: nothing works on it, and it should have a
/// server.
fn is_comparable(row: &NodeRow) -> bool {
    match row.state {
        NodeState::Ready | NodeState::Suspended => true,
        NodeState::Failed => row.cleanup == Cleanup::None,
        _ => false,
    }
}

fn told<'a>(who: &'a Principal, row: &NodeRow, now: Timestamp) -> Happened<'a> {
    let words: Vec<_> = row
        .drift
        .iter()
        .map(|it| format!("{}: {} is recorded, the vendor says {}", it.field, it.recorded, it.observed))
        .collect();
    let line = Happened::ok(who, "node.drift", Subject::new("node", &row.id), now);
    if words.is_empty() {
        return line.detail("The vendor's truth is as recorded again.");
    }
    let line = line.detail(words.join("; "));
    if row.drift.iter().any(Drift::is_gone) { line.failed(Code::ProviderResourceGone) } else { line }
}

/// Whether nobody can use the node, by what the vendor says of it.
pub(super) fn is_unfit(row: &NodeRow) -> bool {
    row.drift.iter().any(|it| it.is_unfit(row.host.as_deref()))
}

/// Why a node is not fit to be given to anyone, if it is not.
pub(super) fn unfit_words(row: &NodeRow) -> Option<String> {
    if let Some(drift) = row.drift.iter().find(|it| it.is_unfit(row.host.as_deref())) {
        return Some(match () {
            () if drift.is_down() => format!("the vendor says {}", drift.observed),
            () if drift.is_broken() => format!("of its services, {}", drift.observed),
            () => "its address changed at the vendor".to_owned(),
        });
    }
    let codes: Vec<_> = row.health.reason_codes.iter().map(|code| code.as_str()).collect();
    (!row.health.ready).then(|| codes.join(", "))
}

/// Where the vendor's truth differs from what is recorded; nothing differs while something works on
/// the node.
fn drift_of(row: &NodeRow, status: Option<&MachineStatus>) -> Vec<Drift> {
    let mut drift = Vec::new();
    if !is_comparable(row) {
        return drift;
    }
    let mut differs = |field: &str, recorded: &str, observed: &str, guidance: &str| {
        drift.push(Drift {
            field: field.to_owned(),
            recorded: recorded.to_owned(),
            observed: observed.to_owned(),
            guidance: guidance.to_owned(),
        });
    };
    let Some(status) = status else {
        let guidance = match row.blueprint {
            None => {
                "The vendor no longer knows it; nothing bills. Choose Destroy to clear it here, and acquire a new one."
            }
            Some(_) => "The engine no longer has it. Choose Destroy to clear it here, and acquire a new one.",
        };
        differs("server", "exists", GONE, guidance);
        return drift;
    };
    match (row.state, status.status) {
        (NodeState::Failed, MachinePower::Off) if is_kept_whole(row) => {
            let guidance = "Nothing of it runs, and nothing was taken away. Choose Resume to start it.";
            differs("status", "running", "off", guidance);
        }
        (NodeState::Ready, MachinePower::Off) => {
            let guidance = match row.blueprint {
                None => "It was switched off at the vendor and still bills. Choose Resume to start it.",
                Some(_) => {
                    "Its application services were stopped on the engine, or ended. Choose Resume to start them."
                }
            };
            differs("status", "running", "off", guidance);
        }
        (NodeState::Suspended, MachinePower::Running) => {
            let guidance = match row.blueprint {
                None => {
                    "It was started at the vendor. Choose Resume to take it into use again, or switch it off there."
                }
                Some(_) => "It was started on the engine. Choose Resume to take it into use again, or stop it there.",
            };
            differs("status", "off", "running", guidance);
        }
        (NodeState::Suspended, MachinePower::Unknown) if row.blueprint.is_some() => {
            let guidance = "Some of its application services were started on the engine. Choose Resume to take all of it into use again, or stop them there.";
            differs("status", "off", "partly running", guidance);
        }
        (_, MachinePower::Deleting) => {
            differs(
                "status",
                "exists",
                "deleting",
                "It is being deleted at the vendor. Choose Destroy to clear it here.",
            );
        }
        // A server that is on its way is looked at again when it has arrived. What a stack's services
        // lack is told by themselves: nothing of Hangar's works on it, so it does not get there alone.
        _ => {
            if let Some((observed, guidance)) = services_seen(row, status) {
                differs(SERVICES, "running", &observed, guidance);
            }
        }
    }
    if let (Some(recorded), Some(observed)) = (&row.tag, &status.image)
        && row.blueprint.is_some()
        && recorded != observed
    {
        let guidance = "Its application services were given another tag on the engine. Choose Upgrade and name the tag that they shall have.";
        differs("tag", recorded, observed, guidance);
    }
    for (field, recorded, observed) in [("ipv4", &row.ipv4, &status.ipv4), ("ipv6", &row.ipv6, &status.ipv6)] {
        if let Some(recorded) = recorded
            && Some(recorded) != observed.as_ref()
        {
            let observed = observed.as_deref().unwrap_or("none");
            let guidance = "Its address changed at the vendor; what is reached under the recorded one may be somebody else's. Put the address back there, or choose Destroy and acquire a new node.";
            differs(field, recorded, observed, guidance);
        }
    }
    if let (Some(recorded), Some(observed)) = (&row.server_type, &status.server_type)
        && recorded != observed
    {
        let guidance = "Its type was changed at the vendor, so the price shown here is not what it costs. Change it back there, or choose Destroy and acquire a new node.";
        differs("server_type", recorded, observed, guidance);
    }
    let labelled = status.node_id.as_deref().filter(|_| status.ours);
    if labelled != Some(row.id.as_str()) {
        let observed = if status.ours { labelled.unwrap_or("no node") } else { "not ours" };
        let guidance = "Its labels were changed at the vendor. Hangar touches only what carries them: put back managed-by, hangar-instance and hangar-node as they stand on its other servers.";
        differs("labels", row.id.as_str(), observed, guidance);
    }
    drift
}

/// At which other port than the recorded one a stack's cockpit was found.
fn port_of(row: &NodeRow, status: Option<&MachineStatus>) -> Option<u16> {
    let port = status.filter(|it| it.ours && row.blueprint.is_some())?.cockpit_port?;
    (row.cockpit_port != Some(i64::from(port))).then_some(port)
}

/// What keeps a stack's services from serving, and what to do about it.
fn services_seen(row: &NodeRow, status: &MachineStatus) -> Option<(String, &'static str)> {
    let has = |wanted: Trouble| status.troubles.iter().any(|it| it.trouble == wanted);
    // In one that is suspended the others are as they should be.
    let told = status.troubles.iter().filter(|it| match row.state {
        NodeState::Ready => true,
        NodeState::Suspended => it.trouble == Trouble::Missing,
        NodeState::Failed => is_kept_whole(row),
        _ => false,
    });
    let told: Vec<_> = told.map(|it| format!("{} {}", it.part, it.trouble.as_str())).collect();
    if told.is_empty() {
        let before = row.drift.iter().find(|it| it.is_broken()).filter(|_| row.state == NodeState::Ready)?;
        let guidance = "All of its services run. They are looked at once more before it is handed out.";
        return (before.observed != RUNNING_AGAIN).then(|| (RUNNING_AGAIN.to_owned(), guidance));
    }
    let guidance = match () {
        () if has(Trouble::Missing) => {
            "A service has no container any more. Choose Upgrade with the tag that it has: what is missing is made anew, and volumes with a name are kept."
        }
        () if has(Trouble::Stopped) => "It was stopped on the engine, or ended. Choose Resume to start it.",
        () => {
            "What it wrote on the engine says why. It is looked at again and again; if it stays so, choose Upgrade with a tag that works, or Destroy."
        }
    };
    Some((told.join(", "), guidance))
}

/// A look at a stack is a check of its services as well: what it found is the node's health.
fn health_seen(row: &mut NodeRow, drift: &[Drift], now: Timestamp) {
    if row.blueprint.is_none() || row.state != NodeState::Ready {
        return;
    }
    let speaks = |it: &Drift| it.is_broken() || it.is_down();
    let found = vec![ReasonCode::NodeNotReady];
    if drift.iter().any(speaks) {
        row.health = Health { ready: false, reason_codes: found, checked_at: Some(now), usage: Vec::new() };
    } else if row.drift.iter().any(speaks) && row.health.reason_codes == found {
        row.health = Health { ready: true, reason_codes: Vec::new(), checked_at: Some(now), usage: Vec::new() };
    }
}

/// The infra ids of nodes that answer for their machine as it was listed.
pub(super) async fn answered_in(c: &mut Conn, provider: &ProviderRow) -> Result<HashSet<String>, Fault> {
    let mut answered = HashSet::new();
    let mut after = String::new();
    loop {
        let page = c.nodes_at_account(&provider.id, &after, PAGE).await?;
        let Some(last) = page.last().and_then(|row| row.infra_id.clone()) else { return Ok(answered) };
        after = last;
        let theirs = page.into_iter().filter(super::orphans::answers);
        answered.extend(theirs.filter_map(|row| row.infra_id));
    }
}
