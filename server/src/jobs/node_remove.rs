//! Takes a node's machine away: asked for (`node_destroy`), or because an undo did not succeed at
//! once (`node_cleanup`, which never gives up).

use std::sync::Arc;

use domain::{
    code::{Code, Retry},
    id::NodeId,
    job::{JobKind, JobStatus, StepStatus},
    node::Cleanup,
    time::MINUTE,
};
use store::{FreshId as _, JobRow, NodeRow, ProviderRow};

use super::{
    journal::{Cancellable, JobJournal, no_events},
    node_backup::keep,
    node_names::{Patience, unname},
    node_prepare::{rows, target},
    runner::{Failure, Signals, Stop, again as again_later, postpone, requeue},
};
use crate::{
    fault::Fault,
    services::{
        Again, Lease, NameAs, Services, Undone, Wanted, backup_owed, node_destroyed_in, node_not_destroyed_in,
        node_undone_in, vm_noted_in,
    },
};

/// The longest wait between two looks for something that may be left.
pub(super) const LONGEST_WAIT: i64 = 10 * MINUTE;

/// Runs the job once.
pub(super) async fn run(services: &Arc<Services>, job: &JobRow, lease: &Lease, signals: Signals) -> Result<(), Stop> {
    let id: NodeId = job.subject.id.parse().map_err(|e| Stop::from(Fault::internal(&e)))?;
    let mut journal = JobJournal::open(services, job, lease, id.clone(), signals.clone(), &[], no_events).await?;
    // A person may end the wait for a backup, as long as nothing is taken away.
    let outcome = match journal.state.owes_backup() && job.cancel_requested {
        true => Err(Stop::Cancelled),
        false => remove(services, &id, job, lease, signals.clone(), &mut journal).await,
    };
    journal.cancellable(Cancellable::No);
    let now = services.clock().now();
    let failure = match outcome {
        Ok(()) => {
            let closed = journal.close(StepStatus::Succeeded, None, now);
            let again = again(services, &id, journal.state.replace).await?;
            let (node, kind) = (id.clone(), job.kind);
            return journal
                .end(&closed, JobStatus::Succeeded, None, move |c, now| {
                    let (node, again) = (node.clone(), again.clone());
                    Box::pin(async move {
                        match kind {
                            JobKind::NodeDestroy => node_destroyed_in(c, &node, again, now).await,
                            _ => node_undone_in(c, &node, Undone::Done { again }, now).await,
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
    if job.kind == JobKind::NodeCleanup {
        // Whatever the reason, what may bill is looked for again: a credential can be mended.
        journal.write(&closed, |_, _| Box::pin(async { Ok(()) })).await?;
        let wait = super::runner::back_off(services, job, failure.retry_after).min(LONGEST_WAIT);
        return requeue(services, lease, now.plus(wait), failure.error).await;
    }
    if again_later(&failure, job) {
        journal.write(&closed, |_, _| Box::pin(async { Ok(()) })).await?;
        return Err(Stop::Failed(failure));
    }
    let owes = journal.state.owes_backup();
    if owes && failure.retry == Retry::Yes && journal.state.unattended {
        // Nobody asked for this in person, and nobody would try again: it waits for the vendor, and for
        // whatever the machine is to become it says so.
        let (node, words) = (id.clone(), format!("it waits for its backup: {}", failure.error.message));
        journal
            .write(&closed, move |c, now| {
                let (node, words) = (node.clone(), words.clone());
                Box::pin(async move { vm_noted_in(c, &node, &words, now).await })
            })
            .await?;
        let wait = super::runner::back_off(services, job, failure.retry_after).min(LONGEST_WAIT);
        return postpone(services, lease, now.plus(wait), failure.error).await;
    }
    let next_look = now.plus(super::runner::back_off(services, job, failure.retry_after));
    let ends = if failure.error.code == Code::JobCancelled { JobStatus::Cancelled } else { JobStatus::Failed };
    let mut error = if owes { backup_owed(failure.error) } else { failure.error };
    if owes && let Err(why) = started_again(services, &id, &mut journal).await {
        tracing::warn!(node = %id, ?why, "what was stopped for a backup that failed could not be started again");
        error
            .message
            .push_str(" What was stopped for it could not be started again: choose Resume to try it once more.");
    }
    let (node, why, state) = (id.clone(), error.clone(), journal.state.clone());
    journal
        .end(&closed, ends, Some(error), move |c, now| {
            let (node, why, state) = (node.clone(), why.clone(), state.clone());
            Box::pin(async move { node_not_destroyed_in(c, &node, &why, &state, next_look, now).await })
        })
        .await
}

async fn remove(
    services: &Arc<Services>,
    id: &NodeId,
    job: &JobRow,
    lease: &Lease,
    signals: Signals,
    journal: &mut JobJournal,
) -> Result<(), Stop> {
    let (node, provider) = {
        let mut c = services.store().read().await.map_err(Fault::from)?;
        let node = c.node_get(id).await.map_err(Fault::from)?.ok_or_else(|| Fault::not_found("node"))?;
        let provider = c.provider_get(&node.provider_id).await.map_err(Fault::from)?;
        (node, provider)
    };
    // What the acquisition noted tells the adapters whether a create may still come true.
    if journal.state.journal.is_empty()
        && let Some(noted) = provision_journal(services, id).await?
    {
        journal.state.journal = noted;
    }
    if journal.state.owes_backup() && is_made(&node) {
        let provider = provider.as_ref().ok_or_else(|| {
            Stop::Failed(Failure::new(Code::ProviderAcquisitionUnavailable, "The node's account is no longer here."))
        })?;
        journal.cancellable(Cancellable::Yes);
        keep(services, &node, provider, job, lease, signals, journal).await?;
        journal.cancellable(Cancellable::No);
    }
    // The names first: while they lead here, the address is nobody else's.
    let patience = if job.kind == JobKind::NodeDestroy { Patience::While(job) } else { Patience::None };
    unname(services, id, journal, patience, None).await?;
    // Nothing was ever asked of the vendor, or what was made is known to be gone.
    if !is_made(&node) || (node.cleanup == Cleanup::Done && !still_there(services, &node, provider.as_ref()).await) {
        return Ok(());
    }
    let provider = provider.ok_or_else(|| {
        Stop::Failed(Failure::new(Code::ProviderAcquisitionUnavailable, "The node's account is no longer here."))
    })?;
    let open = services.account(&provider)?;
    let infra = open.account.infra().ok_or_else(|| {
        Stop::Failed(Failure::new(Code::ProviderAcquisitionUnavailable, "This kind of account makes no nodes."))
    })?;
    infra.destroy(&target(&node), journal).await?;
    Ok(())
}

/// Starts what a backup stopped that is not to be had.
async fn started_again(services: &Arc<Services>, id: &NodeId, journal: &mut JobJournal) -> Result<(), Stop> {
    let (node, provider) = rows(services, id).await?;
    if !is_made(&node) {
        return Ok(());
    }
    let open = services.account(&provider)?;
    match open.account.infra() {
        Some(infra) => Ok(infra.backup_undone(&target(&node), journal).await?),
        None => Ok(()),
    }
}

/// Whether something may be there at the vendor.
fn is_made(node: &NodeRow) -> bool {
    node.create_attempted_at.is_some() || node.infra_id.is_some()
}

/// Whether the vendor still has the server of a node for which nothing should be left there. Where that
/// cannot be told, what is recorded counts.
async fn still_there(services: &Services, node: &NodeRow, provider: Option<&ProviderRow>) -> bool {
    let (Some(infra_id), Some(provider)) = (&node.infra_id, provider) else { return false };
    let Ok(open) = services.account(provider) else { return false };
    let Some(infra) = open.account.infra() else { return false };
    infra
        .status(infra_id)
        .await
        .is_ok_and(|found| found.is_some_and(|it| it.ours && it.node_id.as_deref() == Some(node.id.as_str())))
}

async fn provision_journal(
    services: &Services,
    id: &NodeId,
) -> Result<Option<std::collections::BTreeMap<String, serde_json::Value>>, Stop> {
    let filter = domain::list::Filter {
        subject: Some(id.to_string()),
        kind: Some(JobKind::NodeProvision.to_string()),
        limit: Some(1),
        ..Default::default()
    };
    let mut c = services.store().read().await.map_err(Fault::from)?;
    let last = c.jobs_page(&filter).await.map_err(Fault::from)?.items.into_iter().next();
    let state = last.and_then(|job| serde_json::from_value::<crate::services::NodeJobState>(job.state).ok());
    Ok(state.map(|state| state.journal))
}

/// The node that takes this one's place, when it is being replaced. Its own job chooses type and
/// location, so that a catalogue that does not answer now holds nothing up.
async fn again(services: &Services, id: &NodeId, replace: bool) -> Result<Option<Box<Again>>, Stop> {
    if !replace {
        return Ok(None);
    }
    let mut c = services.store().read().await.map_err(Fault::from)?;
    let node = c.node_get(id).await.map_err(Fault::from)?.ok_or_else(|| Fault::not_found("node"))?;
    drop(c);
    let fresh = NodeId::fresh();
    let stack = services.stack_again(&node).await?;
    Ok(Some(Box::new(Again {
        keys: services.node_keys(&fresh, stack.as_ref())?,
        wanted: Wanted {
            name: node.name.clone(),
            chosen: None,
            ssh_user: node.ssh_user.clone().unwrap_or_else(|| "root".to_owned()),
            ssh_port: node.ssh_port.unwrap_or(22),
            spec: node.spec,
            stack,
            named: NameAs::OwnOne,
        },
        id: fresh,
        max_attempts: services.settings().work.max_attempts,
    })))
}
