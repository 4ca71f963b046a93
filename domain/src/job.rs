//! Jobs: durable pieces of work.
//!
//! ```text
//! queued → running → succeeded
//!    ↑        ├────→ failed ──┐ retry
//!    ├────────┘ requeue       │
//!    ├────────────────────────┘
//!    └──────→ cancelled ←── running
//! ```

use serde::{Deserialize, Serialize};

use crate::{
    access::Principal,
    action::{Action, ActionSpec, Verdict, assemble},
    allocation::AllocationStatus,
    code::Code,
    dns::DnsState,
    id::JobId,
    node::{Cleanup, NodeState},
    state::{IllegalTransition, words},
    time::Timestamp,
};

words! {
    /// Where a job stands.
    JobStatus {
        /// Due now or at `run_after`.
        Queued = "queued",
        /// Leased by a worker.
        Running = "running",
        /// Done.
        Succeeded = "succeeded",
        /// Given up, with a code.
        Failed = "failed",
        /// Stopped by a person.
        Cancelled = "cancelled",
    }
}

words! {
    /// What a job does.
    JobKind {
        /// Makes a node: server, name, login, verification.
        NodeProvision = "node_provision",
        /// Takes a node and what belongs to it away.
        NodeDestroy = "node_destroy",
        /// Finishes an undo that did not succeed at once.
        NodeCleanup = "node_cleanup",
        /// Stops a node; its data stays.
        NodeSuspend = "node_suspend",
        /// Starts a suspended node.
        NodeResume = "node_resume",
        /// Changes a node's type or image.
        NodeUpgrade = "node_upgrade",
        /// Lays a node anew.
        NodeRebuild = "node_rebuild",
        /// Runs the readiness checks of a node.
        NodeHealthCheck = "node_health_check",
        /// Runs one command on a node.
        NodeExec = "node_exec",
        /// Takes away what is labelled ours at a vendor and unknown here.
        OrphanSweep = "orphan_sweep",
        /// Makes a DNS record.
        DnsCreate = "dns_create",
        /// Takes a DNS record away.
        DnsDelete = "dns_delete",
        /// Tells the deployer about a release and cleans the machine.
        AllocationRelease = "allocation_release",
        /// Acquires or retires machines until a pool is as it should be.
        PoolFill = "pool_fill",
    }
}

impl JobKind {
    /// Whether it moves its node through states; if it fails, the node decides how it is taken up
    /// again.
    pub fn is_node_work(self) -> bool {
        matches!(
            self,
            Self::NodeProvision
                | Self::NodeDestroy
                | Self::NodeSuspend
                | Self::NodeResume
                | Self::NodeUpgrade
                | Self::NodeRebuild
        )
    }
}

words! {
    /// Where a step of a job stands.
    StepStatus {
        /// Not begun.
        Pending = "pending",
        /// Going on.
        Running = "running",
        /// Done.
        Succeeded = "succeeded",
        /// Ended in error.
        Failed = "failed",
        /// Not needed this time.
        Skipped = "skipped",
    }
}

/// Whom a job waits for its turn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// What takes something away, or cleans it: never behind what makes something.
    Removing,
    /// Everything else.
    Making,
}

impl Lane {
    /// Both, in the order in which they are looked at.
    pub const ALL: [Self; 2] = [Self::Removing, Self::Making];
}

impl JobKind {
    /// The lane of its jobs.
    pub fn lane(self) -> Lane {
        match self {
            Self::NodeDestroy | Self::NodeCleanup | Self::OrphanSweep | Self::DnsDelete | Self::AllocationRelease => {
                Lane::Removing
            }
            _ => Lane::Making,
        }
    }
}

/// What happens to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobEvent {
    /// A worker takes it.
    Lease,
    /// It waits for its next attempt, or its worker vanished.
    Requeue,
    /// It is done.
    Succeed,
    /// It is given up.
    Fail,
    /// A person stopped it.
    Cancel,
    /// A person wants it tried again.
    Retry,
}

