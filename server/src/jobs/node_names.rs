//! The names of a node: made before it is handed over, taken away before its server. The rule: both
//! addresses or neither; and a name that cannot be taken away holds up no server, but gets a job of
//! its own that looks for it until it is gone.

use std::{sync::Arc, time::Duration};

use ::providers::RecordDeleted;
use domain::{
    code::Code,
    dns::{DnsEvent, DnsState},
    id::{JobId, NodeId, ProviderId},
    job::{JobError, StepStatus},
    node::Cleanup,
    time::{MINUTE, Millis},
};
use store::{DnsRecordRow, JobRow};
use tokio::time::Instant;

use super::{
    dns_record::{VISIBLE, Visible, dns_of, in_the_way, take_away, visible, wish_of},
    journal::JobJournal,
    node_prepare::{rows, target},
    runner::{Failure, Stop, again, back_off},
};
use crate::{
    fault::Fault,
    services::{
        DnsWork, NodeJobState, Services, dns_begun_in, dns_failed_in, dns_gone_in, dns_left_in, dns_made_in,
        dns_pending_in, event, names_begun_in, names_of_node_in, node_fqdn_in, target_of,
    },
};

/// The steps of this stage.
pub(super) const NAMING: [(&str, &str); 3] =
    [("create_record", "Create the DNS records"), VISIBLE, ("reverse_dns", "Set the reverse names")];

/// The vendor of the server has this long for a reverse name.
const REVERSE_WITHIN: Duration = Duration::from_secs(60);
/// A job that makes a name has this long to end once it is asked to.
const MAKERS_WITHIN: Duration = Duration::from_secs(30);

/// Gives a node its names, unless that has been done, and waits until they are known.
pub(super) async fn name(services: &Arc<Services>, id: &NodeId, journal: &mut JobJournal) -> Result<(), Stop> {
    let (node, provider) = rows(services, id).await?;
    if node.spec.dns.is_none() {
        return Ok(());
    }
    let begun = node.clone();
    journal
        .write(&[], move |c, now| {
            let node = begun.clone();
            Box::pin(async move { names_begun_in(c, &node, now).await })
        })
        .await?;
    let names = names(services, id).await?;
    let (Some(wish), Some(first)) = (wish_of(&names), names.first()) else {
        if let Some(dns) = &node.spec.dns {
            account(services, &dns.provider_id).await?;
        }
        return Err(Stop::Failed(Failure::new(Code::DnsValidation, "The server has no address that a name can have.")));
    };
    let dns_account = account(services, &first.provider_id).await?;
    let open = services.account(&dns_account)?;
    let dns = dns_of(&open)?;
    let made = dns.create_record(&wish, journal).await?;
    let (node_id, fqdn) = (id.clone(), wish.name.fqdn());
    journal
        .write(&[], move |c, now| {
            let (node, fqdn, made) = (node_id.clone(), fqdn.clone(), made.clone());
            Box::pin(async move {
                for one in &made {
                    dns_made_in(c, one, now).await?;
                }
                node_fqdn_in(c, &node, &fqdn, now).await
            })
        })
        .await?;
    journal.begin(VISIBLE.0, VISIBLE.1, |_, _| Box::pin(async { Ok(()) })).await?;
    let targets: Vec<_> = self::names(services, id).await?.iter().map(target_of).collect();
    let detail = match visible(dns, &targets, services.settings().work.name_deadline).await {
        Visible::Yes => "They answer with it.".to_owned(),
        Visible::NotYet => {
            let message = "The zone's name servers did not answer with the new name in time.";
            return Err(Stop::Failed(Failure::new(Code::ProviderAcquisitionTimeout, message)));
        }
        // Where no name server can be asked from here, the vendor's word has to do.
        Visible::Unasked(why) => format!("They could not be asked: {why}"),
    };
    let closed = journal.close(StepStatus::Succeeded, Some(&detail), services.clock().now());
    journal.write(&closed, |_, _| Box::pin(async { Ok(()) })).await?;

    journal.begin(NAMING[2].0, NAMING[2].1, |_, _| Box::pin(async { Ok(()) })).await?;
    let open = services.account(&provider)?;
    let mut refused = Vec::new();
    if let Some(infra) = open.account.infra() {
        let (machine, fqdn) = (target(&node), wish.name.fqdn());
        for address in [&node.ipv4, &node.ipv6].into_iter().flatten() {
            let set = infra.reverse_dns_set(&machine, address, Some(&fqdn));
            match tokio::time::timeout(REVERSE_WITHIN, set).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => refused.push(format!("{address}: {}", error.message)),
                Err(_) => refused.push(format!("{address}: the vendor did not do it in time.")),
            }
        }
    }
    // The node is reached by its name without it.
    let (status, detail) = match refused.is_empty() {
        true => (StepStatus::Succeeded, "The addresses lead back to the name.".to_owned()),
        false => {
            (StepStatus::Skipped, format!("Not set, which keeps nobody from using the node. {}", refused.join(" ")))
        }
    };
    let closed = journal.close(status, Some(&detail), services.clock().now());
    journal.write(&closed, |_, _| Box::pin(async { Ok(()) })).await
}

