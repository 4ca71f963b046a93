//! Differences between vendors and database. The rule: what is found is reported first and taken away
//! only when somebody asks, after the grace period, one by one, each looked at again by its id and its
//! labels; what a node answers for, or what is being made or taken away by its own job, is no orphan.

use std::collections::{BTreeMap, HashMap, HashSet};

use ::providers::{MachinePower, MachineStatus};
use domain::{
    access::Principal,
    id::{DnsRecordId, JobId, NodeId, ProviderId},
    job::{JobKind, Subject},
    node::{Cleanup, NodeState},
    orphan::{OrphanKind, OrphanReport, OrphanSubject, OrphanSweep, OrphanView},
    provider::Capability,
    time::{MINUTE, Millis, SECOND, Timestamp},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Conn, JobRow, NodeRow, OrphanRow, ProviderRow};

use super::{
    Services,
    acquisition::CLEANUP_ATTEMPTS,
    audit::{Happened, audit_in, event},
    dns::SweptRecord,
    need_admin,
    observe::answered_in,
};
use crate::fault::Fault;

/// Differences that are shown; more than that are a matter for the vendor's console.
const SHOWN: u32 = 1_000;

/// What a sweep's job keeps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OrphanSweepState {
    /// The servers and records, in order.
    pub items: Vec<SweepItem>,
}

/// A server or a DNS record that is to be taken away.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SweepItem {
    /// The vendor's id.
    pub infra_id: String,
    /// Its name at the vendor.
    pub name: String,
    /// The node that its label names.
    pub node_id: String,
    /// Whether nothing more is to be done about it.
    #[serde(default)]
    pub over: bool,
    /// What its node's clean-up stood at before the node was made to wait for this server to be gone;
    /// `None` if the node does not wait because of it.
    #[serde(default)]
    pub was: Option<Cleanup>,
    /// What the adapter noted.
    #[serde(default)]
    pub journal: BTreeMap<String, Value>,
    /// The record, if it is one and no server.
    #[serde(default)]
    pub(crate) record: Option<SweptRecord>,
}

/// Whether a server is an orphan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judged {
    /// It is not, or it cannot be told now.
    Answered(String),
    /// It is, because of this.
    Orphan(String),
    /// It is, but somebody changed or keeps it: it is told, and never swept.
    Kept(String),
}