impl JobStatus {
    /// The state after `event`.
    ///
    /// # Errors
    /// [`IllegalTransition`] if the event does not happen in this state.
    pub fn apply(self, event: JobEvent) -> Result<Self, IllegalTransition> {
        use {JobEvent as E, JobStatus as S};
        Ok(match (self, event) {
            (S::Queued, E::Lease) => S::Running,
            (S::Running, E::Requeue) => S::Queued,
            (S::Running, E::Succeed) => S::Succeeded,
            (S::Running, E::Fail) => S::Failed,
            (S::Queued | S::Running, E::Cancel) => S::Cancelled,
            (S::Failed | S::Cancelled, E::Retry) => S::Queued,
            _ => return Err(IllegalTransition::new(self.as_str(), &format!("{event:?}"))),
        })
    }

    /// Whether nothing more happens by itself.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// The same as a sentence about the job.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Queued => "The job is queued.",
            Self::Running => "The job is running.",
            Self::Succeeded => "The job has succeeded.",
            Self::Failed => "The job has failed.",
            Self::Cancelled => "The job was cancelled.",
        }
    }
}

/// What a job is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Subject {
    /// `node`, `allocation`, `provider`, `pool`, `dns_record`, `user`, `job`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id.
    pub id: String,
}

impl Subject {
    /// The subject of kind `kind` with the id `id`.
    pub fn new(kind: &str, id: impl ToString) -> Self {
        Self { kind: kind.to_owned(), id: id.to_string() }
    }
}

/// A failure as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobError {
    /// The stable code.
    pub code: Code,
    /// One sentence, free of vendor text and secrets.
    pub message: String,
    /// By what the vendor finds the refused call again, for a question to its support.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

impl JobError {
    /// A failure that no single call of the vendor's stands behind.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), correlation_id: None }
    }
}

/// What a command or script on a node left behind; secrets are masked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommandOutput {
    /// Its exit code; `None` when it was killed, has not ended, or how it ended is not known.
    pub exit_code: Option<i32>,
    /// Whether it was not done when its time was up; then it was killed, unless it may still run.
    #[serde(default)]
    pub timed_out: bool,
    /// Whether it may still run on the machine: nothing there ends it, or it is not known any more.
    #[serde(default)]
    pub may_run: bool,
    /// The last 10 KiB of its standard output.
    pub stdout: String,
    /// Whether there was more of it.
    #[serde(default)]
    pub stdout_cut: bool,
    /// The last 10 KiB of its standard error; empty where both came as one.
    #[serde(default)]
    pub stderr: String,
    /// Whether there was more of it.
    #[serde(default)]
    pub stderr_cut: bool,
}

/// One step of a job's timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobStep {
    /// The stable name, such as `create_server` or `undo_create_server`.
    pub name: String,
    /// What a person reads.
    pub label: String,
    /// Where it stands.
    pub status: StepStatus,
    /// When it began last.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What there is to say about it.
    pub detail: Option<String>,
}

/// A job as the API and the pages show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobView {
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// Where it stands.
    pub status: JobStatus,
    /// What it is about.
    pub subject: Subject,
    /// The name of what it is about, for people.
    pub subject_name: Option<String>,
    /// Attempts begun so far.
    pub attempt: u32,
    /// Attempts before it is given up.
    pub max_attempts: u32,
    /// The step it is in or was in last.
    pub step: Option<String>,
    /// The timeline; empty in lists.
    pub steps: Vec<JobStep>,
    /// Percent done, 0 to 100.
    pub progress: u8,
    /// The last failure.
    pub error: Option<JobError>,
    /// What its command or script wrote; `None` for jobs without one, and in lists.
    #[serde(default)]
    pub output: Option<CommandOutput>,
    /// Whether somebody asked it to stop.
    pub cancel_requested: bool,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was first begun.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// Not before this moment.
    pub run_after: Timestamp,
    /// Counts every change.
    pub version: i64,
    /// What can be done with it; empty in lists.
    pub actions: Vec<Action>,
}