async fn names(services: &Services, id: &NodeId) -> Result<Vec<DnsRecordRow>, Stop> {
    let mut c = services.store().read().await.map_err(Fault::from)?;
    Ok(names_of_node_in(&mut c, id).await?)
}

async fn account(services: &Services, id: &ProviderId) -> Result<store::ProviderRow, Stop> {
    let mut c = services.store().read().await.map_err(Fault::from)?;
    c.provider_get(id).await.map_err(Fault::from)?.ok_or_else(|| {
        Stop::Failed(Failure::new(Code::ProviderAcquisitionUnavailable, "The account of the name is no longer here."))
    })
}

/// For so long since it began a job waits for names; meanwhile the server bills.
const PATIENT: Millis = 2 * MINUTE;

/// What becomes of a name that cannot be taken away now.
#[derive(Clone, Copy)]
pub(super) enum Patience<'a> {
    /// This job tries again as long as it has attempts, but not for long; after that the name is on
    /// its own.
    While(&'a JobRow),
    /// It is on its own at once.
    None,
}

/// Takes the names of a node away, before its server. With `because`, a name that could not be made
/// for that reason stays as failed, so that people see why.
pub(super) async fn unname(
    services: &Arc<Services>,
    id: &NodeId,
    journal: &mut JobJournal,
    patience: Patience<'_>,
    because: Option<&JobError>,
) -> Result<(), Stop> {
    let because = because.filter(|error| is_of_dns(error.code)).cloned();
    makers_ended(services, id, journal).await?;
    let names = names(services, id).await?;
    if names.is_empty() {
        return Ok(());
    }
    let (doomed, keep) = (names.clone(), because.is_some());
    journal
        .write(&[], move |c, now| {
            let doomed = doomed.clone();
            Box::pin(async move {
                for row in &doomed {
                    if !(keep && is_unmade(row)) {
                        dns_begun_in(c, &row.id, DnsEvent::DeleteBegun, now).await?;
                    }
                }
                Ok(())
            })
        })
        .await?;
    let mut said = Vec::new();
    for row in names {
        let outcome = if row.create_attempted_at.is_none() {
            Ok(RecordDeleted::Gone)
        } else {
            match account(services, &row.provider_id).await {
                Ok(provider) => take_away(services, &row, &provider, journal).await,
                Err(stop) => Err(stop),
            }
        };
        let failure = match outcome {
            Ok(found) => {
                if let RecordDeleted::Changed { observed } = &found {
                    said.push(format!("Left alone, since somebody changed it: {observed}."));
                }
                let is_conflict = because.as_ref().is_some_and(|why| why.code == Code::DnsNameConflict);
                let stands = match account(services, &row.provider_id).await {
                    Ok(provider) if is_conflict && is_unmade(&row) => in_the_way(services, &row, &provider).await,
                    _ => None,
                };
                settled(journal, &row, found, (because.clone(), stands)).await?;
                continue;
            }
            Err(Stop::Failed(failure)) => failure,
            Err(Stop::Lost) => return Err(journal.stopped().unwrap_or(Stop::Lost)),
            Err(stop) => return Err(stop),
        };
        if let Patience::While(job) = patience
            && is_patient(services, &failure, job)
        {
            return Err(Stop::Failed(failure));
        }
        said.push(format!("{} {} could not be deleted and is looked for again.", row.fqdn(), row.kind));
        let next_look =
            services.clock().now().plus(services.settings().work.back_off.first().copied().unwrap_or(5_000));
        let work = if because.is_some() && is_unmade(&row) { DnsWork::UndoCreate } else { DnsWork::FinishDelete };
        let why = match (&because, work) {
            (Some(error), DnsWork::UndoCreate) => error.clone(),
            _ => failure.error,
        };
        let (record, noted) = (row.id.clone(), journal.state.journal.clone());
        journal
            .write(&[], move |c, now| {
                let (id, why, noted) = (record.clone(), why.clone(), noted.clone());
                Box::pin(async move { dns_pending_in(c, &id, (&why, work), &noted, next_look, now).await })
            })
            .await?;
    }
    let detail = if said.is_empty() { "The names are gone.".to_owned() } else { said.join(" ") };
    let closed = journal.close(StepStatus::Succeeded, Some(&detail), services.clock().now());
    journal.write(&closed, |_, _| Box::pin(async { Ok(()) })).await
}

