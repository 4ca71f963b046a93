//! What stands in the database when a record is wanted, made, taken away or given up. Everything here
//! runs in its caller's transaction.

use std::collections::BTreeMap;

use ::providers::RecordMade;
use domain::{
    access::Principal,
    code::Code,
    dns::{DnsEvent, DnsState, DnsType},
    id::{DnsRecordId, JobId, NodeId, ProviderId},
    job::{JobError, JobKind, JobStatus, Subject},
    list::Filter,
    node::{Cleanup, Drift},
    time::{HOUR, Millis, Timestamp},
    valid::{RecordName, ZoneName},
};
use serde_json::Value;
use store::{Conn, DnsRecordRow, FreshId as _, JobRow, StoreError};

use crate::{
    fault::Fault,
    services::{
        DnsWork, NodeJobState,
        acquisition::CLEANUP_ATTEMPTS,
        audit::{Happened, audit_in, event},
    },
};

/// No creation comes true longer than this after its job ended, whatever is set for it.
const COMES_WITHIN: Millis = HOUR;

/// A record that is wanted.
#[derive(Debug, Clone)]
pub(super) struct NewRecord {
    pub provider_id: ProviderId,
    pub zone: ZoneName,
    pub name: RecordName,
    pub kind: DnsType,
    /// Empty while it is not known.
    pub content: String,
    pub ttl: Option<u32>,
    pub proxied: bool,
    pub node_id: Option<NodeId>,
}

impl NewRecord {
    pub fn row(self, who: &Principal, now: Timestamp) -> DnsRecordRow {
        DnsRecordRow {
            id: DnsRecordId::fresh(),
            provider_id: self.provider_id,
            zone: self.zone,
            name: self.name,
            kind: self.kind,
            content: self.content,
            ttl: self.ttl,
            proxied: self.proxied,
            state: DnsState::Requested,
            code: None,
            message: None,
            cleanup: Cleanup::None,
            vendor_id: None,
            node_id: self.node_id,
            create_attempted_at: None,
            adopted: false,
            observed_at: None,
            drift: Vec::new(),
            created_by: who.user_id.clone(),
            created_at: now,
            updated_at: now,
            deleted_at: None,
            version: 1,
        }
    }
}

/// Writes down a record, unless another one of ours stands under its name or is on its way there, or
/// its account has gone. `pointer` is the field that gave the name.
pub(super) async fn record_insert_in(c: &mut Conn, row: &DnsRecordRow, pointer: &str) -> Result<(), Fault> {
    // Held: an account is disconnected only while nothing of it is on its way.
    if c.provider_lock(&row.provider_id).await?.is_none() {
        let account = format!("{}provider_id", pointer.trim_end_matches("name"));
        return Err(Fault::field(&account, "use the id of a connected account"));
    }
    name_free_in(c, row, pointer).await?;
    match c.dns_record_insert(row).await {
        Err(StoreError::Conflict { .. }) => Err(taken(row, pointer, None)),
        other => Ok(other?),
    }
}

/// Refuses when another record of ours is in the way of this one.
async fn name_free_in(c: &mut Conn, row: &DnsRecordRow, pointer: &str) -> Result<(), Fault> {
    match in_its_way_in(c, row).await? {
        Some(other) => Err(taken(row, pointer, Some(&other))),
        None => Ok(()),
    }
}

/// The record of ours that is in the way of this one. The two addresses of one name stand beside each
/// other, if they lead to the same node, or to none.
pub(super) async fn in_its_way_in(c: &mut Conn, row: &DnsRecordRow) -> Result<Option<DnsRecordRow>, Fault> {
    let there = c.dns_records_of_name(&row.provider_id, &row.zone, &row.name).await?;
    let beside = |other: &DnsRecordRow| {
        let one_text = (row.kind == DnsType::Txt) != (other.kind == DnsType::Txt);
        let addresses = matches!((row.kind, other.kind), (DnsType::A, DnsType::Aaaa) | (DnsType::Aaaa, DnsType::A));
        other.id == row.id || one_text || (addresses && row.node_id == other.node_id)
    };
    Ok(there.into_iter().find(|other| !beside(other)))
}