/// What the gates of a job's actions look at.
#[derive(Debug, Clone)]
pub struct JobFacts {
    /// The job.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// Where it stands.
    pub status: JobStatus,
    /// Whether a cancellation is under way.
    pub cancel_requested: bool,
    /// Whether a backup comes before anything is taken away, and is not made yet.
    pub owes_backup: bool,
    /// Whether another open job works on the same subject.
    pub subject_busy: bool,
    /// Where what it is about stands.
    pub about: JobAbout,
}

/// Where the subject of a job stands, as far as it decides whether the job can be taken up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobAbout {
    /// A node.
    Node {
        /// Where it stands.
        state: NodeState,
        /// Whether something it left behind is still to be taken away.
        cleanup: Cleanup,
    },
    /// An allocation.
    Allocation(AllocationStatus),
    /// A DNS record.
    Record {
        /// Where it stands.
        state: DnsState,
        /// Whether the node that it would name is not in use.
        node_lost: bool,
        /// Whether another record of Hangar's has its name by now.
        name_taken: bool,
        /// Whether its account is connected.
        connected: bool,
    },
    /// Something else, which decides nothing.
    Other,
}

const CANCEL: ActionSpec = ActionSpec {
    identity: "cancel-job",
    alias: Some("cancel"),
    label: "Cancel job",
    description: "Stops the job; what it created before the hand-over to SSH is undone.",
    permission: "hangar.job.cancel",
    method: "POST",
};
const RETRY: ActionSpec = ActionSpec {
    identity: "retry-job",
    alias: Some("retry"),
    label: "Retry job",
    description: "Queues the failed job again with fresh attempts.",
    permission: "hangar.job.retry",
    method: "POST",
};

/// Every action of a job for `principal`.
pub fn job_actions(facts: &JobFacts, principal: &Principal) -> Vec<Action> {
    let path = |spec: &ActionSpec| format!("/api/v1/jobs/{}/actions/{}", facts.id, spec.identity);
    let cancel_state = match facts.status {
        JobStatus::Queued | JobStatus::Running if facts.cancel_requested => Verdict::blocked(
            "job-state",
            "The job is being cancelled already.",
            "A cancellation is asked for once and then carried out.",
            "Wait until the undo has finished.",
            "Yes: nothing was changed.",
        ),
        JobStatus::Queued | JobStatus::Running if facts.owes_backup => {
            Verdict::pass("job-state", "Its backup is not made yet; until it is, nothing is taken away.")
        }
        JobStatus::Queued | JobStatus::Running
            if matches!(
                facts.kind,
                JobKind::NodeCleanup
                    | JobKind::NodeDestroy
                    | JobKind::AllocationRelease
                    | JobKind::OrphanSweep
                    | JobKind::DnsDelete
            ) =>
        {
            Verdict::blocked(
                "job-kind",
                "What takes something away or cleans it is never abandoned halfway.",
                "What Hangar created is taken away or stays visible as pending; nothing bills unseen.",
                "Wait; it is tried again until it is confirmed.",
                "Yes: nothing was changed.",
            )
        }
        JobStatus::Queued | JobStatus::Running
            if matches!(
                facts.kind,
                JobKind::NodeSuspend | JobKind::NodeResume | JobKind::NodeUpgrade | JobKind::NodeRebuild
            ) =>
        {
            Verdict::blocked(
                "job-kind",
                "Work on a server that is in use is never abandoned halfway.",
                "Every step has a deadline; if one fails, the server is put back to where it was.",
                "Wait; it ends by itself.",
                "Yes: nothing was changed.",
            )
        }
        JobStatus::Queued | JobStatus::Running => Verdict::pass("job-state", facts.status.sentence()),
        over => Verdict::blocked(
            "job-state",
            over.sentence(),
            "Only a job that is not over can be cancelled.",
            "Nothing to do.",
            "Yes: nothing was changed.",
        ),
    };
    let retry_state = match facts.status {
        JobStatus::Failed | JobStatus::Cancelled => Verdict::pass("job-state", facts.status.sentence()),
        other => Verdict::blocked(
            "job-state",
            other.sentence(),
            "Only a failed or cancelled job can be retried.",
            "Wait until the job is over.",
            "Yes: nothing was changed.",
        ),
    };
    let busy = if facts.subject_busy && facts.status.is_over() {
        Verdict::blocked(
            "no-running-job",
            "Another job works on the same thing.",
            "At most one job works on a thing at a time.",
            "Wait for the other job.",
            "Yes: nothing was changed.",
        )
    } else {
        Verdict::pass("no-running-job", "No other job works on the same thing.")
    };
    vec![
        assemble(
            &CANCEL,
            path(&CANCEL),
            vec![Verdict::permission(&CANCEL, principal, principal.is_admin()), cancel_state],
        ),
        assemble(&RETRY, path(&RETRY), {
            let mut verdicts = vec![Verdict::permission(&RETRY, principal, principal.is_admin()), retry_state, busy];
            verdicts.extend(subject_lets(facts).filter(|_| facts.status.is_over()));
            verdicts
        }),
    ]
}

