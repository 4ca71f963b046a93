//! Takes away the orphans of one account that somebody decided to sweep. The rule: each server is
//! looked at again, at the vendor by its id and its labels and here in a fresh transaction, right
//! before its deletion; what cannot be taken away stays visible and is tried again.

use std::sync::Arc;

use ::providers::{
    DnsProvider, InfraProvider, Journal, JournalLost, MachineFacts, MachineTarget, RecordContent, RecordDeleted,
    RecordTarget, RecordType, async_trait,
};
use domain::{
    code::{Code, Retry},
    id::{DnsRecordId, NodeId, ProviderId},
    job::{JobStatus, JobStep, StepStatus},
    node::{Cleanup, NodeState},
    orphan::OrphanKind,
    time::{MINUTE, Timestamp},
};
use futures::future::BoxFuture;
use serde_json::Value;
use store::{Conn, JobRow, ProviderRow};

use super::runner::{Failure, Stop, back_off, finish, requeue};
use crate::{
    fault::Fault,
    services::{
        Checkpoint, Judged, Lease, LeaseError, Marked, OrphanSweepState, Services, SweepItem, SweptRecord,
        dns_orphan_judged_in, event, is_elsewhere, orphan_judged_in, orphan_swept_in,
    },
};

/// The longest wait between two tries.
const LONGEST_WAIT: i64 = 10 * MINUTE;

/// Runs the job once.
pub(super) async fn run(services: &Arc<Services>, job: &JobRow, lease: &Lease) -> Result<(), Stop> {
    let account: ProviderId = job.subject.id.parse().map_err(|e| Stop::from(Fault::internal(&e)))?;
    let mut sweep = Sweep::open(services, job, lease, account.clone()).await?;
    let provider = services.store().read().await.map_err(Fault::from)?.provider_get(&account).await;
    let Some(provider) = provider.map_err(Fault::from)? else {
        let failure = Failure::new(Code::ProviderAcquisitionUnavailable, "The account is no longer connected.");
        return finish(services, lease, JobStatus::Failed, Some(failure.error)).await;
    };
    let (mut last, mut refused) = (None, None);
    for index in 0..sweep.state.items.len() {
        match sweep.one(&provider, index).await {
            Ok(()) => {}
            // The vendor will say the same again: it stays reported, and holds up no later sweep.
            Err(Stop::Failed(failure)) if is_final(&failure) => {
                sweep.left(index, StepStatus::Failed, &failure.error.message).await?;
                refused = Some(failure.error);
            }
            Err(Stop::Failed(failure)) => {
                sweep.end(index, StepStatus::Failed, &failure.error.message);
                sweep.write(&[index], |_, _| Box::pin(async { Ok(()) })).await?;
                last = Some(failure);
            }
            Err(stop) => return Err(stop),
        }
    }
    match last {
        None => {
            let status = if refused.is_some() { JobStatus::Failed } else { JobStatus::Succeeded };
            finish(services, lease, status, refused).await
        }
        // Whatever the reason, what bills is looked for again: a credential can be mended.
        Some(failure) => {
            let wait = back_off(services, job, failure.retry_after).min(LONGEST_WAIT);
            requeue(services, lease, services.clock().now().plus(wait), failure.error).await
        }
    }
}

/// Whether the vendor refuses this server for good. A credential can be mended, and what Hangar did not
/// expect may be over the next time.
fn is_final(failure: &Failure) -> bool {
    let mendable = [
        Code::ProviderCredentialRejected,
        Code::ProviderTokenReadonly,
        Code::ProviderAcquisitionUnavailable,
        Code::Internal,
    ];
    failure.retry == Retry::No && !mendable.contains(&failure.error.code)
}

/// One run of the job; the journal of the server that is at hand.
struct Sweep {
    services: Arc<Services>,
    lease: Lease,
    account: ProviderId,
    state: OrphanSweepState,
    steps: Vec<JobStep>,
    at: usize,
    stopped: Option<Stop>,
}

