//! Acting on records: gates and job in one transaction; only the bounded look into the zone calls the
//! vendor.

use std::collections::HashMap;

use domain::{
    access::Principal,
    dns::{DnsEvent, DnsFacts, DnsRecordCreate, DnsState, dns_actions, dns_identity},
    id::{DnsRecordId, JobId},
    job::{JobKind, Subject},
    list::Filter,
    node::Cleanup,
};
use serde_json::{Value, json};
use store::{Conn, DnsRecordRow};

use super::write::{dns_retry_in, job_begin_in, name_free_in, subject};
use crate::{
    fault::Fault,
    services::{
        Acted, DnsWork, Services,
        audit::{Happened, audit_in, event},
        need_admin,
        providers::done,
    },
};

impl Services {
    /// Carries out an action of a record by its identity.
    ///
    /// # Errors
    /// `not_found` for an identity that is none; `action_blocked` with the gates.
    pub async fn dns_record_act(&self, who: &Principal, id: &DnsRecordId, identity: &str) -> Result<Acted, Fault> {
        need_admin(who)?;
        let spec = dns_identity(identity).ok_or_else(|| Fault::not_found("action"))?;
        let outcome = match spec.identity {
            "record-history" => done(&self.history(who, &subject(id), Filter::default()).await?),
            "check-dns-record" => self.dns_check(who, id).await,
            identity => self.dns_begin(who, id, identity).await,
        };
        if let Err(fault) = &outcome {
            self.audit_refused(Some(who), spec.identity, Subject::new("dns_record", id), fault).await;
        }
        outcome
    }

    /// Reads what stands in the zone now and records what came.
    async fn dns_check(&self, who: &Principal, id: &DnsRecordId) -> Result<Acted, Fault> {
        let (row, provider) = {
            let mut c = self.store.read().await?;
            let row = c.dns_record_get(id).await?.ok_or_else(|| Fault::not_found("dns record"))?;
            let provider = c.provider_get(&row.provider_id).await?;
            let facts = self.dns_facts_in(&mut c, &row, provider.as_ref()).await?;
            gate(&facts, who, "check-dns-record")?;
            (row, provider.ok_or_else(|| Fault::not_found("account"))?)
        };
        let drift = self.dns_looked(who, &row, &provider).await?;
        let message = match drift.first() {
            None => "It stands in its zone as Hangar wrote it.".to_owned(),
            Some(drift) => format!("There stands: {}. {}", drift.observed, drift.guidance),
        };
        Ok(Acted::Done(
            json!({ "dns_record_id": id, "observed_at": self.clock.now(), "drift": drift, "message": message }),
        ))
    }

    /// Begins a job on a record, or gives it up, after its gates have passed; all in one transaction.
    async fn dns_begin(&self, who: &Principal, id: &DnsRecordId, identity: &str) -> Result<Acted, Fault> {
        let now = self.clock.now();
        let (who, id, identity) = (who.clone(), id.clone(), identity.to_owned());
        let max_attempts = self.settings.work.max_attempts;
        // The gates are judged twice: here with everything at hand, and on the locked row again.
        let facts = {
            let mut c = self.store.read().await?;
            let row = c.dns_record_get(&id).await?.ok_or_else(|| Fault::not_found("dns record"))?;
            let provider = c.provider_get(&row.provider_id).await?;
            self.dns_facts_in(&mut c, &row, provider.as_ref()).await?
        };
        gate(&facts, &who, &identity)?;
        let capabilities: HashMap<String, _> = self.kinds().into_iter().map(|k| (k.kind, k.capabilities)).collect();
        let begun = self
            .write::<Option<JobId>, Fault, _>(move |c| {
                let (who, id, identity, facts) = (who.clone(), id.clone(), identity.clone(), facts.clone());
                let capabilities = capabilities.clone();
                Box::pin(async move {
                    if let Some(node) = facts.node.as_ref().or(facts.lost_node.as_ref()) {
                        c.node_lock(node).await?;
                    }
                    let row = c.dns_record_lock(&id).await?.ok_or_else(|| Fault::not_found("dns record"))?;
                    let provider = c.provider_get(&row.provider_id).await?;
                    let mut open_job = c.job_open_for("dns_record", id.as_str()).await?;
                    if let (None, Some(node)) = (&open_job, &row.node_id) {
                        open_job = c.job_open_for("node", node.as_str()).await?;
                    }
                    let gone = super::show::is_gone(&row);
                    let facts = DnsFacts {
                        state: row.state,
                        code: row.code,
                        open_job: open_job.map(|job| job.id),
                        gone,
                        drifted: !gone && !row.drift.is_empty(),
                        provider_status: provider.as_ref().map_or(facts.provider_status, |p| p.status),
                        capabilities: provider.and_then(|p| capabilities.get(&p.kind).cloned()).unwrap_or_default(),
                        ..facts
                    };
                    gate(&facts, &who, &identity)?;
                    match identity.as_str() {
                        "retry-dns-record" => dns_retry_in(c, &who, row, max_attempts, now).await.map(Some),
                        "adopt-dns-record" => {
                            // What is adopted takes the name; nothing else of ours may stand there.
                            name_free_in(c, &row, "/name").await?;
                            let begin = ("adopt-dns-record", JobKind::DnsCreate, DnsWork::Adopt);
                            job_begin_in(c, &who, &row, begin, max_attempts, now).await.map(Some)
                        }
                        "delete-dns-record" => dns_delete_in(c, &who, row, max_attempts, now).await.map(Some),
                        "give-up-dns-record" => give_up_in(c, &who, row, now).await.map(|()| None),
                        _ => Err(Fault::not_found("action")),
                    }
                })
            })
            .await?;
        Ok(match begun {
            Some(job_id) => Acted::Accepted { job_id },
            None => {
                Acted::Done(json!({ "message": "Hangar no longer answers for it; nothing in the zone was touched." }))
            }
        })
    }