fn taken(row: &DnsRecordRow, pointer: &str, other: Option<&DnsRecordRow>) -> Fault {
    let of = other.map(|other| format!(" ({} {}, {})", other.kind, other.content, other.id)).unwrap_or_default();
    Fault::field(pointer, format!("choose another name: a record of Hangar's stands under {} already{of}", row.fqdn()))
}

/// A job on a record.
pub(super) fn job_row(
    kind: JobKind,
    record: &DnsRecordRow,
    state: NodeJobState,
    who: &Principal,
    (max_attempts, run_after): (u32, Timestamp),
    now: Timestamp,
) -> Result<JobRow, Fault> {
    Ok(JobRow {
        id: JobId::fresh(),
        kind,
        status: JobStatus::Queued,
        subject: Subject::new("dns_record", &record.id),
        subject_name: Some(format!("{} {}", record.fqdn(), record.kind)),
        attempt: 0,
        max_attempts,
        step: None,
        state: serde_json::to_value(state).map_err(|e| Fault::internal(&e))?,
        progress: 0,
        error: None,
        output: None,
        cancel_requested: false,
        fence: 0,
        lease_owner: None,
        lease_until: None,
        run_after,
        deadline_at: None,
        created_by: who.user_id.clone(),
        created_at: now,
        started_at: None,
        finished_at: None,
        version: 1,
    })
}

/// Queues a job on a record; `action` is what the trail says was done.
pub(super) async fn job_begin_in(
    c: &mut Conn,
    who: &Principal,
    record: &DnsRecordRow,
    begin: (&str, JobKind, DnsWork),
    max_attempts: u32,
    now: Timestamp,
) -> Result<JobId, Fault> {
    job_confirmed_in(c, who, record, begin, None, max_attempts, now).await
}

/// The same, with what a person was shown and said may be taken over.
pub(super) async fn job_confirmed_in(
    c: &mut Conn,
    who: &Principal,
    record: &DnsRecordRow,
    (action, kind, work): (&str, JobKind, DnsWork),
    confirmed: Option<String>,
    max_attempts: u32,
    now: Timestamp,
) -> Result<JobId, Fault> {
    let mut state = NodeJobState { dns: Some(work), confirmed, ..NodeJobState::default() };
    if kind == JobKind::DnsDelete {
        state.journal = creation_noted_in(c, &record.id, now).await?;
    }
    let job = job_row(kind, record, state, who, (max_attempts, now), now)?;
    c.job_insert(&job).await?;
    let detail = format!("{} {} {}", record.fqdn(), record.kind, record.content);
    audit_in(c, Happened::ok(who, action, subject(&record.id), now).detail(detail)).await?;
    c.event_insert(&[event("dns_record", &record.id, record.version + 1, None), event("job", &job.id, 1, None)])
        .await?;
    Ok(job.id)
}

pub(super) fn subject(id: &DnsRecordId) -> Subject {
    Subject::new("dns_record", id)
}

async fn saved_in(c: &mut Conn, mut row: DnsRecordRow, now: Timestamp) -> Result<(), Fault> {
    row.updated_at = now;
    c.dns_record_save(&row).await?;
    Ok(c.event_insert(&[event("dns_record", &row.id, row.version + 1, None)]).await?)
}

/// Moves a record on; an event that does not fit (a step that is repeated after a crash) changes
/// nothing. With `CreateBegun` it is noted that the vendor may hear of it from here on.
pub(crate) async fn dns_begun_in(
    c: &mut Conn,
    id: &DnsRecordId,
    happened: DnsEvent,
    now: Timestamp,
) -> Result<(), Fault> {
    let Some(mut row) = c.dns_record_lock(id).await? else { return Ok(()) };
    let Ok(next) = row.state.apply(happened) else { return Ok(()) };
    row.state = next;
    if happened == DnsEvent::CreateBegun {
        row.create_attempted_at = row.create_attempted_at.or(Some(now));
    }
    saved_in(c, row, now).await
}