impl Services {
    /// What is known now.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn orphans(&self, who: &Principal) -> Result<OrphanReport, Fault> {
        need_admin(who)?;
        let now = self.clock.now();
        let mut c = self.store.read().await?;
        let accounts = c.provider_list().await?;
        let names = names(&accounts);
        let grace = self.settings.work.orphan_grace;
        let rows = c.orphans_all(SHOWN).await?;
        let items: Vec<OrphanView> = rows.iter().map(|row| view(row, &names, grace)).collect();
        let compared: Vec<_> = accounts.iter().filter(|it| self.is_compared(it)).collect();
        let unknown = compared.iter().filter_map(|it| match (&it.observe_failed, it.observed_at) {
            (Some(why), _) => Some(format!("{}: {why}", it.name)),
            (None, None) => Some(format!("{}: not compared yet.", it.name)),
            (None, Some(_)) => self.account_stale(it).map(|why| format!("{}: {why}", it.name)),
        });
        Ok(OrphanReport {
            unknown: unknown.collect(),
            observed_at: compared.iter().filter_map(|it| it.observed_at).min(),
            grace_seconds: grace / SECOND,
            can_sweep: items.iter().any(|it| it.sweepable_at.is_some_and(|at| at <= now)),
            items,
        })
    }

    /// What a sweep would take away.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn orphans_sweep_plan(&self, who: &Principal) -> Result<OrphanSweep, Fault> {
        need_admin(who)?;
        let now = self.clock.now();
        let grace = self.settings.work.orphan_grace;
        let mut c = self.store.read().await?;
        let accounts = c.provider_list().await?;
        let names = names(&accounts);
        let mut sweeping = HashSet::new();
        let rows = c.orphans_all(SHOWN).await?;
        for account in &accounts {
            sweeping.extend(sweeping_in(&mut c, &account.id).await?.into_iter().map(|id| (account.id.clone(), id)));
        }
        let mut plan = OrphanSweep { dry_run: true, swept: Vec::new(), kept: Vec::new(), jobs: Vec::new() };
        for row in rows {
            let mut it = view(&row, &names, grace);
            let kept = match it.sweepable_at {
                _ if sweeping.contains(&(row.provider_id.clone(), row.infra_id.clone())) => {
                    Some("A sweep is taking it away already.".to_owned())
                }
                None if row.kind == OrphanKind::Gone => {
                    Some("The vendor does not have it: there is nothing to take away.".to_owned())
                }
                None if row.subject == OrphanSubject::DnsRecord => Some(
                    record_of(&row)
                        .and_then(|it| it.kept)
                        .unwrap_or_else(|| "Its marker names no record, so it cannot be told whose it was.".to_owned()),
                ),
                None => Some("No label names a node, so it cannot be told whose it was.".to_owned()),
                Some(at) if at > now => {
                    let minutes = (at.since(now) + MINUTE - 1) / MINUTE;
                    Some(format!("It was not seen for long enough; in {minutes} min it may be taken away."))
                }
                Some(_) => None,
            };
            match kept {
                None => plan.swept.push(it),
                Some(why) => {
                    it.reason = why;
                    plan.kept.push(it);
                }
            }
        }
        Ok(plan)
    }

    /// Takes away what is due: one job for each account.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn orphans_sweep(&self, who: &Principal) -> Result<OrphanSweep, Fault> {
        let plan = match self.orphans_sweep_plan(who).await {
            Ok(plan) => plan,
            Err(fault) => {
                self.audit_refused(Some(who), "sweep-orphans", Subject::new("orphan", "sweep"), &fault).await;
                return Err(fault);
            }
        };
        let mut done = OrphanSweep { dry_run: false, swept: Vec::new(), kept: plan.kept, jobs: Vec::new() };
        let mut by_account: BTreeMap<ProviderId, Vec<OrphanView>> = BTreeMap::new();
        for it in plan.swept {
            by_account.entry(it.provider_id.clone()).or_default().push(it);
        }
        for (account, items) in by_account {
            match self.sweep_begin(who, &account, items.clone()).await? {
                Some(job) => {
                    done.jobs.push(job);
                    done.swept.extend(items);
                }
                None => {
                    done.kept.extend(items.into_iter().map(|it| OrphanView {
                        reason: "Another sweep of this account is under way.".to_owned(),
                        ..it
                    }))
                }
            }
        }
        Ok(done)
    }

    async fn sweep_begin(
        &self,
        who: &Principal,
        account: &ProviderId,
        items: Vec<OrphanView>,
    ) -> Result<Option<JobId>, Fault> {
        let now = self.clock.now();
        let (who, account) = (who.clone(), account.clone());
        self.write::<Option<JobId>, Fault, _>(move |c| {
            let (who, account, items) = (who.clone(), account.clone(), items.clone());
            Box::pin(async move {
                let Some(provider) = c.provider_lock(&account).await? else { return Ok(None) };
                if c.job_open_for("provider", account.as_str()).await?.is_some() {
                    return Ok(None);
                }
                let names = items.iter().map(|it| format!("{} ({})", it.name, it.infra_id)).collect::<Vec<_>>();
                let mut swept = Vec::with_capacity(items.len());
                for it in &items {
                    let known = c.orphan_get(&account, &it.infra_id, it.kind).await?;
                    let detail = known.and_then(|row| row.detail);
                    swept.push(SweepItem {
                        infra_id: it.infra_id.clone(),
                        name: it.name.clone(),
                        node_id: it.node_id.as_ref().map(ToString::to_string).unwrap_or_default(),
                        record: detail.and_then(|detail| serde_json::from_value(detail).ok()),
                        ..SweepItem::default()
                    });
                }
                let state = OrphanSweepState { items: swept };
                let job = job_row(&provider, &state, &who, now)?;
                c.job_insert(&job).await?;
                let line = Happened::ok(&who, "sweep-orphans", Subject::new("provider", &account), now)
                    .detail(format!("{}: {}", names.len(), names.join(", ")));
                audit_in(c, line).await?;
                c.event_insert(&[event("job", &job.id, 1, None), event("orphan", &account, now.millis(), None)])
                    .await?;
                Ok(Some(job.id))
            })
        })
        .await
    }

    /// Writes down what a look at an account showed: `machines` carry our labels, `gone` are nodes
    /// whose machine the vendor does not have; `untold` is what could not be looked at besides them.
    pub(super) async fn orphans_seen(
        &self,
        provider: &ProviderRow,
        machines: Vec<MachineStatus>,
        gone: Vec<NodeRow>,
        (begun, now): (Timestamp, Timestamp),
        untold: Option<String>,
    ) -> Result<(), Fault> {
        let owned = u32::try_from(machines.len()).unwrap_or(u32::MAX);
        let answered = answered_in(&mut self.store.read().await?, provider).await?;
        // What is being deleted will be gone.
        let doubtful: Vec<_> = machines
            .into_iter()
            .filter(|it| it.status != MachinePower::Deleting && !answered.contains(&it.infra_id))
            .collect();
        let provider = provider.clone();
        self.write::<(), Fault, _>(move |c| {
            let (provider, doubtful, gone, untold) = (provider.clone(), doubtful.clone(), gone.clone(), untold.clone());
            Box::pin(async move {
                let Some(current) = c.provider_lock(&provider.id).await? else { return Ok(()) };
                let before = ids(&c.orphans_all(SHOWN).await?, &provider.id);
                let sweeping = sweeping_in(c, &provider.id).await?;
                let seen = |infra_id: &str, kind, name: &str, node_id: Option<String>, reason: String| OrphanRow {
                    provider_id: provider.id.clone(),
                    infra_id: infra_id.to_owned(),
                    kind,
                    subject: OrphanSubject::Server,
                    name: name.to_owned(),
                    node_id,
                    detail: None,
                    reason,
                    first_seen_at: now,
                    last_seen_at: now,
                };
                for it in &doubtful {
                    let ours = sweeping.contains(&it.infra_id);
                    let (server, label) = ((it.infra_id.as_str(), it.name.as_str()), it.node_id.as_deref());
                    let judged = orphan_judged_in(c, &provider.kind, server, label, Some(begun), ours).await?;
                    if let Judged::Orphan(reason) = judged {
                        let row = seen(&it.infra_id, OrphanKind::Unknown, &it.name, it.node_id.clone(), reason);
                        c.orphan_seen(&row).await?;
                    }
                }
                for node in &gone {
                    // Whoever destroyed it meanwhile has cleared it.
                    let still = c.node_get(&node.id).await?.is_some_and(|now| {
                        now.infra_id == node.infra_id && now.drift.iter().any(domain::node::Drift::is_gone)
                    });
                    if let (true, Some(infra_id)) = (still, &node.infra_id) {
                        let reason = "Recorded here; the vendor does not have it.".to_owned();
                        let row =
                            seen(infra_id, OrphanKind::Gone, node.name.as_str(), Some(node.id.to_string()), reason);
                        c.orphan_seen(&row).await?;
                    }
                }
                c.orphans_unseen_delete(&provider.id, OrphanSubject::Server, now).await?;
                c.provider_observed_set(&provider.id, now, owned).await?;
                if let Some(why) = &untold {
                    c.provider_observe_failed_set(&provider.id, why).await?;
                }
                if current.owned != Some(owned) || current.observe_failed != untold || current.observed_at.is_none() {
                    c.event_insert(&[event("provider", &provider.id, current.version, None)]).await?;
                }
                if before != ids(&c.orphans_all(SHOWN).await?, &provider.id) {
                    c.event_insert(&[event("orphan", &provider.id, now.millis(), None)]).await?;
                }
                Ok(())
            })
        })
        .await
    }
}