/// Whether what the job is about can bear another run: the very same rule that its own actions
/// follow.
fn subject_lets(facts: &JobFacts) -> Option<Verdict> {
    const SAFE: &str = "Yes: nothing was changed.";
    match (facts.about, facts.kind) {
        (JobAbout::Node { cleanup: Cleanup::Pending, .. }, kind) if kind.is_node_work() => Some(Verdict::blocked(
            "cleanup",
            "What an earlier attempt left behind is still being taken away.",
            "A new attempt begins from a clean slate.",
            "Wait until the clean-up is done.",
            SAFE,
        )),
        (JobAbout::Node { state: NodeState::Failed, .. }, kind) if kind.is_node_work() => {
            Some(Verdict::pass("node-state", "The node is failed; it decides from which stage it goes on."))
        }
        (JobAbout::Node { state, .. }, kind) if kind.is_node_work() => Some(Verdict::blocked(
            "node-state",
            format!("The node is {state}; only a failed node can be tried again."),
            "What was given up and put back, or came about since, is not repeated behind one's back.",
            "Choose the action on the node's page again, if it is still wanted.",
            SAFE,
        )),
        (JobAbout::Node { state, .. }, JobKind::NodeHealthCheck | JobKind::NodeExec) => {
            Some(if state == NodeState::Ready {
                Verdict::pass("node-state", "The node is ready.")
            } else {
                Verdict::blocked(
                    "node-state",
                    format!("The node is {state}; this needs a ready node."),
                    "Checks and commands run only on a node that is in service.",
                    "Bring the node back first.",
                    SAFE,
                )
            })
        }
        (JobAbout::Allocation(AllocationStatus::Releasing), JobKind::AllocationRelease) => {
            Some(Verdict::pass("allocation-state", "The release is not finished."))
        }
        (JobAbout::Allocation(status), JobKind::AllocationRelease) => Some(Verdict::blocked(
            "allocation-state",
            format!("The allocation is {status}: its release is over."),
            "Once the deployer could not be told, the machine was held back or replaced; it may be somebody else's now.",
            "Look at the machine in its pool; a machine in maintenance is marked clean there.",
            "No: a repeated hook would name a machine that is no longer this allocation's.",
        )),
        (JobAbout::Record { state: DnsState::Failed, node_lost: true, .. }, JobKind::DnsCreate) => {
            Some(Verdict::blocked(
                "node-live",
                "The node that it names is not in use.",
                "The name of a node is made with the node.",
                "Retry the node, or create another record.",
                SAFE,
            ))
        }
        (JobAbout::Record { state: DnsState::Failed, name_taken: true, .. }, JobKind::DnsCreate) => {
            Some(Verdict::blocked(
                "name-free",
                "Another record of Hangar's has its name by now.",
                "Two records of Hangar's are never in each other's way.",
                "Delete the failed record.",
                SAFE,
            ))
        }
        (JobAbout::Record { state: DnsState::Failed, connected: false, .. }, JobKind::DnsCreate) => {
            Some(Verdict::blocked(
                "provider-connected",
                "Its account is not connected.",
                "Work at a vendor begins only through an account whose credential works.",
                "Open Providers and follow the account's guidance.",
                SAFE,
            ))
        }
        (JobAbout::Record { state: DnsState::Failed, .. }, JobKind::DnsCreate) => {
            Some(Verdict::pass("record-state", "The record is failed."))
        }
        (JobAbout::Record { state, .. }, JobKind::DnsCreate | JobKind::DnsDelete) => Some(Verdict::blocked(
            "record-state",
            format!("The record is {state}; only a record that could not be made is tried again by its job."),
            "What was given up, or came about since, is not repeated behind one's back.",
            "Choose the action on the record's page again, if it is still wanted.",
            SAFE,
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked(kind: JobKind, status: JobStatus, about: JobAbout) -> Vec<String> {
        let facts = JobFacts {
            id: "job_1".parse().unwrap(),
            kind,
            status,
            cancel_requested: false,
            owes_backup: false,
            subject_busy: false,
            about,
        };
        let actions = job_actions(&facts, &Principal::admin_secret());
        let of = |action: &Action| format!("{}: {}", action.identity, action.blocked_reasons());
        actions.iter().filter(|action| !action.enabled).map(of).collect()
    }

    /// What is to be taken away after a backup is not taken away yet.
    #[test]
    fn a_destruction_that_owes_its_backup_can_be_ended() {
        for status in [JobStatus::Queued, JobStatus::Running] {
            for owes_backup in [true, false] {
                let facts = JobFacts {
                    id: "job_1".parse().unwrap(),
                    kind: JobKind::NodeDestroy,
                    status,
                    cancel_requested: false,
                    owes_backup,
                    subject_busy: false,
                    about: JobAbout::Other,
                };
                let actions = job_actions(&facts, &Principal::admin_secret());
                assert_eq!(actions[0].enabled, owes_backup, "{status}");
            }
        }
    }

    /// What keeps each kind of job from being cancelled or taken up again, and nothing else does.
    #[test]
    fn matrix() {
        let mut text = String::new();
        let node = |state, cleanup| JobAbout::Node { state, cleanup };
        let abouts = [
            ("a failed node", node(NodeState::Failed, Cleanup::None)),
            ("a failed node with a clean-up", node(NodeState::Failed, Cleanup::Pending)),
            ("a ready node", node(NodeState::Ready, Cleanup::None)),
            ("a suspended node", node(NodeState::Suspended, Cleanup::None)),
            ("a releasing allocation", JobAbout::Allocation(AllocationStatus::Releasing)),
            ("a released allocation", JobAbout::Allocation(AllocationStatus::Released)),
        ];
        for kind in [
            JobKind::NodeProvision,
            JobKind::NodeDestroy,
            JobKind::NodeSuspend,
            JobKind::NodeUpgrade,
            JobKind::NodeExec,
            JobKind::NodeHealthCheck,
            JobKind::AllocationRelease,
        ] {
            for status in [JobStatus::Running, JobStatus::Failed] {
                for (name, about) in abouts {
                    let of_node = kind != JobKind::AllocationRelease;
                    if of_node == matches!(about, JobAbout::Node { .. }) {
                        for line in blocked(kind, status, about) {
                            text.push_str(&format!("{kind} {status} on {name}: {line}\n"));
                        }
                    }
                }
            }
        }
        insta::assert_snapshot!(text);
    }

    /// The job of a record follows the gates of the record's own action.
    #[test]
    fn a_record_decides_for_its_job() {
        let retried = |state, node_lost, name_taken, connected| {
            let about = JobAbout::Record { state, node_lost, name_taken, connected };
            let lines = blocked(JobKind::DnsCreate, JobStatus::Failed, about);
            lines.into_iter().find(|line| line.starts_with("retry-job"))
        };
        assert_eq!(retried(DnsState::Failed, false, false, true), None);
        for (line, word) in [
            (retried(DnsState::Failed, true, false, true), "node"),
            (retried(DnsState::Failed, false, true, true), "name"),
            (retried(DnsState::Failed, false, false, false), "account"),
            (retried(DnsState::Deleted, false, false, true), "deleted"),
        ] {
            assert!(line.as_deref().is_some_and(|line| line.contains(word)), "{word}: {line:?}");
        }
    }
}
