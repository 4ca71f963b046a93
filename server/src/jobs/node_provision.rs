//! Makes a node: server, login, verification. A failure or cancellation before the hand-over to
//! SSH is undone by itself; after it the server is kept and shown.

use std::sync::Arc;

use ::providers::{Chosen, Machine, MachinePower, ProvisionWish, Selection, choose};
use domain::{
    code::{Code, Retry},
    id::NodeId,
    job::{JobError, JobStatus, StepStatus},
    node::{Cleanup, NodeEvent},
    time::MINUTE,
};
use store::{JobRow, NodeRow, ProviderRow};

use super::{
    journal::{CHOSEN, Cancellable, JobJournal},
    node_names::{NAMING, Patience, name, unname},
    node_prepare::{PREPARE, prepare, rows, target, user_data, verify},
    runner::{Failure, Signals, Stop, again, held},
};
use crate::{
    fault::Fault,
    services::{
        Held, Lease, Power, Services, Undo, Undone, names_dropped_in, names_given_up_in, node_event_in, node_failed_in,
        node_made_in, node_price_in, node_settled_in, node_undone_in,
    },
};

/// What a person sees before the first step has begun.
const PLAN: &[(&str, &str)] = &[
    ("choose", "Choose type, location and image"),
    ("ensure_ssh_key", "Register the SSH key"),
    ("create_server", "Create the server"),
    ("start_server", "Start the server"),
    ("fetch_server", "Read the server's addresses"),
    PREPARE[0],
    PREPARE[1],
    PREPARE[2],
];

/// The same for a stack.
const STACK: [(&str, &str); 4] = [
    ("create_server", "Create the stack"),
    ("start_server", "Start its services"),
    ("fetch_server", "Read its ports"),
    PREPARE[2],
];

/// The same for one that gets a name, and for a stack.
fn plan(named: bool, is_stack: bool) -> Vec<(&'static str, &'static str)> {
    let (machine, prepare) = match is_stack {
        true => STACK.split_at(STACK.len() - 1),
        false => PLAN.split_at(PLAN.len() - PREPARE.len()),
    };
    let naming: &[(&str, &str)] = if named { &NAMING } else { &[] };
    [machine, naming, prepare].concat()
}

fn events(step: &str) -> Option<NodeEvent> {
    match step {
        "create_server" => Some(NodeEvent::CreateBegun),
        "start_server" => Some(NodeEvent::ServerAccepted),
        _ => None,
    }
}

