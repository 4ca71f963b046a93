//! Jobs as people see and steer them. How they run is in the room `jobs`.

use domain::{
    access::Principal,
    id::{AllocationId, DnsRecordId, JobId, NodeId},
    job::{JobAbout, JobFacts, JobKind, JobView, Subject, job_actions},
    list::{Filter, Listing},
    provider::ProviderStatus,
};
use store::{Conn, JobRow};

use super::{
    DnsWork, NodeJobState, Services,
    audit::{Happened, audit_in, event},
    dns::{dns_again_in, dns_facts_in},
    need_admin,
    nodes::{node_place_lock_in, node_retry_in},
    views::job_view,
};
use crate::fault::Fault;

impl Services {
    /// The jobs, newest first.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn jobs_page(&self, who: &Principal, filter: Filter) -> Result<Listing<JobView>, Fault> {
        need_admin(who)?;
        let mut c = self.store.read().await?;
        let page = c.jobs_page(&filter).await?;
        let count = c.jobs_count(&filter, Listing::<()>::COUNT_CAP).await?;
        let items = page.items.iter().map(|row| job_view(row, Vec::new(), None)).collect();
        Ok(Listing { items, next_cursor: page.next_cursor, count })
    }

    /// The newest jobs of a thing, with their timelines.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn jobs_of(&self, who: &Principal, subject: &Subject) -> Result<Vec<JobView>, Fault> {
        need_admin(who)?;
        let mut c = self.store.read().await?;
        let filter = Filter { subject: Some(subject.id.clone()), limit: Some(10), ..Filter::default() };
        let rows = c.jobs_page(&filter).await?.items;
        let mut views = Vec::with_capacity(rows.len());
        for row in rows {
            views.push(view_in(&mut c, &row, who).await?);
        }
        Ok(views)
    }

    /// One job with its timeline.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn job_show(&self, who: &Principal, id: &JobId) -> Result<JobView, Fault> {
        need_admin(who)?;
        let mut c = self.store.read().await?;
        let row = c.job_get(id).await?.ok_or_else(|| Fault::not_found("job"))?;
        view_in(&mut c, &row, who).await
    }

    /// Cancels or retries a job.
    ///
    /// # Errors
    /// `not_found` for an identity that is none; `action_blocked` with the gates.
    pub async fn job_act(&self, who: &Principal, id: &JobId, identity: &str) -> Result<JobView, Fault> {
        need_admin(who)?;
        let identity = match identity {
            "cancel" | "cancel-job" => "cancel-job",
            "retry" | "retry-job" => "retry-job",
            _ => return Err(Fault::not_found("action")),
        };
        let now = self.clock.now();
        let max_attempts = self.settings.work.max_attempts;
        let offered = self.dns_offered();
        let (who_owned, id_owned) = (who.clone(), id.clone());
        let outcome = self
            .write::<JobId, Fault, _>(move |c| {
                let (who, id, offered) = (who_owned.clone(), id_owned.clone(), offered.clone());
                Box::pin(async move {
                    let row = c.job_get(&id).await?.ok_or_else(|| Fault::not_found("job"))?;
                    let node = node_of(&row);
                    if let Some(node) = &node {
                        node_place_lock_in(c, node).await?;
                        c.node_lock(node).await?;
                    }
                    // As it stands now: what a run of it wrote down meanwhile counts.
                    let row = c.job_lock(&id).await?.ok_or_else(|| Fault::not_found("job"))?;
                    let facts = facts_in(c, &row).await?;
                    if let Some(action) =
                        job_actions(&facts, &who).into_iter().find(|a| a.identity == identity && !a.enabled)
                    {
                        return Err(Fault::blocked(&action));
                    }
                    audit_in(c, Happened::ok(&who, identity, Subject::new("job", &id), now)).await?;
                    let shown = match (identity, row.kind) {
                        ("cancel-job", _) => {
                            c.job_cancel_request(&id, now).await?;
                            id.clone()
                        }
                        // The node decides how failed work is taken up again: afresh, or from the
                        // stage that failed.
                        (_, kind) if kind.is_node_work() => {
                            let node = node.ok_or_else(|| Fault::not_found("node"))?;
                            let node = c.node_lock(&node).await?.ok_or_else(|| Fault::not_found("node"))?;
                            node_retry_in(c, &who, node, max_attempts, now).await?
                        }
                        (_, JobKind::DnsCreate) => {
                            let record = record_of(&row).ok_or_else(|| Fault::not_found("DNS record"))?;
                            let state: NodeJobState = serde_json::from_value(row.state.clone()).unwrap_or_default();
                            let failed = (state.dns.unwrap_or(DnsWork::Create), state.confirmed);
                            dns_again_in(c, &who, &record, failed, &offered, (max_attempts, now)).await?
                        }
                        _ => {
                            c.job_retry(&id, now).await?;
                            id.clone()
                        }
                    };
                    c.event_insert(&[event("job", &id, now.millis(), None)]).await?;
                    Ok(shown)
                })
            })
            .await;
        match outcome {
            Ok(shown) => {
                if identity == "cancel-job" {
                    self.cancellation_tell(&shown);
                }
                self.job_show(who, &shown).await
            }
            Err(fault) => {
                self.audit_refused(Some(who), identity, Subject::new("job", id), &fault).await;
                Err(fault)
            }
        }
    }

    /// Tells whoever runs the job here that it is asked to stop; the request itself is in the database.
    pub(crate) fn cancellation_tell(&self, job: &JobId) {
        let _ = self.cancellations.send(job.clone());
    }
}