impl Services {
    /// Whether an account's machines or records are compared with what is recorded.
    fn is_compared(&self, row: &ProviderRow) -> bool {
        let capabilities = self.capabilities(&row.kind);
        capabilities.contains(&Capability::Provision) || capabilities.contains(&Capability::Dns)
    }
}

fn ids(rows: &[OrphanRow], provider: &ProviderId) -> HashSet<(OrphanKind, String)> {
    rows.iter().filter(|row| row.provider_id == *provider).map(|row| (row.kind, row.infra_id.clone())).collect()
}

fn names(accounts: &[ProviderRow]) -> HashMap<ProviderId, String> {
    accounts.iter().map(|it| (it.id.clone(), it.name.clone())).collect()
}

/// What stands at the vendor, if it is a record that names one of ours.
fn record_of(row: &OrphanRow) -> Option<SweptRecord> {
    row.detail.clone().and_then(|detail| serde_json::from_value(detail).ok())
}

fn view(row: &OrphanRow, names: &HashMap<ProviderId, String>, grace: Millis) -> OrphanView {
    let node_id: Option<NodeId> = row.node_id.as_deref().and_then(|id| id.parse().ok());
    let record = record_of(row);
    let is_kept = record.as_ref().is_some_and(|it| it.kept.is_some());
    let record_id: Option<DnsRecordId> = record.and_then(|it| it.record_id.parse().ok());
    let (sweepable_at, guidance) = match (row.kind, &node_id) {
        _ if row.subject == OrphanSubject::DnsRecord => match record_id {
            Some(_) if is_kept => (
                None,
                "It carries Hangar's marker, but is as somebody wants it: Hangar leaves it alone. Take the marker off it in the zone, or delete it there.",
            ),
            Some(_) => (
                Some(row.first_seen_at.plus(grace)),
                "A name points where Hangar does not know. Look at it in the zone; if nobody needs it, sweep: it is looked at once more and deleted.",
            ),
            None => (None, "It names no record of Hangar's: look at it in the zone and delete it there."),
        },
        (OrphanKind::Gone, _) => (None, "Nothing bills. Destroy the node to clear it here, and acquire a new one."),
        (OrphanKind::Unknown, Some(_)) => (
            Some(row.first_seen_at.plus(grace)),
            "It bills. Look at it in the vendor's console; if nobody needs it, sweep: it is looked at once more and deleted for good.",
        ),
        (OrphanKind::Unknown, None) => {
            (None, "It bills, but names no node: look at it in the vendor's console and delete it there.")
        }
    };
    OrphanView {
        kind: row.kind,
        subject: row.subject,
        provider_id: row.provider_id.clone(),
        provider_name: names.get(&row.provider_id).cloned().unwrap_or_default(),
        infra_id: row.infra_id.clone(),
        name: row.name.clone(),
        node_id,
        record_id,
        reason: row.reason.clone(),
        first_seen_at: row.first_seen_at,
        last_seen_at: row.last_seen_at,
        sweepable_at,
        guidance: guidance.to_owned(),
    }
}

