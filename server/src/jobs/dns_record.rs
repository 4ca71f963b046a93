//! Makes and takes away one DNS record; `dns_adopt` takes one over. The rule: what could not be made is undone; what
//! could not be taken away is looked for again until the vendor confirms that it is gone; and what
//! somebody changed by hand is left alone.

use std::{sync::Arc, time::Duration};

use ::providers::{DnsFound, DnsName, DnsProvider, RecordDeleted, RecordTarget, RecordWish};
use domain::{
    code::Code,
    dns::{DnsEvent, DnsState},
    id::DnsRecordId,
    job::{JobError, JobKind, JobStatus, StepStatus},
    node::Cleanup,
    time::MINUTE,
};
use store::{DnsRecordRow, JobRow, ProviderRow};
use tokio::time::Instant;

use super::{
    dns_adopt,
    journal::{Cancellable, JobJournal, no_events},
    runner::{Failure, Signals, Stop, again, requeue},
};
use crate::{
    fault::Fault,
    services::{
        DnsWork, Lease, OpenAccount, Services, Undo, content_of, dns_begun_in, dns_failed_in, dns_gone_in, dns_left_in,
        dns_made_in, dns_pending_in, target_of,
    },
};

/// The longest wait between two looks for something that may be left.
const LONGEST_WAIT: i64 = 10 * MINUTE;
/// Between two looks for what came of a creation whose record was taken away meanwhile.
const VAIN_WAIT: i64 = MINUTE;
/// Between two questions to the name servers.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How a record ends that nobody can look for any more.
const LOST: &str = "Given up: its account is no longer here, so that nobody can look whether it still stands.";

/// What a person sees before the first step has begun.
const CREATE: &[(&str, &str)] = &[("create_record", "Create the DNS record"), VISIBLE];
const DELETE: &[(&str, &str)] = &[("delete_record", "Delete the DNS record")];
pub(super) const VISIBLE: (&str, &str) = ("name_visible", "Wait until the name servers answer with it");

/// Whether the name servers answer with what was made.
pub(super) enum Visible {
    /// All that can be reached do.
    Yes,
    /// Not within the time.
    NotYet,
    /// None of them could be asked, for this reason.
    Unasked(String),
}

/// Runs the job once.
pub(super) async fn run(services: &Arc<Services>, job: &JobRow, lease: &Lease, signals: Signals) -> Result<(), Stop> {
    let id: DnsRecordId = job.subject.id.parse().map_err(|e| Stop::from(Fault::internal(&e)))?;
    match work_of(job) {
        DnsWork::Create => create(services, job, lease, &id, signals).await,
        DnsWork::Adopt => dns_adopt::run(services, job, lease, &id, signals).await,
        work => remove(services, job, lease, (&id, work), signals).await,
    }
}

/// What the job is to do.
pub(super) fn work_of(job: &JobRow) -> DnsWork {
    let noted = serde_json::from_value::<DnsWork>(job.state["dns"].clone()).ok();
    noted.unwrap_or(if job.kind == JobKind::DnsCreate { DnsWork::Create } else { DnsWork::Delete })
}

/// A record, and its account as long as that is connected.
async fn row_and_account(services: &Services, id: &DnsRecordId) -> Result<(DnsRecordRow, Option<ProviderRow>), Stop> {
    let mut c = services.store().read().await.map_err(Fault::from)?;
    let row = c.dns_record_get(id).await.map_err(Fault::from)?.ok_or_else(|| Fault::not_found("DNS record"))?;
    let provider = c.provider_get(&row.provider_id).await.map_err(Fault::from)?;
    Ok((row, provider))
}

/// A record and its account.
pub(super) async fn rows(services: &Services, id: &DnsRecordId) -> Result<(DnsRecordRow, ProviderRow), Stop> {
    let (row, provider) = row_and_account(services, id).await?;
    let provider = provider.ok_or_else(|| {
        Stop::Failed(Failure::new(Code::ProviderAcquisitionUnavailable, "The record's account is no longer here."))
    })?;
    Ok((row, provider))
}