/// The record stands in its zone.
pub(crate) async fn dns_made_in(c: &mut Conn, made: &RecordMade, now: Timestamp) -> Result<(), Fault> {
    let Ok(id) = made.record_id.parse::<DnsRecordId>() else { return Ok(()) };
    let Some(mut row) = c.dns_record_lock(&id).await? else { return Ok(()) };
    match row.state.apply(DnsEvent::Created) {
        Ok(next) => row.state = next,
        // One that had been taken away by somebody was written again.
        Err(_) if row.state == DnsState::Active => {}
        Err(_) => return Ok(()),
    }
    row.vendor_id.clone_from(&made.vendor_id);
    row.observed_at = Some(now);
    row.drift = Vec::new();
    row.code = None;
    row.message = None;
    let detail = format!("{} {} {}", row.fqdn(), row.kind, row.content);
    audit_in(c, Happened::ok(&Principal::system(), "dns.created", subject(&id), now).detail(detail)).await?;
    saved_in(c, row, now).await
}

/// What stands there is Hangar's own from here on.
pub(crate) async fn dns_adopted_in(
    c: &mut Conn,
    id: &DnsRecordId,
    found: &::providers::DnsFound,
    made: &RecordMade,
    now: Timestamp,
) -> Result<(), Fault> {
    let Some(mut row) = c.dns_record_lock(id).await? else { return Ok(()) };
    for happened in [DnsEvent::Retried, DnsEvent::CreateBegun, DnsEvent::Created] {
        row.state = row.state.apply(happened).unwrap_or(row.state);
    }
    let before = std::mem::replace(&mut row.content, found.content.clone());
    row.create_attempted_at = row.create_attempted_at.or(Some(now));
    row.vendor_id.clone_from(&made.vendor_id);
    row.ttl = found.ttl;
    row.proxied = found.proxied;
    row.adopted = true;
    row.cleanup = Cleanup::None;
    row.observed_at = Some(now);
    row.drift = Vec::new();
    row.code = None;
    row.message = None;
    let detail = format!("{} {} {}, instead of {before}", row.fqdn(), row.kind, row.content);
    audit_in(c, Happened::ok(&Principal::system(), "dns.adopted", subject(id), now).detail(detail)).await?;
    saved_in(c, row, now).await
}

/// The work on a record was given up: it is failed, and says why.
pub(crate) async fn dns_failed_in(
    c: &mut Conn,
    id: &DnsRecordId,
    error: &JobError,
    (cleanup, observed): (Cleanup, Option<&str>),
    now: Timestamp,
) -> Result<(), Fault> {
    let Some(mut row) = c.dns_record_lock(id).await? else { return Ok(()) };
    if let Ok(next) = row.state.apply(DnsEvent::Failed) {
        row.state = next;
        let system = Principal::system();
        let line = Happened::ok(&system, "dns.failed", subject(id), now).detail(error.message.clone());
        audit_in(c, line.failed(error.code)).await?;
    }
    if row.state != DnsState::Failed {
        return Ok(());
    }
    row.code = Some(error.code);
    row.message = Some(error.message.clone());
    row.cleanup = cleanup;
    if let Some(observed) = observed {
        row.drift = vec![foreign(&row, observed)];
    }
    saved_in(c, row, now).await
}

/// Nothing of the record is left in its zone, as the vendor confirms.
pub(crate) async fn dns_gone_in(c: &mut Conn, id: &DnsRecordId, how: &str, now: Timestamp) -> Result<(), Fault> {
    let Some(mut row) = c.dns_record_lock(id).await? else { return Ok(()) };
    if row.state == DnsState::Deleted {
        return Ok(());
    }
    for happened in [DnsEvent::DeleteBegun, DnsEvent::DeleteConfirmed] {
        row.state = row.state.apply(happened).unwrap_or(row.state);
    }
    row.deleted_at = Some(now);
    row.drift = Vec::new();
    row.code = None;
    row.message = None;
    if row.cleanup == Cleanup::Pending {
        row.cleanup = Cleanup::Done;
    }
    audit_in(c, Happened::ok(&Principal::system(), "dns.deleted", subject(id), now).detail(how)).await?;
    saved_in(c, row, now).await
}