impl Sweep {
    async fn open(services: &Arc<Services>, job: &JobRow, lease: &Lease, account: ProviderId) -> Result<Self, Stop> {
        let state: OrphanSweepState =
            serde_json::from_value(job.state.clone()).map_err(|e| Stop::from(Fault::internal(&e)))?;
        let mut steps =
            services.store().read().await.map_err(Fault::from)?.job_steps(&job.id).await.map_err(Fault::from)?;
        for item in state.items.iter().skip(steps.len()) {
            steps.push(JobStep {
                name: format!("sweep_{}", item.infra_id),
                label: format!("Take away {} ({})", item.name, item.infra_id),
                status: StepStatus::Pending,
                started_at: None,
                finished_at: None,
                detail: None,
            });
        }
        let mut sweep =
            Self { services: services.clone(), lease: lease.clone(), account, state, steps, at: 0, stopped: None };
        let all: Vec<usize> = (0..sweep.steps.len()).collect();
        sweep.write(&all, |_, _| Box::pin(async { Ok(()) })).await?;
        Ok(sweep)
    }

    /// Stores the present state, the changed steps, and whatever `more` does, in one transaction.
    async fn write<F>(&mut self, changed: &[usize], more: F) -> Result<(), Stop>
    where
        F: for<'a> Fn(&'a mut Conn, Timestamp) -> BoxFuture<'a, Result<(), Fault>> + Send + Sync + 'static,
    {
        let over = self.state.items.iter().filter(|it| it.over).count();
        let checkpoint = Checkpoint {
            step: self.steps.get(self.at).map(|step| step.name.clone()),
            state: serde_json::to_value(&self.state).map_err(|e| Stop::from(Fault::internal(&e)))?,
            progress: u8::try_from(over * 100 / self.state.items.len().max(1)).unwrap_or(99).min(99),
            steps: changed
                .iter()
                .filter_map(|i| Some((i64::try_from(*i).ok()?, self.steps.get(*i)?.clone())))
                .collect(),
        };
        match self.services.lease_write(&self.lease, checkpoint, more).await {
            Ok(()) => Ok(()),
            Err(LeaseError::Fault(fault)) => Err(fault.into()),
            Err(LeaseError::Lost) => Err(Stop::Lost),
        }
    }

    fn end(&mut self, index: usize, status: StepStatus, detail: &str) {
        let now = self.services.clock().now();
        if let Some(step) = self.steps.get_mut(index) {
            step.status = status;
            step.finished_at = Some(now);
            step.detail = Some(detail.to_owned());
        }
    }

    /// The server at `index`: looked at, judged, deleted.
    async fn one(&mut self, provider: &ProviderRow, index: usize) -> Result<(), Stop> {
        let Some(item) = self.state.items.get(index).filter(|it| !it.over).cloned() else { return Ok(()) };
        self.at = index;
        let now = self.services.clock().now();
        if let Some(step) = self.steps.get_mut(index) {
            *step = JobStep {
                status: StepStatus::Running,
                started_at: Some(now),
                finished_at: None,
                detail: None,
                ..step.clone()
            };
        }
        self.write(&[index], |_, _| Box::pin(async { Ok(()) })).await?;
        let open = self.services.account(provider)?;
        if let Some(record) = &item.record {
            let Some(dns) = open.account.dns() else {
                return self.left(index, StepStatus::Skipped, "Its account holds no zones.").await;
            };
            return self.record(dns, index, record).await;
        }
        let infra = open.account.infra().ok_or_else(|| {
            Stop::Failed(Failure::new(Code::ProviderAcquisitionUnavailable, "This kind of account makes no nodes."))
        })?;
        let Some(found) = infra.status(&item.infra_id).await? else {
            return self.over(index, Some("It was gone already.")).await;
        };
        if !found.ours || found.node_id.as_deref() != Some(item.node_id.as_str()) {
            let why = "Its labels are not those any more with which it was reported.";
            return self.left(index, StepStatus::Skipped, why).await;
        }
        if let Judged::Answered(why) | Judged::Kept(why) = self.judged(&provider.kind, index).await? {
            return self.left(index, StepStatus::Skipped, &why).await;
        }
        match self.delete(infra, &item).await {
            Ok(()) => self.over(index, Some("It was deleted.")).await,
            Err(Stop::Failed(failure)) if failure.error.code == Code::ProviderNameConflict => {
                self.left(index, StepStatus::Skipped, &failure.error.message).await
            }
            Err(stop) => Err(stop),
        }
    }

    /// The DNS record at `index`: looked up, judged, deleted.
    async fn record(&mut self, dns: &dyn DnsProvider, index: usize, record: &SweptRecord) -> Result<(), Stop> {
        let found = match dns.lookup(&record.dns_name()).await {
            Err(error) if error.code == Code::DnsZoneNotFound => Vec::new(),
            other => other?,
        };
        let is_it = |it: &&::providers::DnsFound| {
            it.record_id.as_deref() == Some(record.record_id.as_str()) && it.kind == record.kind
        };
        let stands: Vec<&::providers::DnsFound> = found.iter().filter(is_it).collect();
        let Some(found) = stands.first() else {
            return self.over(index, Some("It was gone already.")).await;
        };
        let kind = match found.kind.as_str() {
            "A" => RecordType::A,
            "AAAA" => RecordType::Aaaa,
            "CNAME" => RecordType::Cname,
            "TXT" => RecordType::Txt,
            _ => return self.left(index, StepStatus::Skipped, "It is of a type that Hangar does not make.").await,
        };
        if found.content != record.content || stands.len() > 1 {
            return self.left(index, StepStatus::Skipped, "It is not as it was when it was reported.").await;
        }
        if let Judged::Answered(why) | Judged::Kept(why) = self.record_judged(index, record).await? {
            return self.left(index, StepStatus::Skipped, &why).await;
        }
        // Vendors show long texts cut; what was judged is what is written down.
        let known = match record.record_id.parse::<DnsRecordId>() {
            Ok(id) => {
                let mut c = self.services.store().read().await.map_err(Fault::from)?;
                c.dns_record_get(&id).await.map_err(Fault::from)?
            }
            Err(_) => None,
        };
        let content = known.map_or_else(|| found.content.clone(), |row| row.content);
        let target = RecordTarget {
            name: record.dns_name(),
            content: RecordContent { record_id: record.record_id.clone(), kind, content },
            vendor_id: found.vendor_id.clone(),
            proxied: found.proxied,
        };
        match dns.delete_record(&target, self).await {
            Ok(RecordDeleted::Changed { observed }) => {
                self.left(index, StepStatus::Skipped, &format!("It is not ours any more: {observed}.")).await
            }
            Ok(_) => self.over(index, Some("It was deleted.")).await,
            Err(error) if error.lost => Err(self.stopped.take().unwrap_or(Stop::Lost)),
            Err(error) => Err(error.into()),
        }
    }

    async fn record_judged(&mut self, index: usize, record: &SweptRecord) -> Result<Judged, Stop> {
        let Some(item) = self.state.items.get(index).cloned() else {
            return Ok(Judged::Answered("There is no such record.".to_owned()));
        };
        let grace = self.services.settings().work.orphan_grace;
        let (account, record, now) = (self.account.clone(), record.clone(), self.services.clock().now());
        let judged = self.services.write::<Judged, Fault, _>(move |c| {
            let (account, item, record) = (account.clone(), item.clone(), record.clone());
            Box::pin(async move {
                let known = c.orphan_get(&account, &item.infra_id, OrphanKind::Unknown).await?;
                if known.is_none_or(|it| it.first_seen_at.plus(grace) > now) {
                    return Ok(Judged::Answered("It is no orphan that was seen for long enough.".to_owned()));
                }
                let (name, contents) = (record.dns_name(), [record.content.as_str()]);
                let it =
                    Marked { record_id: Some(&record.record_id), name: &name, kind: &record.kind, contents: &contents };
                dns_orphan_judged_in(c, it, None).await
            })
        });
        Ok(judged.await?)
    }

    /// Whether it is an orphan now, and seen for long enough. If so its node waits until it is gone,
    /// so that no retry takes it over while it is being deleted. A node that has another server does
    /// not: a retry goes on with that one.
    async fn judged(&mut self, kind: &str, index: usize) -> Result<Judged, Stop> {
        // Written down first: whatever happens next, this job puts the node back to where it was.
        let node = match self.state.items.get(index).map(|item| item.node_id.parse::<NodeId>()) {
            Some(Ok(id)) => {
                self.services.store().read().await.map_err(Fault::from)?.node_get(&id).await.map_err(Fault::from)?
            }
            _ => None,
        };
        if let (Some(item), Some(node)) = (self.state.items.get_mut(index), node)
            && node.state == NodeState::Failed
            && node.cleanup != Cleanup::Pending
            && !is_elsewhere(&node, &item.infra_id)
        {
            item.was = Some(node.cleanup);
            self.write(&[], |_, _| Box::pin(async { Ok(()) })).await?;
        }
        let Some(item) = self.state.items.get(index).cloned() else {
            return Ok(Judged::Answered("There is no such server.".to_owned()));
        };
        let grace = self.services.settings().work.orphan_grace;
        let (kind, account, now) = (kind.to_owned(), self.account.clone(), self.services.clock().now());
        let judged = self.services.write::<Judged, Fault, _>(move |c| {
            let (kind, account, item) = (kind.clone(), account.clone(), item.clone());
            Box::pin(async move {
                let node = match item.node_id.parse::<NodeId>() {
                    Ok(id) => c.node_lock(&id).await?,
                    Err(_) => None,
                };
                let known = c.orphan_get(&account, &item.infra_id, OrphanKind::Unknown).await?;
                if known.is_none_or(|it| it.first_seen_at.plus(grace) > now) {
                    return Ok(Judged::Answered("It is no orphan that was seen for long enough.".to_owned()));
                }
                let server = (item.infra_id.as_str(), item.name.as_str());
                let judged = orphan_judged_in(c, &kind, server, Some(&item.node_id), None, true).await?;
                if let (Judged::Orphan(_), Some(mut node)) = (&judged, node)
                    && node.state == NodeState::Failed
                    && node.cleanup != Cleanup::Pending
                    && !is_elsewhere(&node, &item.infra_id)
                {
                    if item.was != Some(node.cleanup) {
                        return Ok(Judged::Answered("Its node has changed since.".to_owned()));
                    }
                    node.cleanup = Cleanup::Pending;
                    node.updated_at = now;
                    c.node_save(&node).await?;
                    c.event_insert(&[event("node", &node.id, node.version + 1, None)]).await?;
                }
                Ok(judged)
            })
        });
        Ok(judged.await?)
    }

    async fn delete(&mut self, infra: &dyn InfraProvider, item: &SweepItem) -> Result<(), Stop> {
        let target = MachineTarget {
            infra_id: Some(item.infra_id.clone()),
            // By its id alone: a server that holds its name by now is another one, and none of ours is
            // ever named by a number.
            server_name: item.infra_id.clone(),
            node_id: item.node_id.clone(),
        };
        match infra.destroy(&target, self).await {
            Ok(_) => Ok(()),
            Err(error) if error.lost => Err(self.stopped.take().unwrap_or(Stop::Lost)),
            Err(error) => Err(error.into()),
        }
    }

    /// It is left alone, and why.
    async fn left(&mut self, index: usize, status: StepStatus, why: &str) -> Result<(), Stop> {
        self.end(index, status, &format!("Left alone: {why}"));
        self.settled(index, None).await
    }

    async fn over(&mut self, index: usize, how: Option<&'static str>) -> Result<(), Stop> {
        self.end(index, StepStatus::Succeeded, how.unwrap_or_default());
        self.settled(index, how).await
    }

    async fn settled(&mut self, index: usize, how: Option<&'static str>) -> Result<(), Stop> {
        let Some(item) = self.state.items.get_mut(index) else { return Ok(()) };
        item.over = true;
        item.journal.clear();
        let (account, item) = (self.account.clone(), item.clone());
        self.write(&[index], move |c, now| {
            let (account, item) = (account.clone(), item.clone());
            Box::pin(async move { orphan_swept_in(c, &account, &item, how, now).await })
        })
        .await
    }

    async fn noted(&mut self, changed: &[usize]) -> Result<(), JournalLost> {
        self.write(changed, |_, _| Box::pin(async { Ok(()) })).await.map_err(|stop| {
            self.stopped = Some(stop);
            JournalLost
        })
    }
}

#[async_trait]
impl Journal for Sweep {
    fn get(&self, key: &str) -> Option<Value> {
        self.state.items.get(self.at)?.journal.get(key).cloned()
    }

    async fn put(&mut self, key: &str, value: Value) -> Result<(), JournalLost> {
        if let Some(item) = self.state.items.get_mut(self.at) {
            item.journal.insert(key.to_owned(), value);
        }
        self.noted(&[]).await
    }

    async fn step(&mut self, _step: &'static str, _label: &str) -> Result<(), JournalLost> {
        // Each server is one step of the timeline.
        self.noted(&[]).await
    }

    async fn detail(&mut self, text: &str, _progress: Option<u8>) -> Result<(), JournalLost> {
        if let Some(step) = self.steps.get_mut(self.at) {
            step.detail = Some(text.to_owned());
        }
        self.noted(&[self.at]).await
    }

    async fn found(&mut self, _facts: MachineFacts) -> Result<(), JournalLost> {
        Ok(())
    }
}