/// What the open sweep of an account is taking away.
pub(super) async fn sweeping_in(c: &mut Conn, account: &ProviderId) -> Result<HashSet<String>, Fault> {
    let Some(job) = c.job_open_for("provider", account.as_str()).await? else { return Ok(HashSet::new()) };
    let state: OrphanSweepState = serde_json::from_value(job.state).unwrap_or_default();
    Ok(state.items.into_iter().filter(|it| !it.over).map(|it| it.infra_id).collect())
}

/// Whether a node answers for the machine that its record names.
pub(super) fn answers(node: &NodeRow) -> bool {
    node.state != NodeState::Destroyed && !(node.state == NodeState::Failed && node.cleanup == Cleanup::Done)
}

/// Whether the server `(infra_id, name)` at an account of this kind, labelled for `node_id`, is an
/// orphan as the database stands in the caller's transaction. With `listed_at`, whose node changed since then is not judged; with
/// `sweeping`, a node that waits for this very server to be gone does not answer for it.
pub(crate) async fn orphan_judged_in(
    c: &mut Conn,
    kind: &str,
    (infra_id, name): (&str, &str),
    node_id: Option<&str>,
    listed_at: Option<Timestamp>,
    sweeping: bool,
) -> Result<Judged, Fault> {
    let orphan = |why: String| Ok(Judged::Orphan(why));
    let answered = |why: &str| Ok(Judged::Answered(why.to_owned()));
    // Whatever its label says: what a node has recorded as its own is not touched.
    let accounts = c.provider_list().await?;
    for account in accounts.iter().filter(|it| it.kind == kind) {
        let Some(node) = c.node_at(&account.id, infra_id).await? else { continue };
        let waits = sweeping && (node.state, node.cleanup) == (NodeState::Failed, Cleanup::Pending);
        if answers(&node) && !waits {
            return answered("A node answers for it.");
        }
    }
    let Some(label) = node_id else { return orphan("It carries our labels, but none names a node.".to_owned()) };
    let node = match label.parse::<NodeId>() {
        Ok(id) => c.node_get(&id).await?,
        Err(_) => None,
    };
    let Some(node) = node else { return orphan(format!("No node {label} is known here.")) };
    if listed_at.is_some_and(|at| node.updated_at >= at) {
        return answered("Its node has changed since.");
    }
    if c.job_open_for("node", node.id.as_str()).await?.is_some() || node.state.is_working() {
        return answered("A job works on its node.");
    }
    if let Some(other) = node.infra_id.as_deref().filter(|other| *other != infra_id)
        && answers(&node)
    {
        return orphan(format!("Its node {} has another server, {other}.", node.name));
    }
    match (node.state, node.cleanup) {
        (NodeState::Destroyed, _) => orphan(format!("Its node {} was destroyed.", node.name)),
        (NodeState::Failed, Cleanup::Pending) if !sweeping => answered("Its node is being cleaned up."),
        (NodeState::Failed, Cleanup::Done | Cleanup::Pending) => {
            orphan(format!("Its node {} failed and was cleaned up; this came or stayed after that.", node.name))
        }
        (NodeState::Failed, Cleanup::None) if node.create_attempted_at.is_none() => {
            orphan(format!("Its node {} failed before any server was asked for.", node.name))
        }
        _ if node.server_name == name => answered("Its node may still answer for it."),
        _ => orphan(format!("Its node {} has no server of this name.", node.name)),
    }
}