/// The zones of an open account.
pub(super) fn dns_of(open: &OpenAccount) -> Result<&dyn DnsProvider, Stop> {
    open.account.dns().ok_or_else(|| {
        Stop::Failed(Failure::new(Code::ProviderAcquisitionUnavailable, "This kind of account holds no zones."))
    })
}

/// The wish for records of one name.
pub(super) fn wish_of(rows: &[DnsRecordRow]) -> Option<RecordWish> {
    let first = rows.first()?;
    Some(RecordWish {
        name: DnsName { zone: first.zone.to_string(), name: first.name.to_string() },
        contents: rows.iter().map(content_of).collect(),
        ttl: first.ttl,
        proxied: first.proxied.then_some(true),
    })
}

/// Waits until the name servers answer with every one of these.
pub(super) async fn visible(dns: &dyn DnsProvider, targets: &[RecordTarget], within: Duration) -> Visible {
    let deadline = Instant::now() + within;
    for target in targets {
        loop {
            let seen = dns.is_visible(target).await;
            if matches!(seen, Ok(true)) {
                break;
            }
            if Instant::now() + ASK_EVERY > deadline {
                return match seen {
                    Err(error) => Visible::Unasked(error.message),
                    Ok(_) => Visible::NotYet,
                };
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
    Visible::Yes
}

async fn create(
    services: &Arc<Services>,
    job: &JobRow,
    lease: &Lease,
    id: &DnsRecordId,
    mut signals: Signals,
) -> Result<(), Stop> {
    let mut journal = JobJournal::open(services, job, lease, None, signals.clone(), CREATE, no_events).await?;
    let outcome = match journal.state.undo.clone() {
        Some(_) => Err(Stop::Cancelled),
        None => {
            journal.cancellable(Cancellable::Yes);
            let made = make(services, id, &mut journal);
            // A call that is on the wire when somebody cancels is dropped there; what it did is found
            // again by its marker when it is undone.
            tokio::select! {
                outcome = made => outcome,
                () = signals.cancelled() => Err(Stop::Cancelled),
            }
        }
    };
    let outcome = match (outcome, journal.stopped()) {
        (Err(Stop::Lost), Some(why)) => Err(why),
        (outcome, _) => outcome,
    };
    journal.cancellable(Cancellable::No);
    match outcome {
        Ok(()) => shown(services, id, &mut journal).await,
        Err(Stop::Lost) => Err(Stop::Lost),
        Err(Stop::Failed(failure)) if again(&failure, job) => {
            let closed = journal.close(StepStatus::Failed, Some(&failure.error.message), services.clock().now());
            journal.write(&closed, |_, _| Box::pin(async { Ok(()) })).await?;
            Err(Stop::Failed(failure))
        }
        Err(stop) => {
            let (error, ends) = match stop {
                Stop::Failed(failure) => (failure.error, JobStatus::Failed),
                _ => (JobError::new(Code::JobCancelled, "The job was cancelled."), JobStatus::Cancelled),
            };
            give_up(services, (id, lease), &mut journal, Undo { error, ends }).await
        }
    }
}

/// Makes the record, unless that has been done. One that is being taken away, or was, is not made any
/// more: then this is as if somebody had cancelled it.
async fn make(services: &Arc<Services>, id: &DnsRecordId, journal: &mut JobJournal) -> Result<(), Stop> {
    // Without its account no vendor hears of it.
    rows(services, id).await?;
    let record = id.clone();
    journal
        .write(&[], move |c, now| {
            let id = record.clone();
            Box::pin(async move { dns_begun_in(c, &id, DnsEvent::CreateBegun, now).await })
        })
        .await?;
    // Read after that: what is taken away from here on is seen again after the vendor's answer.
    let (row, provider) = rows(services, id).await?;
    if !matches!(row.state, DnsState::Creating | DnsState::Active) {
        return Err(Stop::Cancelled);
    }
    let open = services.account(&provider)?;
    let dns = dns_of(&open)?;
    let wish = wish_of(std::slice::from_ref(&row)).ok_or_else(|| Fault::not_found("DNS record"))?;
    let made = dns.create_record(&wish, journal).await?;
    journal
        .write(&[], move |c, now| {
            let made = made.clone();
            Box::pin(async move {
                for one in &made {
                    dns_made_in(c, one, now).await?;
                }
                Ok(())
            })
        })
        .await?;
    match row_and_account(services, id).await?.0.state {
        DnsState::Active => Ok(()),
        // It was taken away meanwhile, when nothing stood there yet.
        _ => Err(Stop::Cancelled),
    }
}

/// The record stands; whether the name servers know is told, and fails nothing.
async fn shown(services: &Arc<Services>, id: &DnsRecordId, journal: &mut JobJournal) -> Result<(), Stop> {
    let (row, provider) = rows(services, id).await?;
    journal.begin(VISIBLE.0, VISIBLE.1, |_, _| Box::pin(async { Ok(()) })).await?;
    let open = services.account(&provider)?;
    let seen = visible(dns_of(&open)?, &[target_of(&row)], services.settings().work.name_deadline).await;
    let detail = match seen {
        Visible::Yes => "They do.".to_owned(),
        Visible::NotYet => "They do not yet; the record stands all the same.".to_owned(),
        Visible::Unasked(why) => format!("They could not be asked: {why}"),
    };
    let closed = journal.close(StepStatus::Succeeded, Some(&detail), services.clock().now());
    journal.end(&closed, JobStatus::Succeeded, None, |_, _| Box::pin(async { Ok(()) })).await
}

/// The creation is given up: what may have come of it is taken away.
async fn give_up(
    services: &Arc<Services>,
    (id, lease): (&DnsRecordId, &Lease),
    journal: &mut JobJournal,
    undo: Undo,
) -> Result<(), Stop> {
    let now = services.clock().now();
    let undo = match journal.state.undo.clone() {
        Some(undo) => undo,
        None => {
            let closed = journal.close(StepStatus::Failed, Some(&undo.error.message), now);
            journal.state.undo = Some(undo.clone());
            let (record, why) = (id.clone(), undo.error.clone());
            journal
                .write(&closed, move |c, now| {
                    let (id, why) = (record.clone(), why.clone());
                    Box::pin(async move {
                        let tried = c.dns_record_get(&id).await?.is_some_and(|r| r.create_attempted_at.is_some());
                        let cleanup = if tried { Cleanup::Pending } else { Cleanup::None };
                        dns_failed_in(c, &id, &why, (cleanup, None), now).await
                    })
                })
                .await?;
            undo
        }
    };
    let known = rows(services, id).await;
    if matches!(known, Err(Stop::Lost)) {
        return Err(Stop::Lost);
    }
    if let Ok((row, provider)) = &known
        && row.state == DnsState::Deleted
        && !journal.state.journal.is_empty()
    {
        return made_in_vain(services, lease, (row, provider), journal, undo).await;
    }
    // One that stood before is not taken away because it could not be written again.
    if known.as_ref().is_ok_and(|(row, _)| row.state != DnsState::Failed || row.cleanup != Cleanup::Pending) {
        return journal.end(&[], undo.ends, Some(undo.error), |_, _| Box::pin(async { Ok(()) })).await;
    }
    journal.undoing();
    let mut stands = None;
    let undone = match known {
        Ok((row, provider)) => {
            if undo.error.code == Code::DnsNameConflict {
                stands = in_the_way(services, &row, &provider).await;
            }
            take_away(services, &row, &provider, journal).await
        }
        Err(stop) => Err(stop),
    };
    let now = services.clock().now();
    let (left, closed) = match undone {
        Ok(RecordDeleted::Changed { observed }) => {
            let words = format!("Left alone: there stands {observed}.");
            (Some(Some(observed)), journal.close(StepStatus::Skipped, Some(&words), now))
        }
        Ok(_) => (Some(stands), journal.close(StepStatus::Succeeded, Some("Nothing is left in the zone."), now)),
        Err(Stop::Lost) => return Err(journal.stopped().unwrap_or(Stop::Lost)),
        Err(Stop::Cancelled) => (None, journal.close(StepStatus::Failed, None, now)),
        Err(Stop::Failed(failure)) => (None, journal.close(StepStatus::Failed, Some(&failure.error.message), now)),
    };
    let next_look = now.plus(services.settings().work.back_off.first().copied().unwrap_or(5_000));
    let (record, why, noted) = (id.clone(), undo.error.clone(), journal.state.journal.clone());
    journal
        .end(&closed, undo.ends, Some(undo.error), move |c, now| {
            let (id, why, noted, left) = (record.clone(), why.clone(), noted.clone(), left.clone());
            Box::pin(async move {
                match left {
                    Some(observed) => dns_failed_in(c, &id, &why, (Cleanup::Done, observed.as_deref()), now).await,
                    None => dns_pending_in(c, &id, (&why, DnsWork::UndoCreate), &noted, next_look, now).await,
                }
            })
        })
        .await
}

/// The record was taken away, and its row says so, while it was still being made: what may have come of
/// that is taken away too, and looked for until it is gone.
async fn made_in_vain(
    services: &Arc<Services>,
    lease: &Lease,
    (row, provider): (&DnsRecordRow, &ProviderRow),
    journal: &mut JobJournal,
    undo: Undo,
) -> Result<(), Stop> {
    journal.undoing();
    let undone = take_away(services, row, provider, journal).await;
    let now = services.clock().now();
    match undone {
        Ok(found) => {
            let words = match found {
                RecordDeleted::Changed { observed } => format!("Left alone: there stands {observed}."),
                _ => "Nothing is left in the zone.".to_owned(),
            };
            let closed = journal.close(StepStatus::Succeeded, Some(&words), now);
            journal.end(&closed, undo.ends, Some(undo.error), |_, _| Box::pin(async { Ok(()) })).await
        }
        Err(Stop::Lost) => Err(journal.stopped().unwrap_or(Stop::Lost)),
        Err(stop) => {
            let failure = match stop {
                Stop::Failed(failure) => failure,
                _ => Failure::new(Code::JobCancelled, "The job was cancelled."),
            };
            let closed = journal.close(StepStatus::Failed, Some(&failure.error.message), now);
            journal.write(&closed, |_, _| Box::pin(async { Ok(()) })).await?;
            requeue(services, lease, now.plus(VAIN_WAIT), failure.error).await
        }
    }
}

/// What stands in the way of a record, for people; `None` where nothing does, or it cannot be seen now.
pub(super) async fn in_the_way(services: &Services, row: &DnsRecordRow, provider: &ProviderRow) -> Option<String> {
    let open = services.account(provider).ok()?;
    let found = open.account.dns()?.lookup(&target_of(row).name).await.ok()?;
    let is_in_the_way = |it: &&DnsFound| {
        let own = it.record_id.as_deref() == Some(row.id.as_str());
        !own && (it.kind == row.kind.as_str() || matches!(it.kind.as_str(), "A" | "AAAA" | "CNAME"))
    };
    let words: Vec<_> =
        found.iter().filter(is_in_the_way).map(|it| format!("{} {} {}", it.name, it.kind, it.content)).collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// Asks the vendor to take the record away.
pub(super) async fn take_away(
    services: &Services,
    row: &DnsRecordRow,
    provider: &ProviderRow,
    journal: &mut JobJournal,
) -> Result<RecordDeleted, Stop> {
    let open = services.account(provider)?;
    let dns = dns_of(&open)?;
    match dns.delete_record(&target_of(row), journal).await {
        Err(error) if error.lost => Err(journal.stopped().unwrap_or(Stop::Lost)),
        other => Ok(other?),
    }
}

async fn remove(
    services: &Arc<Services>,
    job: &JobRow,
    lease: &Lease,
    (id, work): (&DnsRecordId, DnsWork),
    signals: Signals,
) -> Result<(), Stop> {
    let mut journal = JobJournal::open(services, job, lease, None, signals, DELETE, no_events).await?;
    let outcome = match row_and_account(services, id).await {
        Err(stop) => Err(stop),
        // What the row itself answers needs no account.
        Ok((row, _)) if nothing_stands(&row) => Ok(RecordDeleted::Gone),
        Ok((row, Some(provider))) => take_away(services, &row, &provider, &mut journal).await,
        Ok((_, None)) => return lost(services, &mut journal, (id, work)).await,
    };
    let now = services.clock().now();
    let failure = match outcome {
        Ok(RecordDeleted::Changed { observed }) => {
            return left_alone(&mut journal, id, work, observed, now).await;
        }
        Ok(found) => {
            let how = if found == RecordDeleted::Deleted { "It was deleted." } else { "It was gone already." };
            let closed = journal.close(StepStatus::Succeeded, Some(how), now);
            let record = id.clone();
            return journal
                .end(&closed, JobStatus::Succeeded, None, move |c, now| {
                    let id = record.clone();
                    Box::pin(async move {
                        match work {
                            DnsWork::UndoCreate => undone_in(c, &id, None, now).await,
                            _ => dns_gone_in(c, &id, how, now).await,
                        }
                    })
                })
                .await;
        }
        Err(Stop::Lost) => return Err(journal.stopped().unwrap_or(Stop::Lost)),
        Err(Stop::Cancelled) => Failure::new(Code::JobCancelled, "The job was cancelled."),
        Err(Stop::Failed(failure)) => failure,
    };
    let closed = journal.close(StepStatus::Failed, Some(&failure.error.message), now);
    if work != DnsWork::Delete {
        // Whatever the reason, what is left is looked for again: a credential can be mended.
        journal.write(&closed, |_, _| Box::pin(async { Ok(()) })).await?;
        let wait = super::runner::back_off(services, job, failure.retry_after).min(LONGEST_WAIT);
        return requeue(services, lease, now.plus(wait), failure.error).await;
    }
    if again(&failure, job) {
        journal.write(&closed, |_, _| Box::pin(async { Ok(()) })).await?;
        return Err(Stop::Failed(failure));
    }
    let next_look = now.plus(super::runner::back_off(services, job, failure.retry_after));
    let (record, why, noted) = (id.clone(), failure.error.clone(), journal.state.journal.clone());
    journal
        .end(&closed, JobStatus::Failed, Some(failure.error), move |c, now| {
            let (id, why, noted) = (record.clone(), why.clone(), noted.clone());
            Box::pin(async move { dns_pending_in(c, &id, (&why, DnsWork::FinishDelete), &noted, next_look, now).await })
        })
        .await
}

/// Whether nothing of a record is in its zone, as far as Hangar can know: it was never tried, is gone, or
/// failed and all of it was taken away then.
fn nothing_stands(row: &DnsRecordRow) -> bool {
    row.state == DnsState::Deleted
        || row.create_attempted_at.is_none()
        || (row.state == DnsState::Failed && row.cleanup != Cleanup::Pending)
}

/// Nobody can look for it any more, since its account is gone: it ends, and says so.
async fn lost(
    services: &Arc<Services>,
    journal: &mut JobJournal,
    (id, work): (&DnsRecordId, DnsWork),
) -> Result<(), Stop> {
    let now = services.clock().now();
    journal.begin(DELETE[0].0, DELETE[0].1, |_, _| Box::pin(async { Ok(()) })).await?;
    let closed = journal.close(StepStatus::Skipped, Some(LOST), now);
    let record = id.clone();
    journal
        .end(&closed, JobStatus::Succeeded, None, move |c, now| {
            let id = record.clone();
            Box::pin(async move {
                match work {
                    DnsWork::UndoCreate => undone_in(c, &id, None, now).await,
                    _ => dns_gone_in(c, &id, LOST, now).await,
                }
            })
        })
        .await
}

/// What stands there is not as Hangar wrote it. Who asked for the deletion is told so; a clean-up is
/// over with that, since nothing of Hangar's is left.
async fn left_alone(
    journal: &mut JobJournal,
    id: &DnsRecordId,
    work: DnsWork,
    observed: String,
    now: domain::time::Timestamp,
) -> Result<(), Stop> {
    let words = format!("Left alone: there stands {observed}.");
    let closed = journal.close(StepStatus::Failed, Some(&words), now);
    let (status, error) = match work {
        DnsWork::Delete => {
            let message =
                format!("The record is not as Hangar wrote it, so it was left alone. There stands: {observed}.");
            (JobStatus::Failed, Some(JobError::new(Code::DnsNameConflict, message)))
        }
        _ => (JobStatus::Succeeded, None),
    };
    let record = id.clone();
    journal
        .end(&closed, status, error, move |c, now| {
            let (id, observed) = (record.clone(), observed.clone());
            Box::pin(async move {
                match work {
                    DnsWork::UndoCreate => undone_in(c, &id, Some(&observed), now).await,
                    _ => dns_left_in(c, &id, &observed, now).await,
                }
            })
        })
        .await
}

/// Nothing of ours is left of a creation that failed; the record keeps why it did.
async fn undone_in(
    c: &mut store::Conn,
    id: &DnsRecordId,
    observed: Option<&str>,
    now: domain::time::Timestamp,
) -> Result<(), Fault> {
    let Some(row) = c.dns_record_get(id).await? else { return Ok(()) };
    let error = JobError::new(row.code.unwrap_or(Code::Internal), row.message.unwrap_or_default());
    dns_failed_in(c, id, &error, (Cleanup::Done, observed), now).await
}

/// Ends a job on a record that failed where nothing else sees to the record: no record is left in a
/// working state without a job.
pub(super) async fn given_up(services: &Services, job: &JobRow, lease: &Lease, error: JobError) -> Result<(), Stop> {
    let id: DnsRecordId = job.subject.id.parse().map_err(|e| Stop::from(Fault::internal(&e)))?;
    let (now, owned, work) = (services.clock().now(), lease.clone(), work_of(job));
    let noted = serde_json::from_value::<crate::services::NodeJobState>(job.state.clone()).unwrap_or_default().journal;
    tracing::info!(job = %lease.job, code = %error.code, "job ends");
    let held = services
        .store()
        .write::<bool, Fault, _>(move |c| {
            let (lease, error, id, noted) = (owned.clone(), error.clone(), id.clone(), noted.clone());
            Box::pin(async move {
                if !c.job_finish(&lease.job, lease.fence, JobStatus::Failed, Some(&error), now).await? {
                    return Ok(false);
                }
                let row = c.dns_record_get(&id).await?;
                let tried = row.as_ref().is_some_and(|row| row.create_attempted_at.is_some());
                let working = row.is_some_and(|row| row.state.is_working());
                let next_look = now.plus(MINUTE);
                match work {
                    _ if !working => {}
                    DnsWork::Create | DnsWork::UndoCreate if tried => {
                        dns_pending_in(c, &id, (&error, DnsWork::UndoCreate), &noted, next_look, now).await?;
                    }
                    DnsWork::Delete | DnsWork::FinishDelete if tried => {
                        dns_pending_in(c, &id, (&error, DnsWork::FinishDelete), &noted, next_look, now).await?;
                    }
                    _ => dns_failed_in(c, &id, &error, (Cleanup::None, None), now).await?,
                }
                c.event_insert(&[crate::services::event("job", &lease.job, now.millis(), None)]).await?;
                Ok(true)
            })
        })
        .await?;
    if held { Ok(()) } else { Err(Stop::Lost) }
}