fn node_of(row: &JobRow) -> Option<NodeId> {
    (row.subject.kind == "node").then(|| row.subject.id.parse().ok()).flatten()
}

fn record_of(row: &JobRow) -> Option<DnsRecordId> {
    (row.subject.kind == "dns_record").then(|| row.subject.id.parse().ok()).flatten()
}

async fn facts_in(c: &mut Conn, row: &JobRow) -> Result<JobFacts, Fault> {
    let open = c.job_open_for(&row.subject.kind, &row.subject.id).await?;
    let about = match row.subject.kind.as_str() {
        "node" => match node_of(row) {
            Some(id) => c.node_get(&id).await?.map(|n| JobAbout::Node { state: n.state, cleanup: n.cleanup }),
            None => None,
        },
        "allocation" => match row.subject.id.parse::<AllocationId>() {
            Ok(id) => c.allocation_get(&id).await?.map(|a| JobAbout::Allocation(a.status)),
            Err(_) => None,
        },
        "dns_record" => match record_of(row) {
            Some(id) => record_about_in(c, row, &id).await?,
            None => None,
        },
        _ => None,
    };
    Ok(JobFacts {
        id: row.id.clone(),
        kind: row.kind,
        status: row.status,
        cancel_requested: row.cancel_requested,
        owes_backup: owes_backup(row),
        subject_busy: open.is_some_and(|other| other.id != row.id),
        about: about.unwrap_or(JobAbout::Other),
    })
}

/// Whether a backup comes before anything is taken away, and is not made yet.
fn owes_backup(row: &JobRow) -> bool {
    let owes = |state: NodeJobState| state.owes_backup();
    row.kind == JobKind::NodeDestroy && serde_json::from_value(row.state.clone()).is_ok_and(owes)
}

/// Where a job's record stands, as far as it decides whether the job can be taken up again.
async fn record_about_in(c: &mut Conn, row: &JobRow, id: &DnsRecordId) -> Result<Option<JobAbout>, Fault> {
    let Some(record) = c.dns_record_get(id).await? else { return Ok(None) };
    let provider = c.provider_get(&record.provider_id).await?;
    let facts = dns_facts_in(c, &record, provider.as_ref(), Vec::new()).await?;
    let state: NodeJobState = serde_json::from_value(row.state.clone()).unwrap_or_default();
    let adopts = state.dns == Some(DnsWork::Adopt);
    Ok(Some(JobAbout::Record {
        state: record.state,
        node_lost: facts.lost_node.is_some() && !adopts,
        name_taken: facts.taken_by.is_some(),
        connected: facts.provider_status == ProviderStatus::Connected,
    }))
}

async fn view_in(c: &mut Conn, row: &JobRow, who: &Principal) -> Result<JobView, Fault> {
    let steps = c.job_steps(&row.id).await?;
    let facts = facts_in(c, row).await?;
    Ok(job_view(row, steps, Some((&facts, who))))
}
