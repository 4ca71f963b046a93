//! What a job does on a node without moving it: the readiness checks now, and one command. The
//! rule: what was found is data; such a job fails only when it could not be carried out.

use std::{sync::Arc, time::Duration};

use ::providers::{ExecWish, ssh};
use domain::{
    code::{Code, Retry},
    id::NodeId,
    job::{CommandOutput, JobError, JobStatus, StepStatus},
    node::{NodeState, ReasonCode},
};
use store::{JobRow, NodeRow, ProviderRow};

use super::{
    journal::{Cancellable, JobJournal, no_events},
    node_prepare::rows,
    runner::{Failure, Signals, Stop, again},
};
use crate::{
    fault::Fault,
    services::{HEALTH_WITHIN, Lease, Services, Verb, masked, node_health_in, node_settled_in},
};

const CHECK: (&str, &str) = ("check_health", "Run the readiness checks");
const COMMAND: (&str, &str) = ("run_command", "Run the command");

/// How long it may take until a machine that is in service is reached.
const REACHED: Duration = Duration::from_secs(60);

/// Runs the job once.
pub(super) async fn run(
    services: &Arc<Services>,
    job: &JobRow,
    lease: &Lease,
    mut signals: Signals,
) -> Result<(), Stop> {
    let id: NodeId = job.subject.id.parse().map_err(|e| Stop::from(Fault::internal(&e)))?;
    let plan = if job.kind == domain::job::JobKind::NodeExec { COMMAND } else { CHECK };
    let mut journal = JobJournal::open(services, job, lease, id.clone(), signals.clone(), &[plan], no_events).await?;
    journal.cancellable(Cancellable::Yes);
    let outcome = tokio::select! {
        outcome = forward(services, job, &id, &mut journal) => outcome,
        () = signals.cancelled() => Err(Stop::Cancelled),
    };
    journal.cancellable(Cancellable::No);
    let now = services.clock().now();
    let (status, error, closed) = match outcome {
        Ok(detail) => (JobStatus::Succeeded, None, journal.close(StepStatus::Succeeded, Some(&detail), now)),
        Err(Stop::Lost) => return Err(journal.stopped().unwrap_or(Stop::Lost)),
        Err(Stop::Cancelled) => {
            let words = match plan == COMMAND {
                true => "The job was cancelled; a command that has begun goes on on the machine until its time is up.",
                false => "The job was cancelled.",
            };
            let closed = journal.close(StepStatus::Failed, Some(words), now);
            (JobStatus::Cancelled, Some(JobError::new(Code::JobCancelled, words)), closed)
        }
        Err(Stop::Failed(failure)) => {
            let closed = journal.close(StepStatus::Failed, Some(&failure.error.message), now);
            if again(&failure, job) {
                journal.write(&closed, |_, _| Box::pin(async { Ok(()) })).await?;
                return Err(Stop::Failed(failure));
            }
            (JobStatus::Failed, Some(failure.error), closed)
        }
    };
    let (node, cleaner) = (id.clone(), services.cleaner());
    journal
        .end(&closed, status, error, move |c, now| {
            let (node, cleaner) = (node.clone(), cleaner.clone());
            Box::pin(async move { node_settled_in(c, &node, &cleaner, now).await })
        })
        .await?;
    if plan == COMMAND && status != JobStatus::Cancelled {
        forgotten(services, job, &id).await;
    }
    Ok(())
}

/// Has the machine forget what a command wrote, once its outcome is stored and the job over: before
/// that a crash would run it again. One that is not reached forgets by itself later.
async fn forgotten(services: &Arc<Services>, job: &JobRow, id: &NodeId) {
    let Ok((node, _)) = rows(services, id).await else { return };
    if !node.profile.has_login() {
        return;
    }
    let Ok(Ok(target)) = services.ssh_target(&node) else { return };
    let task = job.id.to_string();
    // The job's lease is over, so nothing waits for this.
    tokio::spawn(async move {
        if let Err(failure) = ssh::task_forget(&target, &task).await {
            tracing::debug!(task, code = %failure.code, "what a command wrote is left on its machine for now");
        }
    });
}

