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
    provider::Capability,
    time::Timestamp,
};
use serde_json::{Value, json};
use store::{Conn, DnsRecordRow};

use super::{
    show::facts_in,
    write::{dns_retry_in, job_begin_in, job_confirmed_in, subject},
};
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
            let row = c.dns_record_get(id).await?.ok_or_else(|| Fault::not_found("DNS record"))?;
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
        let offered = self.dns_offered();
        let begun = self
            .write::<Option<JobId>, Fault, _>(move |c| {
                let (who, id, identity, offered) = (who.clone(), id.clone(), identity.clone(), offered.clone());
                Box::pin(async move {
                    let row = gated_in(c, &who, &id, &identity, &offered).await?;
                    match identity.as_str() {
                        "retry-dns-record" => dns_retry_in(c, &who, row, max_attempts, now).await.map(Some),
                        "adopt-dns-record" => {
                            let seen = row.drift.first().map(|drift| drift.observed.clone());
                            adopt_in(c, &who, &row, seen, max_attempts, now).await.map(Some)
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

    /// What each kind of account can do, for the gates.
    pub(in crate::services) fn dns_offered(&self) -> HashMap<String, Vec<Capability>> {
        self.kinds().into_iter().map(|kind| (kind.kind, kind.capabilities)).collect()
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

/// A record that `identity` may be done with now, held, as is its node: the node first.
async fn gated_in(
    c: &mut Conn,
    who: &Principal,
    id: &DnsRecordId,
    identity: &str,
    offered: &HashMap<String, Vec<Capability>>,
) -> Result<DnsRecordRow, Fault> {
    let known = c.dns_record_get(id).await?.ok_or_else(|| Fault::not_found("DNS record"))?;
    if let Some(node) = &known.node_id {
        c.node_lock(node).await?;
    }
    let row = c.dns_record_lock(id).await?.ok_or_else(|| Fault::not_found("DNS record"))?;
    let provider = c.provider_get(&row.provider_id).await?;
    let capabilities = provider.as_ref().and_then(|p| offered.get(&p.kind).cloned()).unwrap_or_default();
    let facts = facts_in(c, &row, provider.as_ref(), capabilities).await?;
    gate(&facts, who, identity)?;
    Ok(row)
}

/// Takes up again what a job on a record was to do and failed at: the record is made, or, with what a
/// person had `confirmed`, taken over. It passes the very gates of the record's own action.
pub(in crate::services) async fn dns_again_in(
    c: &mut Conn,
    who: &Principal,
    id: &DnsRecordId,
    (work, confirmed): (DnsWork, Option<String>),
    offered: &HashMap<String, Vec<Capability>>,
    (max_attempts, now): (u32, Timestamp),
) -> Result<JobId, Fault> {
    if work == DnsWork::Adopt {
        let row = gated_in(c, who, id, "adopt-dns-record", offered).await?;
        let seen = confirmed.or_else(|| row.drift.first().map(|drift| drift.observed.clone()));
        return adopt_in(c, who, &row, seen, max_attempts, now).await;
    }
    let row = gated_in(c, who, id, "retry-dns-record", offered).await?;
    dns_retry_in(c, who, row, max_attempts, now).await
}

/// Begins to take over what a person was shown.
async fn adopt_in(
    c: &mut Conn,
    who: &Principal,
    row: &DnsRecordRow,
    seen: Option<String>,
    max_attempts: u32,
    now: Timestamp,
) -> Result<JobId, Fault> {
    let begin = ("adopt-dns-record", JobKind::DnsCreate, DnsWork::Adopt);
    job_confirmed_in(c, who, row, begin, seen, max_attempts, now).await
}

async fn dns_delete_in(
    c: &mut Conn,
    who: &Principal,
    mut row: DnsRecordRow,
    max_attempts: u32,
    now: Timestamp,
) -> Result<JobId, Fault> {
    // A failed one stays failed until it is gone: its name may be another one's by now.
    if row.state != DnsState::Failed {
        row.state = row.state.apply(DnsEvent::DeleteBegun).map_err(|e| Fault::internal(&e))?;
        row.updated_at = now;
        c.dns_record_save(&row).await?;
    }
    let begin = ("delete-dns-record", JobKind::DnsDelete, DnsWork::Delete);
    job_begin_in(c, who, &row, begin, max_attempts, now).await
}

/// Hangar no longer answers for the record. What was found there stays in the row as a record.
async fn give_up_in(c: &mut Conn, who: &Principal, mut row: DnsRecordRow, now: Timestamp) -> Result<(), Fault> {
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