/// What stands there is not as Hangar wrote it: it was left alone. The record is active as before and
/// tells the difference, until a person adopts what stands there or gives the record up.
pub(crate) async fn dns_left_in(c: &mut Conn, id: &DnsRecordId, observed: &str, now: Timestamp) -> Result<(), Fault> {
    let Some(mut row) = c.dns_record_lock(id).await? else { return Ok(()) };
    let error = left(&row, observed);
    // Another one may have taken the name meanwhile: then this one stays failed, with the same words.
    let other = c.dns_records_of_name(&row.provider_id, &row.zone, &row.name).await?;
    if row.state == DnsState::Failed && other.iter().any(|it| it.kind == row.kind && it.id != row.id) {
        row.cleanup = Cleanup::Done;
    } else {
        for happened in [DnsEvent::DeleteBegun, DnsEvent::DeleteRefused] {
            row.state = row.state.apply(happened).unwrap_or(row.state);
        }
        row.cleanup = Cleanup::None;
    }
    row.code = Some(error.code);
    row.message = Some(error.message.clone());
    row.drift = vec![foreign(&row, observed)];
    row.observed_at = Some(now);
    let system = Principal::system();
    let line = Happened::ok(&system, "dns.left", subject(id), now).detail(error.message);
    audit_in(c, line.failed(Code::DnsNameConflict)).await?;
    saved_in(c, row, now).await
}

/// What stands in the way of a record is another one than was noted: it is told, and nothing else
/// changes.
pub(crate) async fn dns_stands_in(c: &mut Conn, id: &DnsRecordId, observed: &str, now: Timestamp) -> Result<(), Fault> {
    let Some(mut row) = c.dns_record_lock(id).await? else { return Ok(()) };
    row.drift = vec![foreign(&row, observed)];
    saved_in(c, row, now).await
}

/// Whether something of this type is among what was found to stand there.
pub(super) fn is_of_type(observed: &str, kind: DnsType) -> bool {
    // Each of them is told as a type and its contents, after its name where the vendor tells that too.
    observed.split("; ").any(|one| one.split([' ', ',']).take(2).any(|word| word == kind.as_str()))
}

/// Why a record was left alone.
pub(super) fn left(row: &DnsRecordRow, observed: &str) -> JobError {
    let message =
        format!("{} is not as Hangar wrote it, so it was left alone. There stands now: {observed}.", row.fqdn());
    JobError::new(Code::DnsNameConflict, message)
}

/// What the guidance of a record says where something else stands than what Hangar wrote, or wanted to.
pub(super) fn foreign(row: &DnsRecordRow, observed: &str) -> Drift {
    let guidance = match (row.state, &row.node_id) {
        (DnsState::Failed, _) if !is_of_type(observed, row.kind) => {
            "Hangar did not write it and leaves it alone. It is of another type, so that it cannot be adopted in this \
                record's place: take it away in the zone and retry, or choose another name."
        }
        (DnsState::Failed, _) => {
            "Hangar did not write it and leaves it alone. Take it away in the zone and retry, or choose another name; \
                or adopt it, so that Hangar answers for it and may delete it."
        }
        (_, None) => {
            "Somebody changed it by hand, and Hangar leaves it alone. Adopt what stands there, so that Hangar answers \
                for it and may delete it; or give the record up and see to it in the zone yourself."
        }
        (_, Some(_)) => {
            "Somebody changed it by hand, and Hangar leaves it alone. Change it back in the zone, or adopt what stands \
                there, so that Hangar answers for it and may delete it. A name that was made with its node goes with \
                the node; any other can be given up."
        }
    };
    Drift {
        field: "record".to_owned(),
        recorded: format!("{} {}", row.kind, row.content),
        observed: observed.to_owned(),
        guidance: guidance.to_owned(),
    }
}