/// Carries it out; answers what the step says at its end.
async fn forward(
    services: &Arc<Services>,
    job: &JobRow,
    id: &NodeId,
    journal: &mut JobJournal,
) -> Result<String, Stop> {
    let (node, provider) = rows(services, id).await?;
    match journal.state.verb.clone() {
        Some(Verb::HealthCheck) => health(services, &node, &provider, journal).await,
        Some(Verb::Exec { sealed }) => exec(services, job, &node, &provider, &sealed, journal).await,
        _ => Err(Stop::Failed(Failure::new(Code::Internal, "This job does not say what it is to do."))),
    }
}

async fn health(
    services: &Arc<Services>,
    node: &NodeRow,
    provider: &ProviderRow,
    journal: &mut JobJournal,
) -> Result<String, Stop> {
    journal.begin(CHECK.0, CHECK.1, |_, _| Box::pin(async { Ok(()) })).await?;
    let reasons = services.node_probe(node, provider, HEALTH_WITHIN).await?;
    let words: Vec<_> = reasons.iter().map(|r| r.as_str()).collect();
    let words = if words.is_empty() { "healthy".to_owned() } else { words.join(", ") };
    let usage = match reasons.contains(&ReasonCode::NodeUnreachable) {
        true => Vec::new(),
        false => services.node_usage(node, provider).await?,
    };
    let id = node.id.clone();
    journal
        .write(&[], move |c, now| {
            let (id, reasons, usage) = (id.clone(), reasons.clone(), usage.clone());
            Box::pin(async move { node_health_in(c, &id, &reasons, &usage, now).await })
        })
        .await?;
    Ok(words)
}

async fn exec(
    services: &Arc<Services>,
    job: &JobRow,
    node: &NodeRow,
    provider: &ProviderRow,
    sealed: &str,
    journal: &mut JobJournal,
) -> Result<String, Stop> {
    let wish = services.exec_open(node, sealed)?;
    journal.begin(COMMAND.0, COMMAND.1, |_, _| Box::pin(async { Ok(()) })).await?;
    if node.state != NodeState::Ready {
        let words = format!("The node is {}; commands run only on a ready node.", node.state);
        return Err(Stop::Failed(Failure::new(Code::NodeNotReady, words)));
    }
    let within = Duration::from_secs(wish.seconds().into());
    let target = services.health_target(node, within + REACHED).await?.map_err(|reason| {
        Stop::Failed(Failure::new(Code::ProvisionNotReady, format!("{reason}: {}", reason.guidance())))
    })?;
    let open = services.account(provider)?;
    let infra = open.account.infra().ok_or_else(|| {
        Stop::Failed(Failure::new(Code::ProviderAcquisitionUnavailable, "This kind of account runs no commands."))
    })?;
    // The job's id names the run: it is the same after every crash, so the command runs once.
    let wish = ExecWish { task: job.id.to_string(), argv: wish.argv, service: wish.service, within };
    // Before anything is run: what cannot be masked is not asked for.
    let secrets = services.secrets_of(node, provider).await?;
    let output = infra.exec(&target, &wish).await?;
    let output =
        CommandOutput { stdout: masked(&output.stdout, &secrets), stderr: masked(&output.stderr, &secrets), ..output };
    let (code, timed_out, may_run) = (output.exit_code, output.timed_out, output.may_run);
    journal.output(output).await?;
    match code {
        Some(code) => Ok(format!("It ended with exit code {code}.")),
        None if timed_out => Err(Stop::Failed(Failure {
            retry: Retry::No,
            ..Failure::new(
                Code::ProvisionTimeout,
                match may_run {
                    false => format!("The command was not done within {} s and was killed.", within.as_secs()),
                    true => format!("The command was not done within {} s; it may still run.", within.as_secs()),
                },
            )
        })),
        None if may_run => Ok("How it ended is not known; it may still run.".to_owned()),
        None => Ok("It was killed on the machine.".to_owned()),
    }
}
