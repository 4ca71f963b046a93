//! The audit trail and the live events, written together.

use domain::{
    access::{Principal, Via},
    audit::{AuditEntry, LiveEvent, Outcome},
    code::Code,
    id::{AllocationId, AuditId, DnsRecordId, JobId, NodeId, ProviderId, UserId},
    job::Subject,
    list::{Filter, Listing, Page},
    time::Timestamp,
    valid::PoolName,
};
use store::{Conn, FreshId};

use super::{Services, need_admin};
use crate::{fault::Fault, request_scope};

/// One thing that happened, to be written to the trail.
pub(crate) struct Happened<'a> {
    pub who: &'a Principal,
    pub action: &'a str,
    pub subject: Subject,
    pub outcome: Outcome,
    pub code: Option<Code>,
    pub detail: Option<String>,
    pub now: Timestamp,
}

impl<'a> Happened<'a> {
    pub fn ok(who: &'a Principal, action: &'a str, subject: Subject, now: Timestamp) -> Self {
        Self { who, action, subject, outcome: Outcome::Ok, code: None, detail: None, now }
    }

    pub fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    pub fn failed(self, code: Code) -> Self {
        Self { outcome: Outcome::Failed, code: Some(code), ..self }
    }
}

/// Writes a line of the trail in the caller's transaction.
pub(crate) async fn audit_in(c: &mut Conn, happened: Happened<'_>) -> Result<(), Fault> {
    let entry = AuditEntry {
        id: AuditId::fresh(),
        at: happened.now,
        actor: match happened.who.via {
            Via::System => "system".to_owned(),
            _ => happened.who.user_id.to_string(),
        },
        actor_name: Some(happened.who.display_name.clone()),
        action: happened.action.to_owned(),
        subject: happened.subject,
        outcome: happened.outcome,
        code: happened.code,
        detail: happened.detail,
    };
    Ok(c.audit_insert(&entry, request_scope::current().as_deref()).await?)
}

/// A live event for administrators, and for `user` if it is theirs.
pub(crate) fn event(kind: &str, id: impl ToString, version: i64, user: Option<&UserId>) -> (LiveEvent, Option<UserId>) {
    (LiveEvent { kind: kind.to_owned(), id: id.to_string(), version }, user.cloned())
}

/// Whether a thing is or was there; what is over still has its history.
async fn known_in(c: &mut Conn, subject: &Subject) -> Result<bool, Fault> {
    let id = subject.id.as_str();
    Ok(match subject.kind.as_str() {
        "node" => match id.parse::<NodeId>() {
            Ok(id) => c.node_get(&id).await?.is_some(),
            Err(_) => false,
        },
        "job" => match id.parse::<JobId>() {
            Ok(id) => c.job_get(&id).await?.is_some(),
            Err(_) => false,
        },
        "provider" => match id.parse::<ProviderId>() {
            Ok(id) => c.provider_record(&id).await?.is_some(),
            Err(_) => false,
        },
        "dns_record" => match id.parse::<DnsRecordId>() {
            Ok(id) => c.dns_record_get(&id).await?.is_some(),
            Err(_) => false,
        },
        "user" => match id.parse::<UserId>() {
            Ok(id) => c.user_get(&id).await?.is_some(),
            Err(_) => false,
        },
        "pool" => {
            let stands = match id.parse::<PoolName>() {
                Ok(name) => c.pool_get(&name).await?.is_some(),
                Err(_) => false,
            };
            // A pool leaves no row behind, but what happened to it.
            stands || c.audit_of("pool", id, 50).await?.iter().any(|entry| entry.outcome == Outcome::Ok)
        }
        _ => true,
    })
}

impl Services {
    /// Notes a refused action; best effort, since the refusal stands either way.
    pub async fn audit_refused(&self, who: Option<&Principal>, action: &str, subject: Subject, fault: &Fault) {
        let now = self.clock.now();
        let entry = AuditEntry {
            id: AuditId::fresh(),
            at: now,
            actor: who.map_or_else(|| "anonymous".to_owned(), |w| w.user_id.to_string()),
            actor_name: who.map(|w| w.display_name.clone()),
            action: action.to_owned(),
            subject,
            outcome: Outcome::Refused,
            code: Some(fault.code),
            detail: Some(fault.detail.clone()),
        };
        let written = self
            .write::<(), Fault, _>(move |c| {
                let entry = entry.clone();
                Box::pin(async move { Ok(c.audit_insert(&entry, request_scope::current().as_deref()).await?) })
            })
            .await;
        if let Err(fault) = written {
            tracing::warn!(code = %fault.code, "a refusal could not be noted");
        }
    }

    /// What happened to a thing, newest first.
    ///
    /// # Errors
    /// `not_found` if the caller may not see the thing.
    pub async fn history(&self, who: &Principal, subject: &Subject, filter: Filter) -> Result<Page<AuditEntry>, Fault> {
        let mut c = self.store.read().await?;
        if subject.kind == "allocation" {
            let id: AllocationId = subject.id.parse().map_err(|_| Fault::not_found("allocation"))?;
            match c.allocation_get(&id).await? {
                Some(row) if who.is_admin() || row.user_id == who.user_id => {}
                _ => return Err(Fault::not_found("allocation")),
            }
        } else {
            need_admin(who)?;
            if !known_in(&mut c, subject).await? {
                return Err(Fault::not_found(match subject.kind.as_str() {
                    "provider" => "account",
                    "dns_record" => "DNS record",
                    kind => kind,
                }));
            }
        }
        let filter = Filter { kind: Some(subject.kind.clone()), subject: Some(subject.id.clone()), ..filter };
        Ok(c.audit_page(&filter).await?)
    }

    /// The whole trail, newest first.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn audit_page(&self, who: &Principal, filter: Filter) -> Result<Listing<AuditEntry>, Fault> {
        need_admin(who)?;
        let mut c = self.store.read().await?;
        let page = c.audit_page(&filter).await?;
        let count = c.audit_count(&filter, Listing::<()>::COUNT_CAP).await?;
        Ok(Listing { items: page.items, next_cursor: page.next_cursor, count })
    }
}