/// Whether a node has another server than this one as its own, so that what becomes of this one says
/// nothing about the node.
pub(crate) fn is_elsewhere(node: &NodeRow, infra_id: &str) -> bool {
    answers(node) && node.infra_id.as_deref().is_some_and(|own| own != infra_id)
}

/// A server is gone, or is left alone after all: the difference is cleared, and its node no longer
/// waits for it, but stands as it did before.
pub(crate) async fn orphan_swept_in(
    c: &mut Conn,
    provider: &ProviderId,
    item: &SweepItem,
    gone: Option<&str>,
    now: Timestamp,
) -> Result<(), Fault> {
    let system = Principal::system();
    if let Some(how) = gone {
        c.orphan_delete(provider, &item.infra_id, OrphanKind::Unknown).await?;
        let detail = format!("{} ({}): {how}", item.name, item.infra_id);
        audit_in(c, Happened::ok(&system, "orphan.swept", Subject::new("provider", provider), now).detail(detail))
            .await?;
    }
    if let Some(was) = item.was
        && let Ok(id) = item.node_id.parse::<NodeId>()
        && let Some(mut node) = c.node_lock(&id).await?
        && (node.state, node.cleanup) == (NodeState::Failed, Cleanup::Pending)
        && c.job_open_for("node", id.as_str()).await?.is_none()
    {
        node.cleanup = was;
        node.updated_at = now;
        c.node_save(&node).await?;
        c.event_insert(&[event("node", &id, node.version + 1, None)]).await?;
    }
    Ok(c.event_insert(&[event("orphan", provider, now.millis(), None)]).await?)
}

fn job_row(provider: &ProviderRow, state: &OrphanSweepState, who: &Principal, now: Timestamp) -> Result<JobRow, Fault> {
    let state = serde_json::to_value(state).map_err(|e| Fault::internal(&e))?;
    let subject = Subject::new("provider", &provider.id);
    let name = Some(provider.name.clone());
    Ok(JobRow::queued(JobKind::OrphanSweep, subject, name, state, CLEANUP_ATTEMPTS, &who.user_id, now))
}