    /// The operations of DNS by their plain names.
    ///
    /// # Errors
    /// `bad_request` for an input that cannot be read; as the actions.
    pub(in crate::services) async fn dns_operation(
        &self,
        who: &Principal,
        operation: &str,
        input: Value,
    ) -> Result<Acted, Fault> {
        if operation == "create-dns-record" {
            let request: DnsRecordCreate =
                serde_json::from_value(input).map_err(|e| Fault::unreadable("The operation's input", &e))?;
            let accepted = self.dns_record_create(who, request, None).await?;
            return Ok(Acted::Accepted { job_id: accepted.job_id });
        }
        let id = input.get("dns_record_id").and_then(Value::as_str).and_then(|s| s.parse().ok());
        let id: DnsRecordId = id.ok_or_else(|| Fault::field("/dns_record_id", "give the id of a DNS record"))?;
        self.dns_record_act(who, &id, operation).await
    }
}

async fn dns_delete_in(
    c: &mut Conn,
    who: &Principal,
    mut row: DnsRecordRow,
    max_attempts: u32,
    now: domain::time::Timestamp,
) -> Result<JobId, Fault> {
    row.state = row.state.apply(DnsEvent::DeleteBegun).map_err(|e| Fault::internal(&e))?;
    row.updated_at = now;
    match c.dns_record_save(&row).await {
        // A failed one leaves its name free, and another one may have taken it.
        Err(store::StoreError::Conflict { .. }) => name_free_in(c, &row, "/name").await?,
        other => other.map(drop)?,
    }
    let begin = ("delete-dns-record", JobKind::DnsDelete, DnsWork::Delete);
    job_begin_in(c, who, &row, begin, max_attempts, now).await
}

/// Hangar no longer answers for the record. What was found there stays in the row as a record.
async fn give_up_in(
    c: &mut Conn,
    who: &Principal,
    mut row: DnsRecordRow,
    now: domain::time::Timestamp,
) -> Result<(), Fault> {
    row.state = DnsState::Deleted;
    row.deleted_at = Some(now);
    row.cleanup = if row.cleanup == Cleanup::Pending { Cleanup::Done } else { row.cleanup };
    row.updated_at = now;
    c.dns_record_save(&row).await?;
    let stands = row.drift.first().map(|drift| drift.observed.clone()).unwrap_or_default();
    let line = Happened::ok(who, "give-up-dns-record", subject(&row.id), now);
    audit_in(c, line.detail(format!("{} {}; there stands {stands}", row.fqdn(), row.kind))).await?;
    Ok(c.event_insert(&[event("dns_record", &row.id, row.version + 1, None)]).await?)
}

fn gate(facts: &DnsFacts, who: &Principal, identity: &str) -> Result<(), Fault> {
    match dns_actions(facts, who).into_iter().find(|a| a.identity == identity) {
        Some(action) if action.enabled => Ok(()),
        Some(action) => Err(Fault::blocked(&action)),
        None => Err(Fault::not_found("action")),
    }
}