/// What the adapters noted of a record and its name: of creations that may still come true, and of
/// deletions that went out. What is another record's alone, or a server's, is left out.
fn noted_of(id: &DnsRecordId, journal: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let own = format!("dns:{id}");
    let is_of_it = |key: &str| key == own || key.starts_with("dns_");
    journal.iter().filter(|(key, _)| is_of_it(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// What the latest creation of a record noted, while something of it may still come true.
async fn creation_noted_in(
    c: &mut Conn,
    id: &DnsRecordId,
    now: Timestamp,
) -> Result<BTreeMap<String, Value>, StoreError> {
    let filter = Filter {
        subject: Some(id.to_string()),
        kind: Some(JobKind::DnsCreate.to_string()),
        limit: Some(1),
        ..Filter::default()
    };
    let last = c.jobs_page(&filter).await?.items.into_iter().next();
    let recent = last.filter(|job| job.finished_at.is_none_or(|at| at.plus(COMES_WITHIN) > now));
    let state = recent.and_then(|job| serde_json::from_value::<NodeJobState>(job.state).ok());
    Ok(state.map(|state| noted_of(id, &state.journal)).unwrap_or_default())
}

/// The record could not be taken away now: it is failed and pending, and a job of its own looks for
/// it again until the vendor confirms that it is gone. `journal` is what the adapter noted.
pub(crate) async fn dns_pending_in(
    c: &mut Conn,
    id: &DnsRecordId,
    (error, work): (&JobError, DnsWork),
    journal: &BTreeMap<String, Value>,
    next_look: Timestamp,
    now: Timestamp,
) -> Result<(), Fault> {
    dns_failed_in(c, id, error, (Cleanup::Pending, None), now).await?;
    let Some(row) = c.dns_record_lock(id).await? else { return Ok(()) };
    if row.cleanup != Cleanup::Pending || c.job_open_for("dns_record", id.as_str()).await?.is_some() {
        return Ok(());
    }
    let state = NodeJobState { dns: Some(work), journal: noted_of(id, journal), ..NodeJobState::default() };
    let system = Principal::system();
    let job = job_row(JobKind::DnsDelete, &row, state, &system, (CLEANUP_ATTEMPTS, next_look), now)?;
    c.job_insert(&job).await?;
    let words = "It may still stand in the zone; it is looked for again.";
    audit_in(c, Happened::ok(&system, "dns.cleanup", subject(id), now).detail(words)).await?;
    Ok(c.event_insert(&[event("job", &job.id, 1, None)]).await?)
}

/// Takes failed work up again, in the caller's transaction, after its gates have passed.
pub(super) async fn dns_retry_in(
    c: &mut Conn,
    who: &Principal,
    mut row: DnsRecordRow,
    max_attempts: u32,
    now: Timestamp,
) -> Result<JobId, Fault> {
    if let Ok(next) = row.state.apply(DnsEvent::Retried) {
        name_free_in(c, &row, "/name").await?;
        row.state = next;
        row.code = None;
        row.message = None;
        row.cleanup = Cleanup::None;
        row.drift = Vec::new();
        row.create_attempted_at = None;
        row.vendor_id = None;
        row.updated_at = now;
        match c.dns_record_save(&row).await {
            Err(StoreError::Conflict { .. }) => return Err(taken(&row, "/name", None)),
            other => other.map(drop)?,
        }
    } else if row.state != DnsState::Active {
        return Err(Fault::new(Code::ActionBlocked, format!("The record is {}; it is not made again.", row.state)));
    }
    job_begin_in(c, who, &row, ("retry-dns-record", JobKind::DnsCreate, DnsWork::Create), max_attempts, now).await
}