/// Runs the job once.
pub(super) async fn run(
    services: &Arc<Services>,
    job: &JobRow,
    lease: &Lease,
    mut signals: Signals,
) -> Result<(), Stop> {
    let id: NodeId = job.subject.id.parse().map_err(|e| Stop::from(Fault::internal(&e)))?;
    let known = services.store().read().await.map_err(Fault::from)?.node_get(&id).await.map_err(Fault::from)?;
    let plan = plan(
        known.as_ref().is_some_and(|node| node.spec.dns.is_some()),
        known.is_some_and(|node| node.blueprint.is_some()),
    );
    let mut journal = JobJournal::open(services, job, lease, id.clone(), signals.clone(), &plan, events).await?;
    let outcome = match journal.state.undo.clone() {
        Some(_) => Err(Stop::Cancelled),
        None => {
            journal.cancellable(Cancellable::Yes);
            let forward = forward(services, job, &id, &mut journal);
            // A call that is on the wire when somebody cancels is dropped there; what it did is
            // found again by name and labels when it is undone.
            tokio::select! {
                outcome = forward => outcome,
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
        Ok(()) => Ok(()),
        Err(Stop::Lost) => Err(Stop::Lost),
        Err(Stop::Failed(failure)) if again(&failure, job) => {
            let status = if held(&failure, job) { StepStatus::Pending } else { StepStatus::Failed };
            let closed = journal.close(status, Some(&failure.error.message), services.clock().now());
            journal.write(&closed, |_, _| Box::pin(async { Ok(()) })).await?;
            Err(Stop::Failed(failure))
        }
        Err(stop) => {
            let (error, ends) = match stop {
                Stop::Failed(failure) => (failure.error, JobStatus::Failed),
                _ => (JobError::new(Code::JobCancelled, "The job was cancelled."), JobStatus::Cancelled),
            };
            give_up(services, &id, &mut journal, error, ends).await
        }
    }
}

/// From wherever the run before stopped to `ready`.
async fn forward(services: &Arc<Services>, job: &JobRow, id: &NodeId, journal: &mut JobJournal) -> Result<(), Stop> {
    let begun = job.started_at.unwrap_or(job.created_at);
    if services.clock().now().since(begun) > services.settings().work.provision_deadline && !journal.state.handed_over {
        return Err(Stop::Failed(Failure {
            retry: Retry::No,
            ..Failure::new(Code::JobTimeout, "The acquisition was not done by its deadline.")
        }));
    }
    let mut power = Power::Ask;
    if !journal.state.handed_over {
        let machine = machine(services, job, id, journal).await?;
        let (node, now) = (id.clone(), services.clock().now());
        let closed = journal.close(StepStatus::Succeeded, None, now);
        let running = node.clone();
        journal
            .write(&closed, move |c, now| {
                let (node, machine) = (running.clone(), machine.clone());
                Box::pin(async move {
                    node_made_in(c, &node, &machine, now).await?;
                    node_event_in(c, &node, NodeEvent::ServerRunning, now).await
                })
            })
            .await?;
        name(services, id, journal).await?;
        let closed = journal.close(StepStatus::Succeeded, None, services.clock().now());
        journal.state.handed_over = true;
        let stored = journal
            .write(&closed, move |c, now| {
                let node = node.clone();
                Box::pin(async move { node_event_in(c, &node, NodeEvent::HandedOver, now).await })
            })
            .await;
        if let Err(stop) = stored {
            // Only what is stored has happened: cancelled at this very point, it is still undone.
            journal.state.handed_over = false;
            return Err(stop);
        }
        power = Power::SeenRunning;
    }
    prepare(services, id, journal).await?;
    verify(services, id, journal, power).await
}

/// The vendor's part: everything up to a running server with addresses.
async fn machine(
    services: &Arc<Services>,
    job: &JobRow,
    id: &NodeId,
    journal: &mut JobJournal,
) -> Result<Machine, Stop> {
    let (node, provider) = rows(services, id).await?;
    wait_while_held(services, &node, &provider, journal).await?;
    let stack = services.stack_wish(&node).await?;
    let (pairs, image) = if stack.is_some() {
        let id = id.clone();
        let [(step, label), ..] = STACK;
        let begun = journal.begin(step, label, move |c, now| {
            let id = id.clone();
            Box::pin(async move { node_event_in(c, &id, NodeEvent::CreateBegun, now).await })
        });
        begun.await?;
        (Vec::new(), String::new())
    } else {
        let chosen = chosen(services, id, &node, &provider, journal).await?;
        (chosen.pairs, chosen.image)
    };
    let managed_key = services.managed_key().await?.clone();
    let host_key = services.host_key_open(&node)?;
    let user_data = match stack {
        Some(_) => None,
        None => user_data(&node, host_key.as_ref(), &managed_key)?,
    };
    let wish = ProvisionWish {
        node_id: node.id.to_string(),
        job_id: job.id.to_string(),
        server_name: node.server_name.clone(),
        pairs,
        image,
        managed_key,
        user_data,
        labels: node.spec.labels.clone(),
        ipv4: node.spec.ipv4.unwrap_or(true),
        firewalls: node.spec.firewalls.clone(),
        instance: services.instance().to_owned(),
        stack,
    };
    let open = services.account(&provider)?;
    let infra = open.account.infra().ok_or_else(|| {
        Stop::Failed(Failure::new(Code::ProviderAcquisitionUnavailable, "This kind of account makes no nodes."))
    })?;
    Ok(infra.provision(&wish, journal).await?)
}

/// Nothing is made at the vendor while more may not be acquired: the job waits, and its timeline says
/// why. A server that was asked for before bills already, so the job goes on with it.
async fn wait_while_held(
    services: &Arc<Services>,
    node: &NodeRow,
    provider: &ProviderRow,
    journal: &mut JobJournal,
) -> Result<(), Stop> {
    let Some(Held { code, reason, wait }) = services.node_held(node, provider).await? else { return Ok(()) };
    if node.create_attempted_at.is_some() && stands(services, node, provider).await {
        return Ok(());
    }
    journal.begin("wait_for_leave", "Wait until more may be acquired", |_, _| Box::pin(async { Ok(()) })).await?;
    let wait = std::time::Duration::from_millis(wait.unsigned_abs());
    Err(Stop::Failed(Failure { retry_after: Some(wait), ..Failure::new(code, reason) }))
}

/// Whether a create whose answer was lost has come true. A vendor that does not say is asked again at
/// the next look.
async fn stands(services: &Services, node: &NodeRow, provider: &ProviderRow) -> bool {
    let Ok(open) = services.account(provider) else { return false };
    let Some(infra) = open.account.infra() else { return false };
    match infra.owned().await {
        Ok(owned) => owned.iter().any(|it| {
            it.node_id.as_deref() == Some(node.id.as_str())
                && it.name == node.server_name
                && it.status != MachinePower::Deleting
        }),
        Err(error) => {
            tracing::info!(node = %node.id, code = %error.code, "whether its server was made is not known yet");
            false
        }
    }
}

/// What will be asked for, chosen once and then kept, so that a repeat asks for the same.
async fn chosen(
    services: &Arc<Services>,
    id: &NodeId,
    node: &NodeRow,
    provider: &ProviderRow,
    journal: &mut JobJournal,
) -> Result<Chosen, Stop> {
    if let Some(kept) = journal.chosen() {
        return Ok(kept);
    }
    let (_, label) = PLAN.first().copied().unwrap_or_default();
    journal.begin("choose", label, |_, _| Box::pin(async { Ok(()) })).await?;
    let catalog = services.catalog_of(provider).await?;
    let chosen = choose(&catalog, &Selection::from(&node.spec)).map_err(|errors| {
        let words = errors.into_iter().map(|e| e.message).collect::<Vec<_>>().join("; ");
        Stop::Failed(Failure::new(Code::ProviderInvalidRequest, words))
    })?;
    let kept = serde_json::to_value(&chosen).map_err(|e| Stop::from(Fault::internal(&e)))?;
    journal.state.journal.insert(CHOSEN.to_owned(), kept);
    let (node, facts) = (id.clone(), chosen.clone());
    let priced = journal
        .write(&[], move |c, now| {
            let (node, facts) = (node.clone(), facts.clone());
            Box::pin(async move { node_price_in(c, &node, &facts, now).await })
        })
        .await;
    if let Err(stop) = priced {
        // What may not be paid for is not kept: the next attempt chooses and asks again.
        journal.state.journal.remove(CHOSEN);
        return Err(stop);
    }
    Ok(chosen)
}

/// The work is given up: before the hand-over everything is undone, after it the server is kept.
async fn give_up(
    services: &Arc<Services>,
    id: &NodeId,
    journal: &mut JobJournal,
    error: JobError,
    ends: JobStatus,
) -> Result<(), Stop> {
    let now = services.clock().now();
    let undo = match journal.state.undo.clone() {
        Some(undo) => undo,
        None => {
            let undo = Undo { error, ends };
            let closed = journal.close(StepStatus::Failed, Some(&undo.error.message), now);
            if journal.state.handed_over {
                let (node, why, cleaner) = (id.clone(), undo.error.clone(), services.cleaner());
                return journal
                    .end(&closed, undo.ends, Some(undo.error), move |c, now| {
                        let (node, why, cleaner) = (node.clone(), why.clone(), cleaner.clone());
                        Box::pin(async move {
                            node_failed_in(c, &node, &why, Cleanup::None, now).await?;
                            node_settled_in(c, &node, &cleaner, now).await
                        })
                    })
                    .await;
            }
            journal.state.undo = Some(undo.clone());
            let (node, why) = (id.clone(), undo.error.clone());
            journal
                .write(&closed, move |c, now| {
                    let (node, why) = (node.clone(), why.clone());
                    Box::pin(async move {
                        // Nothing was asked of the vendor yet: nothing can be left there.
                        let tried = c.node_get(&node).await?.is_some_and(|n| n.create_attempted_at.is_some());
                        let cleanup = if tried { Cleanup::Pending } else { Cleanup::None };
                        names_dropped_in(c, &node, now).await?;
                        node_failed_in(c, &node, &why, cleanup, now).await
                    })
                })
                .await?;
            undo
        }
    };
    let (node, provider) = match rows(services, id).await {
        Ok(rows) => rows,
        Err(Stop::Lost) => return Err(Stop::Lost),
        Err(_) => {
            // Without its account nothing can be looked for now: it stays visible, and is looked
            // for again.
            let next_look = now.plus(MINUTE);
            let (node, why, noted) = (id.clone(), undo.error.clone(), journal.state.journal.clone());
            return journal
                .end(&[], undo.ends, Some(undo.error), move |c, now| {
                    let (node, why, noted) = (node.clone(), why.clone(), noted.clone());
                    Box::pin(async move {
                        names_given_up_in(c, &node, &why, &noted, next_look, now).await?;
                        node_undone_in(c, &node, Undone::Pending { next_look, replace: false }, now).await
                    })
                })
                .await;
        }
    };
    if node.cleanup != Cleanup::Pending {
        return journal.end(&[], undo.ends, Some(undo.error), |_, _| Box::pin(async { Ok(()) })).await;
    }
    journal.undoing();
    let undone = take_back(services, (&node, &provider), &undo.error, journal).await;
    let now = services.clock().now();
    let next_look = now.plus(services.settings().work.back_off.first().copied().unwrap_or(5_000));
    let pending = Undone::Pending { next_look, replace: false };
    let (undone, closed) = match undone {
        Ok(()) => (
            Undone::Done { again: None },
            journal.close(StepStatus::Succeeded, Some("Nothing is left at the vendor."), now),
        ),
        Err(Stop::Lost) => return Err(journal.stopped().unwrap_or(Stop::Lost)),
        Err(Stop::Cancelled) => (pending, journal.close(StepStatus::Failed, None, now)),
        Err(Stop::Failed(failure)) => (pending, journal.close(StepStatus::Failed, Some(&failure.error.message), now)),
    };
    let node = id.clone();
    journal
        .end(&closed, undo.ends, Some(undo.error), move |c, now| {
            let (node, undone) = (node.clone(), undone.clone());
            Box::pin(async move { node_undone_in(c, &node, undone, now).await })
        })
        .await
}

async fn take_back(
    services: &Arc<Services>,
    (node, provider): (&NodeRow, &ProviderRow),
    why: &JobError,
    journal: &mut JobJournal,
) -> Result<(), Stop> {
    unname(services, &node.id, journal, Patience::None, Some(why)).await?;
    let open = services.account(provider)?;
    let Some(infra) = open.account.infra() else { return Ok(()) };
    infra.destroy(&target(node), journal).await?;
    Ok(())
}