/// Ends what still makes a name of the node, or takes one over: what is taken away here is not made
/// again behind its back. Such a job undoes by itself what may have come of it; one that does not end in
/// time finds its record taken away, and leaves nothing either.
async fn makers_ended(services: &Arc<Services>, id: &NodeId, journal: &mut JobJournal) -> Result<(), Stop> {
    let asked = makers(services, id).await?;
    if asked.is_empty() {
        return Ok(());
    }
    let jobs = asked.clone();
    journal
        .write(&[], move |c, now| {
            let jobs = jobs.clone();
            Box::pin(async move {
                for job in &jobs {
                    c.job_cancel_request(job, now).await?;
                    c.event_insert(&[event("job", job, now.millis(), None)]).await?;
                }
                Ok(())
            })
        })
        .await?;
    asked.iter().for_each(|job| services.cancellation_tell(job));
    let deadline = Instant::now() + MAKERS_WITHIN;
    let mut changes = services.store().wakeups();
    loop {
        changes.borrow_and_update();
        if makers(services, id).await?.is_empty() {
            break;
        }
        if Instant::now() >= deadline {
            tracing::warn!(node = %id, "a job that makes a name of the node does not end; the node goes on");
            return Ok(());
        }
        // Another process may end it, which is heard of late.
        let _ = tokio::time::timeout(Duration::from_secs(1), changes.changed()).await;
    }
    // What they noted tells the adapters whether a creation of theirs may still come true.
    for job in &asked {
        let mut c = services.store().read().await.map_err(Fault::from)?;
        let ended = c.job_get(job).await.map_err(Fault::from)?;
        let noted = ended.and_then(|job| serde_json::from_value::<NodeJobState>(job.state).ok());
        journal.state.journal.extend(noted.unwrap_or_default().journal);
    }
    // What was never made because of this is not kept as a failure.
    let node = id.clone();
    journal
        .write(&[], move |c, now| {
            let node = node.clone();
            Box::pin(async move {
                for row in c.dns_records_of_node(&node).await? {
                    let unmade = row.state == DnsState::Failed && row.cleanup != Cleanup::Pending;
                    if unmade && row.code == Some(Code::JobCancelled) {
                        dns_gone_in(c, &row.id, "Its node was destroyed before it was made.", now).await?;
                    }
                }
                Ok(())
            })
        })
        .await
}

async fn makers(services: &Services, id: &NodeId) -> Result<Vec<JobId>, Stop> {
    let mut c = services.store().read().await.map_err(Fault::from)?;
    Ok(c.dns_makers_of_node(id).await.map_err(Fault::from)?)
}

/// Whether the job's next attempt is waited for, whoever asks for patience.
fn is_patient(services: &Services, failure: &Failure, job: &JobRow) -> bool {
    let now = services.clock().now();
    let next = now.plus(back_off(services, job, failure.retry_after));
    let until = job.started_at.unwrap_or(now).plus(PATIENT);
    again(failure, job) && job.attempt < job.max_attempts && next <= until
}

/// Whether it never stood in its zone, as far as is known.
fn is_unmade(row: &DnsRecordRow) -> bool {
    row.vendor_id.is_none() && row.observed_at.is_none()
}

async fn settled(
    journal: &mut JobJournal,
    row: &DnsRecordRow,
    found: RecordDeleted,
    (because, stands): (Option<JobError>, Option<String>),
) -> Result<(), Stop> {
    let (id, unmade, tried) = (row.id.clone(), is_unmade(row), row.create_attempted_at.is_some());
    journal
        .write(&[], move |c, now| {
            let (id, found, because, stands) = (id.clone(), found.clone(), because.clone(), stands.clone());
            Box::pin(async move {
                match (found, because.filter(|_| unmade && tried)) {
                    (RecordDeleted::Changed { observed }, Some(why)) => {
                        dns_failed_in(c, &id, &why, (Cleanup::Done, Some(&observed)), now).await
                    }
                    (_, Some(why)) => dns_failed_in(c, &id, &why, (Cleanup::Done, stands.as_deref()), now).await,
                    (RecordDeleted::Changed { observed }, None) => dns_left_in(c, &id, &observed, now).await,
                    (RecordDeleted::Deleted, None) => dns_gone_in(c, &id, "It was deleted.", now).await,
                    (RecordDeleted::Gone, None) => dns_gone_in(c, &id, "It was gone already.", now).await,
                }
            })
        })
        .await
}

fn is_of_dns(code: Code) -> bool {
    matches!(code, Code::DnsNameConflict | Code::DnsZoneNotFound | Code::DnsQuotaExceeded | Code::DnsValidation)
}
