//! From a machine that runs to a node in service: SSH with the pinned host key, the profile, the
//! readiness checks. Making a node and laying it anew have this in common. The rule: a profile runs
//! once per version and try, however often Hangar is killed meanwhile.

use std::{sync::Arc, time::Duration};

use ::providers::{
    HostKey, Journal as _, MachineTarget, ManagedKey,
    ssh::{self, RemoteTask, SshTarget, Tail},
};
use domain::{
    code::{Code, Retry},
    id::NodeId,
    job::{CommandOutput, JobStatus, StepStatus},
    node::{NodeEvent, NodeState},
    profile::ProfileDefinition,
    time::Timestamp,
};
use futures::future::BoxFuture;
use secrecy::SecretString;
use store::{Conn, NodeRow, ProviderRow};
use tokio::{sync::watch, time::Instant};

use super::{
    journal::JobJournal,
    runner::{Failure, Stop},
};
use crate::{
    fault::Fault,
    services::{
        Cleaned, HEALTH_WITHIN, Power, ProfileRun, Services, Verified, masked, node_event_in, node_health_in,
        node_profile_in, node_ready_in, node_settled_in,
    },
};

/// The steps of this stage.
pub(super) const PREPARE: [(&str, &str); 3] = [
    ("wait_for_ssh", "Wait for SSH with the pinned host key"),
    ("run_profile", "Run the profile"),
    ("verify", "Verify readiness"),
];

/// Between two looks at what a script wrote, so that a talkative one does not fill the database's
/// journal.
const OUTPUT_EVERY: Duration = Duration::from_secs(2);

/// Between two looks at whether a stack is healthy.
const BETWEEN: Duration = Duration::from_secs(1);

/// How much longer than its own time limit a script is waited for: it is killed on the machine, and
/// the news must come here.
const NEWS: Duration = Duration::from_secs(60);

/// A node and its account.
pub(super) async fn rows(services: &Services, id: &NodeId) -> Result<(NodeRow, ProviderRow), Stop> {
    let mut c = services.store().read().await.map_err(Fault::from)?;
    let node = c.node_get(id).await.map_err(Fault::from)?.ok_or_else(|| Fault::not_found("node"))?;
    let provider = c.provider_get(&node.provider_id).await.map_err(Fault::from)?;
    let provider = provider.ok_or_else(|| {
        Stop::Failed(Failure::new(Code::ProviderAcquisitionUnavailable, "The node's account is no longer here."))
    })?;
    Ok((node, provider))
}

/// How a node's machine is found at the vendor.
pub(super) fn target(node: &NodeRow) -> MachineTarget {
    MachineTarget {
        infra_id: node.infra_id.clone(),
        server_name: node.server_name.clone(),
        node_id: node.id.to_string(),
    }
}

/// The user data of a node's machine with this host key.
pub(super) fn user_data(
    node: &NodeRow,
    host_key: Option<&HostKey>,
    managed_key: &ManagedKey,
) -> Result<Option<String>, Stop> {
    let Some(host_key) = host_key.filter(|_| node.profile.has_login()) else { return Ok(node.spec.user_data.clone()) };
    let data = ssh::UserData {
        host_key,
        ssh_user: node.ssh_user.as_deref().unwrap_or("root"),
        authorized_key: &managed_key.public_openssh,
        extra: node.spec.user_data.as_deref(),
    };
    let text = ssh::user_data(&data);
    text.map(Some).map_err(|e| Stop::Failed(Failure::new(Code::ProviderInvalidRequest, e.message)))
}

/// Waits for SSH and lets the node's profile run, unless that has been done.
pub(super) async fn prepare(services: &Arc<Services>, id: &NodeId, journal: &mut JobJournal) -> Result<(), Stop> {
    let (node, provider) = rows(services, id).await?;
    if node.state != NodeState::Provisioning {
        return Ok(());
    }
    let mut changed = Vec::new();
    if node.profile.has_login() {
        journal.begin(PREPARE[0].0, PREPARE[0].1, |_, _| Box::pin(async { Ok(()) })).await?;
        let target = login(services, &node)?;
        ssh::ssh_wait(&target, services.settings().work.verify_deadline).await.map_err(ssh_failure)?;
        let shown =
            journal.close(StepStatus::Succeeded, Some("The pinned host key was shown."), services.clock().now());
        journal.write(&shown, |_, _| Box::pin(async { Ok(()) })).await?;
        changed.extend(profile(services, &node, &provider, &target, journal).await?);
    } else {
        for (step, _) in &PREPARE[..2] {
            changed.extend(journal.skip(step, "The profile is none: Hangar does not log in."));
        }
    }
    let node = id.clone();
    journal
        .write(&changed, move |c, now| {
            let node = node.clone();
            Box::pin(async move { node_event_in(c, &node, NodeEvent::Provisioned, now).await })
        })
        .await
}

/// Runs the node's profile: in its newest version at the first try, in the same after a crash.
async fn profile(
    services: &Arc<Services>,
    node: &NodeRow,
    provider: &ProviderRow,
    target: &SshTarget,
    journal: &mut JobJournal,
) -> Result<Vec<usize>, Stop> {
    let (version, definition) = match journal.state.profile.as_ref().map(|run| run.version) {
        Some(version) => (version, services.profile_at(&node.profile, version).await?),
        None => services.profile_newest(&node.profile).await?,
    };
    let known = journal.state.profile.take().and_then(|run| run.task);
    let task = known.unwrap_or_else(|| format!("profile-v{version}-{}", fresh()));
    journal.state.profile = Some(ProfileRun { version, task: Some(task.clone()) });
    let id = node.id.clone();
    if definition.requires.is_empty() && definition.script.trim().is_empty() {
        let skipped = journal.skip(PREPARE[1].0, "The profile asks for nothing.");
        journal.write(&skipped, move |c, now| version_noted(c, id.clone(), version, now)).await?;
        return Ok(Vec::new());
    }
    if let Some(former) = journal.state.former_task.clone() {
        // Given up while it ran: two runs never work against each other. It is known until it is ended.
        ssh::task_forget(target, &former).await.map_err(ssh_failure)?;
        journal.state.former_task = None;
    }
    // Its name is stored before it is begun: whoever goes on after a crash finds it by that.
    journal.begin(PREPARE[1].0, PREPARE[1].1, move |c, now| version_noted(c, id.clone(), version, now)).await?;
    let secrets = services.secrets_of(node, provider).await?;
    follow(target, &definition, task, &secrets, journal).await?;
    let detail = format!("{} version {version}", node.profile);
    Ok(journal.close(StepStatus::Succeeded, Some(&detail), services.clock().now()))
}

fn version_noted(c: &mut Conn, id: NodeId, version: u32, now: Timestamp) -> BoxFuture<'_, Result<(), Fault>> {
    Box::pin(async move { node_profile_in(c, &id, version, now).await })
}

/// Waits for the end of a profile's run and keeps what it writes.
async fn follow(
    target: &SshTarget,
    definition: &ProfileDefinition,
    task: String,
    secrets: &[SecretString],
    journal: &mut JobJournal,
) -> Result<(), Stop> {
    let limit = ssh::profile_within(&definition.requires, definition.seconds());
    let script = ssh::profile_script(&definition.requires, &definition.script);
    let task = RemoteTask { id: task, script, within: limit, merged: true };
    let (seen, mut news) = watch::channel(Tail::default());
    let mut progress = |tail: &Tail| {
        seen.send_if_modified(|last| {
            let new = last != tail;
            if new {
                last.clone_from(tail);
            }
            new
        });
    };
    let run = ssh::task_run(target, &task, limit + NEWS, &mut progress);
    tokio::pin!(run);
    let mut next = Instant::now();
    let end = loop {
        let fresh = async {
            let changed = news.changed().await;
            tokio::time::sleep_until(next).await;
            changed
        };
        tokio::select! {
            end = &mut run => break end,
            Ok(()) = fresh => {
                let tail = news.borrow_and_update().clone();
                let output = CommandOutput { stdout: masked(&tail.text, secrets), stdout_cut: tail.cut, ..Default::default() };
                journal.output(output).await?;
                next = Instant::now() + OUTPUT_EVERY;
            }
        }
    };
    let end = end.map_err(ssh_failure)?;
    let output = CommandOutput {
        exit_code: end.exit_code,
        timed_out: end.timed_out,
        may_run: false,
        stdout: masked(&end.stdout.text, secrets),
        stdout_cut: end.stdout.cut,
        stderr: masked(&end.stderr.text, secrets),
        stderr_cut: end.stderr.cut,
    };
    if let Some(run) = journal.state.profile.as_mut().filter(|_| end.exit_code != Some(0)) {
        // It is over, in vain: the next attempt is another run.
        run.task = None;
    }
    journal.output(output).await?;
    match end.failure() {
        None => Ok(()),
        Some(failure) => Err(ssh_failure(failure)),
    }
}

/// The readiness checks; with them the node is ready, in its pool, and the job done.
pub(super) async fn verify(
    services: &Arc<Services>,
    id: &NodeId,
    journal: &mut JobJournal,
    power: Power,
) -> Result<(), Stop> {
    checked(services, id, journal, power).await?;
    let closed = journal.close(StepStatus::Succeeded, Some("Every check passed."), services.clock().now());
    let (node, cleaner) = (id.clone(), services.cleaner());
    let cleaned = if journal.state.cleaning { Cleaned::Yes } else { Cleaned::No };
    journal
        .end(&closed, JobStatus::Succeeded, None, move |c, now| {
            let (node, cleaner) = (node.clone(), cleaner.clone());
            Box::pin(async move {
                node_ready_in(c, &node, NodeEvent::Verified, &[], cleaned, now).await?;
                node_settled_in(c, &node, &cleaner, now).await
            })
        })
        .await
}

/// The readiness checks as a step; what they find is noted on the node.
pub(super) async fn checked(
    services: &Arc<Services>,
    id: &NodeId,
    journal: &mut JobJournal,
    power: Power,
) -> Result<(), Stop> {
    let (node, provider) = rows(services, id).await?;
    journal.begin(PREPARE[2].0, PREPARE[2].1, |_, _| Box::pin(async { Ok(()) })).await?;
    let found = match node.blueprint {
        Some(_) => healthy(services, &node, &provider, journal).await?,
        None => services.node_verify(&node, &provider, services.settings().work.verify_deadline, power).await?,
    };
    if found.reasons.is_empty() {
        return Ok(());
    }
    let (node, reasons) = (id.clone(), found.reasons.clone());
    journal
        .write(&[], move |c, now| {
            let (node, reasons) = (node.clone(), reasons.clone());
            Box::pin(async move { node_health_in(c, &node, &reasons, &[], now).await })
        })
        .await?;
    Err(match found.failure {
        Some(failure) => ssh_failure(failure),
        None => {
            let words = found.reasons.iter().map(|r| format!("{r}: {}", r.guidance())).collect::<Vec<_>>().join(" ");
            Stop::Failed(Failure::new(Code::ProvisionNotReady, words))
        }
    })
}

/// Waits until a stack is healthy; while it is not, its step says why.
async fn healthy(
    services: &Arc<Services>,
    node: &NodeRow,
    provider: &ProviderRow,
    journal: &mut JobJournal,
) -> Result<Verified, Stop> {
    let deadline = Instant::now() + services.settings().work.verify_deadline;
    let mut told = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let reasons = services.node_probe(node, provider, HEALTH_WITHIN.min(left.max(BETWEEN))).await?;
        if reasons.is_empty() || Instant::now() + BETWEEN > deadline {
            return Ok(Verified { reasons, failure: None });
        }
        if reasons != told {
            let words = reasons.iter().map(|r| format!("{r}: {}", r.guidance())).collect::<Vec<_>>().join(" ");
            if journal.detail(&format!("Not yet. {words}"), None).await.is_err() {
                return Err(journal.stopped().unwrap_or(Stop::Lost));
            }
            told = reasons;
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

/// Where and as whom Hangar logs in.
fn login(services: &Services, node: &NodeRow) -> Result<SshTarget, Stop> {
    services.ssh_target(node)?.map_err(|reason| {
        Stop::Failed(Failure {
            retry: Retry::No,
            ..Failure::new(Code::ProvisionNotReady, format!("{reason}: {}", reason.guidance()))
        })
    })
}

fn ssh_failure(failure: ssh::SshFailure) -> Stop {
    Stop::Failed(Failure::new(failure.code, failure.message))
}

/// Eight letters and digits that no run before had.
fn fresh() -> String {
    use store::FreshId as _;
    domain::id::JobId::fresh().short().to_owned()
}
